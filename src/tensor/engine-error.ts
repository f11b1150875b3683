/** @file The errors of the native engine, as this package throws them: the same words, with a code and figures. */

/** What the engine gives an error that rejects a promise; one that it throws at once has only a message. */

import { LowrankError, OutOfMemoryError } from '../lowrank-error.js'

interface EngineFailure extends Error {
  readonly code?: 'OUT_OF_MEMORY' | 'FAULT'
  readonly needed?: number
  readonly budget?: number
}

/**
 * The error to throw for one of the engine: it ran out of memory, a command failed, or it refused what it was called
 * with.
 */
export function engineError(thrown: unknown): LowrankError {
  const cause = thrown as EngineFailure
  const { code, message, needed, budget } = cause
  if (code === 'OUT_OF_MEMORY') {
    return new OutOfMemoryError(message, {
      cause,
      ...(needed !== undefined && { needed }),
      ...(budget !== undefined && { budget }),
    })
  }
  return new LowrankError(code === 'FAULT' ? 'ENGINE' : 'INVALID_CALL', message, { cause })
}

/** What `call` returns. @throws LowrankError in place of the engine's errors */
export function callEngine<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw engineError(error)
  }
}

/** What the promise of the engine resolves to. @throws LowrankError in place of the engine's errors */
export async function awaitEngine<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw engineError(error)
  }
}

/** @file The one loop that tries again. What a failure means, and how long to be patient, is the caller's to say. */

import { pause } from './patience.js'

/** A try that gave nothing. */
export interface Failure {
  readonly error: Error
  /** Whether another try may do better, and does no harm. */
  readonly isTransient: boolean
  /** Milliseconds that the server asked to wait. */
  readonly wait?: number | undefined
}

/** Time as requests see it; tests have one of their own. */
export interface Clock {
  /** Milliseconds. */
  now(): number
  pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void>
}

/** The time of this machine. */
export const CLOCK: Clock = { now: () => performance.now(), pause }

export interface Patience {
  /**
   * Tries in all, the first included.
   * @default no limit
   */
  readonly attempts?: number
  /**
   * Milliseconds for all tries and the waits between them: no wait begins that would end later.
   * @default no limit
   */
  readonly budget?: number
  /**
   * Milliseconds. A server that asks for more gets an error in place of a wait.
   * @default no limit
   */
  readonly longestWait?: number
  /** Milliseconds before the try after this one, where the server asks for less. Tries count from 1. */
  backoff(attempt: number): number
  /** @default the time of the machine */
  readonly clock?: Clock
  /** Hears what the server asked for before the loop waits. */
  onAskedWait?(milliseconds: number): void
}

/**
 * Tries until there is a value.
 * @param tryOnce Throws what no other try could mend.
 * @throws the error of the last failure; the signal's reason once it is aborted
 */
export async function retry<Value>(
  tryOnce: (attempt: number) => Promise<{ readonly value: Value } | Failure>,
  patience: Patience,
  signal: AbortSignal | undefined,
): Promise<Value> {
  const { attempts = Number.POSITIVE_INFINITY, budget = Number.POSITIVE_INFINITY } = patience
  const { longestWait = Number.POSITIVE_INFINITY, clock = CLOCK } = patience
  const start = clock.now()
  for (let attempt = 1; ; attempt++) {
    const outcome = await tryOnce(attempt)
    if ('value' in outcome) return outcome.value
    const { error, isTransient, wait: asked = 0 } = outcome
    if (!isTransient || attempt >= attempts || asked > longestWait) throw error
    const wait = Math.max(asked, patience.backoff(attempt))
    if (clock.now() - start + wait > budget) throw error
    if (asked > 0) patience.onAskedWait?.(asked)
    await clock.pause(wait, signal)
  }
}

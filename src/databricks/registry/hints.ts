/** @file Errors of a push with what stands now and what to do about it. */

import { ServiceError } from '../../http/service-error.js'
import { LowrankError } from '../../lowrank-error.js'

/** Does one step; its failure says what stands then. The reason of a signal stays what it is. */
export async function withHint<T>(hint: string, signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof ServiceError) {
      const { status, errorCode, requestId } = error
      throw new ServiceError(`${error.message}. ${hint}`, { status, errorCode, requestId, cause: error })
    }
    if (error instanceof LowrankError) throw new LowrankError(error.code, `${error.message}. ${hint}`, { cause: error })
    throw error
  }
}

/** @file Waiting for what a workspace does in its own time: asks again and again, for so long and no longer. */

import { pause } from '../http/patience.js'
import { ServiceError } from '../http/service-error.js'

/** How long to wait, and who is told. */
export interface Waiting {
  /** What is waited for, as errors have it: `the cluster 0123`. */
  readonly what: string
  /** Seconds until the wait fails. */
  readonly timeout: number
  /** Milliseconds between two questions. */
  readonly pollInterval: number
  readonly signal: AbortSignal | undefined
  /** Told of each state that differs from the one before. */
  readonly onState?: ((state: string) => void) | undefined
}

/** What one look saw. */
export interface Look<T> {
  readonly state: string
  readonly value: T
  readonly isDone: boolean
}

/** Looks until it is done. @throws ServiceError after the time limit; the reason of the signal */
export async function waitUntil<T>(look: () => Promise<Look<T>>, waiting: Waiting): Promise<T> {
  const { what, timeout, pollInterval, signal, onState } = waiting
  const end = performance.now() + 1000 * timeout
  let before: string | undefined
  for (;;) {
    signal?.throwIfAborted()
    const { state, value, isDone } = await look()
    if (state !== before) onState?.(state)
    before = state
    if (isDone) return value
    if (performance.now() + pollInterval > end)
      throw new ServiceError(
        `[databricks] expected ${what} to be ready within ${timeout} s, got ${state}; it goes on in the workspace: wait longer (timeout), or remove it`,
      )
    await pause(pollInterval, signal)
  }
}

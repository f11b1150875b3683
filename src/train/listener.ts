/** @file The caller's `onEvent`, held apart from the run: what it throws ends the run in order and not in the middle of a step. */

import type { TrainEvent } from './events.js'

/** Where a run reports to. */
export interface Listener {
  /** Calls `onEvent`; never throws. Nothing is called any more once it has failed. */
  report(event: TrainEvent): void
  /** Aborted by the caller's signal, or when `onEvent` has thrown or rejected. */
  readonly signal: AbortSignal
  /** Whether `onEvent` has failed. */
  readonly hasFailed: boolean
  /** @throws what `onEvent` threw, if it did. */
  throwIfFailed(): void
}

export function createListener(
  onEvent: ((event: TrainEvent) => unknown) | undefined,
  signal: AbortSignal | undefined,
): Listener {
  const controller = new AbortController()
  let failure: { readonly error: unknown } | undefined
  const fail = (error: unknown): void => {
    failure ??= { error }
    controller.abort(error)
  }
  return {
    report(event) {
      if (failure || !onEvent) return
      try {
        // A rejection has an owner too: a listener may be an async function.
        Promise.resolve(onEvent(event)).catch(fail)
      } catch (error) {
        fail(error)
      }
    },
    signal: signal ? AbortSignal.any([signal, controller.signal]) : controller.signal,
    get hasFailed() {
      return failure !== undefined
    },
    throwIfFailed() {
      if (failure) throw failure.error
    },
  }
}

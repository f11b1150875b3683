/**
 * @file How a training run is stopped from outside.
 *
 * 1. While a model is fetched and while steps are made, SIGINT, SIGTERM and SIGHUP end the run in order, after its step
 *    and with a checkpoint.
 * 2. A SIGINT or SIGTERM after that ends the process, whatever JavaScript is doing, also where it has not seen the
 *    first one yet.
 * 3. At all other times (a tokenizer is read, rows are encoded) there is nothing to save, and the first one ends the
 *    process in that way.
 * 4. A closed terminal sends SIGHUP twice, from the shell and from the kernel: it never counts as the second. `nohup`
 *    refuses it, which Node undoes at its start.
 */

import { LowrankError } from '../lowrank-error.js'
import { DEADLY, endAtOnce, guardSignals, releaseSignals } from './signal-guard.js'

export interface Interrupt {
  readonly signal: AbortSignal
  /** Whether signals end the run in order now. */
  arm(armed: boolean): void
  /** Leaves all signals as they were. */
  release(): void
}

/** npm, npx and timeout hand on to what they run what it has got from the terminal or its group too. */
const ONE_REQUEST_MS = 100

/** @param announce is called with the first signal. */
export function watchInterrupts(announce: () => void, env = process.env): Interrupt {
  const controller = new AbortController()
  const hangUpIsRefused = env._?.endsWith('/nohup') === true
  let isArmed = false
  let isGuarded = false
  const stop = (): void => {
    if (controller.signal.aborted) return
    controller.abort(new LowrankError('STOPPED', '[train] stopped by a signal'))
    // Without listeners the operating system ends the process, but for the first of a container.
    if (!isGuarded) setTimeout(() => listen(DEADLY, false), ONE_REQUEST_MS).unref()
    announce()
  }
  const hangUp = (): void => {
    if (!hangUpIsRefused) stop()
  }
  const listen = (names: readonly NodeJS.Signals[], wanted: boolean): void => {
    for (const name of names) {
      const listener = name === 'SIGHUP' ? hangUp : stop
      process.off(name, listener)
      if (wanted) process.on(name, listener)
    }
  }
  const guard = (): void => {
    const asSecond = {
      SIGINT: 'ends as second',
      SIGTERM: 'ends as second',
      ...(!hangUpIsRefused && { SIGHUP: 'counts' as const }),
    } as const
    isGuarded = isArmed ? guardSignals(asSecond, { hasStatus: true }) : endAtOnce({ hasStatus: true })
  }
  listen(['SIGHUP'], hangUpIsRefused)
  guard()
  return {
    signal: controller.signal,
    arm(armed) {
      if (armed === isArmed || controller.signal.aborted) return
      isArmed = armed
      listen(DEADLY, armed)
      listen(['SIGHUP'], armed || hangUpIsRefused)
      guard()
    },
    release() {
      releaseSignals()
      listen([...DEADLY, 'SIGHUP'], false)
    },
  }
}

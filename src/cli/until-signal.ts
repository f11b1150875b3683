/**
 * @file Work that a signal ends in order: the first SIGINT or SIGTERM aborts it, so that it removes what is half
 * written, and then ends the process; a second one ends the process at once.
 */

import { LowrankError } from '../lowrank-error.js'
import { DEADLY, guardSignals, releaseSignals } from './signal-guard.js'

/** @param work Rejects soon after its signal is aborted. */
export async function untilSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let got: NodeJS.Signals | undefined
  const stop = (name: NodeJS.Signals): void => {
    got ??= name
    controller.abort(new LowrankError('STOPPED', '[data] stopped by a signal'))
  }
  for (const name of DEADLY) process.on(name, stop)
  guardSignals({ SIGINT: 'ends as second', SIGTERM: 'ends as second' }, { hasStatus: true })
  try {
    return await work(controller.signal)
  } finally {
    releaseSignals()
    for (const name of DEADLY) process.off(name, stop)
    // A shell is to see that it was the signal.
    if (got !== undefined) process.kill(process.pid, got)
  }
}

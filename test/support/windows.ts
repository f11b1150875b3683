/** @file The windows of a plan of batches, one after the other, as a run goes through them. */

import type { BatchSchedule, BatchWindow, DataCursor } from '../../src/data/batches.js'

/** Windows from a cursor on, epoch after epoch, up to the end of the last epoch. */
export function* windowsOf(
  plan: BatchSchedule,
  from: DataCursor = { epoch: 0, index: 0 },
  epochs = Number.POSITIVE_INFINITY,
): Generator<BatchWindow> {
  for (let cursor = from; cursor.epoch < epochs; ) {
    const window = plan.window(cursor)
    yield window
    cursor = window.next
  }
}

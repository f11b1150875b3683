/** @file What a log event costs a tracker that writes files: little of the processor, once the code is warm. */

import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { csvCallback, jsonlCallback } from '../../src/trackers/row-trackers.js'
import { tensorboardCallback } from '../../src/trackers/tensorboard.js'
import { leastProcessorTime } from '../support/processor-time.js'
import { logEvent, startEvent } from '../support/run-events.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()
const WARM = 10_000
const EVENTS = 20_000
/** 1 % of a processor at 1,000 events a second; 2 to 4 are measured. */
const MOST_MICROSECONDS = 10

it.each([
  ['tensorboard', tensorboardCallback],
  ['csv', csvCallback],
  ['jsonl', jsonlCallback],
] as const)('%s takes less than a hundredth of a processor at 1,000 log events a second', async (name, make) => {
  const outputDir = join(directory, name)
  const callback = make({}, outputDir)
  const control = { stop: () => {} }
  await callback.onEvent(startEvent(outputDir), control)
  let step = 0
  const log = async (count: number): Promise<void> => {
    for (const end = step + count; step < end; ) {
      callback.onEvent(logEvent(++step), control)
      if (step % 100 === 0) await turn()
    }
  }
  await log(WARM)
  const most = (MOST_MICROSECONDS * EVENTS) / 1000
  expect(await leastProcessorTime(most, () => log(EVENTS))).toBeLessThan(most)
})

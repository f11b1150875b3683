/** @file Batch plans of tests that care about some options only. */

import { type BatchOptions, BatchSchedule } from '../../src/data/batches.js'
import { type Item, listOf } from '../../src/data/items.js'
import { DATA_OPTIONS } from '../../src/data/options.js'
import { defaultsOf } from '../../src/options/table.js'

/** A plan of one item per step unless told otherwise, and else with the defaults of training. */
export function batchPlan<I extends Item>(items: readonly I[], options: Partial<BatchOptions> = {}): BatchSchedule<I> {
  const single = { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 }
  return new BatchSchedule(listOf(items), { ...defaultsOf(DATA_OPTIONS), ...single, ...options })
}

/**
 * @file The rows of a run in the order of training, as the run asks for them: whether they are all there or are taken
 * as they come is known here and nowhere above.
 */

import { BatchSchedule, type DataCursor, largestSequentialBatch, type StreamPosition } from '../data/batches.js'
import { datasetFingerprint } from '../data/fingerprint.js'
import type { Item, ItemList } from '../data/items.js'
import type { RowStream } from '../data/row-stream.js'
import { OptionError } from '../lowrank-error.js'
import type { Turns } from '../turns.js'
import type { StreamedRows } from './events.js'
import type { Objective } from './objective.js'
import { fullBatch, type RowLengths } from './plan.js'
import type { RunPlan } from './run-state.js'
import { countSteps } from './trainer.js'
import type { ResolvedTrainingOptions } from './training-options.js'

/** What a run trains on. */
export interface RunRows<I extends Item> {
  readonly plan: RunPlan & {
    windows(cursor: DataCursor): ReturnType<BatchSchedule<I>['windows'] | RowStream<I>['windows']>
  }
  /** Lengths of the rows that decide how much memory the run takes. */
  lengths(evaluation: readonly ItemList[]): RowLengths
  /** What a run that goes on must share of its rows with the one that was interrupted. */
  identity(turns: Turns): Promise<Readonly<Record<string, unknown>>>
  /** Optimizer steps of the run. */
  countSteps(turns: Turns): Promise<number>
  /** Makes the window at a cursor ready. @throws where the rows before it are not those that were trained on */
  prepare(cursor: DataCursor, position: StreamPosition | undefined, turns: Turns): Promise<void>
  /** What the event `start` says of the rows. */
  readonly facts: { readonly trainRows: number | null; readonly streaming?: StreamedRows }
}

/** Rows that were all read and encoded. */
export async function wholeRows<I extends Item>(
  train: ItemList<I>,
  training: ResolvedTrainingOptions,
  turns: Turns,
): Promise<RunRows<I>> {
  const plan = new BatchSchedule(train, training)
  await plan.prepare(0, turns)
  return {
    plan,
    lengths: (evaluation) => rowsOf(plan, training, train, evaluation),
    identity: async () => ({ dataset: await turns.run(datasetFingerprint(train)) }),
    countSteps: () => countSteps(plan, training, turns),
    prepare: ({ epoch }) => plan.prepare(epoch, turns),
    facts: { trainRows: train.length },
  }
}

/** Rows that are taken as they come. */
export interface StreamedRun<I extends Item> {
  readonly stream: RowStream<I>
  readonly training: ResolvedTrainingOptions
  readonly objective: Objective<I>
  /** What errors call the rows. */
  readonly name: string
  /** How many they are, where the source knows it. */
  readonly count: number | undefined
  /** Looks at rows before the first step. */
  readonly check: (items: readonly I[]) => Promise<void>
}

export function streamedRows<I extends Item>(run: StreamedRun<I>): RunRows<I> {
  const { stream, training, objective, name, count } = run
  const { maxLength, shuffleBufferSize, maxSteps } = training
  return {
    plan: stream,
    lengths: (evaluation) => ({
      // The longest row is known with the last one.
      longest: maxLength,
      sequenceLengths: fullBatch(training, objective.sequencesPerItem),
      ...evalLengths(evaluation, training),
      weighted: objective.takesWeights ?? true,
    }),
    identity: async () => ({ streaming: true }),
    async countSteps(turns) {
      if (maxSteps <= 0 && !Number.isFinite(stream.numBatches())) throw uncounted(name)
      return await countSteps(stream, training, turns)
    },
    async prepare(cursor, position) {
      await stream.prepare(cursor, position)
      await run.check(stream.takeFirst())
    },
    facts: { trainRows: count ?? null, streaming: { shuffleBufferSize, plannedLength: maxLength } },
  }
}

/** Steps cannot be counted: nobody says how many, nor how many rows there are. */
export function uncounted(name: string): Error {
  return new OptionError(
    `[train] expected maxSteps with streaming, as ${name} cannot tell how many rows it has before they are read; set maxSteps (--max-steps), or ` +
      'training.streaming: false (--set training.streaming=false), which reads all rows first',
  )
}

function rowsOf(
  plan: BatchSchedule,
  training: ResolvedTrainingOptions,
  train: ItemList,
  evaluation: readonly ItemList[],
): RowLengths {
  const { perDeviceTrainBatchSize, packing, maxLength } = training
  let longest = 0
  for (let row = 0; row < train.length; row++) longest = Math.max(longest, train.longestAt(row))
  const rows = plan.largestBatch()
  const tokens = rows.reduce((sum, length) => sum + length, 0)
  return {
    longest: packing ? Math.min(maxLength, Math.ceil(tokens / perDeviceTrainBatchSize)) : longest,
    sequenceLengths: rows,
    ...evalLengths(evaluation, training),
    weighted: train.isWeighted,
  }
}

/** Lengths of the largest batch of any of the data sets. */
function evalLengths(
  evaluation: readonly ItemList[],
  { evalStrategy, evalOnStart, perDeviceEvalBatchSize }: ResolvedTrainingOptions,
): Pick<RowLengths, 'evalSequenceLengths' | 'evalWeighted'> {
  const isEvaluated = evalStrategy !== 'no' || evalOnStart
  const sumOf = (lengths: readonly number[]): number => lengths.reduce((sum, length) => sum + length, 0)
  let most: number[] = []
  for (const items of isEvaluated ? evaluation : []) {
    const batch = largestSequentialBatch(items, perDeviceEvalBatchSize)
    if (sumOf(batch) > sumOf(most)) most = batch
  }
  return { evalSequenceLengths: most, evalWeighted: evaluation.some(({ isWeighted }) => isWeighted) }
}

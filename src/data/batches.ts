/**
 * @file Ragged batches: examples laid end to end without padding, in an order that seed and epoch determine, grouped into the
 * windows of gradient accumulation, and resumable at any window from a cursor of two numbers.
 */

import { positionsInSequences, type RaggedBatch, shiftLabels } from '../models/batch.js'
import { Random } from '../random.js'
import type { Example } from './examples.js'
import type { PackingStrategy } from './options.js'
import { packRows } from './packing.js'

/** N tokens of S sequences, end to end. There is no padding anywhere. */
export interface TrainingBatch extends RaggedBatch {
  /** [N], shifted: the id of the following token of the same sequence, or -100. The last of each sequence is -100. */
  readonly labels: Int32Array
  /** Labels other than -100. */
  readonly numSupervised: number
}

export interface BatchOptions {
  /** Rows per micro-batch; with packing, packs. Default 1. */
  perDeviceTrainBatchSize?: number
  /** Micro-batches per optimizer step. Default 1. */
  gradientAccumulationSteps?: number
  /** Capacity of a pack in tokens; needed for packing only. Default 2048. */
  maxLength?: number
  packing?: boolean
  packingStrategy?: PackingStrategy
  shuffle?: boolean
  seed?: number
}

/** Where training stands: `index` micro-batches of `epoch` (from 0) are done. */
export interface DataCursor {
  epoch: number
  index: number
}

/** The micro-batches of one optimizer step. Its counts are known before the first batch is built. */
export interface BatchWindow {
  /** The cursor that gives this window, and the one that gives the next. */
  cursor: DataCursor
  next: DataCursor
  numBatches: number
  numSequences: number
  numTokens: number
  /** What the summed loss of the whole window is divided by. */
  numSupervised: number
  batches(): Generator<TrainingBatch>
}

/** Lays examples end to end and shifts their labels. */
export function collate(examples: readonly Example[]): TrainingBatch {
  const cuSeqlens = new Int32Array(examples.length + 1)
  examples.forEach(({ inputIds }, sequence) => {
    cuSeqlens[sequence + 1] = (cuSeqlens[sequence] as number) + inputIds.length
  })
  const numTokens = cuSeqlens[examples.length] as number
  const inputIds = new Int32Array(numTokens)
  const labels = new Int32Array(numTokens)
  let numSupervised = 0
  examples.forEach((example, sequence) => {
    inputIds.set(example.inputIds, cuSeqlens[sequence])
    labels.set(example.labels, cuSeqlens[sequence])
    numSupervised += example.numSupervised
  })
  return {
    inputIds,
    positions: positionsInSequences(cuSeqlens),
    cuSeqlens,
    labels: shiftLabels(labels, cuSeqlens),
    numSupervised,
  }
}

/** Batches in the order of the examples, for evaluation. */
export function* sequentialBatches(examples: readonly Example[], batchSize: number): Generator<TrainingBatch> {
  checkCount('batchSize', batchSize)
  for (let start = 0; start < examples.length; start += batchSize)
    yield collate(examples.slice(start, start + batchSize))
}

/**
 * The order of training. Everything follows from the examples, the options and a cursor, so a run that resumes sees the
 * batches that it would have seen.
 */
export class BatchPlan {
  readonly #examples: readonly Example[]
  readonly #lengths: readonly number[]
  readonly #options: Required<BatchOptions>
  #planned: { epoch: number; batches: number[][] } | undefined

  /** @throws Error for counts below 1 and for rows longer than a pack. */
  constructor(examples: readonly Example[], options: BatchOptions = {}) {
    this.#examples = examples
    this.#lengths = examples.map((example) => example.inputIds.length)
    this.#options = {
      perDeviceTrainBatchSize: options.perDeviceTrainBatchSize ?? 1,
      gradientAccumulationSteps: options.gradientAccumulationSteps ?? 1,
      maxLength: options.maxLength ?? 2048,
      packing: options.packing ?? false,
      packingStrategy: options.packingStrategy ?? 'bfd',
      shuffle: options.shuffle ?? true,
      seed: options.seed ?? 42,
    }
    checkCount('perDeviceTrainBatchSize', this.#options.perDeviceTrainBatchSize)
    checkCount('gradientAccumulationSteps', this.#options.gradientAccumulationSteps)
    if (examples.length === 0) throw new Error('[batches] expected at least one example, got none')
    const longest = this.#lengths.reduce((most, length) => Math.max(most, length), 0)
    if (this.#options.packing && longest > this.#options.maxLength) {
      throw new Error(`[batches] expected rows of at most maxLength ${this.#options.maxLength} tokens, got ${longest}`)
    }
  }

  /** Optimizer steps in an epoch. With sequential packing epochs may differ. */
  numWindows(epoch = 0): number {
    return Math.ceil(this.#plan(epoch).length / this.#options.gradientAccumulationSteps)
  }

  /** Micro-batches in an epoch. */
  numBatches(epoch = 0): number {
    return this.#plan(epoch).length
  }

  /** Lengths of the rows of the first epoch's largest micro-batch. */
  largestBatch(): number[] {
    const batches = this.#plan(0).map((rows) => rows.map((row) => this.#lengths[row] as number))
    return largest(batches)
  }

  /**
   * Windows from a cursor on, epoch after epoch. A window never spans epochs: the last of an epoch may be smaller.
   *
   * @param epochs Ends after this many epochs in total. Default: never.
   */
  *windows(from: DataCursor = { epoch: 0, index: 0 }, epochs = Number.POSITIVE_INFINITY): Generator<BatchWindow> {
    for (let cursor = from; cursor.epoch < epochs; ) {
      const window = this.window(cursor)
      yield window
      cursor = window.next
    }
  }

  /** The window at a cursor. @throws Error when no window begins there: the cursor is of other data or options. */
  window(cursor: DataCursor): BatchWindow {
    const { epoch, index } = cursor
    const { gradientAccumulationSteps: steps } = this.#options
    const whole = Number.isInteger(epoch) && Number.isInteger(index) && epoch >= 0 && index >= 0
    const plan = whole ? this.#plan(epoch) : []
    if (index >= plan.length || index % steps !== 0) {
      throw new Error(
        `[batches] expected a cursor at a multiple of ${steps} below ${plan.length} micro-batches, got epoch ${epoch}, ` +
          `index ${index}; the checkpoint belongs to other data, batch size or accumulation`,
      )
    }
    const examples = this.#examples
    const micro = plan.slice(index, index + steps)
    const rows = micro.flat()
    const sum = (count: (example: Example) => number): number =>
      rows.reduce((total, row) => total + count(examples[row] as Example), 0)
    const end = index + micro.length
    return {
      cursor: { epoch, index },
      next: end < plan.length ? { epoch, index: end } : { epoch: epoch + 1, index: 0 },
      numBatches: micro.length,
      numSequences: rows.length,
      numTokens: sum((example) => example.inputIds.length),
      numSupervised: sum((example) => example.numSupervised),
      *batches() {
        for (const batch of micro) yield collate(batch.map((row) => examples[row] as Example))
      },
    }
  }

  /** Row numbers of each micro-batch of an epoch. */
  #plan(epoch: number): number[][] {
    if (this.#planned?.epoch === epoch) return this.#planned.batches
    const { perDeviceTrainBatchSize: size, packing, packingStrategy, maxLength, shuffle, seed } = this.#options
    const random = new Random(seed, epoch)
    const order = this.#lengths.map((_, row) => row)
    if (shuffle) random.shuffle_(order)
    const groups = packing ? packRows(order, this.#lengths, maxLength, packingStrategy) : order.map((row) => [row])
    // Packing sorts by length; training must not.
    if (packing && packingStrategy === 'bfd' && shuffle) random.shuffle_(groups)
    const batches: number[][] = []
    for (let start = 0; start < groups.length; start += size) batches.push(groups.slice(start, start + size).flat())
    this.#planned = { epoch, batches }
    return batches
  }
}

/** Lengths of the rows of the largest batch that `sequentialBatches` gives. */
export function largestSequentialBatch(examples: readonly Example[], batchSize: number): number[] {
  const batches: number[][] = []
  for (let start = 0; start < examples.length; start += batchSize)
    batches.push(examples.slice(start, start + batchSize).map(({ inputIds }) => inputIds.length))
  return largest(batches)
}

function largest(batches: readonly number[][]): number[] {
  const tokens = (batch: readonly number[]): number => batch.reduce((sum, length) => sum + length, 0)
  return batches.reduce((most, batch) => (tokens(batch) > tokens(most) ? batch : most), [])
}

function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`[batches] expected a whole number of at least 1 for ${name}, got ${value}`)
  }
}

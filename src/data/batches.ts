/**
 * @file Ragged batches: sequences laid end to end without padding, in an order that seed and epoch determine, grouped
 * into the windows of gradient accumulation, and resumable at any window from a cursor of two numbers.
 */

import {
  IGNORE_INDEX,
  positionsInSequences,
  type RaggedBatch,
  shiftLabels,
  shiftWeights,
} from '../architecture/ragged-batch.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { Random } from '../random.js'
import { runAtOnce, type Steps, Turns } from '../turns.js'
import type { Example } from './examples.js'
import { filledBatches, groupedByLength } from './grouping.js'
import { hasWeights, type Item, type ItemList, sequencesOf } from './items.js'
import type { ResolvedDataOptions } from './options.js'
import { packRows } from './packing.js'

/** N tokens of S sequences, end to end. There is no padding anywhere. */
export interface TrainingBatch extends RaggedBatch {
  /** [N], shifted: the id of the following token of the same sequence, or -100. The last of each sequence is -100. */
  readonly labels: Int32Array
  /** Labels other than -100. */
  readonly numSupervised: number
}

/** The sequences of items, those of one item side by side. */
export interface MicroBatch<I extends Item = Item> extends TrainingBatch {
  readonly items: readonly I[]
}

/** What the batches of a run follow from beside its rows: options of `trainLora`, resolved. */
export interface BatchOptions
  extends Pick<ResolvedDataOptions, 'maxLength' | 'packing' | 'packingStrategy' | 'shuffle' | 'seed'> {
  /** Items per micro-batch; with packing, packs. */
  readonly perDeviceTrainBatchSize: number
  /** Micro-batches per optimizer step. */
  readonly gradientAccumulationSteps: number
  /** Tokens of a micro-batch, in place of its items. Default: `perDeviceTrainBatchSize` counts. */
  readonly maxTokensPerBatch?: number | undefined
  /** Items of similar length come together. Default false. */
  readonly groupByLength?: boolean
  /** Leaves out the last micro-batch of an epoch where it is not whole. Default false. */
  readonly dataloaderDropLast?: boolean
}

/** Where training stands: `index` micro-batches of `epoch` (from 0) are done. */
export interface DataCursor {
  epoch: number
  index: number
}

/** How far the rows of a pass were taken from a source that gives them one after the other. */
export interface StreamPosition {
  /** Rows with something to learn. */
  readonly rows: number
  /** SHA-256 of what they became, in the order of the source. */
  readonly fingerprint: string
}

/** The micro-batches of one optimizer step. Its counts are known before the first batch is built. */
export interface BatchWindow<I extends Item = Item> {
  /** The cursor that gives this window, and the one that gives the next. */
  cursor: DataCursor
  next: DataCursor
  numBatches: number
  numItems: number
  numTokens: number
  /** The items' weights: what the summed loss of the whole window is divided by. */
  weight: number
  /** The rows that were taken until the window was complete, where a source gives them one after the other. */
  position?: StreamPosition
  /** No window comes behind it. Default: nobody knows. */
  isLast?: boolean
  batches(): Iterable<MicroBatch<I>>
}

/**
 * Where the windows of a run come from. Rows may be made meanwhile: a window is asked for when the one before is
 * queued.
 */
export interface WindowSource<I extends Item = Item> {
  /** The windows from a cursor on, epoch after epoch. */
  windows(cursor: DataCursor): AsyncIterable<BatchWindow<I>>
  /** Micro-batches in an epoch. */
  numBatches(epoch: number): number
  /** Optimizer steps in an epoch. */
  numWindows(epoch: number): number
}

/**
 * Lays examples end to end and shifts their labels.
 * @param weighted whether the batch has weights, 1 for each label of an example without
 */
export function collate(examples: readonly Example[], weighted = hasWeights(examples)): TrainingBatch {
  const cuSeqlens = new Int32Array(examples.length + 1)
  examples.forEach(({ inputIds }, sequence) => {
    cuSeqlens[sequence + 1] = (cuSeqlens[sequence] as number) + inputIds.length
  })
  const numTokens = cuSeqlens[examples.length] as number
  const inputIds = new Int32Array(numTokens)
  const labels = new Int32Array(numTokens)
  const weights = weighted ? new Float32Array(numTokens) : undefined
  let numSupervised = 0
  examples.forEach((example, sequence) => {
    inputIds.set(example.inputIds, cuSeqlens[sequence])
    labels.set(example.labels, cuSeqlens[sequence])
    weights?.set(example.weights ?? weightsOfOne(example.labels), cuSeqlens[sequence])
    numSupervised += example.numSupervised
  })
  return {
    inputIds,
    positions: positionsInSequences(cuSeqlens),
    cuSeqlens,
    labels: shiftLabels(labels, cuSeqlens),
    ...(weights && { weights: shiftWeights(weights, cuSeqlens) }),
    numSupervised,
  }
}

function weightsOfOne(labels: Int32Array): Float32Array {
  return Float32Array.from(labels, (label) => Number(label !== IGNORE_INDEX))
}

export function collateItems<I extends Item>(items: readonly I[], weighted = hasWeights(items)): MicroBatch<I> {
  return { ...collate(items.flatMap(sequencesOf), weighted), items }
}

/** Batches in the order of the items, for evaluation. All of them have weights where one item may have. */
export function* sequentialBatches<I extends Item>(items: ItemList<I>, batchSize: number): Generator<MicroBatch<I>> {
  for (let start = 0; start < items.length; start += batchSize) {
    const size = Math.min(batchSize, items.length - start)
    const rows = Array.from({ length: size }, (_, index) => items.at(start + index))
    yield collateItems(rows, items.isWeighted)
  }
}

/** The micro-batches of one epoch: rows one after the other, and where each micro-batch begins among them. */
interface EpochPlan {
  epoch: number
  rows: Int32Array
  /** One more than there are micro-batches. */
  starts: Int32Array
}

// Steps of planning end after so many rows: less than a millisecond.
const ROWS_PER_STEP = 4096

/**
 * The order of training. Everything follows from the items, the options and a cursor, so a run that resumes sees the
 * batches that it would have seen. One epoch at a time is planned: `prepare` does it in turns of the event loop, all
 * other methods at a stretch where it has not been done.
 */
export class BatchSchedule<I extends Item = Item> implements WindowSource<I> {
  readonly #items: ItemList<I>
  readonly #lengths: Int32Array
  readonly #options: BatchOptions
  #planned: EpochPlan | undefined

  /** @throws LowrankError without items and for rows longer than a pack. */
  constructor(items: ItemList<I>, options: BatchOptions) {
    this.#items = items
    this.#lengths = Int32Array.from({ length: items.length }, (_, row) => items.tokensAt(row))
    this.#options = options
    if (items.length === 0) throw new LowrankError('INVALID_CALL', '[batches] expected at least one example, got none')
    const { packing, maxLength, maxTokensPerBatch, dataloaderDropLast } = options
    const longest = this.#lengths.reduce((most, length) => Math.max(most, length), 0)
    if (packing && longest > maxLength) {
      throw new LowrankError(
        'INVALID_CALL',
        `[batches] expected rows of at most maxLength ${maxLength} tokens, got ${longest}`,
      )
    }
    if (longest > (maxTokensPerBatch ?? longest)) {
      throw new OptionError(
        `[batches] expected maxTokensPerBatch to hold the longest row of ${longest} tokens, got ${maxTokensPerBatch}; raise it, or ` +
          'lower maxLength',
      )
    }
    if (dataloaderDropLast && this.numBatches() === 0) {
      throw new OptionError(
        `[batches] expected rows for a whole micro-batch with dataloaderDropLast, got ${items.length}; lower perDeviceTrainBatchSize`,
      )
    }
  }

  /** Plans an epoch, unless it is the one that is planned. */
  async prepare(epoch: number, turns: Turns): Promise<void> {
    if (this.#planned?.epoch !== epoch) this.#planned = await turns.run(this.#planSteps(epoch))
  }

  /** Micro-batches in an epoch. */
  numBatches(epoch = 0): number {
    return this.#plan(epoch).starts.length - 1
  }

  /** Optimizer steps in an epoch. With sequential packing epochs may differ. */
  numWindows(epoch = 0): number {
    return this.#windowsOf(this.numBatches(epoch))
  }

  /**
   * Optimizer steps in so many epochs, a last part of one rounded up. Only where rows are filled into packs or batches
   * in the order in which they are shuffled do epochs differ, and has each to be looked at.
   */
  async countWindows(epochs: number, turns: Turns): Promise<number> {
    const whole = Math.floor(epochs)
    const ofPart = (windows: number): number => Math.ceil((epochs - whole) * windows)
    if (!this.#epochsDiffer) {
      await this.prepare(this.#planned?.epoch ?? 0, turns)
      const windows = this.numWindows(this.#planned?.epoch)
      return whole * windows + ofPart(windows)
    }
    let sum = 0
    for (let epoch = 0; epoch < whole; epoch++) sum += this.#windowsOf(await this.#count(epoch, turns))
    return whole < epochs ? sum + ofPart(this.#windowsOf(await this.#count(whole, turns))) : sum
  }

  /** Lengths of the sequences of the first epoch's largest micro-batch. */
  largestBatch(): number[] {
    const { rows, starts } = this.#plan(0)
    return largest(this.#items, starts, (at) => rows[at] as number)
  }

  /** The windows from a cursor on, epoch after epoch; each epoch is planned in turns of the event loop. */
  async *windows(from: DataCursor): AsyncGenerator<BatchWindow<I>, never, undefined> {
    for (let cursor = from; ; ) {
      await this.prepare(cursor.epoch, new Turns())
      const window = this.window(cursor)
      yield window
      cursor = window.next
    }
  }

  /**
   * The window at a cursor.
   * @throws LowrankError when no window begins there: the cursor is of other data or options.
   */
  window(cursor: DataCursor): BatchWindow<I> {
    const { epoch, index } = cursor
    const { gradientAccumulationSteps: steps } = this.#options
    const whole = Number.isInteger(epoch) && Number.isInteger(index) && epoch >= 0 && index >= 0
    const { rows, starts } = whole ? this.#plan(epoch) : NO_PLAN
    const total = starts.length - 1
    if (index >= total || index % steps !== 0) {
      throw new LowrankError(
        'INVALID_CALL',
        `[batches] expected a cursor at a multiple of ${steps} below ${total} micro-batches, got epoch ${epoch}, ` +
          `index ${index}; the checkpoint belongs to other data, batch size or accumulation`,
      )
    }
    const items = this.#items
    const end = Math.min(index + steps, total)
    const rowsOf = (from: number, to: number): Int32Array => rows.subarray(starts[from], starts[to])
    let numTokens = 0
    let weight = 0
    for (const row of rowsOf(index, end)) {
      numTokens += items.tokensAt(row)
      weight += items.weightAt(row)
    }
    return {
      cursor: { epoch, index },
      next: end < total ? { epoch, index: end } : { epoch: epoch + 1, index: 0 },
      numBatches: end - index,
      numItems: (starts[end] as number) - (starts[index] as number),
      numTokens,
      weight,
      *batches() {
        for (let batch = index; batch < end; batch++) {
          const found = Array.from(rowsOf(batch, batch + 1), (row) => items.at(row))
          yield collateItems(found, items.isWeighted)
        }
      },
    }
  }

  /** What was done before a cursor: optimizer steps and micro-batches. */
  async before({ epoch, index }: DataCursor, turns: Turns): Promise<{ windows: number; batches: number }> {
    let windows = this.#windowsOf(index)
    let batches = index
    if (this.#epochsDiffer) {
      for (let past = 0; past < epoch; past++) {
        const packed = await this.#count(past, turns)
        windows += this.#windowsOf(packed)
        batches += packed
      }
    } else if (epoch > 0) {
      await this.prepare(this.#planned?.epoch ?? 0, turns)
      const each = this.numBatches(this.#planned?.epoch)
      windows += epoch * this.#windowsOf(each)
      batches += epoch * each
    }
    return { windows, batches }
  }

  #windowsOf(batches: number): number {
    return Math.ceil(batches / this.#options.gradientAccumulationSteps)
  }

  get #epochsDiffer(): boolean {
    const { packing, packingStrategy, shuffle, maxTokensPerBatch } = this.#options
    return shuffle && ((packing && packingStrategy === 'sequential') || maxTokensPerBatch !== undefined)
  }

  /** Micro-batches in an epoch. */
  async #count(epoch: number, turns: Turns): Promise<number> {
    return (await turns.run(this.#planSteps(epoch))).starts.length - 1
  }

  #plan(epoch: number): EpochPlan {
    if (this.#planned?.epoch !== epoch) this.#planned = runAtOnce(this.#planSteps(epoch))
    return this.#planned
  }

  *#planSteps(epoch: number): Steps<EpochPlan> {
    const { perDeviceTrainBatchSize: size, packing, packingStrategy, maxLength, shuffle, seed } = this.#options
    const random = new Random(seed, epoch)
    const { groupByLength, maxTokensPerBatch, gradientAccumulationSteps, dataloaderDropLast } = this.#options
    const shuffled = yield* this.#order(random)
    const order = groupByLength
      ? yield* groupedByLength(shuffled, this.#lengths, size * gradientAccumulationSteps)
      : shuffled
    const whole = (starts: Int32Array, slots: number): Int32Array =>
      dataloaderDropLast && slots % size > 0 ? starts.subarray(0, -1) : starts
    if (maxTokensPerBatch !== undefined)
      return { epoch, rows: order, starts: yield* filledBatches(order, this.#lengths, maxTokensPerBatch) }
    if (!packing) {
      const starts = Int32Array.from({ length: Math.ceil(order.length / size) + 1 }, (_, batch) =>
        Math.min(batch * size, order.length),
      )
      return { epoch, rows: order, starts: whole(starts, order.length) }
    }
    const packs = yield* packRows(order, this.#lengths, maxLength, packingStrategy)
    // Packing sorts by length; training must not.
    if (packingStrategy === 'bfd' && shuffle) yield* random.shuffleSteps_(packs)
    const rows = new Int32Array(order.length)
    const starts = new Int32Array(Math.ceil(packs.length / size) + 1)
    let filled = 0
    for (const [index, pack] of packs.entries()) {
      yield
      rows.set(pack, filled)
      filled += pack.length
      starts[Math.floor(index / size) + 1] = filled
    }
    return { epoch, rows, starts: whole(starts, packs.length) }
  }

  *#order(random: Random): Steps<Int32Array> {
    const order = new Int32Array(this.#lengths.length)
    for (let row = 0; row < order.length; row++) {
      if (row % ROWS_PER_STEP === 0) yield
      order[row] = row
    }
    return this.#options.shuffle ? yield* random.shuffleSteps_(order) : order
  }
}

const NO_PLAN: EpochPlan = { epoch: -1, rows: new Int32Array(), starts: new Int32Array(1) }

/** Lengths of the sequences of the largest batch that `sequentialBatches` gives. */
export function largestSequentialBatch(items: ItemList, batchSize: number): number[] {
  const starts = Int32Array.from({ length: Math.ceil(items.length / batchSize) + 1 }, (_, batch) =>
    Math.min(batch * batchSize, items.length),
  )
  return largest(items, starts, (at) => at)
}

function largest(items: ItemList, starts: Int32Array, rowAt: (at: number) => number): number[] {
  let most = 0
  let best: [from: number, to: number] = [0, 0]
  for (let batch = 0; batch + 1 < starts.length; batch++) {
    const [from, to] = [starts[batch] as number, starts[batch + 1] as number]
    let tokens = 0
    for (let at = from; at < to; at++) tokens += items.tokensAt(rowAt(at))
    if (tokens > most) {
      most = tokens
      best = [from, to]
    }
  }
  return Array.from({ length: best[1] - best[0] }, (_, at) => items.at(rowAt(best[0] + at)))
    .flatMap(sequencesOf)
    .map(({ inputIds }) => inputIds.length)
}

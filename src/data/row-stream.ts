/**
 * @file The order of training over rows that have not all arrived: windows are made of the rows as they come, through a
 * shuffle buffer, in bounded memory. Knows nothing of where rows come from.
 *
 * 1. Windows follow from the rows, the options and the pass alone, not from how fast rows come.
 * 2. A cursor is found again by reading the rows of its pass anew and leaving out what was done; the rows that were
 *    taken until then have to be the same, which their fingerprint tells.
 * 3. While a step is trained, the window behind it is being made.
 */

import { createHash, type Hash } from 'node:crypto'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { Random } from '../random.js'
import { Turns } from '../turns.js'
import {
  type BatchOptions,
  type BatchWindow,
  collateItems,
  type DataCursor,
  type StreamPosition,
  type WindowSource,
} from './batches.js'
import type { StreamedRow } from './encode-rows.js'
import { groupedByLength } from './grouping.js'
import type { Item } from './items.js'
import { packRows } from './packing.js'
import type { DataStatistics } from './report.js'
import { RowAccount } from './row-account.js'
import { itemOf } from './row-record.js'
import type { StoredRecord } from './row-store.js'
import { chunksOf, filledWith, shuffledThrough } from './shuffle-buffer.js'

/** What the windows follow from beside the rows. */
export interface StreamOptions extends BatchOptions {
  /** Rows that the order of a pass is drawn from; packs and groups of one length are made of as many. */
  readonly shuffleBufferSize: number
}

/** Where the rows of a stream come from, and how far it goes. */
export interface StreamInput {
  /** Begins to read the rows of a pass, the first of which is 0. */
  readonly open: (pass: number, turns: Turns) => AsyncIterable<StreamedRow>
  /** Passes that are made at most. */
  readonly passes: number
  /** Rows of a pass, where that is known before they are read. */
  readonly expectedRows: number | undefined
  readonly signal: AbortSignal | undefined
  /** @throws where a pass gives no row to train on: what its rows became is in the statistics */
  readonly expectRows: (pass: number, statistics: DataStatistics) => void
  /** Told of each row that is taken: how many of its pass there were. */
  readonly onRow: (rows: number) => void
  /** Told, when the last window of a pass is given, what rows the pass had. */
  readonly onPass: (pass: number, statistics: DataStatistics, end: StreamPosition) => void
}

/** The rows of a pass as they are taken, in the order of the source. */
interface Taken {
  /** Rows with something to learn. */
  rows: number
  readonly hash: Hash
  /** Rows whose outcome is counted once their window is given. */
  counts: StreamedRow['count'][]
}

/** A window with what is counted when it is given. */
interface MadeWindow<I extends Item> {
  readonly window: BatchWindow<I>
  readonly counts: readonly StreamedRow['count'][]
}

/** Rows that somebody looks at before the first step. */
const FIRST_ROWS = 500

export class RowStream<I extends Item = Item> implements WindowSource<I> {
  readonly #options: StreamOptions
  readonly #input: StreamInput
  readonly #closing = new AbortController()
  readonly #turns: Turns
  #made: AsyncGenerator<MadeWindow<I>, void, undefined> | undefined
  #ahead: Promise<IteratorResult<MadeWindow<I>, void>> | undefined
  #isMaking = false
  #firstPass = 0
  #first: StoredRecord[] | undefined = []
  #account = new RowAccount()
  /** Micro-batches of the last pass that has ended. */
  #batches: number | undefined

  constructor(options: StreamOptions, input: StreamInput) {
    this.#options = options
    this.#input = input
    this.#turns = new Turns(AbortSignal.any([input.signal ?? [], this.#closing.signal].flat()))
  }

  /**
   * Reads until the window at a cursor is there.
   * @param position of a cursor within a pass: what the rows until there were
   * @throws where the rows are not those that the cursor is of, and what reading them throws
   */
  async prepare(cursor: DataCursor, position: StreamPosition | undefined): Promise<void> {
    this.#made = this.#windowsFrom(cursor, position)
    this.#begin()
    await this.#orStopped(this.#ahead as Promise<unknown>)
    this.#input.signal?.throwIfAborted()
  }

  /** The first of the rows that were taken by `prepare`. They are let go of. */
  takeFirst(): I[] {
    const first = this.#first ?? []
    this.#first = undefined
    return first.map(({ words }): I => itemOf(words))
  }

  /** The windows from the cursor on that was prepared. They end with the last pass, and when the signal is seen. */
  async *windows(): AsyncGenerator<BatchWindow<I>, void, undefined> {
    for (;;) {
      if (this.#ahead === undefined) this.#begin()
      const result = await this.#orStopped(this.#ahead as Promise<IteratorResult<MadeWindow<I>, void>>)
      if (result === undefined || result.done) return
      const { cursor, next } = result.value.window
      this.#ahead = undefined
      // Nobody may need a further pass, which takes a statement where rows are those of a table.
      if (next.epoch === cursor.epoch || Number.isFinite(this.#input.passes)) this.#begin()
      this.#count(result.value)
      yield result.value.window
    }
  }

  /** What became of the rows of the windows that were given, of the first pass that this process has read. */
  get statistics(): DataStatistics {
    return this.#account.finish()
  }

  /** Micro-batches in a pass; of one that has not ended what can be expected, infinite where nothing can. */
  numBatches(): number {
    const { packing, maxTokensPerBatch, perDeviceTrainBatchSize, dataloaderDropLast } = this.#options
    const { expectedRows } = this.#input
    if (this.#batches !== undefined) return this.#batches
    if (expectedRows === undefined || packing || maxTokensPerBatch !== undefined) return Number.POSITIVE_INFINITY
    return Math[dataloaderDropLast ? 'floor' : 'ceil'](expectedRows / perDeviceTrainBatchSize)
  }

  numWindows(): number {
    return Math.ceil(this.numBatches() / this.#options.gradientAccumulationSteps)
  }

  /** Steps of so many passes, a last part of one rounded up; infinite where that cannot be told. */
  async countWindows(epochs: number): Promise<number> {
    const windows = this.numWindows()
    return Math.floor(epochs) * windows + Math.ceil((epochs % 1) * windows)
  }

  /**
   * What was done before a cursor, where that can be told.
   * @throws LowrankError where no window can begin there
   */
  async before({ epoch, index }: DataCursor): Promise<{ windows: number; batches: number } | undefined> {
    const { gradientAccumulationSteps: steps } = this.#options
    if (index % steps !== 0)
      throw new LowrankError(
        'INVALID_CALL',
        `[batches] expected a cursor at a multiple of ${steps}, got index ${index}`,
      )
    return epoch === 0 ? { windows: index / steps, batches: index } : undefined
  }

  /** Ends the reading, and waits for a source that does not keep one waiting itself. */
  async close(): Promise<void> {
    this.#closing.abort(new DOMException('The rows are not asked for any more', 'AbortError'))
    const closed = this.#made?.return()
    closed?.catch(() => {})
    // A source that lets one wait for a row would let one wait for its end, too.
    if (!this.#isMaking) await closed?.catch(() => {})
  }

  /** Has the next window made. What is thrown meanwhile is thrown when it is asked for. */
  #begin(): void {
    this.#isMaking = true
    const settled = (): void => {
      this.#isMaking = false
    }
    this.#ahead = (this.#made as AsyncGenerator<MadeWindow<I>, void, undefined>).next()
    this.#ahead.then(settled, settled)
  }

  /** @returns undefined where the signal was seen first */
  async #orStopped<T>(promise: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#input
    if (signal === undefined) return await promise
    if (signal.aborted) return undefined
    let stop = (): void => {}
    const stopped = new Promise<undefined>((resolve) => {
      stop = () => resolve(undefined)
    })
    signal.addEventListener('abort', stop)
    try {
      return await Promise.race([promise, stopped])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #count({ window, counts }: MadeWindow<I>): void {
    const { cursor, next } = window
    if (cursor.epoch === this.#firstPass) for (const count of counts) count(this.#account)
    if (next.epoch === cursor.epoch) return
    this.#batches = cursor.index + window.numBatches
    this.#input.onPass(cursor.epoch, this.statistics, window.position as StreamPosition)
  }

  async *#windowsFrom(
    { epoch, index }: DataCursor,
    position: StreamPosition | undefined,
  ): AsyncGenerator<MadeWindow<I>, void, undefined> {
    this.#firstPass = epoch
    for (let pass = epoch; pass < this.#input.passes; pass++) {
      let skip = pass === epoch ? index : 0
      for await (const made of this.#pass(pass)) {
        const { window, counts } = made
        if (skip === 0) {
          yield made
          continue
        }
        for (const count of counts) count(this.#account)
        skip = Math.max(0, skip - window.numBatches)
        if (skip > 0 && window.next.epoch === pass) continue
        const isReached = skip === 0 && window.next.epoch === pass && isSame(window.position, position)
        if (!isReached) throw otherRows(position)
      }
    }
  }

  async *#pass(pass: number): AsyncGenerator<MadeWindow<I>, void, undefined> {
    const { gradientAccumulationSteps: steps, shuffle, seed, shuffleBufferSize } = this.#options
    const random = new Random(seed, pass)
    const taken: Taken = { rows: 0, hash: createHash('sha256'), counts: [] }
    const rows = this.#take(pass, taken)
    const batches = this.#batchesOf(shuffle ? shuffledThrough(rows, shuffleBufferSize, random) : rows, random)
    try {
      let index = 0
      let batch = await batches.next()
      while (!batch.done) {
        const own: StoredRecord[][] = []
        for (; !batch.done && own.length < steps; batch = await batches.next()) own.push(batch.value)
        const end = index + own.length
        const next = batch.done ? { epoch: pass + 1, index: 0 } : { epoch: pass, index: end }
        const window = {
          ...windowOf<I>(own),
          cursor: { epoch: pass, index },
          next,
          position: { rows: taken.rows, fingerprint: taken.hash.copy().digest('hex') },
          isLast: next.epoch >= this.#input.passes,
        }
        const { counts } = taken
        taken.counts = []
        yield { window, counts }
        index = end
      }
      if (index === 0) this.#refuseEmpty(pass, taken)
    } finally {
      await batches.return(undefined)
    }
  }

  #refuseEmpty(pass: number, { rows, counts }: Taken): never {
    const account = new RowAccount()
    for (const count of counts) count(account)
    this.#input.expectRows(pass, account.finish())
    throw new OptionError(
      `[batches] expected rows for a whole micro-batch with dataloaderDropLast, got ${rows}; lower perDeviceTrainBatchSize`,
    )
  }

  async *#take(pass: number, taken: Taken): AsyncGenerator<StoredRecord, void, undefined> {
    for await (const { count, record } of this.#input.open(pass, this.#turns)) {
      taken.counts.push(count)
      if (record === undefined) continue
      taken.rows++
      const { words } = record
      taken.hash.update(`${words.length},`).update(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
      if (this.#first !== undefined && this.#first.length < FIRST_ROWS) this.#first.push(record)
      this.#input.onRow(taken.rows)
      yield record
    }
  }

  async *#batchesOf(
    rows: AsyncIterable<StoredRecord>,
    random: Random,
  ): AsyncGenerator<StoredRecord[], void, undefined> {
    const { perDeviceTrainBatchSize: size, packing, packingStrategy, maxLength } = this.#options
    const { maxTokensPerBatch, groupByLength, dataloaderDropLast } = this.#options
    const ordered = groupByLength ? this.#grouped(rows) : rows
    if (maxTokensPerBatch !== undefined) return yield* filledWith(ordered, maxTokensPerBatch)
    const isWhole = (batch: readonly unknown[]): boolean => batch.length === size || !dataloaderDropLast
    if (!packing) {
      for await (const batch of chunksOf(ordered, size)) if (isWhole(batch)) yield batch
      return
    }
    const packs = packingStrategy === 'bfd' ? this.#packed(ordered, random) : filledWith(ordered, maxLength)
    for await (const batch of chunksOf(packs, size)) if (isWhole(batch)) yield batch.flat()
  }

  /** Rows of similar length together, of each buffer of rows. */
  async *#grouped(rows: AsyncIterable<StoredRecord>): AsyncGenerator<StoredRecord, void, undefined> {
    const { perDeviceTrainBatchSize: size, gradientAccumulationSteps: steps, shuffleBufferSize } = this.#options
    for await (const chunk of chunksOf(rows, shuffleBufferSize)) {
      const order = Int32Array.from(chunk, (_, row) => row)
      for (const row of await this.#turns.run(groupedByLength(order, lengthsOf(chunk), size * steps)))
        yield chunk[row] as StoredRecord
    }
  }

  /** The fewest packs, of each buffer of rows. */
  async *#packed(rows: AsyncIterable<StoredRecord>, random: Random): AsyncGenerator<StoredRecord[], void, undefined> {
    const { maxLength, shuffle, shuffleBufferSize } = this.#options
    for await (const chunk of chunksOf(rows, shuffleBufferSize)) {
      const order = Int32Array.from(chunk, (_, row) => row)
      const packs = await this.#turns.run(packRows(order, lengthsOf(chunk), maxLength, 'bfd'))
      // Packing sorts by length; training must not.
      if (shuffle) random.shuffle_(packs)
      for (const pack of packs) yield pack.map((row) => chunk[row] as StoredRecord)
    }
  }
}

function lengthsOf(rows: readonly StoredRecord[]): Int32Array {
  return Int32Array.from(rows, ({ tokens }) => tokens)
}

function windowOf<I extends Item>(
  batches: readonly (readonly StoredRecord[])[],
): Pick<BatchWindow<I>, 'numBatches' | 'numItems' | 'numTokens' | 'weight' | 'batches'> {
  const rows = batches.flat()
  return {
    numBatches: batches.length,
    numItems: rows.length,
    numTokens: rows.reduce((sum, { tokens }) => sum + tokens, 0),
    weight: rows.reduce((sum, { weight }) => sum + weight, 0),
    *batches() {
      for (const batch of batches) yield collateItems(batch.map(({ words }): I => itemOf(words)))
    },
  }
}

function isSame(one: StreamPosition | undefined, other: StreamPosition | undefined): boolean {
  return one?.rows === other?.rows && one?.fingerprint === other?.fingerprint
}

function otherRows(position: StreamPosition | undefined): Error {
  return new LowrankError(
    'CHECKPOINT',
    `[resume] expected the first ${position?.rows ?? 0} rows of the pass to be those that the run has taken, got other rows, or other tokens ` +
      'of them; give the rows from their beginning and in their order (a table has none that lasts: write it to a file), or start anew in another outputDir',
  )
}

/**
 * @file Encoding the rows of a data set in their order: by this thread at first, and by others once there are many
 * rows. What comes out is the same.
 */

import { availableParallelism } from 'node:os'
import type { DataError } from '../lowrank-error.js'
import { filesOfTokenizer } from '../tokenizer/tokenizer.js'
import type { Turns } from '../turns.js'
import { type OnBadRow, orBad, passBadRow } from './bad-rows.js'
import { builtModule } from './built-module.js'
import { type EncodeReply, type EncodeTask, receivedError, sizeOfPlain } from './encode-messages.js'
import { EncodePool, hasThreadProgram } from './encode-pool.js'
import type { Item } from './items.js'
import type { CodingContext, RecognizedRow, RowCoding } from './row-coding.js'
import { outcomeSteps, type Padding, type RowFacts } from './row-outcome.js'
import type { StoredRecord } from './row-store.js'

/** Takes what rows became, in their order. */
export interface RowSink<I extends Item> {
  /** A row that stays. */
  add(item: I): void
  /** The same as words. */
  addRecord(record: StoredRecord): void
  /** Every row, also one that is left out. */
  count(facts: RowFacts): void
  readonly onBadRow: OnBadRow | undefined
}

/** What rows are encoded with, and by how many threads. */
export interface RowEncoding<I extends Item> {
  readonly coding: RowCoding<I>
  readonly context: CodingContext
  readonly padding: Padding | undefined
  readonly chatTemplate: string | undefined
  readonly now: Date
  /** Threads beside this one. Default: by the cores of the machine. */
  readonly threads: number | undefined
  readonly turns: Turns
}

/** Data sets of fewer rows are encoded before a thread has read its tokenizer. */
const FIRST_ROWS = 2048
// A request takes a thread some milliseconds, and this one a fraction of one to write.
const ROWS_OF_REQUEST = 64
const TEXT_OF_REQUEST = 1 << 17
/** Rows with more text are encoded here: to copy one would hold the event loop up. */
const LONGEST_ROW = 1 << 18
const REQUESTS_PER_THREAD = 3
const MOST_THREADS = 4

/** Threads where nothing is said of them: none on machines with few cores, where they would only take memory. */
function usualThreads(): number {
  const cores = availableParallelism()
  return cores < 3 ? 0 : Math.min(MOST_THREADS, cores - 1)
}

/** What is to come, in order: a request to a thread, or something that is known already. */
type Pending = Promise<EncodeReply> | (() => void | Promise<void>)

export class RowEncoder<I extends Item> {
  readonly #encoding: RowEncoding<I>
  readonly #sink: RowSink<I>
  readonly #task: EncodeTask | undefined
  readonly #threads: number
  #pool: EncodePool | undefined
  #rows = 0
  #request: RecognizedRow[] = []
  #text = 0
  readonly #pending: Pending[] = []
  #removeListener: (() => void) | undefined

  constructor(encoding: RowEncoding<I>, sink: RowSink<I>) {
    this.#encoding = encoding
    this.#sink = sink
    this.#threads = encoding.threads ?? usualThreads()
    this.#task = this.#threads > 0 ? taskOf(encoding) : undefined
  }

  /** Takes the next row. @throws what a row before it, or this one, has wrong */
  async push(row: RecognizedRow): Promise<void> {
    if (++this.#rows === FIRST_ROWS && this.#task !== undefined) this.#start(this.#task)
    if (this.#pool === undefined || this.#pool.ready < this.#threads) return await this.#encodeHere(row)
    const size = sizeOfPlain(row, LONGEST_ROW)
    if (size === undefined || size > LONGEST_ROW) {
      this.#flush()
      await this.#settle(0)
      return await this.#encodeHere(row)
    }
    this.#request.push(row)
    this.#text += size
    if (this.#request.length === ROWS_OF_REQUEST || this.#text > TEXT_OF_REQUEST) {
      this.#flush()
      await this.#settle(REQUESTS_PER_THREAD * this.#threads)
    }
  }

  /** Tells of a row that could not be read, in its place. */
  skip(error: DataError, onBadRow: OnBadRow): void {
    this.#flush()
    if (this.#pending.length === 0) onBadRow(error)
    else this.#pending.push(() => onBadRow(error))
  }

  /** Whether rows that were taken are not given yet. */
  get isWaiting(): boolean {
    return this.#request.length > 0 || this.#pending.length > 0
  }

  /** Gives all rows that were taken. @throws as `push` */
  async finish(): Promise<void> {
    this.#flush()
    await this.#settle(0)
  }

  /** Ends the threads; may be called at any time. */
  async close(): Promise<void> {
    this.#removeListener?.()
    await this.#pool?.close(new DOMException('The rows are not asked for any more', 'AbortError'))
  }

  #start(task: EncodeTask): void {
    const pool = new EncodePool(this.#threads, task)
    this.#pool = pool
    const { signal } = this.#encoding.turns
    const abort = (): void => void pool.close(signal?.reason)
    signal?.addEventListener('abort', abort)
    this.#removeListener = () => signal?.removeEventListener('abort', abort)
  }

  async #encodeHere(row: RecognizedRow): Promise<void> {
    const { coding, context, padding, turns } = this.#encoding
    const outcome = await turns.run(orBad(outcomeSteps(row, coding, context, padding), this.#sink.onBadRow))
    if (outcome === undefined) return
    this.#sink.count(outcome.facts)
    if (outcome.facts.isKept) this.#sink.add(outcome.item)
  }

  #flush(): void {
    if (this.#request.length === 0) return
    this.#pending.push((this.#pool as EncodePool).send(this.#request))
    this.#request = []
    this.#text = 0
  }

  /** Takes what comes first until at most `most` are under way. */
  async #settle(most: number): Promise<void> {
    while (this.#pending.length > most) {
      const next = this.#pending.shift() as Pending
      if (typeof next === 'function') await next()
      else this.#take(await next)
      if (this.#encoding.turns.isOver) await this.#encoding.turns.next()
    }
  }

  #take({ rows, words }: EncodeReply): void {
    let at = 0
    for (const { error, facts, record } of rows) {
      if (error !== undefined) passBadRow(receivedError(error), this.#sink.onBadRow)
      if (facts === undefined) continue
      this.#sink.count(facts)
      if (record === undefined) continue
      const { size, ...known } = record
      this.#sink.addRecord({ words: words.subarray(at, at + size), ...known })
      at += size
    }
  }
}

/** What threads are told; undefined where they could not do as this one does. */
function taskOf<I extends Item>({
  coding,
  context,
  chatTemplate,
  now,
  padding,
}: RowEncoding<I>): EncodeTask | undefined {
  const tokenizer = filesOfTokenizer(context.tokenizer)
  const { droppedContent: _, ...options } = context.options
  if (tokenizer === undefined || coding.exported === undefined || !hasThreadProgram()) return undefined
  if (sizeOfPlain(options, LONGEST_ROW) === undefined) return undefined
  const { module, name } = coding.exported
  return { tokenizer, coding: { module: builtModule(module), name }, options, chatTemplate, now, padding }
}

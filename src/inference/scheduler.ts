/**
 * @file Which sequences run, and what each step computes: prompts in chunks, and a token more for all that have their
 * prompts. Knows neither device nor promises.
 */

import { PREFIX_MULTIPLE } from '../decoding/decoding.js'
import type { BatchRow, BatchStep, DecodeRow, PrefillChunk } from './batch-executor.js'
import type { PagePool } from './page-pool.js'

/** A prompt and the answer to come, as far as the scheduler cares. Made waiting; changed by the scheduler alone. */
export interface Sequence extends BatchRow {
  slot: number
  readonly maxNewTokens: number
  /** The pool's root for its keys and values; undefined: they are neither found nor let be found. */
  readonly root: number | undefined
  pages: number[]
  /** Pages that are reserved for it and not taken yet. */
  reserved: number
  /** Tokens of the prompt whose keys and values are there, or queued. */
  computed: number
  /** Those of them that were there before. */
  cachedTokens: number
  /** The pool's serial of the last whole page of the prompt that is there. */
  parent: number
  /** Tokens of the answer that are there, or queued. */
  drawn: number
}

/** What bounds the steps. */
interface SchedulerLimits {
  /** Sequences that run at a time. */
  readonly maxSequences: number
  /** Tokens of prompts in a step; PREFIX_MULTIPLE at least. */
  readonly prefillTokens: number
}

/** A step, and whose tokens it draws, in the order of the draws. */
interface PlannedStep<S> extends BatchStep {
  readonly draws: readonly S[]
}

/**
 * 1. Sequences begin in the order in which they came. The first that does not fit holds back those behind it, so that
 *    none waits for ever.
 * 2. A sequence begins when there are pages for its longest answer. None is interrupted, and none computes a token
 *    twice: the same request has the same sums, whatever runs beside it.
 * 3. A chunk ends at a multiple of PREFIX_MULTIPLE or with its prompt, and begins at one.
 * 4. Only pages that were computed as parts of prompts are found again. Keys of an answer were computed one at a time,
 *    in sums of another order: an answer that comes back in a longer prompt is computed as a prompt once, and found
 *    from then on.
 */
export class Scheduler<S extends Sequence> {
  readonly #pool: PagePool
  readonly #limits: SchedulerLimits
  readonly #waiting = new Set<S>()
  /** In the order in which they came. */
  readonly #running = new Set<S>()
  /** The lowest is the last. */
  readonly #slots: number[]

  constructor(pool: PagePool, limits: SchedulerLimits) {
    this.#pool = pool
    this.#limits = limits
    this.#slots = Array.from({ length: limits.maxSequences }, (_, i) => limits.maxSequences - 1 - i)
  }

  get waiting(): ReadonlySet<S> {
    return this.#waiting
  }

  get running(): ReadonlySet<S> {
    return this.#running
  }

  /** Pages that a sequence needs when it is longest. The last token's keys are never needed. */
  pagesOf({ promptIds, maxNewTokens }: Pick<Sequence, 'promptIds' | 'maxNewTokens'>): number {
    return Math.ceil((promptIds.length + maxNewTokens - 1) / this.#pool.pageSize)
  }

  /** Queues a sequence, and lets it begin where it can. */
  add(sequence: S): void {
    this.#waiting.add(sequence)
    this.#admit()
  }

  /** Takes a sequence out, wherever it is. Steps that are queued may still write to its pages, before others do. */
  remove(sequence: S): void {
    const isRunning = this.#running.delete(sequence)
    if (!isRunning && !this.#waiting.delete(sequence)) return
    if (isRunning) {
      this.#pool.cancel(sequence.reserved)
      this.#pool.release(sequence.pages)
      sequence.reserved = 0
      sequence.pages = []
      this.#slots.push(sequence.slot)
      // The lowest numbers are used first: rows lie side by side then.
      this.#slots.sort((a, b) => b - a)
    }
    this.#admit()
  }

  /** The next step, as if it was queued; undefined where there is nothing to compute. */
  plan(): PlannedStep<S> | undefined {
    const rows: DecodeRow[] = []
    const chunks: PrefillChunk[] = []
    const ofRows: S[] = []
    const ofChunks: S[] = []
    let room = this.#limits.prefillTokens
    for (const sequence of this.#running) {
      const { promptIds, drawn, maxNewTokens } = sequence
      if (sequence.computed === promptIds.length) {
        if (drawn === maxNewTokens) continue
        const position = promptIds.length + drawn - 1
        this.#takePages(sequence, position + 1)
        rows.push({ row: sequence, position })
        ofRows.push(sequence)
        sequence.drawn++
        continue
      }
      const chunk = this.#nextChunk(sequence, room)
      if (!chunk) {
        room = 0
        continue
      }
      room -= chunk.end - chunk.first
      chunks.push(chunk)
      if (chunk.end < promptIds.length) continue
      ofChunks.push(sequence)
      sequence.drawn = 1
    }
    if (rows.length + chunks.length === 0) return undefined
    return { chunks, rows, draws: [...ofChunks, ...ofRows] }
  }

  /** The next part of a prompt, of at most `room` tokens, once the pages that are there already are adopted. */
  #nextChunk(sequence: S, room: number): PrefillChunk | undefined {
    this.#adopt(sequence, this.#find(sequence))
    const { promptIds, computed: first, root } = sequence
    const fits = first + room >= promptIds.length
    const end = fits ? promptIds.length : first + room - (room % PREFIX_MULTIPLE)
    if (end === first) return undefined
    this.#takePages(sequence, end)
    sequence.computed = end
    if (root === undefined) return { row: sequence, first, end }
    const { pageSize } = this.#pool
    // Whoever comes in the same step, or later, finds the pages: all keys of a step are written before any is read.
    for (let page = Math.floor(first / pageSize); (page + 1) * pageSize <= end; page++) {
      const ids = promptIds.subarray(page * pageSize, (page + 1) * pageSize)
      sequence.parent = this.#pool.index(sequence.pages[page] as number, sequence.parent, ids, root)
    }
    return { row: sequence, first, end }
  }

  /** Pages that go on where a sequence is. Its last token is computed in any case: the answer begins with it. */
  #find({ promptIds, computed, parent, root }: S): { page: number; serial: number }[] {
    const found: { page: number; serial: number }[] = []
    const { pageSize } = this.#pool
    if (root === undefined || computed % pageSize !== 0) return found
    let serial = parent
    for (let end = computed + pageSize; end < promptIds.length; end += pageSize) {
      const next = this.#pool.find(serial, promptIds.subarray(end - pageSize, end))
      if (!next) break
      serial = next.serial
      found.push(next)
    }
    return found
  }

  #adopt(sequence: S, found: readonly { page: number; serial: number }[]): void {
    for (const { page, serial } of found) {
      this.#pool.adopt(page)
      sequence.reserved--
      sequence.pages.push(page)
      sequence.parent = serial
    }
    const tokens = found.length * this.#pool.pageSize
    sequence.computed += tokens
    sequence.cachedTokens += tokens
  }

  /** Gives a sequence the pages of its first `tokens` tokens. */
  #takePages(sequence: S, tokens: number): void {
    while (sequence.pages.length * this.#pool.pageSize < tokens) {
      sequence.pages.push(this.#pool.take())
      sequence.reserved--
    }
  }

  #admit(): void {
    for (const sequence of this.#waiting) {
      const slot = this.#slots.at(-1)
      if (slot === undefined) return
      const count = this.pagesOf(sequence)
      const found = this.#find(sequence)
      if (
        !this.#pool.reserve(
          count,
          found.map(({ page }) => page),
        )
      )
        return
      this.#slots.pop()
      this.#waiting.delete(sequence)
      this.#running.add(sequence)
      sequence.slot = slot
      sequence.reserved = count
      this.#adopt(sequence, found)
    }
  }
}

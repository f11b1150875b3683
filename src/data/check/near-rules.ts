/**
 * @file Rules about rows that are nearly the same. Words that many rows share, such as the instructions round the
 * values of a record, make no rows alike: runs of words that a tenth of the first rows have do not count.
 */

import { HashSet } from '../hash-set.js'
import type { Neighbour } from '../near-index.js'
import { describeOrigin, type RowOrigin } from '../row-origin.js'
import { shinglesOf } from '../shingles.js'
import { type CheckContext, type FoundRow, type Look, MOST_ROWS, type RowRuns } from './rule.js'
import { digestOf } from './set-rules.js'

/** Jaccard similarity from which texts are nearly the same, as `lowrank data dedupe` has it. */
export const NEAR = 0.8
/** Words of a run. */
const RUN_WORDS = 5
/** Rows that tell which runs of words are common. */
const FIRST_ROWS = 256
const COMMON_SHARE = 0.1
/** Fewer rows that share words may be copies of each other. */
const LEAST_COMMON = 8

/** The runs of words of a text. */
export function runsOf(text: string): Uint32Array {
  return shinglesOf(text, RUN_WORDS)
}

/** Takes rows in their order, and gives them on without the runs of words that many have. */
class RareRuns {
  readonly #take: (row: RowRuns) => void
  #waiting: RowRuns[] = []
  #common: ReadonlySet<number> | undefined
  readonly #ready: (rare: (runs: Uint32Array) => Uint32Array) => void

  /** @param ready Called once, before the first row is given on. */
  constructor(take: (row: RowRuns) => void, ready: (rare: (runs: Uint32Array) => Uint32Array) => void = () => {}) {
    this.#take = take
    this.#ready = ready
  }

  add(row: RowRuns): void {
    if (this.#common === undefined) {
      this.#waiting.push(row)
      if (this.#waiting.length === FIRST_ROWS) this.flush()
    } else this.#give(row)
  }

  /** Gives on what waits still. */
  flush(): void {
    if (this.#common !== undefined) return
    const counts = new Map<number, number>()
    for (const { runs } of this.#waiting) for (const run of runs) counts.set(run, (counts.get(run) ?? 0) + 1)
    const least = Math.max(LEAST_COMMON, COMMON_SHARE * this.#waiting.length)
    this.#common = new Set([...counts].filter(([, count]) => count >= least).map(([run]) => run))
    this.#ready((runs) => this.#rare(runs))
    for (const row of this.#waiting) this.#give(row)
    this.#waiting = []
  }

  #rare(runs: Uint32Array): Uint32Array {
    return this.#common?.size ? runs.filter((run) => !this.#common?.has(run)) : runs
  }

  #give({ origin, runs }: RowRuns): void {
    const rare = this.#rare(runs)
    if (rare.length > 0) this.#take({ origin, runs: rare })
  }
}

/** Where many rows are, 8 bytes each. */
class Origins {
  readonly #parts: { readonly file: string | undefined; readonly by: 'line' | 'row' }[] = []
  #partOf = new Uint32Array(1024)
  #places = new Uint32Array(1024)
  #count = 0

  add({ file, line, row = 0 }: RowOrigin): void {
    const by = line === undefined ? 'row' : 'line'
    const last = this.#parts.at(-1)
    if (last === undefined || last.file !== file || last.by !== by) this.#parts.push({ file, by })
    if (this.#count === this.#places.length) {
      this.#partOf = doubled(this.#partOf)
      this.#places = doubled(this.#places)
    }
    this.#partOf[this.#count] = this.#parts.length - 1
    this.#places[this.#count++] = line ?? row
  }

  /** As errors call the row. */
  describe(id: number): string {
    const { file, by } = this.#parts[this.#partOf[id] as number] ?? { by: 'row' }
    return describeOrigin({ ...(file !== undefined && { file }), [by]: this.#places[id] })
  }
}

function doubled(numbers: Uint32Array): Uint32Array<ArrayBuffer> {
  const more = new Uint32Array(2 * numbers.length)
  more.set(numbers)
  return more
}

/** What was found, of which the first rows are named. */
class Found {
  count = 0
  readonly rows: FoundRow[] = []

  add(origin: RowOrigin, detail: string): void {
    this.count++
    if (this.rows.length < MOST_ROWS) this.rows.push({ ...origin, detail })
  }
}

export function nearDuplicateRow({ near }: CheckContext): Look {
  const { rows: index } = near
  const origins = new Origins()
  const seen = new HashSet()
  const found = new Found()
  const rare = new RareRuns(({ origin, runs }) => {
    const like = index.find(runs)
    if (like !== undefined) found.add(origin, describe(like, origins))
    else {
      index.add(runs)
      origins.add(origin)
    }
  })
  return {
    row({ row: { origin }, texts }) {
      // A row that is equal to another is one for the rule of equal ones.
      if (seen.add(digestOf([JSON.stringify([texts.system, texts.own])])))
        rare.add({ origin, runs: runsOf(texts.own.join('\n')) })
      return undefined
    },
    end() {
      rare.flush()
      return found
    },
  }
}

export function nearPromptInEvaluation({ near, evaluation }: CheckContext): Look {
  const { prompts: index } = near
  const questions = evaluation?.questions ?? []
  const origins = new Origins()
  const found = new Found()
  const rare = new RareRuns(
    ({ origin, runs }) => {
      const like = index.find(runs)
      if (like !== undefined) found.add(origin, describe(like, origins))
    },
    (withoutCommon) => {
      for (const { origin, runs } of questions) {
        const own = withoutCommon(runs)
        if (own.length === 0) continue
        index.add(own)
        origins.add(origin)
      }
    },
  )
  return {
    row({ row: { origin }, texts: { prompt, question } }) {
      if (evaluation === undefined || prompt === undefined || question === undefined) return undefined
      // An equal prompt is one for the rule of equal ones.
      if (!evaluation.prompts.has(digestOf([prompt.trim()]))) rare.add({ origin, runs: runsOf(question) })
      return undefined
    },
    end() {
      rare.flush()
      return found
    },
  }
}

function describe({ id, similarity }: Neighbour, origins: Origins): string {
  return `${Math.floor(100 * similarity)} % of its runs of words are in ${origins.describe(id)}`
}

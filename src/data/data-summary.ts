/** @file What many inspected rows are like: counts, and histograms of their lengths. */

import type { DataError } from '../lowrank-error.js'
import type { DroppedPart } from '../tokenizer/dropped-parts.js'
import type { InspectedRow } from './inspect.js'
import { MOST_ERRORS } from './report.js'
import type { UnusualKind } from './unusual-rows.js'

/** One bar of a histogram: values from `from` to below `to`. */
export interface HistogramBin {
  readonly from: number
  readonly to: number
  readonly count: number
}

/** What the rows of a data set are like. */
export interface DataSummary {
  readonly rows: number
  /** Rows that `onError: 'skip'` left out, which are not among `rows`, and what the errors of the first of them say. */
  readonly skippedRows: number
  readonly skippedRowErrors: readonly string[]
  /** Rows of each form. */
  readonly forms: Readonly<Record<string, number>>
  readonly tokens: number
  readonly learntTokens: number
  /** Rows with more than `maxLength` tokens. */
  readonly truncatedRows: number
  /** Rows without a token to learn. */
  readonly rowsWithoutTarget: number
  /** Tokens of a row, those that are cut included. */
  readonly lengths: readonly HistogramBin[]
  readonly longest: { readonly tokens: number; readonly origin: string } | undefined
  /** Messages of a conversation; empty where there are none. */
  readonly messages: readonly HistogramBin[]
  /** How often each special token is there, and how often of these it is learnt. */
  readonly specialTokens: readonly { readonly text: string; readonly count: number; readonly learnt: number }[]
  readonly dropped: Readonly<Partial<Record<DroppedPart['kind'], number>>>
  readonly unusual: Readonly<Partial<Record<UnusualKind, number>>>
  readonly ignoredColumns: readonly string[]
}

// A histogram that fits on a screen beside others.
const MOST_BINS = 12

/** Counts rows as they come, in memory that grows with the number of different lengths alone. */
export class DataSummarizer {
  #rows = 0
  #skippedRows = 0
  readonly #skippedRowErrors: string[] = []
  #tokens = 0
  #learntTokens = 0
  #truncatedRows = 0
  #rowsWithoutTarget = 0
  #longest: { tokens: number; origin: string } | undefined
  readonly #forms = new Map<string, number>()
  readonly #lengths = new Map<number, number>()
  readonly #messages = new Map<number, number>()
  readonly #special: ReadonlyMap<number, { readonly text: string; count: number; learnt: number }>
  readonly #dropped = new Map<DroppedPart['kind'], number>()
  readonly #unusual = new Map<UnusualKind, number>()
  readonly #ignored = new Set<string>()

  /** @param specialTokens their ids by their texts */
  constructor(specialTokens: ReadonlyMap<string, number>) {
    this.#special = new Map([...specialTokens].map(([text, id]) => [id, { text, count: 0, learnt: 0 }]))
  }

  add({ origin, form, sequences, messages, dropped, unusual, ignoredColumns }: InspectedRow): void {
    this.#rows++
    count(this.#forms, form)
    if (messages !== undefined) count(this.#messages, messages)
    for (const { kind } of dropped) count(this.#dropped, kind)
    for (const kind of unusual) count(this.#unusual, kind)
    for (const name of ignoredColumns) this.#ignored.add(name)
    let isCut = false
    let isLearnt = true
    for (const { inputIds, weights, keptTokens } of sequences) {
      const { length } = inputIds
      count(this.#lengths, length)
      this.#tokens += length
      isCut ||= length > keptTokens
      let learnt = 0
      inputIds.forEach((id, at) => {
        const counts = at < keptTokens && (weights[at] as number) > 0
        if (counts) learnt++
        const special = this.#special.get(id)
        if (special === undefined) return
        special.count++
        if (counts) special.learnt++
      })
      this.#learntTokens += learnt
      isLearnt &&= learnt > 0
      if (length > (this.#longest?.tokens ?? -1)) this.#longest = { tokens: length, origin }
    }
    if (isCut) this.#truncatedRows++
    if (!isLearnt) this.#rowsWithoutTarget++
  }

  /** Counts a row that was left out because of this error. */
  skip({ message }: DataError): void {
    this.#skippedRows++
    if (this.#skippedRowErrors.length < MOST_ERRORS) this.#skippedRowErrors.push(message)
  }

  summary(): DataSummary {
    return {
      rows: this.#rows,
      skippedRows: this.#skippedRows,
      skippedRowErrors: [...this.#skippedRowErrors],
      forms: Object.fromEntries(this.#forms),
      tokens: this.#tokens,
      learntTokens: this.#learntTokens,
      truncatedRows: this.#truncatedRows,
      rowsWithoutTarget: this.#rowsWithoutTarget,
      lengths: histogram(this.#lengths),
      longest: this.#longest,
      messages: histogram(this.#messages),
      specialTokens: [...this.#special.values()].filter(({ count }) => count > 0),
      dropped: Object.fromEntries(this.#dropped),
      unusual: Object.fromEntries(this.#unusual),
      ignoredColumns: [...this.#ignored],
    }
  }
}

/** Bins of one round width: 1, 2 or 5 times a power of ten. The first and the last are not empty. */
export function histogram(counts: ReadonlyMap<number, number>): HistogramBin[] {
  if (counts.size === 0) return []
  let least = Number.POSITIVE_INFINITY
  let most = 0
  for (const value of counts.keys()) {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  const width = roundWidth((most - least + 1) / MOST_BINS)
  const first = Math.floor(least / width)
  const bins = Array.from({ length: Math.floor(most / width) - first + 1 }, () => 0)
  for (const [value, times] of counts) {
    const bin = Math.floor(value / width) - first
    bins[bin] = (bins[bin] as number) + times
  }
  return bins.map((times, bin) => ({ from: (first + bin) * width, to: (first + bin + 1) * width, count: times }))
}

function roundWidth(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)))
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/**
 * @file How certain a score is: bootstrap intervals of any metric, and whether two models differ on the same rows.
 * Resamples the sums of rows, so that a corpus metric costs no more than a mean.
 */

import { DataError } from '../lowrank-error.js'
import { instance, integer, number } from '../options/rules.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { Turns } from '../turns.js'
import type { Metric } from './metric.js'
import { normalCdf, normalQuantile, smoothQuantiles, studentQuantile } from './quantiles.js'

/** Options of `bootstrapInterval` and `pairedDifference`. */
export interface BootstrapOptions {
  /**
   * Share of intervals that hold the true score, over many sets of rows.
   * @default 0.95
   */
  confidence?: number
  /**
   * Resamples that are drawn.
   * @default 10000
   */
  samples?: number
  /**
   * The same seed gives the same interval.
   * @default 0
   */
  seed?: number
  /**
   * Ends the work with its reason.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `bootstrapInterval` and `pairedDifference`. */
export const BOOTSTRAP_OPTIONS = {
  confidence: {
    rule: number({ above: 0, below: 1 }),
    default: 0.95 as number,
    help: 'share of intervals that hold the true score, over many sets of rows',
  },
  samples: {
    rule: integer({ min: 100, max: 10_000_000 }),
    default: 10_000 as number,
    help: 'resamples that are drawn',
  },
  seed: {
    rule: integer({ min: 0 }),
    default: 0 as number,
    help: 'the same seed gives the same interval',
  },
  signal: {
    rule: instance('an AbortSignal', (value) => value instanceof AbortSignal),
    otherwise: 'none',
    help: 'ends the work with its reason',
  },
} as const satisfies OptionTable<BootstrapOptions>

type Settled = Resolved<BootstrapOptions, typeof BOOTSTRAP_OPTIONS>

/** What of a metric turns sums into a score. */
export type SumScore = Pick<Metric<never>, 'score'>

/** A score of rows with the bounds of its confidence interval. */
export interface ScoreInterval {
  /** Null where there is none. */
  readonly value: number | null
  /** Null where the rows allow no interval. */
  readonly low: number | null
  readonly high: number | null
}

/** How far the scores of two models on the same rows are apart. */
export interface PairedDifference extends ScoreInterval {
  /**
   * Two-sided: how probable a difference at least so large is where the models do not differ. Null where there is no
   * difference that could be tested.
   */
  readonly pValue: number | null
  /**
   * The same of a difference that is larger. Between the two lies what a test without ties would say; they are far
   * apart where scores have few values.
   */
  readonly pValueOfLarger: number | null
}

/** Random streams, so that an interval and a test of the same seed do not share their draws. */
const INTERVAL = 1
const TEST = 2
/** Scores of resamples are equal to the observed one where they differ by less than this share of it: by rounding. */
const ROUNDING = 1e-12
/** With fewer of the resamples having a score, the others do not stand for all. */
const LEAST_SHARE = 0.5

/**
 * The confidence interval of a metric by the bootstrap: bias-corrected and accelerated (BCa; Efron 1987,
 * https://doi.org/10.1080/01621459.1987.10478410), with the quantiles of Student's t in place of the normal ones and
 * the factor sqrt(n / (n - 1)) (the expansion of Hesterberg 2015, https://arxiv.org/abs/1411.5279, section 5.3), since
 * without it intervals of small n are too short. Rows of two kinds, as right and wrong, keep the normal quantiles.
 * Quantiles of resamples with equal scores are those of the mid-distribution, which makes up for the steps of shares.
 *
 * Bounds are null for fewer than two rows, for rows that all are the same (a share of 1 has no interval from 30 right
 * answers: resamples of them are all right, too), and where less than half of the resamples have a score. Resamples
 * without a score, as the precision of a class that none of their answers names, are left out.
 *
 * @param rows What each row adds to the sums, from `metric.statistics(row)`.
 * @throws OptionError for options that are wrong
 * @throws DataError for rows whose numbers are not as many, or not finite
 */
export async function bootstrapInterval(
  rows: readonly Float64Array[],
  metric: SumScore,
  options: BootstrapOptions = {},
): Promise<ScoreInterval> {
  const settled = readOptions('bootstrap', options, BOOTSTRAP_OPTIONS)
  return await intervalOf(new DistinctRows(rows), (sums) => metric.score(sums), settled)
}

/**
 * The difference of two models on the same rows: score of `rows` minus score of `baseRows`. The interval is that of
 * `bootstrapInterval`, rows of both models drawn together. The p-value is that of approximate randomisation (Noreen
 * 1989; Riezler and Maxwell 2005, https://aclanthology.org/W05-0908): the answers to each row change places by the flip
 * of a coin, which changes nothing where the models do not differ. p = (1 + c) / (1 + samples), c being the random
 * differences that are at least as large as the observed one.
 *
 * Where the models do not differ, p-values are uniform. Where scores have few values, as right or wrong, many random
 * differences equal the observed one, and all of them count: p-values are then larger than uniform ones, never smaller.
 * Models that answer every row alike have the p-value 1.
 *
 * @throws as `bootstrapInterval`, and DataError where there are not as many rows of both
 */
export async function pairedDifference(
  rows: readonly Float64Array[],
  baseRows: readonly Float64Array[],
  metric: SumScore,
  options: BootstrapOptions = {},
): Promise<PairedDifference> {
  const settled = readOptions('bootstrap', options, BOOTSTRAP_OPTIONS)
  if (rows.length !== baseRows.length)
    throw new DataError(
      `[bootstrap] expected as many rows of both models, got ${rows.length} and ${baseRows.length}; give the same rows to both`,
    )
  const size = rows[0]?.length ?? 0
  const pairs = rows.map((row, index) => {
    const base = baseRows[index]!
    const pair = new Float64Array(row.length + base.length)
    pair.set(row)
    pair.set(base, row.length)
    return pair
  })
  const differenceOf = (sums: Float64Array): number =>
    metric.score(sums.subarray(0, size)) - metric.score(sums.subarray(size))
  const distinct = new DistinctRows(pairs)
  const interval = await intervalOf(distinct, differenceOf, settled)
  return { ...interval, ...(await randomise(rows, baseRows, distinct.sums, differenceOf, settled)) }
}

/** Rows by their numbers: equal ones are drawn apart and added together. Numbers that are 0 are not kept. */
class DistinctRows {
  readonly rowCount: number
  readonly size: number
  readonly sums: Float64Array
  /** For each row, which distinct one it is. */
  readonly kinds: Uint32Array
  /** How often each occurs. */
  readonly counts: Uint32Array
  /** Numbers of kind k stand from `starts[k]` up to `starts[k + 1]`, with their places among the sums. */
  readonly starts: Uint32Array
  readonly #places: Uint32Array
  readonly #values: Float64Array

  constructor(rows: readonly Float64Array[]) {
    this.rowCount = rows.length
    this.size = rows[0]?.length ?? 0
    this.sums = new Float64Array(this.size)
    this.kinds = new Uint32Array(rows.length)
    const found = new Map<string, number>()
    const distinct: Float64Array[] = []
    for (const [index, row] of rows.entries()) {
      if (row.length !== this.size)
        throw new DataError(
          `[bootstrap] expected ${this.size} numbers for row ${index}, as for row 0, got ${row.length}; give rows of one metric`,
        )
      const key = Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString('latin1')
      let kind = found.get(key)
      if (kind === undefined) {
        kind = distinct.length
        found.set(key, kind)
        distinct.push(row)
      }
      this.kinds[index] = kind
      for (let i = 0; i < row.length; i++) {
        if (!Number.isFinite(row[i]))
          throw new DataError(
            `[bootstrap] expected finite numbers for row ${index}, got ${row[i]}; give no row that has no score`,
          )
        this.sums[i]! += row[i]!
      }
    }
    this.counts = new Uint32Array(distinct.length)
    for (const kind of this.kinds) this.counts[kind]!++
    const filled = distinct.map((row) => [...row.entries()].filter(([, value]) => value !== 0))
    this.starts = new Uint32Array(distinct.length + 1)
    for (const [kind, entries] of filled.entries()) this.starts[kind + 1] = this.starts[kind]! + entries.length
    this.#places = Uint32Array.from(filled.flatMap((entries) => entries.map(([place]) => place)))
    this.#values = Float64Array.from(filled.flatMap((entries) => entries.map(([, value]) => value)))
  }

  get kindCount(): number {
    return this.counts.length
  }

  /** Adds so many rows of a kind to sums. */
  add(kind: number, times: number, sums: Float64Array): void {
    const end = this.starts[kind + 1]!
    for (let i = this.starts[kind]!; i < end; i++) sums[this.#places[i]!]! += times * this.#values[i]!
  }
}

async function intervalOf(
  rows: DistinctRows,
  scoreOf: (sums: Float64Array) => number,
  { confidence, samples, seed, signal }: Settled,
): Promise<ScoreInterval> {
  const score = rows.rowCount === 0 ? Number.NaN : scoreOf(rows.sums)
  const value = Number.isNaN(score) ? null : score
  if (value === null || rows.rowCount < 2 || rows.kindCount < 2) return { value, low: null, high: null }
  const acceleration = accelerationOf(rows, scoreOf)
  const scores = await resample(rows, scoreOf, new Random(seed, INTERVAL), samples, new Turns(signal))
  if (scores.length < LEAST_SHARE * samples) return { value, low: null, high: null }
  scores.sort()
  if (scores[0] === scores.at(-1)) return { value, low: null, high: null }
  let below = 0
  for (const other of scores) below += isEqual(other, value) ? 0.5 : other < value ? 1 : 0
  // All resamples on one side would put the bound at infinity.
  const edge = 1 / (scores.length + 1)
  const bias = normalQuantile(Math.min(1 - edge, Math.max(edge, below / scores.length)))
  const { rowCount, kindCount } = rows
  const upper = (1 + confidence) / 2
  // A share fixes its own variance: Student's quantile makes up for one that is estimated.
  const isShare = kindCount === 2
  const spread = isShare
    ? normalQuantile(upper)
    : Math.sqrt(rowCount / (rowCount - 1)) * studentQuantile(upper, rowCount - 1)
  const level = (z: number): number => {
    const shifted = bias + z
    // Beyond this the formula turns over: the bound is the outermost resample.
    const scale = 1 - acceleration * shifted
    return scale <= 0 ? (z < 0 ? 0 : 1) : normalCdf(bias + shifted / scale)
  }
  const [low, high] = smoothQuantiles(scores, [level(-spread), level(spread)])
  return { value, low: low!, high: high! }
}

/** Skewness of the influence of rows, divided by 6: by the jackknife. */
function accelerationOf(rows: DistinctRows, scoreOf: (sums: Float64Array) => number): number {
  const scores = new Float64Array(rows.kindCount)
  const sums = new Float64Array(rows.size)
  let [total, count] = [0, 0]
  for (let kind = 0; kind < rows.kindCount; kind++) {
    sums.set(rows.sums)
    rows.add(kind, -1, sums)
    const score = scoreOf(sums)
    scores[kind] = score
    if (Number.isNaN(score)) continue
    total += rows.counts[kind]! * score
    count += rows.counts[kind]!
  }
  let [squares, cubes] = [0, 0]
  for (let kind = 0; kind < rows.kindCount; kind++) {
    const distance = total / count - scores[kind]!
    if (Number.isNaN(distance)) continue
    squares += rows.counts[kind]! * distance ** 2
    cubes += rows.counts[kind]! * distance ** 3
  }
  return squares === 0 ? 0 : cubes / (6 * squares ** 1.5)
}

/** Scores of resamples, as many rows in each as there are; those without a score are left out. */
async function resample(
  rows: DistinctRows,
  scoreOf: (sums: Float64Array) => number,
  random: Random,
  samples: number,
  turns: Turns,
): Promise<Float64Array> {
  const { rowCount, kindCount, kinds } = rows
  const scores = new Float64Array(samples)
  const times = new Uint32Array(kindCount)
  const sums = new Float64Array(rows.size)
  let count = 0
  for (let sample = 0; sample < samples; sample++) {
    times.fill(0)
    for (let draw = 0; draw < rowCount; draw++) times[kinds[random.below(rowCount)]!]!++
    sums.fill(0)
    for (let kind = 0; kind < kindCount; kind++) if (times[kind] !== 0) rows.add(kind, times[kind]!, sums)
    const score = scoreOf(sums)
    if (!Number.isNaN(score)) scores[count++] = score
    if (turns.isOver) await turns.next()
  }
  return scores.subarray(0, count)
}

async function randomise(
  rows: readonly Float64Array[],
  baseRows: readonly Float64Array[],
  sums: Float64Array,
  differenceOf: (sums: Float64Array) => number,
  { samples, seed, signal }: Settled,
): Promise<Pick<PairedDifference, 'pValue' | 'pValueOfLarger'>> {
  const observed = rows.length === 0 ? Number.NaN : Math.abs(differenceOf(sums))
  if (Number.isNaN(observed)) return { pValue: null, pValueOfLarger: null }
  const size = rows[0]!.length
  const changes = rows.map((row, index) => row.map((value, i) => baseRows[index]![i]! - value))
  // Rows that both answer alike change nothing.
  const changed = new DistinctRows(changes.filter((row) => row.some((value) => value !== 0)))
  const random = new Random(seed, TEST)
  const turns = new Turns(signal)
  const change = new Float64Array(size)
  const swapped = new Float64Array(2 * size)
  let [equal, larger, count] = [0, 0, 0]
  for (let sample = 0; sample < samples; sample++) {
    change.fill(0)
    for (let kind = 0; kind < changed.kindCount; kind++) {
      const times = heads(random, changed.counts[kind]!)
      if (times > 0) changed.add(kind, times, change)
    }
    for (let i = 0; i < size; i++) {
      swapped[i] = sums[i]! + change[i]!
      swapped[size + i] = sums[size + i]! - change[i]!
    }
    const difference = Math.abs(differenceOf(swapped))
    if (turns.isOver) await turns.next()
    if (Number.isNaN(difference)) continue
    count++
    if (isEqual(difference, observed)) equal++
    else if (difference > observed) larger++
  }
  return { pValue: (1 + equal + larger) / (1 + count), pValueOfLarger: larger / (1 + count) }
}

/** How many of so many coins show heads. */
function heads(random: Random, coins: number): number {
  let shown = 0
  for (let left = coins; left > 0; left -= 32) {
    let bits = random.next()
    if (left < 32) bits >>>= 32 - left
    // Bits that are set.
    bits -= (bits >>> 1) & 0x55555555
    bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
    shown += Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
  }
  return shown
}

/** Whether two scores are the same but for rounding. Differences of scores are of their size, and these of 1. */
function isEqual(a: number, b: number): boolean {
  return Math.abs(a - b) <= ROUNDING * Math.max(1, Math.abs(a), Math.abs(b))
}

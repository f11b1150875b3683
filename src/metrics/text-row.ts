/** @file What a metric of texts scores: an answer and the references that it is compared with. */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import type { Metric } from './metric.js'

/** An answer and what it is compared with. */
export interface TextRow {
  /** What the model wrote. */
  readonly prediction: string
  /** What is right: several texts where any of them is. */
  readonly references: readonly string[]
}

/** A metric of texts. */
export interface TextMetric extends Metric<TextRow> {
  /**
   * The score of one row by itself, from its statistics. It differs from `score` where a metric has another form for
   * single sentences, as BLEU has.
   */
  scoreRow(statistics: Float64Array): number
}

/**
 * The rows of a call that takes answers and, for each, one reference or several.
 * @throws LowrankError unless there are as many references as answers, all of them texts
 */
export function readRows(
  where: string,
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
): TextRow[] {
  expectList(where, 'predictions', predictions)
  expectList(where, 'references', references)
  if (predictions.length !== references.length)
    throw new LowrankError(
      'INVALID_CALL',
      `[${where}] expected as many references as predictions, got ${references.length} for ${predictions.length}; give for each prediction one reference or a list of them`,
    )
  return predictions.map((prediction, index) =>
    readRow(where, prediction, references[index]!, {
      prediction: `predictions[${index}]`,
      references: `references[${index}]`,
    }),
  )
}

/**
 * The row of a call that takes one answer and one reference or several.
 * @param names what the call calls them
 * @throws LowrankError unless all are texts and there is a reference
 */
export function readRow(
  where: string,
  prediction: string,
  references: string | readonly string[],
  names = { prediction: 'prediction', references: 'references' },
): TextRow {
  expectText(where, names.prediction, prediction)
  const list = typeof references === 'string' ? [references] : references
  expectList(where, names.references, list)
  expectReferences(where, list, names.references)
  for (const [index, reference] of list.entries()) expectText(where, `${names.references}[${index}]`, reference)
  return { prediction, references: list }
}

/** @throws LowrankError where there is no reference. */
export function expectReferences(where: string, references: readonly string[], name = 'references'): void {
  if (references.length > 0) return
  throw new LowrankError(
    'INVALID_CALL',
    `[${where}] expected at least one reference for ${name}, got none; leave out rows that have no reference`,
  )
}

/** @throws LowrankError unless `value` is text. */
export function expectText(where: string, name: string, value: unknown): void {
  if (typeof value === 'string') return
  throw new LowrankError('INVALID_CALL', `[${where}] expected text for ${name}, got ${describeValue(value)}`)
}

/** @throws LowrankError unless `value` is a list. */
export function expectList(where: string, name: string, value: unknown): void {
  if (Array.isArray(value)) return
  const hint = typeof value === 'string' ? '; put it into a list' : ''
  throw new LowrankError('INVALID_CALL', `[${where}] expected a list for ${name}, got ${describeValue(value)}${hint}`)
}

/** The sums of the statistics of all rows; undefined where there is no row. */
export function sumOf<Row>(metric: Metric<Row>, rows: readonly Row[]): Float64Array | undefined {
  let sums: Float64Array | undefined
  for (const row of rows) {
    const statistics = metric.statistics(row)
    if (sums === undefined) sums = statistics
    else for (let i = 0; i < sums.length; i++) sums[i]! += statistics[i]!
  }
  return sums
}

/** The score of all rows; NaN where there is none. */
export function scoreOf<Row>(metric: Metric<Row>, rows: readonly Row[]): number {
  const sums = sumOf(metric, rows)
  return sums === undefined ? Number.NaN : metric.score(sums)
}

/** A metric of texts whose score is the mean of a score of each row. */
export function meanMetric(name: string, scoreText: (row: TextRow) => number): TextMetric {
  const score = (sums: Float64Array) => sums[0]! / sums[1]!
  return {
    name,
    higherIsBetter: true,
    statistics: (row) => Float64Array.of(scoreText(row), 1),
    score,
    scoreRow: score,
  }
}

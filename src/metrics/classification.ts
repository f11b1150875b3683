/**
 * @file Scores of labels, as scikit-learn computes them: accuracy, precision, recall and F1 by class and averaged,
 * balanced accuracy, Matthews' coefficient. They depend on counts by label alone, which are sums over rows.
 */

import { integer, listOf, oneOf, type Rule, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { brierScore, expectedCalibrationError, logLoss, USUAL_BINS } from './calibration.js'
import { type ClassifiedRow, placesOf } from './classified-row.js'
import type { Metric } from './metric.js'

/** How scores of several labels become one, as scikit-learn's `average`. */
export const AVERAGES = ['micro', 'macro', 'weighted'] as const
export type Average = (typeof AVERAGES)[number]

/** What a ratio is whose denominator is 0, as scikit-learn's `zero_division`. */
export type ZeroDivision = 0 | 1 | 'nan'

const AVERAGED = ['precision', 'recall', 'f1'] as const
type Averaged = (typeof AVERAGED)[number]

/** Metrics of labels by name. Those that end with `_per_class` are one metric for each label, as `f1/spam`. */
export const CLASSIFICATION_METRICS = [
  'accuracy',
  'balanced_accuracy',
  'matthews_corrcoef',
  'precision_micro',
  'precision_macro',
  'precision_weighted',
  'precision_per_class',
  'recall_micro',
  'recall_macro',
  'recall_weighted',
  'recall_per_class',
  'f1_micro',
  'f1_macro',
  'f1_weighted',
  'f1_per_class',
  'log_loss',
  'brier_score',
  'ece',
] as const
export type ClassificationMetricName = (typeof CLASSIFICATION_METRICS)[number]

const USUAL_METRICS: readonly ClassificationMetricName[] = [
  'accuracy',
  'precision_macro',
  'recall_macro',
  'f1_macro',
  'f1_micro',
  'f1_weighted',
]

/** Options of `classificationMetrics`. */
export interface ClassificationOptions {
  /** Labels that are scored, in the order of `probabilities`. A label that never occurs is scored, too. */
  labels: readonly string[]
  /**
   * Names of metrics.
   * @default accuracy, precision_macro, recall_macro, f1_macro, f1_micro, f1_weighted
   */
  metrics?: readonly ClassificationMetricName[]
  /**
   * What precision, recall and F1 are where their denominator is 0. Averages leave out what is 'nan'.
   * @default 0
   */
  zeroDivision?: ZeroDivision
  /**
   * Bins of `ece`.
   * @default 10
   */
  bins?: number
}

const zeroDivision: Rule = {
  expected: "0, 1 or 'nan'",
  accepts: (value) => value === 0 || value === 1 || value === 'nan',
  schema: { enum: [0, 1, 'nan'] },
}

const label: Rule = { ...text, accepts: (value) => typeof value === 'string' }

/** The options of `classificationMetrics`. */
export const CLASSIFICATION_OPTIONS = {
  labels: {
    rule: listOf(label, 'a list of at least one label', { minItems: 1 }),
    isRequired: true,
    help: 'labels that are scored, in the order of probabilities',
    example: ['ham', 'spam'],
  },
  metrics: {
    rule: listOf(oneOf(CLASSIFICATION_METRICS), `a list of ${oneOf(CLASSIFICATION_METRICS).expected}`, { minItems: 1 }),
    otherwise: 'accuracy, precision_macro, recall_macro, f1_macro, f1_micro, f1_weighted',
    help: 'names of metrics',
  },
  zeroDivision: {
    rule: zeroDivision,
    default: 0 as ZeroDivision,
    help: "what precision, recall and F1 are where their denominator is 0: 0, 1 or 'nan'",
  },
  bins: {
    rule: integer({ min: 1, max: 1000 }),
    default: USUAL_BINS,
    help: 'bins of ece, the expected calibration error',
  },
} as const satisfies OptionTable<ClassificationOptions>

/**
 * Metrics of labels, as scikit-learn 1.9 computes them. Answers that name no label, and labels outside of `labels`,
 * count as scikit-learn counts labels that are not among its `labels`: they are wrong for the right label, and false
 * for no other. No row at all scores NaN.
 * @throws OptionError for options that are wrong
 */
export function classificationMetrics(options: ClassificationOptions): readonly Metric<ClassifiedRow>[] {
  const {
    labels,
    metrics = USUAL_METRICS,
    zeroDivision,
    bins,
  } = readOptions('metrics', options, CLASSIFICATION_OPTIONS)
  const counts = new LabelCounts(labels)
  return metrics.flatMap((name) => metricsNamed(name, counts, zeroDivision, bins))
}

function metricsNamed(
  name: ClassificationMetricName,
  counts: LabelCounts,
  zeroDivision: ZeroDivision,
  bins: number,
): readonly Metric<ClassifiedRow>[] {
  const { labels } = counts
  const zero = zeroValue(zeroDivision)
  const counted = (name: string, score: (sums: Float64Array) => number): Metric<ClassifiedRow> => ({
    name,
    higherIsBetter: true,
    statistics: (row) => counts.statistics(row),
    score: (sums) => (sums[0] === 0 ? Number.NaN : score(sums)),
  })
  switch (name) {
    case 'accuracy':
      return [{ name, higherIsBetter: true, statistics: rightOrWrong, score: (sums) => sums[1]! / sums[0]! }]
    case 'balanced_accuracy':
      return [counted(name, (sums) => counts.balancedAccuracy(sums))]
    case 'matthews_corrcoef':
      return [counted(name, (sums) => counts.matthewsCorrcoef(sums))]
    case 'log_loss':
      return [logLoss(labels)]
    case 'brier_score':
      return [brierScore(labels)]
    case 'ece':
      return [expectedCalibrationError(labels, bins)]
    default: {
      const [what, how] = [name.slice(0, name.indexOf('_')) as Averaged, name.slice(name.indexOf('_') + 1)]
      if (how !== 'per_class') return [counted(name, (sums) => counts.average(sums, how as Average, zero)[what])]
      return labels.map((label, place) =>
        counted(`${what}/${label}`, (sums) => counts.ofLabel(sums, place, zero)[what]),
      )
    }
  }
}

/** What a row adds to a share of right answers: two kinds of rows, of which intervals make use. */
function rightOrWrong({ label, predicted }: ClassifiedRow): Float64Array {
  return Float64Array.of(1, label === predicted ? 1 : 0)
}

/** Precision, recall and F1; NaN where there is none. */
export interface LabelScores {
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

/**
 * Counts of rows, and scores of the counts. Sums are: rows, right answers, and for each label the right answers that
 * name it, the answers that name it, and the rows that have it.
 */
export class LabelCounts {
  readonly labels: readonly string[]
  readonly #places: ReadonlyMap<string, number>

  constructor(labels: readonly string[]) {
    this.labels = labels
    this.#places = placesOf(labels)
  }

  get size(): number {
    return 2 + 3 * this.labels.length
  }

  /** Place of a label; undefined where it is none of the labels. */
  placeOf(label: string | null): number | undefined {
    return label === null ? undefined : this.#places.get(label)
  }

  statistics({ label, predicted }: ClassifiedRow): Float64Array {
    const counts = new Float64Array(this.size)
    const size = this.labels.length
    const [right, answer] = [this.placeOf(label), this.placeOf(predicted)]
    counts[0] = 1
    if (label === predicted) counts[1] = 1
    if (right !== undefined && right === answer) counts[2 + right] = 1
    if (answer !== undefined) counts[2 + size + answer] = 1
    if (right !== undefined) counts[2 + 2 * size + right] = 1
    return counts
  }

  /** Right answers, answers and rows of a label. */
  of(sums: Float64Array, place: number): readonly [number, number, number] {
    const size = this.labels.length
    return [sums[2 + place]!, sums[2 + size + place]!, sums[2 + 2 * size + place]!]
  }

  ofLabel(sums: Float64Array, place: number, zero: number): LabelScores {
    return scoresOf(...this.of(sums, place), zero)
  }

  average(sums: Float64Array, average: Average, zero: number): LabelScores {
    const counts = this.labels.map((_, place) => this.of(sums, place))
    if (average === 'micro') {
      const [hits, answers, rows] = counts.reduce(([a, b, c], [x, y, z]) => [a + x, b + y, c + z], [0, 0, 0])
      return scoresOf(hits, answers, rows, zero)
    }
    const scores = counts.map((count) => scoresOf(...count, zero))
    const weights = average === 'weighted' ? counts.map(([, , rows]) => rows) : undefined
    return {
      precision: meanOf(
        scores.map(({ precision }) => precision),
        weights,
      ),
      recall: meanOf(
        scores.map(({ recall }) => recall),
        weights,
      ),
      f1: meanOf(
        scores.map(({ f1 }) => f1),
        weights,
      ),
    }
  }

  /** Mean of the recall of labels that occur. */
  balancedAccuracy(sums: Float64Array): number {
    return meanOf(this.labels.map((_, place) => this.ofLabel(sums, place, Number.NaN).recall))
  }

  /** Matthews' coefficient of several classes. What is none of the labels is one class, right where the text is. */
  matthewsCorrcoef(sums: Float64Array): number {
    const [rows, right] = [sums[0]!, sums[1]!]
    let [otherAnswers, otherRows, both, answersSquared, rowsSquared] = [rows, rows, 0, 0, 0]
    const add = (answers: number, rows: number): void => {
      both += answers * rows
      answersSquared += answers * answers
      rowsSquared += rows * rows
    }
    for (let place = 0; place < this.labels.length; place++) {
      const [, answersOfLabel, rowsOfLabel] = this.of(sums, place)
      otherAnswers -= answersOfLabel
      otherRows -= rowsOfLabel
      add(answersOfLabel, rowsOfLabel)
    }
    add(otherAnswers, otherRows)
    const product = (rows * rows - answersSquared) * (rows * rows - rowsSquared)
    return product === 0 ? 0 : (right * rows - both) / Math.sqrt(product)
  }
}

/** NaN for 'nan'. */
export function zeroValue(zeroDivision: ZeroDivision): number {
  return zeroDivision === 'nan' ? Number.NaN : zeroDivision
}

function scoresOf(hits: number, answers: number, rows: number, zero: number): LabelScores {
  const ratio = (part: number, whole: number): number => (whole === 0 ? zero : part / whole)
  return { precision: ratio(hits, answers), recall: ratio(hits, rows), f1: ratio(2 * hits, answers + rows) }
}

/** Mean of the values that are none of NaN. Where all weights are 0, all count the same, as in scikit-learn. */
function meanOf(values: readonly number[], weights?: readonly number[]): number {
  let [sum, total, count, plain] = [0, 0, 0, 0]
  for (const [i, value] of values.entries()) {
    if (Number.isNaN(value)) continue
    const weight = weights?.[i] ?? 1
    sum += weight * value
    total += weight
    plain += value
    count++
  }
  return total === 0 ? plain / count : sum / total
}

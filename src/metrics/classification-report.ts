/** @file What is said of a classification at once: scores by class, their averages, and the confusion matrix. */

import { type OptionTable, readOptions } from '../options/table.js'
import {
  AVERAGES,
  type Average,
  CLASSIFICATION_OPTIONS,
  LabelCounts,
  type LabelScores,
  type ZeroDivision,
  zeroValue,
} from './classification.js'
import type { ClassifiedRow } from './classified-row.js'

/** Options of `classificationReport`. */
export interface ClassificationReportOptions {
  /**
   * Labels that are scored.
   * @default every label of rows and answers, sorted by code points
   */
  labels?: readonly string[]
  /**
   * What precision, recall and F1 are where their denominator is 0.
   * @default 0
   */
  zeroDivision?: ZeroDivision
}

/** The options of `classificationReport`. */
export const CLASSIFICATION_REPORT_OPTIONS = {
  labels: {
    rule: CLASSIFICATION_OPTIONS.labels.rule,
    otherwise: 'every label of rows and answers, sorted',
    help: 'labels that are scored',
    example: ['ham', 'spam'],
  },
  zeroDivision: CLASSIFICATION_OPTIONS.zeroDivision,
} as const satisfies OptionTable<ClassificationReportOptions>

/** Precision, recall and F1 of a class or an average. Null where there is none. */
export interface ReportedClass {
  readonly precision: number | null
  readonly recall: number | null
  readonly f1: number | null
  /** Rows that have the label; of an average, those of all labels. */
  readonly support: number
}

/** How well rows were told apart. Null is a score that does not exist. */
export interface ClassificationReport {
  readonly rowCount: number
  readonly accuracy: number | null
  readonly balancedAccuracy: number | null
  readonly matthewsCorrcoef: number | null
  /** In the order of the labels. */
  readonly classes: readonly ({ readonly label: string } & ReportedClass)[]
  readonly averages: Readonly<Record<Average, ReportedClass>>
  readonly confusion: {
    readonly labels: readonly string[]
    /** Counts: `rows[i][j]` of label i that were answered with j; the last column counts answers that name no label. */
    readonly rows: readonly (readonly number[])[]
  }
  /** Answers that name none of the labels. */
  readonly answersWithoutLabel: number
  /** Rows whose own label is none of the labels; the confusion matrix does not have them. */
  readonly rowsWithoutLabel: number
}

/**
 * Scores labels as scikit-learn's `classification_report` and `confusion_matrix` do.
 * @throws OptionError for options that are wrong
 */
export function classificationReport(
  rows: readonly ClassifiedRow[],
  options: ClassificationReportOptions = {},
): ClassificationReport {
  const settled = readOptions('metrics', options, CLASSIFICATION_REPORT_OPTIONS)
  const counts = new LabelCounts(settled.labels ?? labelsOf(rows))
  const { labels } = counts
  const zero = zeroValue(settled.zeroDivision)
  const sums = new Float64Array(counts.size)
  const confusion = labels.map(() => new Array<number>(labels.length + 1).fill(0))
  let [answersWithoutLabel, rowsWithoutLabel] = [0, 0]
  for (const row of rows) {
    for (const [i, value] of counts.statistics(row).entries()) sums[i]! += value
    const [right, answer] = [counts.placeOf(row.label), counts.placeOf(row.predicted)]
    if (answer === undefined) answersWithoutLabel++
    if (right === undefined) rowsWithoutLabel++
    else confusion[right]![answer ?? labels.length]!++
  }
  const isEmpty = rows.length === 0
  const known = (value: number): number | null => (isEmpty || Number.isNaN(value) ? null : value)
  const shown = ({ precision, recall, f1 }: LabelScores, support: number): ReportedClass => ({
    precision: known(precision),
    recall: known(recall),
    f1: known(f1),
    support,
  })
  const average = (name: Average): readonly [Average, ReportedClass] => [
    name,
    shown(counts.average(sums, name, zero), rows.length - rowsWithoutLabel),
  ]
  return {
    rowCount: rows.length,
    accuracy: known(sums[1]! / sums[0]!),
    balancedAccuracy: known(counts.balancedAccuracy(sums)),
    matthewsCorrcoef: known(counts.matthewsCorrcoef(sums)),
    classes: labels.map((label, place) => ({
      label,
      ...shown(counts.ofLabel(sums, place, zero), counts.of(sums, place)[2]),
    })),
    averages: Object.fromEntries(AVERAGES.map(average)) as Record<Average, ReportedClass>,
    confusion: { labels, rows: confusion },
    answersWithoutLabel,
    rowsWithoutLabel,
  }
}

/** Every label of rows and answers, sorted by code points as Python sorts text. */
export function labelsOf(rows: Iterable<ClassifiedRow>): readonly string[] {
  const labels = new Set<string>()
  for (const { label, predicted } of rows) {
    labels.add(label)
    if (predicted !== null) labels.add(predicted)
  }
  return [...labels].sort(byCodePoints)
}

function byCodePoints(a: string, b: string): number {
  const [first, second] = [Array.from(a, codePoint), Array.from(b, codePoint)]
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    if (first[i] !== second[i]) return first[i]! - second[i]!
  }
  return first.length - second.length
}

function codePoint(character: string): number {
  return character.codePointAt(0)!
}

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { calibrationBins } from '../../src/metrics/calibration.js'
import {
  CLASSIFICATION_METRICS,
  type ClassificationMetricName,
  classificationMetrics,
  type ZeroDivision,
} from '../../src/metrics/classification.js'
import { classificationReport, labelsOf } from '../../src/metrics/classification-report.js'
import type { ClassifiedRow } from '../../src/metrics/classified-row.js'

type Scores = readonly (number | null)[]

interface Stored {
  readonly label: readonly number[]
  readonly predicted: readonly (number | null)[]
  readonly labels: readonly number[] | null
  readonly zeroDivision: ZeroDivision
  readonly probabilities?: readonly (readonly number[])[]
  readonly bins?: number
  readonly expected: {
    readonly accuracy: number
    readonly balanced_accuracy: number | null
    readonly matthews_corrcoef: number | null
    readonly classes: readonly Scores[]
    readonly micro: Scores
    readonly macro: Scores
    readonly weighted: Scores
    readonly confusion: readonly (readonly number[])[] | null
    readonly log_loss?: number
    readonly brier_score?: number
    readonly ece?: number
  } | null
}

const golden = JSON.parse(readFileSync(new URL('../golden/classification.json', import.meta.url), 'utf8')) as {
  readonly words: readonly string[]
  readonly cases: readonly Stored[]
}
const WITHOUT_PROBABILITIES = CLASSIFICATION_METRICS.filter((name) => !/^(?:log_loss|brier_score|ece)$/.test(name))

/** Scores of rows by name of the metric; null for NaN. */
function scoresOf(
  rows: readonly ClassifiedRow[],
  labels: readonly string[],
  metrics: readonly ClassificationMetricName[],
  more: { readonly zeroDivision?: ZeroDivision; readonly bins?: number } = {},
): Readonly<Record<string, number | null>> {
  return Object.fromEntries(
    classificationMetrics({ labels, metrics, ...more }).map((metric) => {
      const sums = new Float64Array(metric.statistics({ label: '', predicted: null, ...rows[0] }).length)
      for (const row of rows) for (const [i, value] of metric.statistics(row).entries()) sums[i]! += value
      const score = metric.score(sums)
      return [metric.name, Number.isNaN(score) ? null : score]
    }),
  )
}

// Sums of up to a thousand numbers of float64 in another order than numpy's: 1e-13 of the sum.
function expectNear(actual: number | null | undefined, wanted: number | null, what: string): void {
  if (wanted === null || actual === null || actual === undefined) expect(actual, what).toBe(wanted)
  else expect(Math.abs(actual - wanted), `${what}: ${actual} for ${wanted}`).toBeLessThan(1e-12)
}

describe('labels', () => {
  it.each(golden.cases.map((stored, number) => [number, stored] as const))(
    'case %i scores as in scikit-learn',
    (_, { label, predicted, zeroDivision, probabilities, bins = 10, expected, ...stored }) => {
      const word = (index: number): string => golden.words[index]!
      const rows = label.map((index, row): ClassifiedRow => {
        const answer = predicted[row]!
        return {
          label: word(index),
          predicted: answer === null ? null : word(answer),
          ...(probabilities && { probabilities: probabilities[row]! }),
        }
      })
      const labels = stored.labels?.map(word)
      const report = classificationReport(rows, { ...(labels && { labels }), zeroDivision })
      if (expected === null) {
        expect(report.accuracy).toBeNull()
        expect(report.averages.macro).toEqual({ precision: null, recall: null, f1: null, support: 0 })
        return
      }
      const names = labels ?? labelsOf(rows)
      const scores = scoresOf(rows, names, WITHOUT_PROBABILITIES, { zeroDivision })
      const near = (name: string, wanted: number | null): void => expectNear(scores[name], wanted, name)
      near('accuracy', expected.accuracy)
      expectNear(report.accuracy, expected.accuracy, 'accuracy')
      near('balanced_accuracy', expected.balanced_accuracy)
      expectNear(report.balancedAccuracy, expected.balanced_accuracy, 'balancedAccuracy')
      // scikit-learn has none for some of the labels.
      if (expected.matthews_corrcoef !== null) {
        near('matthews_corrcoef', expected.matthews_corrcoef)
        expectNear(report.matthewsCorrcoef, expected.matthews_corrcoef, 'matthewsCorrcoef')
      }
      for (const average of ['micro', 'macro', 'weighted'] as const) {
        const [precision, recall, f1] = expected[average]
        for (const [what, wanted] of Object.entries({ precision, recall, f1 })) {
          near(`${what}_${average}`, wanted!)
          expectNear(report.averages[average][what as 'f1'], wanted!, `${what} of ${average}`)
        }
      }
      expect(report.classes.map((entry) => entry.label)).toEqual(names)
      for (const [place, name] of names.entries()) {
        const [precision, recall, f1, support] = expected.classes[place]!
        for (const [what, wanted] of Object.entries({ precision, recall, f1 })) near(`${what}/${name}`, wanted!)
        expect(report.classes[place]!.support).toBe(support)
      }
      if (expected.confusion)
        expect(report.confusion.rows.map((counts) => counts.slice(0, -1))).toEqual(expected.confusion)
      if (probabilities) {
        const of = scoresOf(rows, names, ['log_loss', 'brier_score', 'ece'], { bins })
        expectNear(of.log_loss, expected.log_loss!, 'log_loss')
        expectNear(of.brier_score, expected.brier_score!, 'brier_score')
        expectNear(of.ece, expected.ece!, 'ece')
      }
    },
  )

  it('the stored cases have every kind of rows', () => {
    expect(golden.cases).toHaveLength(200)
    const count = (wanted: (stored: Stored) => boolean | undefined): number => golden.cases.filter(wanted).length
    expect(count(({ label }) => label.length === 0)).toBe(2)
    expect(count(({ label }) => new Set(label).size === 1)).toBeGreaterThan(20)
    expect(count(({ predicted }) => predicted.includes(null))).toBeGreaterThan(20)
    expect(count(({ probabilities }) => probabilities !== undefined)).toBeGreaterThan(90)
    expect(count(({ labels, label }) => labels?.some((name) => !label.includes(name)))).toBeGreaterThan(40)
    expect(
      count(({ labels, label }) => labels !== null && label.some((name) => !labels.includes(name))),
    ).toBeGreaterThan(20)
  })

  it("scikit-learn's documented examples give the documented figures", () => {
    const numbers = (labels: readonly number[], answers: readonly number[]): ClassifiedRow[] =>
      labels.map((label, row) => ({ label: `class ${label}`, predicted: `class ${answers[row]}` }))
    // https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.classification_report.html
    const report = classificationReport(numbers([0, 1, 2, 2, 2], [0, 0, 2, 2, 1]))
    const rounded = [...report.classes, report.averages.macro, report.averages.weighted].map((entry) =>
      [entry.precision, entry.recall, entry.f1].map((value) => value!.toFixed(2)),
    )
    expect(rounded).toEqual([
      ['0.50', '1.00', '0.67'],
      ['0.00', '0.00', '0.00'],
      ['1.00', '0.67', '0.80'],
      ['0.50', '0.56', '0.49'],
      ['0.70', '0.60', '0.61'],
    ])
    expect(report.classes.map((entry) => entry.support)).toEqual([1, 1, 3])
    expect(report.accuracy).toBe(0.6)
    // https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.matthews_corrcoef.html
    expect(classificationReport(numbers([1, 1, 1, -1], [1, -1, 1, 1])).matthewsCorrcoef).toBeCloseTo(-1 / 3, 15)
    // https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.log_loss.html
    const spam = ['spam', 'ham', 'ham', 'spam'].map((label, row) => ({
      label,
      predicted: null,
      probabilities: [
        [0.1, 0.9],
        [0.9, 0.1],
        [0.8, 0.2],
        [0.35, 0.65],
      ][row]!,
    }))
    expect(scoresOf(spam, ['ham', 'spam'], ['log_loss']).log_loss).toBeCloseTo(0.21616, 5)
    // https://scikit-learn.org/1.9/modules/generated/sklearn.metrics.brier_score_loss.html
    const eggs = ['eggs', 'ham', 'spam'].map((label, row) => ({
      label,
      predicted: null,
      probabilities: [
        [0.8, 0.1, 0.1],
        [0.2, 0.7, 0.1],
        [0.2, 0.2, 0.6],
      ][row]!,
    }))
    expect(scoresOf(eggs, ['eggs', 'ham', 'spam'], ['brier_score']).brier_score).toBeCloseTo(0.44 / 3, 12)
  })

  it('an answer without a label is wrong, false for no label, and has a column of its own', () => {
    const rows = [
      { label: 'yes', predicted: 'yes' },
      { label: 'yes', predicted: null },
      { label: 'no', predicted: 'maybe' },
    ]
    const report = classificationReport(rows, { labels: ['no', 'yes'] })
    expect(report.accuracy).toBeCloseTo(1 / 3, 15)
    expect(report.confusion).toEqual({
      labels: ['no', 'yes'],
      rows: [
        [0, 0, 1],
        [0, 1, 1],
      ],
    })
    expect(report.classes[1]).toEqual({ label: 'yes', precision: 1, recall: 0.5, f1: 2 / 3, support: 2 })
    expect(report.averages.micro).toEqual({ precision: 1, recall: 1 / 3, f1: 0.5, support: 3 })
    expect([report.answersWithoutLabel, report.rowsWithoutLabel]).toEqual([2, 0])
  })

  it('the report says how many rows have none of its labels', () => {
    const rows = [
      { label: 'a', predicted: 'a' },
      { label: 'b', predicted: 'a' },
    ]
    const report = classificationReport(rows, { labels: ['a'] })
    expect([report.rowsWithoutLabel, report.accuracy, report.classes[0]!.precision]).toEqual([1, 0.5, 0.5])
    expect(report.confusion.rows).toEqual([[1, 0]])
  })

  it('labels that are not given are sorted by code points, as Python sorts them', () => {
    const rows = ['😀', '\uffee', 'b', 'ba', 'B'].map((label) => ({ label, predicted: null }))
    expect(labelsOf(rows)).toEqual(['B', 'b', 'ba', '\uffee', '😀'])
  })

  it('wrong options and rows are named', () => {
    expect(() => classificationMetrics({ labels: ['a', 'b', 'a'] })).toThrow(
      '[metrics] expected each label once for labels, got "a" twice; remove one',
    )
    expect(() => classificationMetrics({ labels: ['a'], zeroDivision: 2 as 1 })).toThrow(
      "[metrics] expected 0, 1 or 'nan' for zeroDivision, got 2",
    )
    expect(() => classificationMetrics({ labels: [] })).toThrow('expected a list of at least one label for labels')
    const [metric] = classificationMetrics({ labels: ['a', 'b'], metrics: ['log_loss'] })
    const row = (label: string, probabilities?: number[]): ClassifiedRow => ({
      label,
      predicted: null,
      ...(probabilities && { probabilities }),
    })
    const told =
      (row: ClassifiedRow): (() => unknown) =>
      () =>
        metric!.statistics(row)
    expect(told(row('c', [1, 0]))).toThrow(
      '[metrics] expected one of the labels a, b for label, got "c"; add it to labels',
    )
    expect(told(row('a'))).toThrow(
      '[metrics] expected 2 numbers for probabilities, one for each label, got nothing; give them in the order of labels',
    )
    expect(told(row('a', [1]))).toThrow('one for each label, got 1; give them')
    expect(told(row('a', [0.5, 0.6]))).toThrow('expected probabilities whose sum is 1, got 1.1; normalize them first')
    expect(told(row('a', [Number.NaN, 0.6]))).toThrow('expected numbers from 0 to 1 for probabilities, got NaN')
  })
})

describe('bins of confidence', () => {
  it('each holds its upper bound and not its lower one, whatever products round to', () => {
    const confidences = Array.from({ length: 100 }, (_, i) => (i + 1) / 100)
    for (const top of confidences.filter((value) => value >= 0.5)) {
      const bins = calibrationBins([{ label: 'a', predicted: null, probabilities: [top, 1 - top] }], ['a', 'b'], 100)
      expect(bins.findIndex(({ count }) => count === 1)).toBe(Math.round(top * 100) - 1)
    }
  })

  it('say count, mean confidence and share of right answers, and null where they are empty', () => {
    const rows = [
      [0.75, 0.25],
      [0.75, 0.25],
      [0, 1],
    ].map((probabilities) => ({ label: 'a', predicted: null, probabilities }))
    expect(calibrationBins(rows, ['a', 'b'], 2)).toEqual([
      { low: 0, high: 0.5, count: 0, confidence: null, accuracy: null },
      { low: 0.5, high: 1, count: 3, confidence: 2.5 / 3, accuracy: 2 / 3 },
    ])
  })
})

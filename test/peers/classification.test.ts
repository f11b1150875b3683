/**
 * @file Scores of labels beside scikit-learn, and intervals and p-values beside SciPy, on drawn rows. LOWRANK_TEST_SEED
 * gives other rows.
 */

import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { bootstrapInterval, pairedDifference } from '../../src/metrics/bootstrap.js'
import { CLASSIFICATION_METRICS, classificationMetrics, type ZeroDivision } from '../../src/metrics/classification.js'
import { classificationReport } from '../../src/metrics/classification-report.js'
import type { ClassifiedRow } from '../../src/metrics/classified-row.js'
import { normalQuantile, studentCdf } from '../../src/metrics/quantiles.js'
import { Random } from '../../src/random.js'
import { cases } from '../support/long.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('classification.py', import.meta.url))
const WORDS = ['ham', 'spam', 'Spam', 'ä', 'a\u0308', '日本', '😀', '\uffee', ' ', '0', '10', '9']
const random = new Random(Number(process.env.LOWRANK_TEST_SEED ?? 1))
const share = (): number => random.next() / 2 ** 32

interface Drawn {
  readonly rows: readonly ClassifiedRow[]
  readonly labels: readonly string[]
  readonly zeroDivision: ZeroDivision
}

function drawClassification(): Drawn {
  const labels = random.shuffle_([...WORDS]).slice(0, 1 + random.below(6))
  const occurring = labels.slice(0, 1 + random.below(labels.length))
  const accuracy = share()
  const rows = Array.from({ length: 1 + random.below(60) }, (): ClassifiedRow => {
    const label = occurring[random.below(occurring.length)]!
    const other = random.below(4) === 0 ? null : labels[random.below(labels.length)]!
    const raw = labels.map(() => share() ** 3 + 1e-12)
    const sum = raw.reduce((all, value) => all + value)
    return { label, predicted: share() < accuracy ? label : other, probabilities: raw.map((value) => value / sum) }
  })
  return { rows, labels, zeroDivision: ([0, 1, 'nan'] as const)[random.below(3)]! }
}

interface Answered {
  readonly classifications: readonly (Record<string, number | null> & { confusion: number[][] })[]
  readonly pairs: readonly number[]
  readonly samples: readonly (readonly [number, number])[]
}

const classifications = Array.from({ length: cases(300, 3000) }, drawClassification)
/** Few rows, so that SciPy tries all swaps; every other pair has scores with ties. */
const pairs = Array.from({ length: 12 }, (_, number) => {
  const score = (): number => (number % 2 === 0 ? share() : random.below(3))
  return { scores: Array.from({ length: 9 }, score), base: Array.from({ length: 9 }, score) }
})
const CONFIDENCES = [0.9, 0.95]
const samples = Array.from({ length: 8 }, (_, number) => ({
  scores: Array.from({ length: 40 }, () => (number % 2 === 0 ? share() : -Math.log(share() + 1e-9))),
  confidence: CONFIDENCES[number % 2]!,
}))

const mean = { score: (sums: Float64Array): number => sums[1]! / sums[0]! }
const rowsOf = (values: readonly number[]): Float64Array[] => values.map((value) => Float64Array.of(1, value))

describeWithPython('scores beside scikit-learn and SciPy', () => {
  let answered: Answered
  beforeAll(async () => {
    const input = {
      classifications: classifications.map(({ rows, labels, zeroDivision }) => ({
        label: rows.map(({ label }) => label),
        predicted: rows.map(({ predicted }) => predicted),
        probabilities: rows.map(({ probabilities }) => probabilities),
        labels,
        zeroDivision,
      })),
      pairs,
      samples,
    }
    const { code, stdout, stderr } = await runPython([SCRIPT], JSON.stringify(input))
    expect(code, stderr).toBe(0)
    answered = JSON.parse(stdout) as Answered
  })

  it('every metric of labels is that of scikit-learn', () => {
    let compared = 0
    for (const [number, { rows, labels, zeroDivision }] of classifications.entries()) {
      const { confusion, ...wanted } = answered.classifications[number]!
      const names = CLASSIFICATION_METRICS.filter((name) => name !== 'ece')
      for (const metric of classificationMetrics({ labels, metrics: names, zeroDivision })) {
        if (!(metric.name in wanted)) continue
        const sums = new Float64Array(metric.statistics(rows[0]!).length)
        for (const row of rows) for (const [i, value] of metric.statistics(row).entries()) sums[i]! += value
        const [score, expected] = [metric.score(sums), (wanted as Record<string, number | null>)[metric.name]]
        if (expected === null) expect(score, `${metric.name} of ${number}`).toBeNaN()
        else expect(Math.abs(score - expected!), `${metric.name} of ${number}: ${score}`).toBeLessThan(1e-12)
        compared++
      }
      const report = classificationReport(rows, { labels, zeroDivision })
      expect(report.confusion.rows).toEqual(confusion)
    }
    expect(compared).toBeGreaterThan(15 * classifications.length)
  })

  it('p-values are those that SciPy counts over all swaps', async () => {
    for (const [number, { scores, base }] of pairs.entries()) {
      const { pValue } = await pairedDifference(rowsOf(scores), rowsOf(base), mean, { samples: 20_000 })
      const exact = answered.pairs[number]!
      // Four standard deviations of a share of 20,000 random swaps.
      expect(Math.abs(pValue! - exact)).toBeLessThan(4 * Math.sqrt((exact * (1 - exact)) / 20_000) + 1e-4)
    }
  })

  it("intervals are SciPy's BCa where Student's quantiles and the factor are taken out", async () => {
    for (const [number, { scores, confidence }] of samples.entries()) {
      const [low, high] = answered.samples[number]!
      // Ours of this confidence has the normal quantile of theirs.
      const same = 2 * studentCdf(normalQuantile((1 + confidence) / 2) / Math.sqrt(40 / 39), 39) - 1
      const ours = await bootstrapInterval(rowsOf(scores), mean, { confidence: same, samples: 20_000 })
      // The bound of 20,000 resamples has a standard error of 2 % of that of the mean.
      const center = scores.reduce((sum, x) => sum + x) / 40
      const error = Math.sqrt(scores.reduce((sum, x) => sum + (x - center) ** 2, 0) / 39 / 40)
      expect(Math.abs(ours.low! - low) / error).toBeLessThan(0.12)
      expect(Math.abs(ours.high! - high) / error).toBeLessThan(0.12)
    }
  })
})

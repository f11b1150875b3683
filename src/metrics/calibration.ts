/** @file How good probabilities of labels are: log loss, Brier score, and expected calibration error with its bins. */

import { type ClassifiedRow, distributionOf, placesOf } from './classified-row.js'
import type { Metric } from './metric.js'

/** Bins of the expected calibration error where no other number is asked for. */
export const USUAL_BINS: number = 10

/** A mean over rows of something that is better the smaller it is. */
function meanLoss(name: string, loss: (row: ClassifiedRow) => number): Metric<ClassifiedRow> {
  return {
    name,
    higherIsBetter: false,
    statistics: (row) => Float64Array.of(1, loss(row)),
    score: (sums) => sums[1]! / sums[0]!,
  }
}

/**
 * Mean of -ln p, p being the probability of the right label, kept between epsilon and 1 - epsilon of float64 (2.2e-16)
 * as in scikit-learn's `log_loss`.
 */
export function logLoss(labels: readonly string[]): Metric<ClassifiedRow> {
  const places = placesOf(labels)
  return meanLoss('log_loss', (row) => {
    const { probabilities, place } = distributionOf(row, places)
    return -Math.log(Math.min(1 - Number.EPSILON, Math.max(Number.EPSILON, probabilities[place]!)))
  })
}

/**
 * Mean squared distance of the probabilities from 1 for the right label and 0 for others: the sum over labels, halved
 * where there are two or fewer, as in scikit-learn's `brier_score_loss` with `scale_by_half='auto'`.
 */
export function brierScore(labels: readonly string[]): Metric<ClassifiedRow> {
  const places = placesOf(labels)
  const scale = labels.length < 3 ? 0.5 : 1
  return meanLoss('brier_score', (row) => {
    const { probabilities, place } = distributionOf(row, places)
    let sum = 0
    for (let i = 0; i < probabilities.length; i++) sum += ((i === place ? 1 : 0) - probabilities[i]!) ** 2
    return scale * sum
  })
}

/**
 * Expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3). The confidence of a row
 * is its largest probability, its answer the label that has it, the first of equal ones. Bin m of M holds the rows with
 * a confidence in ((m - 1) / M, m / M]. The error is the sum over bins of |right answers - sum of confidences|, divided
 * by the number of rows.
 */
export function expectedCalibrationError(labels: readonly string[], bins: number): Metric<ClassifiedRow> {
  const places = placesOf(labels)
  return {
    name: 'ece',
    higherIsBetter: false,
    statistics: (row) => {
      const { bin, confidence, isRight } = placeInBins(row, places, bins)
      const sums = new Float64Array(1 + bins)
      sums[0] = 1
      sums[1 + bin] = (isRight ? 1 : 0) - confidence
      return sums
    },
    score: (sums) => {
      let error = 0
      for (let bin = 1; bin <= bins; bin++) error += Math.abs(sums[bin]!)
      return error / sums[0]!
    },
  }
}

/** Rows of similar confidence. */
export interface CalibrationBin {
  /** Confidences above this, and at most `high`. */
  readonly low: number
  readonly high: number
  readonly count: number
  /** Mean confidence; null where the bin is empty. */
  readonly confidence: number | null
  /** Share of right answers; null where the bin is empty. */
  readonly accuracy: number | null
}

/**
 * The bins of the expected calibration error, as a reliability diagram shows them.
 * @throws DataError where a row has no distribution over the labels
 */
export function calibrationBins(
  rows: Iterable<ClassifiedRow>,
  labels: readonly string[],
  bins = USUAL_BINS,
): readonly CalibrationBin[] {
  const places = placesOf(labels)
  const sums = Array.from({ length: bins }, () => ({ count: 0, confidence: 0, right: 0 }))
  for (const row of rows) {
    const { bin, confidence, isRight } = placeInBins(row, places, bins)
    const sum = sums[bin]!
    sum.count++
    sum.confidence += confidence
    if (isRight) sum.right++
  }
  return sums.map(({ count, confidence, right }, bin) => ({
    low: bin / bins,
    high: (bin + 1) / bins,
    count,
    confidence: count === 0 ? null : confidence / count,
    accuracy: count === 0 ? null : right / count,
  }))
}

function placeInBins(
  row: ClassifiedRow,
  places: ReadonlyMap<string, number>,
  bins: number,
): { readonly bin: number; readonly confidence: number; readonly isRight: boolean } {
  const { probabilities, place } = distributionOf(row, places)
  let answer = 0
  for (let i = 1; i < probabilities.length; i++) if (probabilities[i]! > probabilities[answer]!) answer = i
  const confidence = probabilities[answer]!
  let bin = Math.max(0, Math.ceil(confidence * bins) - 1)
  // The product may have been rounded across a bound.
  if (bin > 0 && confidence <= bin / bins) bin--
  if (confidence > (bin + 1) / bins) bin++
  return { bin, confidence, isRight: answer === place }
}

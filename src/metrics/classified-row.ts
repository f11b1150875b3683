/** @file A row that has a label and was answered with one, and what is expected of its probabilities. */

import { describeValue, listNames } from '../errors.js'
import { DataError, OptionError } from '../lowrank-error.js'

/** A row of a classification: what is right, and what was answered. */
export interface ClassifiedRow {
  /** The right label. */
  readonly label: string
  /** The label of the answer; null where the answer names none, which counts as wrong. */
  readonly predicted: string | null
  /** Probability of each label, in the order of `labels`. Log loss, Brier score and calibration ask for them. */
  readonly probabilities?: ArrayLike<number>
}

/** Softmax in float32 over many labels is off by less; what is no distribution is off by more. */
const SUM_TOLERANCE = 1e-5

/** Place of each label. @throws OptionError where a label comes twice, or there is none */
export function placesOf(labels: readonly string[]): ReadonlyMap<string, number> {
  const places = new Map(labels.map((label, place) => [label, place]))
  if (places.size < labels.length) {
    const twice = labels.find((label, place) => places.get(label) !== place)
    throw new OptionError(
      `[metrics] expected each label once for labels, got ${describeValue(twice)} twice; remove one`,
    )
  }
  return places
}

/**
 * Probabilities of a row and the place of its right label.
 * @throws DataError where they are no distribution over the labels, or the right label is none of them
 */
export function distributionOf(
  { label, probabilities }: ClassifiedRow,
  places: ReadonlyMap<string, number>,
): { readonly probabilities: ArrayLike<number>; readonly place: number } {
  const place = places.get(label)
  if (place === undefined)
    throw new DataError(
      `[metrics] expected one of the labels ${listNames([...places.keys()])} for label, got ${describeValue(label)}; add it to labels`,
    )
  if (probabilities === undefined || probabilities.length !== places.size)
    throw new DataError(
      `[metrics] expected ${places.size} numbers for probabilities, one for each label, got ${
        probabilities === undefined ? 'nothing' : probabilities.length
      }; give them in the order of labels`,
    )
  let sum = 0
  for (let i = 0; i < probabilities.length; i++) {
    const value = probabilities[i]!
    if (!(value >= 0 && value <= 1))
      throw new DataError(
        `[metrics] expected numbers from 0 to 1 for probabilities, got ${value}; normalize them first`,
      )
    sum += value
  }
  if (Math.abs(sum - 1) > SUM_TOLERANCE)
    throw new DataError(`[metrics] expected probabilities whose sum is 1, got ${sum}; normalize them first`)
  return { probabilities, place }
}

/**
 * @file What the tokens of an example count in the loss: weights of rows, messages and tokens become those of labels.
 */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import { DataError } from '../lowrank-error.js'
import type { TokenRange } from '../tokenizer/token-spans.js'
import type { Example } from './examples.js'

/** Tokens that are learnt, and what each counts; default 1. */
export interface LearntRange extends TokenRange {
  weight?: number
}

/** What a row says of weights beside its labels. They are multiplied. */
export interface RowWeights {
  /** What the whole row counts; default 1. */
  row?: number | undefined
  ranges: readonly LearntRange[]
  /** What each token counts, not shifted; default 1 each. */
  tokens?: ArrayLike<number> | undefined
}

/**
 * The example with these weights. Labels of weight 0 become -100; where all others are 1 there are no weights.
 * @throws DataError for a product that is not finite, is below 0, or is too small for a normal number of float32.
 */
export function withWeights(example: Example, { row = 1, ranges, tokens }: RowWeights): Example {
  if (row === 1 && tokens === undefined && ranges.every(({ weight = 1 }) => weight === 1)) return example
  const labels = Int32Array.from(example.labels)
  const weights = new Float32Array(labels.length)
  for (const { start, end, weight = 1 } of ranges) {
    for (let at = start; at < Math.min(end, labels.length); at++)
      weights[at] = float32Weight(row * weight * (tokens?.[at] ?? 1))
  }
  let numSupervised = 0
  let plain = true
  for (const [at, weight] of weights.entries()) {
    if (weight === 0) labels[at] = IGNORE_INDEX
    else if (labels[at] === IGNORE_INDEX) weights[at] = 0
    else {
      if (at > 0) numSupervised++
      plain &&= weight === 1
    }
  }
  return { ...example, labels, ...(!plain && { weights }), numSupervised }
}

// What is smaller has fewer digits, and its reciprocal, with which gradients are scaled, is infinite.
const LEAST_WEIGHT = 2 ** -126

function float32Weight(product: number): number {
  const weight = Math.fround(product)
  if (product === 0 || (Number.isFinite(weight) && weight >= LEAST_WEIGHT)) return weight
  throw new DataError(
    `[data] expected weights that are 0 or more and that float32 can hold, got ${product}; weights of row, message and token ` +
      'are multiplied: choose others',
  )
}

/**
 * @file linearCrossEntropy in float64, loss and gradients. `round` is applied where the engine casts: dropout(h), s,
 * dlogits, ds.
 */

import { type Casts, linear, linearBackward, type PartCase, type PartGradients } from './linear.js'
import { at, type Matrix, map, matrix } from './matrix.js'

export interface CrossEntropyCase {
  readonly labels: readonly number[]
  /** What each row counts; default 1. */
  readonly weights?: readonly number[]
  /** 0: none. */
  readonly softcap?: number
  /** 0: the sum of the labelled rows' weights. */
  readonly divisor?: number
  /** Factor of the gradients, not of the loss. Default 1. */
  readonly lossScale?: number
}

export interface CrossEntropyResult {
  readonly loss: number
  readonly dh: Matrix
  readonly head: PartGradients
}

/** Rows whose label is -100 or whose weight is 0 do not exist; h is [N, D], the head's weight [V, D]. */
export function linearCrossEntropy(
  h: Matrix,
  head: PartCase,
  { labels, weights = labels.map(() => 1), softcap = 0, divisor = 0, lossScale = 1 }: CrossEntropyCase,
  { round = (value) => value }: Pick<Casts, 'round'> = {},
): CrossEntropyResult {
  const rowIds = labels.flatMap((label, row) => (label === -100 || weights[row] === 0 ? [] : [row]))
  const kept = matrix(rowIds.length, h.cols, (row, col) => at(h, rowIds[row] as number, col))
  const { y, s } = linear(kept, [head], { round, rowIds })
  const capped = map(y, (value) => (softcap > 0 ? softcap * Math.tanh(value / softcap) : value))
  const sumOfWeights = rowIds.reduce((sum, id) => sum + (weights[id] as number), 0)
  const shares = rowIds.map((id) => (weights[id] as number) / (divisor || sumOfWeights))
  let loss = 0
  const logSums = rowIds.map((id, row) => {
    const z = capped.values.subarray(row * y.cols, (row + 1) * y.cols)
    const largest = z.reduce((most, value) => Math.max(most, value), -Infinity)
    const logSum = largest + Math.log(z.reduce((total, value) => total + Math.exp(value - largest), 0))
    loss += (logSum - at(capped, row, labels[id] as number)) * (shares[row] as number)
    return logSum
  })
  const dLogits = map(capped, (z, row, col) => {
    const label = labels[rowIds[row] as number]
    const slope = softcap > 0 ? 1 - (z / softcap) ** 2 : 1
    const share = shares[row] as number
    return round((Math.exp(z - (logSums[row] as number)) - Number(col === label)) * lossScale * share * slope)
  })
  const { dx, parts } = linearBackward(dLogits, kept, [head], s, { round, rowIds })
  const dh = matrix(h.rows, h.cols)
  rowIds.forEach((id, row) => {
    dh.values.set(dx.values.subarray(row * h.cols, (row + 1) * h.cols), id * h.cols)
  })
  return { loss, dh, head: parts[0] as PartGradients }
}

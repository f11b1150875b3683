/**
 * @file linearLogProbs in float64, values and gradients. `round` is applied where the engine casts: dropout(h), s,
 * dlogits, ds.
 */

import { type Casts, linear, linearBackward, type PartCase, type PartGradients } from './linear.js'
import { at, type Matrix, map, matrix } from './matrix.js'

export interface LogProbsCase {
  readonly labels: readonly number[]
  /** 0: none. */
  readonly softcap?: number
  /** Gradient of each row; those of rows without a label count for nothing. */
  readonly dLogProbs: readonly number[]
}

export interface LogProbsResult {
  readonly logProbs: readonly number[]
  readonly dh: Matrix
  readonly head: PartGradients
}

/** Rows whose label is -100 give 0; h is [N, D], the head's weight [V, D]. */
export function linearLogProbs(
  h: Matrix,
  head: PartCase,
  { labels, softcap = 0, dLogProbs }: LogProbsCase,
  { round = (value) => value }: Pick<Casts, 'round'> = {},
): LogProbsResult {
  const rowIds = labels.flatMap((label, row) => (label === -100 ? [] : [row]))
  const kept = matrix(rowIds.length, h.cols, (row, col) => at(h, rowIds[row] as number, col))
  const { y, s } = linear(kept, [head], { round, rowIds })
  const capped = map(y, (value) => (softcap > 0 ? softcap * Math.tanh(value / softcap) : value))
  const logProbs = labels.map(() => 0)
  const logSums = rowIds.map((id, row) => {
    const z = capped.values.subarray(row * y.cols, (row + 1) * y.cols)
    const largest = z.reduce((most, value) => Math.max(most, value), -Infinity)
    const logSum = largest + Math.log(z.reduce((total, value) => total + Math.exp(value - largest), 0))
    logProbs[id] = at(capped, row, labels[id] as number) - logSum
    return logSum
  })
  const dLogits = map(capped, (z, row, col) => {
    const id = rowIds[row] as number
    const slope = softcap > 0 ? 1 - (z / softcap) ** 2 : 1
    const isLabel = Number(col === labels[id])
    return round((isLabel - Math.exp(z - (logSums[row] as number))) * (dLogProbs[id] as number) * slope)
  })
  const { dx, parts } = linearBackward(dLogits, kept, [head], s, { round, rowIds })
  const dh = matrix(h.rows, h.cols)
  rowIds.forEach((id, row) => {
    dh.values.set(dx.values.subarray(row * h.cols, (row + 1) * h.cols), id * h.cols)
  })
  return { logProbs, dh, head: parts[0] as PartGradients }
}

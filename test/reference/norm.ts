/**
 * @file rmsNorm and layerNorm in float64, forward and backward. `s` is what is normalised: x + residual, as the engine
 * rounded it.
 */

import { at, type Matrix, map, matrix } from './matrix.js'

interface Row {
  mean: number
  scale: number
}

function rowStatistics(s: Matrix, eps: number, centred: boolean): Row[] {
  return Array.from({ length: s.rows }, (_, row) => {
    let mean = 0
    if (centred) for (let col = 0; col < s.cols; col++) mean += at(s, row, col) / s.cols
    let square = 0
    for (let col = 0; col < s.cols; col++) square += (at(s, row, col) - mean) ** 2 / s.cols
    return { mean, scale: 1 / Math.sqrt(square + eps) }
  })
}

function normalised(s: Matrix, eps: number, centred: boolean): { n: Matrix; rows: Row[] } {
  const rows = rowStatistics(s, eps, centred)
  return { rows, n: map(s, (value, row) => (value - (rows[row] as Row).mean) * (rows[row] as Row).scale) }
}

/** `n * weight + bias`; without bias this is rmsNorm, with it layerNorm. */
export function norm(s: Matrix, weight: Matrix, bias: Matrix | undefined, eps: number): Matrix {
  const { n } = normalised(s, eps, bias !== undefined)
  return map(n, (value, _row, col) => value * at(weight, 0, col) + (bias ? at(bias, 0, col) : 0))
}

/** Gradients of `norm`; `centred` says layerNorm. */
export function normBackward(
  dy: Matrix,
  s: Matrix,
  weight: Matrix,
  eps: number,
  centred: boolean,
): { dx: Matrix; dWeight: Matrix; dBias: Matrix } {
  const { n, rows } = normalised(s, eps, centred)
  const dWeight = matrix(1, s.cols)
  const dBias = matrix(1, s.cols)
  const dx = matrix(s.rows, s.cols)
  for (let row = 0; row < s.rows; row++) {
    let meanG = 0
    let meanGn = 0
    for (let col = 0; col < s.cols; col++) {
      const g = at(dy, row, col) * at(weight, 0, col)
      if (centred) meanG += g / s.cols
      meanGn += (g * at(n, row, col)) / s.cols
      dWeight.values[col] = at(dWeight, 0, col) + at(dy, row, col) * at(n, row, col)
      dBias.values[col] = at(dBias, 0, col) + at(dy, row, col)
    }
    for (let col = 0; col < s.cols; col++) {
      const g = at(dy, row, col) * at(weight, 0, col)
      dx.values[row * s.cols + col] = (rows[row] as Row).scale * (g - meanG - at(n, row, col) * meanGn)
    }
  }
  return { dx, dWeight, dBias }
}

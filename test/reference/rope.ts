/** @file Rotary positions in float64, half-split layout, from the same table that the engine reads. */

import { at, type Matrix, matrix } from './matrix.js'

/** @param cosSin [P, headDim]: cosines, then sines. */
export function rope(x: Matrix, cosSin: Matrix, positions: readonly number[], inverse = false): Matrix {
  const half = cosSin.cols / 2
  return matrix(x.rows, x.cols, (row, col) => {
    const within = col % cosSin.cols
    const start = col - within + (within % half)
    const position = positions[row] as number
    const cosine = at(cosSin, position, within % half)
    const sine = at(cosSin, position, half + (within % half)) * (inverse ? -1 : 1)
    const a = at(x, row, start)
    const b = at(x, row, start + half)
    return within < half ? a * cosine - b * sine : b * cosine + a * sine
  })
}

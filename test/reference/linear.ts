/**
 * @file linear with LoRA in float64, forward and backward. `round` is applied where the engine casts to its compute
 * dtype: s, ds, dropout(x).
 */

import { add, at, type Matrix, map, matrix } from './matrix.js'
import { type DropoutKey, dropoutFactor } from './philox.js'

export interface PairCase {
  /** [r, K]. */
  readonly a: Matrix
  /** [O, r]. */
  readonly b: Matrix
  readonly scale: number
  readonly dropout?: DropoutKey
}

export interface PartCase {
  /** [O, K]; [K, O] when `inOut`. */
  readonly weight: Matrix
  readonly inOut?: boolean
  /** [1, O]. */
  readonly bias?: Matrix
  readonly pairs: readonly PairCase[]
}

export interface Casts {
  /** To the compute dtype; default: none. */
  round?: (value: number) => number
  /** The row as which each row of x counts in dropout masks; default: itself. */
  rowIds?: readonly number[]
}

function transpose(m: Matrix): Matrix {
  return matrix(m.cols, m.rows, (row, col) => at(m, col, row))
}

/** a [M, K] b [K, N]. */
function multiply(a: Matrix, b: Matrix): Matrix {
  const result = matrix(a.rows, b.cols)
  for (let row = 0; row < a.rows; row++) {
    for (let k = 0; k < a.cols; k++) add(result.values, row * b.cols, at(a, row, k), b.values, k * b.cols, b.cols)
  }
  return result
}

function plus(a: Matrix, b: Matrix): Matrix {
  return map(a, (value, row, col) => value + at(b, row, col))
}

const scaled = (m: Matrix, factor: number, round: (value: number) => number): Matrix =>
  map(m, (value) => round(value * factor))

/** The weight as [K, O], whichever way it is stored. */
const inward = (part: PartCase): Matrix => (part.inOut ? part.weight : transpose(part.weight))

function maskOf(pair: PairCase, rows: number, cols: number, rowIds: readonly number[] | undefined): Matrix {
  const { dropout } = pair
  return matrix(rows, cols, (row, col) =>
    dropout ? dropoutFactor(dropout, (rowIds ? (rowIds[row] as number) : row) * cols + col) : 1,
  )
}

const times = (a: Matrix, b: Matrix): Matrix => map(a, (value, row, col) => value * at(b, row, col))

/** y, the outputs of all parts side by side, and the s of each LoRA pair. */
export function linear(
  x: Matrix,
  parts: readonly PartCase[],
  { round = (value) => value, rowIds }: Casts = {},
): { y: Matrix; s: Matrix[][] } {
  const s = parts.map((part) =>
    part.pairs.map((pair) => {
      const kept = map(times(x, maskOf(pair, x.rows, x.cols, rowIds)), round)
      return scaled(multiply(kept, transpose(pair.a)), pair.scale, round)
    }),
  )
  const outputs = parts.map((part, p) => {
    let y = multiply(x, inward(part))
    part.pairs.forEach((pair, i) => {
      y = plus(y, multiply((s[p] as Matrix[])[i] as Matrix, transpose(pair.b)))
    })
    const { bias } = part
    return bias ? map(y, (value, _row, col) => value + at(bias, 0, col)) : y
  })
  const starts = outputs.map((_, p) => outputs.slice(0, p).reduce((total, y) => total + y.cols, 0))
  const y = matrix(
    x.rows,
    outputs.reduce((total, part) => total + part.cols, 0),
  )
  outputs.forEach((part, p) => {
    for (let row = 0; row < part.rows; row++) {
      y.values.set(part.values.subarray(row * part.cols, (row + 1) * part.cols), row * y.cols + (starts[p] as number))
    }
  })
  return { y, s }
}

export interface PartGradients {
  /** As the weight is stored. */
  readonly dWeight: Matrix
  /** [1, O]. */
  readonly dBias: Matrix
  readonly pairs: readonly { da: Matrix; db: Matrix }[]
}

/** Gradients of `linear`; `s` is what its forward gave. */
export function linearBackward(
  dy: Matrix,
  x: Matrix,
  parts: readonly PartCase[],
  s: readonly (readonly Matrix[])[],
  { round = (value) => value, rowIds }: Casts = {},
): { dx: Matrix; parts: PartGradients[] } {
  let dx = matrix(x.rows, x.cols)
  let start = 0
  const gradients = parts.map((part, p) => {
    const weight = inward(part)
    const first = start
    start += weight.cols
    const dyPart = matrix(dy.rows, weight.cols, (row, col) => at(dy, row, first + col))
    dx = plus(dx, multiply(dyPart, transpose(weight)))
    const pairs = part.pairs.map((pair, i) => {
      const mask = maskOf(pair, x.rows, x.cols, rowIds)
      const ds = scaled(multiply(dyPart, pair.b), pair.scale, round)
      dx = plus(dx, times(multiply(ds, pair.a), mask))
      return {
        da: multiply(transpose(ds), map(times(x, mask), round)),
        db: multiply(transpose(dyPart), (s[p] as Matrix[])[i] as Matrix),
      }
    })
    const dWeight = part.inOut ? multiply(transpose(x), dyPart) : multiply(transpose(dyPart), x)
    return {
      dWeight,
      dBias: multiply(
        matrix(1, dy.rows, () => 1),
        dyPart,
      ),
      pairs,
    }
  })
  return { dx, parts: gradients }
}

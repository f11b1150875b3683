/** @file swiglu and both forms of gelu in float64, with their derivatives. */

import { at, type Matrix, matrix } from './matrix.js'

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** x = [gate | up]. */
export function swiglu(x: Matrix): Matrix {
  const width = x.cols / 2
  return matrix(x.rows, width, (row, col) => at(x, row, col) * sigmoid(at(x, row, col)) * at(x, row, width + col))
}

export function swigluBackward(dy: Matrix, x: Matrix): Matrix {
  const width = dy.cols
  return matrix(x.rows, x.cols, (row, col) => {
    const gate = at(x, row, col % width)
    const s = sigmoid(gate)
    const upstream = at(dy, row, col % width)
    return col < width ? upstream * at(x, row, width + col) * s * (1 + gate * (1 - s)) : upstream * gate * s
  })
}

/** The error function: its series below 3, the continued fraction of erfc above; within 1e-15. */
export function erf(x: number): number {
  const t = Math.abs(x)
  if (t > 6) return Math.sign(x)
  if (t < 3) {
    let term = x
    let sum = x
    for (let n = 1; n < 100; n++) {
      term *= -(x * x) / n
      sum += term / (2 * n + 1)
    }
    return (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = 0
  for (let n = 60; n > 0; n--) fraction = n / 2 / (t + fraction)
  return Math.sign(x) * (1 - Math.exp(-t * t) / (Math.sqrt(Math.PI) * (t + fraction)))
}

export function gelu(x: number, tanh: boolean): number {
  const inner = tanh ? Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)) : erf(x / Math.SQRT2)
  return 0.5 * x * (1 + inner)
}

export function geluSlope(x: number, tanh: boolean): number {
  if (!tanh) return 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI)
  const k = Math.sqrt(2 / Math.PI)
  const t = Math.tanh(k * (x + 0.044715 * x ** 3))
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
}

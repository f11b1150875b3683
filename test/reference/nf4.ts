/**
 * @file NF4 as formats say it, one rounding to float32 at a time: results are exact, not within a tolerance. Ties take
 * the lower code.
 */

import { type Matrix, matrix } from './matrix.js'

export interface Nf4Case {
  /** One code per element. */
  readonly codes: Uint8Array
  /** As stored: two codes to a byte, the earlier in the high nibble. */
  readonly packed: Uint8Array
  /** One scale per block, before double quantisation. */
  readonly absmax: Float32Array
}

export interface NestedScales {
  readonly codes: Uint8Array
  readonly absmax: Float32Array
  readonly offset: number
}

const { fround } = Math

function midpoints(code: ArrayLike<number>): number[] {
  return Array.from({ length: code.length - 1 }, (_, i) =>
    fround(fround((code[i] as number) + (code[i + 1] as number)) / 2),
  )
}

/** The number of thresholds below a value. */
function encode(value: number, thresholds: readonly number[]): number {
  return thresholds.filter((threshold) => value > threshold).length
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
}

function blocksOf(values: ArrayLike<number>, size: number): number[][] {
  const all = Array.from(values)
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size))
}

/** Values in row-major order, float32 numbers. */
export function quantize(values: ArrayLike<number>, code: ArrayLike<number>, blockSize: number): Nf4Case {
  const thresholds = midpoints(code)
  const blocks = blocksOf(values, blockSize)
  const absmax = Float32Array.from(blocks, largest)
  const codes = Uint8Array.from(
    blocks.flatMap((block, i) => {
      const reciprocal = fround(1 / Math.max(absmax[i] as number, fround(1e-38)))
      return block.map((value) => encode(fround(value * reciprocal), thresholds))
    }),
  )
  const zero = encode(0, thresholds)
  const packed = Uint8Array.from(
    { length: Math.ceil(codes.length / 2) },
    (_, i) => ((codes[2 * i] as number) << 4) | (codes[2 * i + 1] ?? zero),
  )
  return { codes, packed, absmax }
}

/** Double quantisation of scales; bitsandbytes' CPU path rounds to one of 2^16 places first. */
export function quantizeScales(absmax: Float32Array, code: ArrayLike<number>, blockSize: number): NestedScales {
  const thresholds = midpoints(code)
  const offset = fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length)
  const blocks = blocksOf(
    absmax.map((value) => value - offset),
    blockSize,
  )
  const nested = Float32Array.from(blocks, largest)
  const codes = blocks.flatMap((block, i) =>
    block.map((value) => {
      const scaled = fround(value * fround(1 / (nested[i] as number)))
      const clamped = Math.max(-1, Math.min(1, Number.isNaN(scaled) ? -1 : scaled))
      const place = Math.floor(fround((fround(clamped + 1) / 2) * 65535 + 0.5))
      return encode(fround(-1 + fround((2 * place) / 65535)), thresholds)
    }),
  )
  return { codes: Uint8Array.from(codes), absmax: nested, offset }
}

/** The scales that double quantised ones stand for. */
export function nestedScales(scales: NestedScales, code: ArrayLike<number>, blockSize: number): Float32Array {
  return Float32Array.from(scales.codes, (q, i) => {
    const product = fround((code[q] as number) * (scales.absmax[Math.floor(i / blockSize)] as number))
    return fround(product + scales.offset)
  })
}

/** The matrix [rows, cols], rounded once by `round` after the product in float32. */
export function dequantize(
  { codes }: Pick<Nf4Case, 'codes'>,
  scales: Float32Array,
  code: ArrayLike<number>,
  { rows, cols, blockSize, round }: { rows: number; cols: number; blockSize: number; round: (value: number) => number },
): Matrix {
  return matrix(rows, cols, (row, col) => {
    const i = row * cols + col
    return round(fround((code[codes[i] as number] as number) * (scales[Math.floor(i / blockSize)] as number)))
  })
}

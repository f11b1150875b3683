/**
 * @file Numbers for op tests: seeded random operands on a device beside their exact float64 values, and one comparison.
 */

import { expect } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { type ComputeDType, COMPUTE_DTYPES as EVERY_DTYPE } from '../../src/tensor/dtype.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { type Matrix, matrix } from '../reference/matrix.js'
import { isThorough } from './long.js'

export type { ComputeDType as Compute }

/**
 * Kernels of float16 differ from those of bfloat16 by their conversions: on the one emulated GPU of `npm test` they are
 * left to CI.
 */
export const COMPUTE_DTYPES: readonly ComputeDType[] =
  isThorough || process.env.LOWRANK_TEST_EMULATORS === undefined ? EVERY_DTYPE : ['float32', 'bfloat16']

/** Uniform numbers in [-1, 1): the same ones for a seed, everywhere (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

/** Adding it to a small positive number and taking it away again rounds that to an integer, ties to even. */
const EVEN_INTEGERS = 2 ** 52

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The nearest bfloat16 or float16 (ties to even; float16 is infinite from 65520 on), or the nearest float32. */
export function roundTo(dtype: ComputeDType, value: number): number {
  if (dtype === 'float32') return Math.fround(value)
  float[0] = value
  const word = bits[0] as number
  if (dtype === 'float16') {
    // Steps of a magnitude: 2^-10 of its power of two, 2^-24 from 2^-14 down.
    const step = 2 ** (Math.max(((word >>> 23) & 0xff) - 127, -14) - 10)
    const whole = Math.abs(float[0]) / step + EVEN_INTEGERS - EVEN_INTEGERS
    const magnitude = whole * step > 65504 ? Infinity : whole * step
    return word >>> 31 ? -magnitude : magnitude
  }
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000
  return float[0] as number
}

/** A tensor and the values that it holds exactly. */
export interface Operand extends Matrix {
  readonly tensor: Tensor
}

export interface OperandOptions {
  /** Largest magnitude; default 1. */
  scale?: number
  /** Unused elements between rows, so that strides are tested; default 0. */
  gap?: number
}

/** Makes random operands of one dtype on one device. */
export function operandMaker(device: Device, dtype: ComputeDType, seed: number) {
  const random = seededRandom(seed)
  return (rows: number, cols: number, { scale = 1, gap = 0 }: OperandOptions = {}): Operand => {
    const values = matrix(rows, cols, () => roundTo(dtype, random() * scale))
    return { ...values, tensor: upload(device, values, dtype, gap) }
  }
}

/** A matrix on the device, its rows `gap` elements apart. */
export function upload(device: Device, values: Matrix, dtype: ComputeDType, gap = 0): Tensor {
  const { rows, cols } = values
  const padded = new Float32Array(rows * (cols + gap))
  for (let row = 0; row < rows; row++)
    padded.set(values.values.subarray(row * cols, (row + 1) * cols), row * (cols + gap))
  return Tensor.from(device, padded, [rows, cols + gap], dtype).columns(0, cols)
}

/** An output: rows `gap` elements apart, whose gaps `expectGaps` finds untouched. */
export function output(device: Device, rows: number, cols: number, dtype: ComputeDType, gap = 0): Tensor {
  return Tensor.full(device, [rows, cols + gap], dtype, SENTINEL).columns(0, cols)
}

const SENTINEL = 77

/** The elements between the rows of an `output()` are as they were. */
export async function expectGapsUntouched(tensor: Tensor): Promise<void> {
  const gap = tensor.rowStride - tensor.cols
  const whole = await tensor.widen(tensor.rowStride).read()
  for (let row = 0; row < tensor.rows; row++) {
    const start = row * tensor.rowStride + tensor.cols
    expect([...whole.subarray(start, start + gap)]).toEqual(new Array(gap).fill(SENTINEL))
  }
}

export async function readMatrix(tensor: Tensor): Promise<Matrix> {
  return { rows: tensor.rows, cols: tensor.cols, values: Float64Array.from(await tensor.read()) }
}

export interface Tolerance {
  /** Share of each element: rounding on the way out. */
  relative: number
  /** Share of the largest element: what float32 accumulation and cancellation may leave anywhere. */
  ofLargest: number
  /** For results whose terms cancel to nothing: in units of the terms. Default 0. */
  absolute?: number
}

/**
 * What one rounding to the dtype allows: bfloat16 has a half ulp of 2^-9, doubled because the value before rounding
 * differs too; float16 likewise 2^-12, and steps of 2^-24 below 2^-14; float32 kernels use polynomials and sums of up
 * to a few thousand terms.
 */
export const ONE_ROUNDING: Record<ComputeDType, Tolerance> = {
  float32: { relative: 1e-6, ofLargest: 2e-6 },
  bfloat16: { relative: 2 ** -8, ofLargest: 2e-6 },
  float16: { relative: 2 ** -11, ofLargest: 2e-6, absolute: 2 ** -24 },
}

/** Every element within the tolerance; infinities and their signs must match, NaN never does. */
export function expectClose(actual: Matrix, expected: Matrix, { relative, ofLargest, absolute = 0 }: Tolerance): void {
  expect([actual.rows, actual.cols]).toEqual([expected.rows, expected.cols])
  let largest = 0
  for (const value of expected.values) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value))
  let worst = { excess: 0, text: '' }
  expected.values.forEach((want, i) => {
    const got = actual.values[i] as number
    if (Object.is(got, want) || got === want) return
    const distance = Math.abs(got - want)
    const allowed = relative * Math.abs(want) + ofLargest * largest + absolute
    const excess = Number.isNaN(distance) ? Infinity : distance / allowed
    if (excess > worst.excess) {
      const place = `[${Math.floor(i / expected.cols)}, ${i % expected.cols}]`
      worst = { excess, text: `${place}: ${got} for ${want}, ${excess.toFixed(2)} x the tolerance` }
    }
  })
  expect(worst.excess <= 1 ? 'close' : worst.text).toBe('close')
}

/** Every element the very same number: for ops that round once, or not at all. */
export function expectExact(actual: Matrix, expected: Matrix): void {
  expect([actual.rows, actual.cols]).toEqual([expected.rows, expected.cols])
  const place = actual.values.findIndex((value, i) => !Object.is(value, expected.values[i]))
  if (place >= 0) expect(actual.values[place], `element ${place}`).toBe(expected.values[place])
}

/**
 * @file quantizeNf4 and dequantizeNf4, and the two code tables of bitsandbytes' NF4 (Dettmers et al. 2023,
 * arXiv:2305.14314).
 */

import { LowrankError } from '../lowrank-error.js'
import { ConstantArguments, type OpArguments } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import {
  NF4_BLOCK_SIZE,
  NF4_CODES,
  NF4_NESTED_BLOCK_SIZE,
  NF4_NESTED_CODES,
  type Nf4Weight,
  nf4Sizes,
} from '../tensor/nf4.js'
import { Tensor } from '../tensor/tensor.js'
import { expectShape } from './check.js'

export interface QuantizeNf4Options {
  /** Elements that share a scale: a power of two from 32 to 4096. Default 64. */
  blockSize?: number
  /** Keeps the scales in 8 bits, 0.127 bits per parameter in place of 0.5. Default true. */
  doubleQuantization?: boolean
}

/** Quantiles of a normal distribution, scaled to [-1, 1], one of them exactly 0. */
const NF4_CODE = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]

/**
 * The signed 8-bit dynamic map: in decade i of seven, the 2^i midpoints of as many parts of [0.1, 1]; then 0 and 1.
 * Float32 throughout.
 */
function dynamicMap(): Float32Array {
  const { fround } = Math
  const values = [0, 1]
  for (let i = 0; i < 7; i++) {
    const parts = 2 ** i
    const step = fround(fround(1 - fround(0.1)) / parts)
    // As torch.linspace does it where the machine has AVX2: from the nearer end, product and sum rounded once.
    const bound = (n: number): number =>
      n < Math.floor((parts + 1) / 2) ? fround(fround(0.1) + step * n) : fround(1 - step * (parts - n))
    for (let n = 0; n < parts; n++) {
      const value = fround(fround(10 ** (i - 6)) * fround(fround(bound(n) + bound(n + 1)) / 2))
      values.push(value, -value)
    }
  }
  return Float32Array.from(values).sort()
}

/** The tables that quantizeNf4 encodes with, as float32: 16 codes of elements, 256 codes of scales. */
export const NF4_TABLES = { code: Float32Array.from(NF4_CODE), nestedCode: dynamicMap() } as const

/**
 * A matrix in NF4. The weight shares nothing with `x`.
 * @param x [O, K] float32, bfloat16 or float16.
 * @throws when x is not a matrix, and when the block size is none that bitsandbytes has.
 */
export function quantizeNf4(
  x: Tensor,
  { blockSize = NF4_BLOCK_SIZE, doubleQuantization = true }: QuantizeNf4Options = {},
): Nf4Weight {
  expectShape('quantizeNf4', 'x', x, [undefined, undefined], 'O, K')
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 32 || blockSize > 4096) {
    throw new LowrankError(
      'INVALID_CALL',
      `[quantizeNf4] expected a power of two from 32 to 4096 for blockSize, got ${blockSize}`,
    )
  }
  const { device } = x
  const sizes = nf4Sizes(x.size, blockSize, NF4_NESTED_BLOCK_SIZE)
  const packed = Tensor.empty(device, [sizes.packed], 'uint8')
  const absmax = Tensor.empty(device, [sizes.absmax], doubleQuantization ? 'uint8' : 'float32')
  const code = Tensor.from(device, NF4_TABLES.code, [NF4_CODES])
  const nested = doubleQuantization
    ? {
        nestedAbsmax: Tensor.empty(device, [sizes.nestedAbsmax], 'float32'),
        nestedCode: Tensor.from(device, NF4_TABLES.nestedCode, [NF4_NESTED_CODES]),
        offset: Tensor.empty(device, [1], 'float32'),
      }
    : {}
  const blocks = { blockSize, nestedBlockSize: NF4_NESTED_BLOCK_SIZE }
  device.enqueue('quantizeNf4', { x, packed, absmax, code, ...nested, ...blocks })
  return { packed, absmax, code, ...nested, shape: [x.rows, x.cols], ...blocks }
}

/** The dense matrix [O, K] that a weight stands for: code * scale in float32, rounded once to `dtype`. */
export function dequantizeNf4(weight: Nf4Weight, dtype: ComputeDType): Tensor {
  const y = Tensor.empty(weight.packed.device, weight.shape, dtype)
  y.device.enqueue('dequantizeNf4', { y, ...nf4Arguments(weight) })
  return y
}

/** A weight as the native ops take it. */
export function nf4Arguments(weight: Nf4Weight): OpArguments {
  const { shape, ...rest } = weight
  return { ...rest, rows: shape[0], cols: shape[1] }
}

const constants = new WeakMap<Nf4Weight, ConstantArguments>()

/** The same for a weight that many commands read, as one of a model. */
export function nf4Constant(weight: Nf4Weight): ConstantArguments {
  let constant = constants.get(weight)
  if (!constant) {
    constant = new ConstantArguments(nf4Arguments(weight))
    constants.set(weight, constant)
  }
  return constant
}

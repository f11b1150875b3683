/** @file The storage of a matrix in NF4; the ops on it are in src/ops/nf4.ts. */

import type { Tensor } from './tensor.js'

/** Entries of the table of elements and of that of scales. */
export const NF4_CODES = 16
export const NF4_NESTED_CODES = 256
/**
 * What quantising makes unless it is told otherwise: elements that share a scale, and scales that share one of their
 * own.
 */
export const NF4_BLOCK_SIZE = 64
export const NF4_NESTED_BLOCK_SIZE = 256

/**
 * bitsandbytes' NF4 (Dettmers et al. 2023, arXiv:2305.14314): element i is code[q_i] * scale of its block, elements
 * row-major, two to a byte, the earlier in the high nibble. The scale of block j is absmax[j] or, double quantised,
 * nestedCode[absmax[j]] * nestedAbsmax[j / nestedBlockSize] + offset. The tables belong to the weight: they are what
 * its file says.
 */
export interface Nf4Weight {
  /** uint8 [1, ceil(O K / 2)]. */
  readonly packed: Tensor
  /** [1, ceil(O K / blockSize)] float32; uint8 when double quantised. */
  readonly absmax: Tensor
  /** float32 [1, 16], ascending. */
  readonly code: Tensor
  /** float32 [1, ceil(blocks / nestedBlockSize)]; the next two come with it. */
  readonly nestedAbsmax?: Tensor | undefined
  /** float32 [1, 256], ascending. */
  readonly nestedCode?: Tensor | undefined
  /** float32 [1, 1]. */
  readonly offset?: Tensor | undefined
  /** [O, K]. */
  readonly shape: readonly [number, number]
  readonly blockSize: number
  readonly nestedBlockSize: number
}

/** Elements of packed, absmax and nestedAbsmax for a matrix of `count` elements. */
export function nf4Sizes(
  count: number,
  blockSize: number,
  nestedBlockSize: number,
): { packed: number; absmax: number; nestedAbsmax: number } {
  const absmax = Math.ceil(count / blockSize)
  return { packed: Math.ceil(count / 2), absmax, nestedAbsmax: Math.ceil(absmax / nestedBlockSize) }
}

/** @file The storage of a matrix in NF4; the ops on it are in src/ops/nf4.ts. */

import type { Tensor } from './tensor.js'

/**
 * bitsandbytes' NF4 (Dettmers et al. 2023, arXiv:2305.14314): element i is code[q_i] * scale of its block, elements row-major, two to a byte, the
 * earlier in the high nibble. The scale of block j is absmax[j] or, double quantised, nestedCode[absmax[j]] * nestedAbsmax[j / nestedBlockSize] +
 * offset. The tables belong to the weight: they are what its file says.
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

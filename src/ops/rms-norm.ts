/** @file rmsNorm: root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467). */

import type { Parameter } from '../autograd/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type NormOptions, type NormResult, norm } from './norm.js'

export interface RmsNormOptions extends NormOptions {
  /** Parts of a row that are normalised each by itself, with the same weight; default 1. */
  heads?: number
}

/**
 * `sum = x + residual; y = sum / sqrt(mean(sum^2) + eps) * weight`, head by head.
 * @param x [N, heads * D] float32 or bfloat16.
 * @param weight [D].
 */
export function rmsNorm(x: Tensor, weight: Parameter, { heads, ...options }: RmsNormOptions): NormResult {
  return norm('rmsNorm', x, weight, undefined, options, heads)
}

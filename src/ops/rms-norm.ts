/** @file rmsNorm: root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467). */

import type { Parameter } from '../autograd/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type NormOptions, type NormResult, norm } from './norm.js'

/**
 * `sum = x + residual; y = sum / sqrt(mean(sum^2) + eps) * weight`, row by row.
 * @param x [N, D] float32 or bfloat16.
 * @param weight [D].
 */
export function rmsNorm(x: Tensor, weight: Parameter, options: NormOptions): NormResult {
  return norm('rmsNorm', x, weight, undefined, options)
}

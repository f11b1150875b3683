/** @file layerNorm: layer normalisation (Ba et al. 2016, arXiv:1607.06450). */

import type { Parameter } from '../autograd/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { type NormOptions, type NormResult, norm } from './norm.js'

/**
 * `sum = x + residual; y = (sum - mean) / sqrt(var + eps) * weight + bias`, row by row, with the biased variance.
 * @param x [N, D] float32 or bfloat16.
 * @param weight [D].
 * @param bias [D].
 */
export function layerNorm(x: Tensor, weight: Parameter, bias: Parameter, options: NormOptions): NormResult {
  return norm('layerNorm', x, weight, bias, options)
}

/** @file gelu: Gaussian error linear unit (Hendrycks & Gimpel 2016, arXiv:1606.08415). */

import type { Tensor } from '../tensor/tensor.js'
import { activation } from './activation.js'

/**
 * `x * Phi(x)`, exactly (by erf), or with `tanh: true` by the tanh approximation that GPT-2 was trained with.
 * @param x [N, F].
 */
export function gelu(x: Tensor, { tanh }: { tanh: boolean }): Tensor {
  return activation('gelu', x, x.cols, { tanh })
}

/**
 * @file What rmsNorm and layerNorm share: the fused residual addition, the backward rule, and an output that is made
 * again, not kept.
 */

import { runsAgain } from '../autograd/gradient-checkpointing.js'
import type { Parameter } from '../autograd/parameter.js'
import { recomputeFrom } from '../autograd/recompute.js'
import { needsRecording, record, Saved } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { expectCompute, expectDType, expectSameDevice, expectShape } from './check.js'

export interface NormOptions {
  /** Added to the mean square or variance. */
  eps: number
  /** [N, D]: added to x first. */
  residual?: Tensor
}

/** The normalised values and what was normalised: x + residual, or x itself. */
export interface NormResult {
  y: Tensor
  sum: Tensor
}

/** The op `rmsNorm` or `layerNorm`; `bias` belongs to the latter, `heads` to the former. */
export function norm(
  op: 'rmsNorm' | 'layerNorm',
  x: Tensor,
  weight: Parameter,
  bias: Parameter | undefined,
  { eps, residual }: NormOptions,
  heads?: number,
): NormResult {
  const { device } = x
  expectCompute(op, 'x', x)
  expectShape(op, 'x', x, [undefined, (heads ?? 1) * weight.size], heads === undefined ? 'N, D' : `N, ${heads} * D`)
  if (residual) {
    expectSameDevice(op, { x, residual })
    expectShape(op, 'residual', residual, x.shape, 'like x')
    expectDType(op, 'residual', residual, x.dtype)
  }
  const weights = bias ? { weight: weight.value, bias: bias.value } : { weight: weight.value }
  const forward = (input: Tensor, added?: Tensor, sum?: Tensor): Tensor => {
    const y = Tensor.activation(device, input.shape, input.dtype)
    device.enqueue(op, { x: input, residual: added, ...weights, sum, y, eps })
    return y
  }
  const sum = residual ? Tensor.activation(device, x.shape, x.dtype) : x
  const y = forward(x, residual, residual && sum)
  const trainable = weight.requiresGrad || bias?.requiresGrad
  if (!needsRecording([x, residual], trainable)) return { y, sum }

  const saved = new Saved(sum, op)
  // Without a residual the sum is the caller's own x, whose other uses send their gradients there themselves.
  record(op, [x, residual], residual ? [y, sum] : [y], [saved], ([dy, dSum]) => {
    if (!dy) return [dSum, dSum]
    // The gradient of heads is columns of a buffer that q, k and v share: it stays there, for splitColumns to hand on
    // the whole.
    const dx = heads !== undefined && !dy.shared ? dy : Tensor.activation(device, dy.shape, dy.dtype)
    const dWeight = weight.requiresGrad ? weight.gradBuffer() : undefined
    const gradients = bias ? { dWeight, dBias: bias.requiresGrad ? bias.gradBuffer() : undefined } : { dWeight }
    device.enqueue(`${op}Backward`, { dy, dSum, x: saved.get(), weight: weight.value, dx, ...gradients, eps })
    return [dx, dx]
  })
  // In a block that is computed again y is not held for long.
  if (!runsAgain()) y.recompute = recomputeFrom([sum], forward)
  return { y, sum }
}

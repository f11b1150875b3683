/** @file linearCrossEntropy: output head and loss in one, a chunk of labelled rows at a time; logits are never kept. */

import { isUnitGradient, needsRecording, record, Saved } from '../autograd/tape.js'
import { LowrankError } from '../lowrank-error.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectShape } from './check.js'
import { type DropoutState, factors, gradientOf, isTrainable, type Projection } from './linear.js'

export interface LinearCrossEntropyOptions {
  /**
   * float32 [N]: what the loss of each row is multiplied by, finite and 0 or more; default 1. Rows of weight 0 cost
   * nothing, as those without a label.
   */
  weights?: Tensor
  /** The sum of weighted losses is divided by it; default: the sum of the labelled rows' weights. */
  numItems?: number
  /** Logits become softcap * tanh(logits / softcap); 0 (default): not. */
  softcap?: number
  /**
   * Gradients, not the loss, are multiplied by it before they are rounded; default 1. For float16, whose small numbers
   * end early.
   */
  lossScale?: number
  dropout?: DropoutState
}

/**
 * `sum over labelled rows of -weight log softmax(h W^T)[label] / numItems`. The gradients of h and of the head's
 * parameters are made in the forward pass, while each chunk's logits exist; backward hands them on.
 * @param h [N, D].
 * @param labels int32 [N], already shifted; -100 is ignored and costs nothing.
 * @param head weight [V, D], no bias.
 * @returns float32 [1].
 */
export function linearCrossEntropy(
  h: Tensor,
  labels: Tensor,
  head: Projection,
  { weights, numItems = 0, softcap = 0, lossScale = 1, dropout }: LinearCrossEntropyOptions = {},
): Tensor {
  const { device } = h
  expectHeadOperands('linearCrossEntropy', h, labels, head)
  if (weights) expectWeights(weights, h)
  const loss = Tensor.empty(device, [1], 'float32')
  const recording = needsRecording([h], isTrainable(head))
  const dh = recording ? Tensor.empty(device, h.shape, h.dtype) : undefined
  // Gradients of parameters count only if backward() is called: they wait in buffers of their own until then.
  const parameters = [head.weight, ...head.pairs.flatMap((pair) => [pair.a, pair.b])].filter((p) => p.requiresGrad)
  const waiting = new Map(
    parameters.map((p) => [p, recording ? Tensor.full(device, p.shape, 'float32', 0) : undefined]),
  )
  device.enqueue('linearCrossEntropy', {
    h,
    labels,
    ...(weights && { weights }),
    loss,
    dh,
    head: [
      {
        weight: head.weight.value,
        dWeight: waiting.get(head.weight),
        pairs: head.pairs.map((pair) => ({
          ...factors(pair, dropout),
          da: waiting.get(pair.a),
          db: waiting.get(pair.b),
        })),
      },
    ],
    softcap,
    divisor: numItems,
    lossScale,
  })
  if (recording && dh) {
    const savedDh = new Saved(dh, 'linearCrossEntropy')
    const savedGrads = parameters.map((p) => new Saved(waiting.get(p) as Tensor, 'linearCrossEntropy'))
    record('linearCrossEntropy', [h], [loss], [savedDh, ...savedGrads], ([dLoss]) => {
      if (!dLoss) return []
      if (!isUnitGradient(dLoss)) {
        throw new LowrankError(
          'INVALID_CALL',
          '[linearCrossEntropy] expected backward() on the loss or on a sum of different losses: its gradients were made for a factor of 1. ' +
            'To weigh losses, give weights or change numItemsInBatch',
        )
      }
      parameters.forEach((parameter, i) => {
        const total = gradientOf(parameter) as Tensor
        device.enqueue('add', { a: total, b: (savedGrads[i] as Saved).get(), y: total })
      })
      return [savedDh.get().alias()]
    })
  }
  dh?.dispose()
  for (const tensor of waiting.values()) tensor?.dispose()
  return loss
}

function expectWeights(weights: Tensor, h: Tensor): void {
  expectShape('linearCrossEntropy', 'weights', weights, [h.rows], 'N')
  expectDType('linearCrossEntropy', 'weights', weights, 'float32')
  if (weights.requiresGrad)
    throw new LowrankError(
      'INVALID_CALL',
      '[linearCrossEntropy] expected weights without gradients, got a tensor with requiresGrad; they are constants of the loss',
    )
}

/** @throws where the operands of an op that ends in the output head do not fit each other */
export function expectHeadOperands(op: string, h: Tensor, labels: Tensor, head: Projection): void {
  expectShape(op, 'h', h, [undefined, head.weight.shape[1]], 'N, D')
  expectShape(op, 'labels', labels, [h.rows], 'N')
  expectDType(op, 'labels', labels, 'int32')
  expectDType(op, 'h', h, head.weight.dtype)
  if (head.bias || head.inOut)
    throw new LowrankError('INVALID_CALL', `[${op}] expected a head of shape [V, D] without bias`)
}

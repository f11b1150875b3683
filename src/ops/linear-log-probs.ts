/**
 * @file linearLogProbs: output head and log probability of each label, a chunk of labelled rows at a time; logits are
 * never kept.
 */

import { needsRecording, record, Saved } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { type DropoutState, factors, gradientOf, guardWeights, isTrainable, type Projection } from './linear.js'
import { expectHeadOperands } from './linear-cross-entropy.js'

export interface LinearLogProbsOptions {
  /** Logits become softcap * tanh(logits / softcap); 0 (default): not. */
  softcap?: number
  dropout?: DropoutState
}

/**
 * `log softmax(h W^T)[label]` of each row. Unlike `linearCrossEntropy`, which makes the gradients in the forward pass,
 * it takes any gradient of its rows: backward makes the logits again, which costs one more product with the head.
 * @param h [N, D].
 * @param labels int32 [N], already shifted; rows of -100 cost nothing and give 0.
 * @param head weight [V, D], no bias.
 * @returns float32 [N].
 */
export function linearLogProbs(
  h: Tensor,
  labels: Tensor,
  head: Projection,
  { softcap = 0, dropout }: LinearLogProbsOptions = {},
): Tensor {
  const { device, dtype, requiresGrad, shape } = h
  expectHeadOperands('linearLogProbs', h, labels, head)
  // The module may get other adapters before backward() comes.
  const { weight, pairs } = head
  const logProbs = Tensor.empty(device, [h.rows], 'float32')
  device.enqueue('linearLogProbs', {
    h,
    labels,
    logProbs,
    head: [{ weight: weight.value, pairs: pairs.map((pair) => factors(pair, dropout)) }],
    softcap,
  })
  if (needsRecording([h], isTrainable(head))) {
    const savedH = new Saved(h, 'linearLogProbs')
    const savedLabels = new Saved(labels, 'linearLogProbs')
    const unchanged = guardWeights([head])
    record('linearLogProbs', [h], [logProbs], [savedH, savedLabels], ([dLogProbs]) => {
      if (!dLogProbs) return []
      unchanged()
      const dh = Tensor.empty(device, shape, dtype)
      device.enqueue('linearLogProbsBackward', {
        dLogProbs,
        h: savedH.get(),
        labels: savedLabels.get(),
        dh,
        head: [
          {
            weight: weight.value,
            dWeight: gradientOf(weight),
            pairs: pairs.map((pair) => ({
              ...factors(pair, dropout),
              da: gradientOf(pair.a),
              db: gradientOf(pair.b),
            })),
          },
        ],
        softcap,
      })
      return [requiresGrad ? dh : undefined]
    })
  }
  return logProbs
}

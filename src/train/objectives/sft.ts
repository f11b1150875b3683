/**
 * @file Supervised fine-tuning: the mean cross-entropy of the supervised tokens of a window, each counted by its
 * weight.
 */

import type { CausalLM } from '../../causal-lm/causal-lm.js'
import type { MicroBatch } from '../../data/batches.js'
import type { Example } from '../../data/examples.js'
import { ONE_SEQUENCE } from '../../data/row-coding.js'
import type { Tensor } from '../../tensor/tensor.js'
import type { BatchLoss, Objective } from '../objective.js'

export const SFT: Objective<Example> = {
  name: 'sft',
  identity: {},
  isCrossEntropy: true,
  ...ONE_SEQUENCE,
  sequencesPerItem: 1,
  placeholder: ([example]) => example as Example,
  begin: beginCrossEntropy,
}

function beginCrossEntropy(
  model: CausalLM,
  batch: MicroBatch<Example>,
  weight: number,
): (lossScale: number) => BatchLoss {
  // Only float16 has a scale to wait for. Elsewhere the pass is one piece: in two, memory is freed in another order.
  if (model.training && model.dtype === 'float16') {
    const finish = model.beginRagged(batch, weight)
    return (lossScale) => crossEntropy(finish(lossScale))
  }
  const loss = crossEntropy(model.forwardRagged(batch, weight).loss)
  return () => loss
}

function crossEntropy(loss: Tensor): BatchLoss {
  return {
    backward: () => loss.backward(),
    read: async () => ({ loss: (await loss.read())[0] as number }),
    dispose: () => loss.dispose(),
  }
}

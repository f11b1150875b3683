/** @file How many sequences a device grows together: what it is fast with, and what its memory has room for. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { dtypeBytes } from '../tensor/dtype.js'
import { remainingBudget } from '../tensor/process-memory.js'

/** More sequences than these make a step longer, and each token no cheaper. */
const MOST_SEQUENCES = { cpu: 64, gpu: 256 }

/** The rest is for what is in flight beside caches and logits. */
const SHARE_OF_BUDGET = 0.5

/**
 * How many sequences of so many tokens there is room for, 1 at least: whether that one fits, the engine says.
 */
export function fittingBatchSize(model: CausalLM, mostTokens: number): number {
  const { device, dtype, config } = model
  const { numHiddenLayers, numKeyValueHeads, headDim, vocabSize, hiddenSize } = config
  // A cache that grows stands beside the one before; scores and their order of drawing beside the logits.
  const cache = 3 * numHiddenLayers * numKeyValueHeads * headDim * mostTokens * dtypeBytes(dtype)
  const perSequence = cache + 4 * 4 * vocabSize + 16 * hiddenSize * mostTokens * dtypeBytes(dtype)
  const room = SHARE_OF_BUDGET * (remainingBudget(device) - device.memory().live)
  const most = device.isGpu ? MOST_SEQUENCES.gpu : MOST_SEQUENCES.cpu
  return Math.max(1, Math.min(most, Math.floor(room / perSequence)))
}

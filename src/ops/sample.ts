/** @file sample: the next token of each sequence, drawn from its logits on the device. */

import type { Tensor } from '../tensor/tensor.js'
import { expectDType, expectSameDevice, expectShape } from './check.js'

/** How a token is drawn, in transformers' terms and its order: penalty, temperature, topK, topP, minP. */
export interface SamplingParameters {
  /** What logits are divided by; 0 takes the most likely id. */
  readonly temperature: number
  /** How many of the most likely ids stay; 0: all. */
  readonly topK: number
  /**
   * Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751): the most likely ids stay that make up this share of the
   * probability.
   */
  readonly topP: number
  /** Ids stay whose probability is at least this share of the largest (Nguyen et al. 2024, arXiv:2407.01082). */
  readonly minP: number
  /**
   * What logits of ids that were seen are divided by, or multiplied by where negative (Keskar et al. 2019,
   * arXiv:1909.05858).
   */
  readonly repetitionPenalty: number
  /** A whole number >= 0. */
  readonly seed: number
}

export interface SampleTensors {
  /** float32 [S, V]. */
  readonly logits: Tensor
  /** int32 [S]: another number for every draw of a sequence, such as its position. */
  readonly steps: Tensor
  /** uint8 [S, V], 1 for ids that were seen; changed. Present exactly when there is a penalty. */
  readonly seen: Tensor | undefined
  /** int32 [S]: where the ids go. */
  readonly ids: Tensor
}

/**
 * Writes one id per sequence to `ids`. A draw is a function of logits, parameters, sequence and step alone. Logits with
 * a NaN, or with nothing above
 * -infinity, are a fault: the next read of the device rejects.
 */
export function sample_({ logits, steps, seen, ids }: SampleTensors, parameters: SamplingParameters): void {
  expectSameDevice('sample_', { logits, steps, seen, ids })
  expectShape('sample_', 'logits', logits, [undefined, undefined], 'S, V')
  expectDType('sample_', 'logits', logits, 'float32')
  for (const [name, tensor] of [
    ['steps', steps],
    ['ids', ids],
  ] as const) {
    expectShape('sample_', name, tensor, [logits.rows], 'S')
    expectDType('sample_', name, tensor, 'int32')
  }
  if (seen) {
    expectShape('sample_', 'seen', seen, logits.shape, 'like logits')
    expectDType('sample_', 'seen', seen, 'uint8')
  }
  logits.device.enqueue('sample', { logits, steps, seen, ids, ...parameters })
  ids.bumpVersion()
  seen?.bumpVersion()
}

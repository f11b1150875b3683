/**
 * @file sample and sampleRows: the next token of each sequence, drawn from its logits on the device, with parameters
 * for all sequences or for each of them.
 */

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

/** Numbers per row of the tensors that sampleRows_ reads parameters from. */
export const SAMPLING_NUMBERS = 4

/**
 * Writes the parameters of row `row` as `sampleRows_` reads them: `options` float32 [S, 4], `integers` int32 [S, 4].
 * Without parameters the most likely id is taken.
 * @param masked whether `allowed` is of this row.
 */
export function writeSamplingRow(
  options: Float32Array,
  integers: Int32Array,
  row: number,
  parameters: SamplingParameters | undefined,
  masked: boolean,
): void {
  const { temperature, topK, topP, minP, repetitionPenalty, seed } = parameters ?? GREEDY
  options.set([temperature, topP, minP, repetitionPenalty], SAMPLING_NUMBERS * row)
  integers.set([topK, seed | 0, Math.floor(seed / 2 ** 32) | 0, Number(masked)], SAMPLING_NUMBERS * row)
}

const GREEDY: SamplingParameters = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 }

export interface SampleRowsTensors extends Omit<SampleTensors, 'seen'> {
  /** float32 [S, 4]; see writeSamplingRow. */
  readonly options: Tensor
  /** int32 [S, 4]; see writeSamplingRow. */
  readonly integers: Tensor
  /** uint8 [S, V], 1 for ids that were seen; changed. Needed where a row has a penalty. */
  readonly seen?: Tensor | undefined
  /**
   * int32 [S, ceil(V / 32)]: bit id % 32 of word id / 32 says whether an id may be drawn, in the rows that are marked
   * so.
   */
  readonly allowed?: Tensor | undefined
}

/**
 * Writes one id per row to `ids`, each with the parameters of its row, which are values on the device: a recorded step
 * serves other requests when they are written anew. A draw depends on logits, parameters, seed and step of the row, not
 * on the row's number: it is what `sample_` gives a single sequence. Parameters out of range, logits with a NaN, or
 * with nothing above -infinity that is allowed, are a fault: the next read of the device rejects.
 */
export function sampleRows_({ logits, steps, options, integers, seen, allowed, ids }: SampleRowsTensors): void {
  expectSameDevice('sampleRows_', { logits, steps, options, integers, seen, allowed, ids })
  expectShape('sampleRows_', 'logits', logits, [undefined, undefined], 'S, V')
  expectDType('sampleRows_', 'logits', logits, 'float32')
  for (const [name, tensor, columns, dtype] of [
    ['steps', steps, undefined, 'int32'],
    ['ids', ids, undefined, 'int32'],
    ['options', options, SAMPLING_NUMBERS, 'float32'],
    ['integers', integers, SAMPLING_NUMBERS, 'int32'],
    ['seen', seen, logits.cols, 'uint8'],
    ['allowed', allowed, Math.ceil(logits.cols / 32), 'int32'],
  ] as const) {
    if (!tensor) continue
    const shape = columns === undefined ? [logits.rows] : [logits.rows, columns]
    expectShape('sampleRows_', name, tensor, shape, columns === undefined ? 'S' : 'S, columns')
    expectDType('sampleRows_', name, tensor, dtype)
  }
  logits.device.enqueue('sampleRows', { logits, steps, options, integers, seen, allowed, ids })
  ids.bumpVersion()
  seen?.bumpVersion()
}

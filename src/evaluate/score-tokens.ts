/** @file The log probability of every labelled token of encoded rows, and whether it was the likeliest one. */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { collate } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import { ModelError } from '../lowrank-error.js'
import type { AskedModel } from './task.js'

/** What a model makes of the labels of a row. */
export interface ScoredLabels {
  /** [labels]: natural logarithms. */
  readonly logProbs: Float32Array
  /** [labels]: 1 where the label is what the model holds for likeliest. */
  readonly isGreedy: Uint8Array
  /** [labels]: what each counts. */
  readonly weights: Float64Array
}

/**
 * Scores the labels of rows, those of similar length together.
 * @throws ModelError where a log probability is not finite
 */
export async function scoreLabels(
  { model, batchSize, signal, onRows }: AskedModel,
  examples: readonly Example[],
): Promise<ScoredLabels[]> {
  const order = examples.map((_, index) => index)
  const lengthAt = (index: number): number => (examples[index] as Example).inputIds.length
  order.sort((a, b) => lengthAt(b) - lengthAt(a))
  const scored: ScoredLabels[] = []
  for (let start = 0; start < order.length; start += batchSize) {
    signal?.throwIfAborted()
    const rows = order.slice(start, start + batchSize)
    const found = await scoreBatch(
      model,
      rows.map((index) => examples[index] as Example),
    )
    rows.forEach((index, place) => {
      scored[index] = found[place] as ScoredLabels
    })
    onRows(start + rows.length)
  }
  return scored
}

async function scoreBatch(model: CausalLM, examples: readonly Example[]): Promise<ScoredLabels[]> {
  const { weights, ...batch } = collate(examples)
  const { logProbs, mostLikely } = await model.labelScores(batch)
  if (logProbs.some((value) => !Number.isFinite(value))) {
    throw new ModelError(
      '[evaluate] expected finite log probabilities, got others; the weights are damaged, or were trained with too high a learning rate',
    )
  }
  let first = 0
  return examples.map((_, sequence) => {
    const places: number[] = []
    for (let at = batch.cuSeqlens[sequence] as number; at < (batch.cuSeqlens[sequence + 1] as number); at++)
      if (batch.labels[at] !== IGNORE_INDEX) places.push(at)
    const start = first
    first += places.length
    return {
      logProbs: logProbs.slice(start, first),
      isGreedy: Uint8Array.from(places, (at, index) => Number(mostLikely[start + index] === batch.labels[at])),
      weights: Float64Array.from(places, (at) => weights?.[at] ?? 1),
    }
  })
}

/** @file Loss and perplexity of held-out rows: token-weighted, unlabelled tokens excluded. */

import { noGrad } from '../autograd/tape.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { sequentialBatches } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import { describeValue } from '../errors.js'

export interface Evaluation {
  /** Mean cross-entropy per supervised token. */
  readonly loss: number
  /** exp(loss). */
  readonly perplexity: number
  /** Supervised tokens. */
  readonly tokens: number
}

export interface EvaluateOptions {
  /**
   * Rows at a time. Does not change the result beyond rounding.
   * @default 8
   */
  batchSize?: number
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called after each batch with the rows done.
   * @default none
   */
  onProgress?: (rows: number) => void
}

/** Scores examples with dropout off. @throws when no token is supervised, and naming the rows whose loss is not finite. */
export async function evaluateLoss(
  model: CausalLM,
  examples: readonly Example[],
  { batchSize = 8, signal, onProgress }: EvaluateOptions = {},
): Promise<Evaluation> {
  expectModel('evaluate', model)
  if (!Array.isArray(examples))
    throw new Error(
      `[evaluate] expected a list of what prepareDataset() gives for examples, got ${describeValue(examples)}`,
    )
  const wasTraining = model.training
  model.eval()
  try {
    let total = 0
    let tokens = 0
    let rows = 0
    for (const batch of sequentialBatches(examples, batchSize)) {
      signal?.throwIfAborted()
      const { loss } = noGrad(() => model.forwardRagged(batch, 1))
      const [sum] = await loss.read()
      loss.dispose()
      const first = rows + 1
      rows += batch.cuSeqlens.length - 1
      if (!Number.isFinite(sum)) {
        throw new Error(
          `[evaluate] expected a finite loss, got ${sum} in rows ${first} to ${rows}; the weights are damaged, or were trained with too ` +
            'high a learning rate',
        )
      }
      total += sum as number
      tokens += batch.numSupervised
      onProgress?.(rows)
    }
    if (tokens === 0) throw new Error(`[evaluate] expected supervised tokens, got none in ${examples.length} rows`)
    const mean = total / tokens
    return { loss: mean, perplexity: Math.exp(mean), tokens }
  } finally {
    model.train(wasTraining)
  }
}

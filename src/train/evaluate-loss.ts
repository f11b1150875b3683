/**
 * @file The objective's means over held-out rows; of SFT loss and perplexity, token-weighted, unlabelled tokens
 * excluded.
 */

import { noGrad } from '../autograd/tape.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { sequentialBatches } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import { type Item, type ItemList, listOf, weightOf } from '../data/items.js'
import { describeValue } from '../errors.js'
import { DataError, ModelError, OptionError } from '../lowrank-error.js'
import { callback, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { addMeans, divideMeans, type Means } from './means.js'
import type { Objective } from './objective.js'
import { SFT } from './objectives/sft.js'
import { TRAINING_OPTIONS } from './training-options.js'

/** What an objective makes of held-out rows. */
export interface Scores {
  /** Their mean; of supervised fine-tuning the cross-entropy per supervised token, each counted by its weight. */
  readonly loss: number
  /** Means of what else the objective tells, by name; absent where it tells nothing else. */
  readonly figures?: Readonly<Record<string, number>>
  /** exp(loss), where the loss is a cross-entropy. */
  readonly perplexity?: number
  /** Supervised tokens: those of a weight above 0, each counted once. */
  readonly tokens: number
}

/** Mean cross-entropy per supervised token, each counted by its weight, and what follows from it. */
export interface Evaluation extends Scores {
  readonly perplexity: number
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

/** The options of `evaluateLoss`. */
export const EVALUATE_OPTIONS = {
  batchSize: {
    rule: integer({ min: 1 }),
    default: TRAINING_OPTIONS.perDeviceEvalBatchSize.default,
    help: 'rows at a time; does not change the result beyond rounding',
  },
  signal: SIGNAL,
  onProgress: { rule: callback, otherwise: 'none', help: 'called after each batch with the rows done' },
} as const satisfies OptionTable<EvaluateOptions>

/**
 * Scores examples with dropout off.
 * @throws on options out of range, when no token is supervised, and naming the rows whose loss is not finite.
 */
export async function evaluateLoss(
  model: CausalLM,
  examples: readonly Example[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  expectModel('evaluate', model)
  if (!Array.isArray(examples))
    throw new OptionError(
      `[evaluate] expected a list of what prepareDataset() gives for examples, got ${describeValue(examples)}`,
    )
  const resolved = readOptions('evaluate', options, EVALUATE_OPTIONS)
  const { loss, tokens } = await evaluate(SFT, model, listOf(examples), resolved)
  return { loss, perplexity: Math.exp(loss), tokens }
}

/** Sums over held-out rows; those of several data sets can be added up. */
export interface ScoreSums {
  readonly means: Means
  readonly weight: number
  readonly tokens: number
}

/** `evaluateLoss` for any objective, its options read. */
export async function evaluate<I extends Item>(
  objective: Objective<I>,
  model: CausalLM,
  items: ItemList<I>,
  options: Resolved<EvaluateOptions, typeof EVALUATE_OPTIONS>,
): Promise<Scores> {
  return scoresOf(objective, [await sumScores(objective, model, items, options)])
}

/** The scores of one or several data sets, every token of which counts the same. */
export function scoresOf({ isCrossEntropy }: Pick<Objective, 'isCrossEntropy'>, all: readonly ScoreSums[]): Scores {
  let total: Means = { loss: 0 }
  for (const { means } of all) total = addMeans(total, means)
  const sumOf = (what: 'weight' | 'tokens'): number => all.reduce((sum, each) => sum + each[what], 0)
  const mean = divideMeans(total, sumOf('weight'))
  return { ...mean, ...(isCrossEntropy && { perplexity: Math.exp(mean.loss) }), tokens: sumOf('tokens') }
}

export async function sumScores<I extends Item>(
  objective: Objective<I>,
  model: CausalLM,
  items: ItemList<I>,
  { batchSize, signal, onProgress }: Resolved<EvaluateOptions, typeof EVALUATE_OPTIONS>,
): Promise<ScoreSums> {
  const wasTraining = model.training
  model.eval()
  try {
    let total: Means = { loss: 0 }
    let weight = 0
    let tokens = 0
    let rows = 0
    for (const batch of sequentialBatches(items, batchSize)) {
      signal?.throwIfAborted()
      const scored = noGrad(() => objective.begin(model, batch, 1)(1))
      const means = await scored.read()
      scored.dispose()
      const first = rows + 1
      rows += batch.items.length
      if (!Number.isFinite(means.loss)) {
        throw new ModelError(
          `[evaluate] expected a finite loss, got ${means.loss} in rows ${first} to ${rows}; the weights are damaged, or were trained with too ` +
            'high a learning rate',
        )
      }
      total = addMeans(total, means)
      weight += batch.items.reduce((all, item) => all + weightOf(item), 0)
      tokens += batch.numSupervised
      onProgress?.(rows)
    }
    if (weight === 0) throw new DataError(`[evaluate] expected supervised tokens, got none in ${items.length} rows`)
    return { means: total, weight, tokens }
  } finally {
    model.train(wasTraining)
  }
}

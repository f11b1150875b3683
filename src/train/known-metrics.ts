/** @file The names that the evaluations of a run have, known before its first step: a wrong one fails at once. */

import type { Item } from '../data/items.js'
import { evalName, unknownMetric } from './best-model.js'
import { evalSources } from './eval-datasets.js'
import type { Objective } from './objective.js'
import { SFT } from './objectives/sft.js'
import type { ResolvedTrainOptions } from './options.js'
import { readEvalTasks } from './probes.js'

/**
 * @throws where `metricForBestModel` is nothing that the evaluations will tell. What objectives other than supervised
 * fine-tuning tell is known with the first evaluation.
 */
export function expectKnownMetric<I extends Item>(objective: Objective<I>, options: ResolvedTrainOptions): void {
  const { metricForBestModel: name } = options.training
  if (name === undefined || objective.name !== SFT.name) return
  const sets = evalSources(options.evalDataset)
  const prefixes =
    sets.length === 0
      ? options.training.evalSplit > 0
        ? ['eval']
        : []
      : sets.map((set) => (set.name === undefined ? 'eval' : `eval_${set.name}`))
  const known = prefixes.flatMap((prefix) => [`${prefix}_loss`, `${prefix}_perplexity`])
  const { names } = readEvalTasks(options.evalTasks)
  // What a task computes is known with its first scores.
  if (names.some((task) => evalName(name).startsWith(`eval_${task}_`))) return
  if (!known.includes(evalName(name)))
    throw unknownMetric(evalName(name), [...known, ...names.map((task) => `eval_${task}_METRIC`)])
}

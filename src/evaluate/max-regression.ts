/**
 * @file Whether an adapter is worse than what it is compared with by more than is allowed: what ends a build with an
 * error.
 */

import { OptionError } from '../lowrank-error.js'
import type { EvaluationReport, Score } from './evaluation-report.js'

/** How much worse a metric may be, in its own units: by `metric`, by `task/metric`, or under '*' for all others. */
export type RegressionLimits = Readonly<Record<string, number>>

/** A score that got worse by more than is allowed. */
export interface Regression {
  readonly task: string
  readonly metric: string
  readonly model: string
  /** How much worse it is, in units of the metric; positive, and infinite where the model has no score at all. */
  readonly by: number
  readonly limit: number
  /** How probable so large a difference is if there is none; null where it cannot be told. */
  readonly pValue: number | null
}

/**
 * The scores of adapters that are worse than those of the first model by more than their limit. The measured difference
 * counts, not a bound of its interval: with few rows a build may fail by chance, and never passes since there were too
 * few rows. A score that is missing where the first model has one is worse by more than any limit.
 * @throws OptionError for a limit whose metric is in no task
 */
export function regressionsOf(report: EvaluationReport, limits: RegressionLimits): readonly Regression[] {
  const known = new Set<string>(['*'])
  const found: Regression[] = []
  const [first, ...others] = report.models
  for (const task of report.tasks) {
    for (const { name: metric, higherIsBetter, scores, differences } of task.metrics) {
      known.add(metric).add(`${task.name}/${metric}`)
      const limit = limits[`${task.name}/${metric}`] ?? limits[metric] ?? limits['*']
      if (limit === undefined || first === undefined) continue
      for (const { name: model, adapter } of others) {
        // With an adapter as the baseline, the model without one may be worse.
        if (adapter === undefined) continue
        const { value = null, pValue = null } = differences[model] ?? {}
        if (value === null) {
          if (!isMissing(scores[first.name]) && isMissing(scores[model]))
            found.push({ task: task.name, metric, model, by: Number.POSITIVE_INFINITY, limit, pValue: null })
          continue
        }
        const by = higherIsBetter ? -value : value
        if (!(by > limit)) continue
        found.push({ task: task.name, metric, model, by, limit, pValue })
      }
    }
  }
  const unknown = Object.keys(limits).find((name) => !known.has(name))
  if (unknown !== undefined)
    throw new OptionError(
      `[evaluate] expected a metric of the report for --max-regression, got ${unknown}; it has ${[...known].slice(1).join(', ')}`,
    )
  return found
}

function isMissing(score: Score | undefined): boolean {
  return score === undefined || score.value === null
}

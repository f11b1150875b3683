/** @file The scores of a metric for several models, with their intervals and their differences from the first one. */

import type { ReportedMetric, Score, ScoreDifference } from './evaluation-report.js'
import type { TaskMetric } from './task.js'

/** How intervals are made. */
export interface ScoreIntervals {
  readonly confidence: number
}

/** What a model gave, by row. */
interface ModelStatistics {
  readonly name: string
  readonly statistics: readonly Float64Array[]
}

/** @param base The model that the others are compared with. */
export function intervalsOf(
  metric: TaskMetric,
  models: readonly ModelStatistics[],
  base: string | undefined,
  _options: ScoreIntervals,
): Pick<ReportedMetric, 'scores' | 'differences'> {
  const values = models.map(({ name, statistics }) => [name, scoreOf(metric, statistics)] as const)
  const first = values.find(([name]) => name === base)?.[1] ?? null
  const scores = values.map(([name, value]): [string, Score] => [name, { value, low: null, high: null }])
  const differences = values
    .filter(([name]) => name !== base)
    .map(([name, value]): [string, ScoreDifference] => {
      const difference = value === null || first === null ? null : value - first
      return [name, { value: difference, low: null, high: null, pValue: null }]
    })
  return { scores: Object.fromEntries(scores), differences: Object.fromEntries(differences) }
}

function scoreOf(metric: TaskMetric, statistics: readonly Float64Array[]): number | null {
  const [first] = statistics
  if (first === undefined) return null
  const sums = new Float64Array(first.length)
  for (const row of statistics)
    for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] as number) + (row[at] as number)
  const value = metric.score(sums)
  return Number.isFinite(value) ? value : null
}

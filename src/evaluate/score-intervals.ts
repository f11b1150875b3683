/** @file The scores of a metric for several models, with their intervals and their differences from the first one. */

import { bootstrapInterval, pairedDifference } from '../metrics/bootstrap.js'
import type { ReportedMetric, Score, ScoreDifference } from './evaluation-report.js'
import type { TaskMetric } from './task.js'

/** How intervals are made. */
export interface ScoreIntervals {
  readonly confidence: number
  /** Resamples of the rows; 0: no intervals. */
  readonly bootstrapSamples: number
  readonly signal: AbortSignal | undefined
}

/** What a model gave, by row. */
interface ModelStatistics {
  readonly name: string
  readonly statistics: readonly Float64Array[]
}

/** @param base The model that the others are compared with. */
export async function intervalsOf(
  metric: TaskMetric,
  models: readonly ModelStatistics[],
  base: string | undefined,
  { confidence, bootstrapSamples: samples, signal }: ScoreIntervals,
): Promise<Pick<ReportedMetric, 'scores' | 'differences'>> {
  const options = { confidence, samples, ...(signal && { signal }) }
  const first = models.find(({ name }) => name === base)
  const scores: Record<string, Score> = {}
  const differences: Record<string, ScoreDifference> = {}
  for (const { name, statistics } of models) {
    if (samples === 0) scores[name] = { value: valueFor(metric, statistics), low: null, high: null }
    else scores[name] = await bootstrapInterval(statistics, metric, options)
    if (name === base || first === undefined) continue
    if (samples === 0) {
      const [one, other] = [scores[name].value, scores[first.name]?.value ?? null]
      differences[name] = { value: one === null || other === null ? null : one - other, ...NO_INTERVAL }
      continue
    }
    const { value, low, high, pValue } = await pairedDifference(statistics, first.statistics, metric, options)
    differences[name] = { value, low, high, pValue }
  }
  return { scores, differences }
}

const NO_INTERVAL = { low: null, high: null, pValue: null }

function valueFor(metric: TaskMetric, statistics: readonly Float64Array[]): number | null {
  const [first] = statistics
  if (first === undefined) return null
  const sums = new Float64Array(first.length)
  for (const row of statistics)
    for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] as number) + (row[at] as number)
  const value = metric.score(sums)
  return Number.isFinite(value) ? value : null
}

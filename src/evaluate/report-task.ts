/**
 * @file From what several models made of the rows of a task to its report: scores, differences from the first model,
 * and the rows that got worse first.
 */

import type {
  ConfusionMatrix,
  EvaluatedRow,
  ReportedMetric,
  RowAnswer,
  TaskReport,
  TaskWarning,
} from './evaluation-report.js'
import type { JudgeProgress } from './judge-options.js'
import { type ComparisonSummary, type JudgeSummary, notJudged } from './judge-task.js'
import { intervalsOf, type ScoreIntervals } from './score-intervals.js'
import type { AnsweredRow, PreparedTask, TaskAnswers, TaskMetric } from './task.js'

/** What a model made of a task. */
export interface NamedAnswers {
  /** The name of the model. */
  readonly name: string
  readonly answers: TaskAnswers
}

export interface ReportTaskOptions extends ScoreIntervals {
  readonly maxSamples: number
  /** Told how far a judge of pairs is with the answers of a model. */
  readonly onCompared: (name: string, progress: JudgeProgress) => void
}

/** @param given The answers of the models, the one that the others are compared with first. */
export async function reportTask(
  task: PreparedTask,
  given: readonly NamedAnswers[],
  seconds: number,
  options: ReportTaskOptions,
): Promise<TaskReport> {
  const metrics = metricsOf(given)
  const reported: ReportedMetric[] = []
  for (const metric of metrics) reported.push(await reportMetric(metric, given, options))
  const confusion = given.flatMap(({ name, answers }) =>
    answers.confusion ? [[name, answers.confusion] as const] : [],
  )
  const judges = given.flatMap(({ name, answers }) => (answers.judge ? [[name, answers.judge] as const] : []))
  const comparisons = await compared(task, given, options)
  return {
    name: task.name,
    type: task.type,
    rowCount: task.rows.length,
    lineage: task.lineage,
    ...(task.fewshot && { fewshot: task.fewshot }),
    warnings: [
      ...task.warnings,
      ...given.flatMap((one) => warningsOf(one, given.length > 1)),
      ...comparisons.flatMap(([name, { counts }]) => notJudged(counts, `pairs of ${name} have no judgement`)),
    ],
    metrics: reported,
    ...(confusion.length > 0 && { confusion: Object.fromEntries<ConfusionMatrix>(confusion) }),
    ...(judges.length > 0 && { judge: Object.fromEntries<JudgeSummary>(judges) }),
    ...(comparisons.length > 0 && { comparisons: Object.fromEntries<ComparisonSummary>(comparisons) }),
    samples: samplesOf(task, given, metrics, options.maxSamples),
    seconds,
  }
}

/** What a judge of pairs says of each model beside the first. */
async function compared(
  task: PreparedTask,
  [first, ...others]: readonly NamedAnswers[],
  { signal, onCompared }: ReportTaskOptions,
): Promise<readonly (readonly [string, ComparisonSummary])[]> {
  const found: [string, ComparisonSummary][] = []
  if (task.compare === undefined || first === undefined) return found
  for (const { name, answers } of others) {
    const onProgress = (progress: JudgeProgress): void => onCompared(name, progress)
    found.push([name, await task.compare(answers, first.answers, { signal, onProgress })])
  }
  return found
}

function warningsOf({ name, answers }: NamedAnswers, isNamed: boolean): TaskWarning[] {
  const said = answers.warnings ?? []
  return said.map((warning) => (isNamed ? { ...warning, message: `${name}: ${warning.message}` } : warning))
}

/** All metrics that some model has: a function of the user names its scores as it goes. */
function metricsOf(given: readonly NamedAnswers[]): readonly TaskMetric[] {
  const metrics = new Map<string, TaskMetric>()
  for (const { answers } of given) for (const metric of answers.metrics) metrics.set(metric.name, metric)
  return [...metrics.values()]
}

/** The statistics of a metric by row; undefined where a model has none of it. */
function statisticsOf({ metrics, rows }: TaskAnswers, { name }: TaskMetric): readonly Float64Array[] | undefined {
  const place = metrics.findIndex((metric) => metric.name === name)
  return place < 0 ? undefined : rows.map(({ statistics }) => statistics[place] as Float64Array)
}

async function reportMetric(
  metric: TaskMetric,
  given: readonly NamedAnswers[],
  options: ScoreIntervals,
): Promise<ReportedMetric> {
  const of = given.flatMap(({ name, answers }) => {
    const statistics = statisticsOf(answers, metric)
    return statistics ? [{ name, statistics }] : []
  })
  return {
    name: metric.name,
    higherIsBetter: metric.higherIsBetter,
    ...(await intervalsOf(metric, of, given[0]?.name, options)),
  }
}

/** Rows by how much worse the worst model is than the first; with one model those of the lowest score first. */
function samplesOf(
  task: PreparedTask,
  given: readonly NamedAnswers[],
  metrics: readonly TaskMetric[],
  maxSamples: number,
): EvaluatedRow[] {
  const rows = task.rows.map((row, index) => ({
    ...row,
    answers: Object.fromEntries(given.map(({ name, answers }) => [name, answerOf(answers, index)])),
  }))
  const main = metrics.find(({ scoreRow }) => scoreRow !== undefined)
  if (main === undefined) return rows.slice(0, maxSamples)
  const sign = main.higherIsBetter ? 1 : -1
  const [first, ...others] = given.map(({ name }) => name) as [string, ...string[]]
  const gains = new Map<EvaluatedRow, number>()
  for (const row of rows) {
    const of = (name: string): number => row.answers[name]?.scores[main.name] ?? Number.NaN
    const compared = others.length === 0 ? [of(first)] : others.map((name) => of(name) - of(first))
    const known = compared.filter((value) => !Number.isNaN(value)).map((value) => sign * value)
    gains.set(row, known.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...known))
  }
  const gainOf = (row: EvaluatedRow): number => gains.get(row) as number
  // Infinite gains of two rows would have no difference.
  rows.sort((a, b) => (gainOf(a) === gainOf(b) ? a.index - b.index : gainOf(a) < gainOf(b) ? -1 : 1))
  return rows.slice(0, maxSamples)
}

function answerOf({ metrics, rows }: TaskAnswers, index: number): RowAnswer {
  const { text, finishReason, statistics } = rows[index] as AnsweredRow
  const scores = metrics.flatMap(({ name, scoreRow }, place) => {
    if (scoreRow === undefined) return []
    const score = scoreRow(statistics[place] as Float64Array)
    return [[name, Number.isFinite(score) ? score : null] as const]
  })
  return {
    ...(text !== undefined && { text }),
    scores: Object.fromEntries(scores),
    ...(finishReason !== undefined && { finishReason }),
  }
}

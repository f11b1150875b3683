/** @file A judge within a task: what it makes of the answers of each model, as metrics and as a summary. */

import type { TaskWarning } from './evaluation-report.js'
import { type CompareReport, compareAnswers, type JudgeCounts, type Judgements, judgeAnswers } from './judge.js'
import type { JudgeOptions, JudgeProgress } from './judge-options.js'
import { meanMetric, meanOf, type TaskMetric } from './task.js'

/** The options of a judge that a task has: the signal and the progress are those of the evaluation. */
export type TaskJudgeOptions = Omit<JudgeOptions, 'signal' | 'onProgress'>

/** What a judge did, without its rows. */
export type JudgeSummary = Judgements

/** How the answers of a model compare with those of the first one, by a judge, without its rows. */
export type ComparisonSummary = Omit<CompareReport, 'rows'>

/** A row of the task, as a judge sees it. */
interface JudgedRow {
  readonly prompt: string
  readonly references?: readonly string[]
}

/** What a judge says of the answers of one model. */
export interface JudgedScores {
  /** `judge`, the mean over criteria, and `judge_<criterion>`. */
  readonly metrics: readonly TaskMetric[]
  /** For each row what it adds to the sums of the metrics. A row without a judgement counts in no mean. */
  readonly rows: readonly (readonly Float64Array[])[]
  readonly summary: JudgeSummary
  readonly warnings: readonly TaskWarning[]
}

/** What asking a judge has to know beside its options. */
interface JudgeAsking {
  readonly signal: AbortSignal | undefined
  readonly onProgress: (progress: JudgeProgress) => void
}

const NOTHING = Float64Array.of(0, 0)

/** @throws as `judgeAnswers` */
export async function judgedScores(
  rows: readonly JudgedRow[],
  answers: readonly string[],
  options: TaskJudgeOptions,
  { signal, onProgress }: JudgeAsking,
): Promise<JudgedScores> {
  const report = await judgeAnswers(
    rows.map((row, index) => ({ ...judgedRow(row), answer: answers[index] as string })),
    { ...options, onProgress, ...(signal && { signal }) },
  )
  const { criteria, judge, counts, usage } = report
  return {
    metrics: ['judge', ...criteria.map((name) => `judge_${name}`)].map((name) => meanMetric(name, true)),
    rows: report.rows.map(({ score, scores }) =>
      [score, ...criteria.map((name) => scores?.[name] ?? null)].map((value) =>
        value === null ? NOTHING : meanOf(value),
      ),
    ),
    summary: { judge, counts, usage },
    warnings: notJudged(counts, 'answers have no judgement'),
  }
}

/** @throws as `compareAnswers` */
export async function judgedPairs(
  rows: readonly JudgedRow[],
  answers: readonly string[],
  baseAnswers: readonly string[],
  options: TaskJudgeOptions,
  { signal, onProgress }: JudgeAsking,
): Promise<ComparisonSummary> {
  const { rows: _, ...summary } = await compareAnswers(
    rows.map((row, index) => ({
      ...judgedRow(row),
      answer: answers[index] as string,
      baseAnswer: baseAnswers[index] as string,
    })),
    { ...options, onProgress, ...(signal && { signal }) },
  )
  return summary
}

/** What is said where some rows have no judgement. */
export function notJudged({ failed }: JudgeCounts, what: string): TaskWarning[] {
  const rows = Object.values(failed).reduce((sum, count) => sum + count, 0)
  if (rows === 0) return []
  const why = Object.entries(failed).map(([name, count]) => `${count} ${name}`)
  const message = `${rows} ${what} (${why.join(', ')}) and count in no mean; try another judge, or raise judge.maxTokens`
  return [{ code: 'notJudged', rows, message }]
}

function judgedRow({ prompt, references }: JudgedRow): JudgedRow {
  return { prompt, ...(references && { references }) }
}

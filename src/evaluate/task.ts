/**
 * @file What a task is once its rows are read: it asks a model, and gives for each row what the metrics sum. Knows no
 * type of task.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import type { Metric } from '../metrics/metric.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { ConfusionMatrix, FewshotReport, TaskWarning } from './evaluation-report.js'
import type { JudgeProgress } from './judge-options.js'
import type { ComparisonSummary, JudgeSummary } from './judge-task.js'

/** A row as a report shows it. */
export interface TaskRow {
  /** Counted from 0 in the order of the data. */
  readonly index: number
  readonly origin: string
  readonly prompt: string
  readonly references?: readonly string[]
}

/** A model that answers, as it is: with the adapters that are active. */
export interface AskedModel {
  readonly model: CausalLM
  readonly tokenizer: Tokenizer
  /** Rows at a time. */
  readonly batchSize: number
  readonly signal: AbortSignal | undefined
  /** Told how many rows are done. */
  readonly onRows: (rows: number) => void
  /** Told how far the judge of the task is with the answers, where it has one. */
  readonly onJudged: (progress: JudgeProgress) => void
}

/** A metric over what rows gave: a score of sums. */
export interface TaskMetric extends Pick<Metric<never>, 'name' | 'higherIsBetter' | 'score'> {
  /** The score of one row by itself; absent where that means nothing, as F1 over classes. */
  scoreRow?(statistics: Float64Array): number
}

/** What a model made of a row. */
export interface AnsweredRow {
  readonly text?: string
  readonly finishReason?: 'stop' | 'length'
  /** What the row adds to the sums of each metric, in the order of the metrics. */
  readonly statistics: readonly Float64Array[]
}

/** What a model made of all rows. */
export interface TaskAnswers {
  readonly metrics: readonly TaskMetric[]
  /** In the order of the rows. */
  readonly rows: readonly AnsweredRow[]
  readonly confusion?: ConfusionMatrix
  /** What the answers show that somebody should know. */
  readonly warnings?: readonly TaskWarning[]
  /** What a judge did, where the task has one. */
  readonly judge?: JudgeSummary
}

/** A task whose rows are read. Any number of models may be asked, one after the other. */
export interface PreparedTask {
  readonly name: string
  readonly type: string
  readonly rows: readonly TaskRow[]
  readonly lineage: readonly SourceLineage[]
  readonly warnings: readonly TaskWarning[]
  /** Examples before the questions; absent where there are none. */
  readonly fewshot?: FewshotReport
  /** Whether a judge scores the answers. */
  readonly isJudged?: boolean
  answer(asked: AskedModel): Promise<TaskAnswers>
  /** Compares the answers of a model with those of another, where the task has a judge of pairs. */
  compare?(
    answers: TaskAnswers,
    base: TaskAnswers,
    asking: { readonly signal: AbortSignal | undefined; readonly onProgress: (progress: JudgeProgress) => void },
  ): Promise<ComparisonSummary>
}

/** The mean of a number that each row has. */
export function meanMetric(name: string, higherIsBetter: boolean): TaskMetric {
  return { name, higherIsBetter, score: ratio, scoreRow: ratio }
}

/** The first sum divided by the second. */
function ratio(sums: Float64Array): number {
  return (sums[0] as number) / (sums[1] as number)
}

/** What a row adds to a mean. */
export function meanOf(value: number): Float64Array {
  return Float64Array.of(value, 1)
}

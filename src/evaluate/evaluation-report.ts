/**
 * @file What an evaluation gives: scores of each model on each task with their intervals, differences from the first
 * model, and the answers side by side. Plain JSON: the command line writes it, reports and trackers read it.
 */

import type { SourceLineage } from '../data/sources/row-source.js'
import type { BehaviourReport } from './behaviour/options.js'
import type { ComparisonSummary, JudgeSummary } from './judge-task.js'

/** A model, or a model with an adapter, that was evaluated. */
export interface EvaluatedModel {
  /** What the report calls it: 'base', or the name of the adapter. Unique in a report. */
  readonly name: string
  /** Directory or address of the adapter; absent for the base model. */
  readonly adapter?: string
}

/** A score of a model on all rows of a task. */
export interface Score {
  /** Null where there is none, as the precision of a class that was never answered. */
  readonly value: number | null
  /** Bounds of the confidence interval; null where too few rows allow none. */
  readonly low: number | null
  readonly high: number | null
}

/** How a model differs from the first one of the report, on the same rows. */
export interface ScoreDifference {
  /** Score of the model minus that of the first. */
  readonly value: number | null
  /** Bounds of the confidence interval of the difference. */
  readonly low: number | null
  readonly high: number | null
  /** Two-sided: how probable so large a difference is if there is none. Null where it cannot be told. */
  readonly pValue: number | null
}

/** What one model made of one row. */
export interface RowAnswer {
  /** The answer in words; absent where a task has none, as perplexity. */
  readonly text?: string
  /** Scores of the row alone, by metric; metrics that mean nothing for one row are left out. */
  readonly scores: Readonly<Record<string, number | null>>
  /** Why the answer ended; absent where nothing was generated. */
  readonly finishReason?: 'stop' | 'length'
}

/** A row of a task with what each model made of it. */
export interface EvaluatedRow {
  /** Counted from 0 in the order of the data. */
  readonly index: number
  /** File and line, or the like. */
  readonly origin: string
  /** The prompt as a reader wants to see it: the text, or messages one behind the other. */
  readonly prompt: string
  /** What is right; several where any of them is. Absent where a task has no reference. */
  readonly references?: readonly string[]
  /** By name of the model. */
  readonly answers: Readonly<Record<string, RowAnswer>>
}

/** A metric as a task reports it. */
export interface ReportedMetric {
  readonly name: string
  readonly higherIsBetter: boolean
  /** By name of the model. */
  readonly scores: Readonly<Record<string, Score>>
  /** By name of the model, without the first. */
  readonly differences: Readonly<Record<string, ScoreDifference>>
}

/** How classes were told apart, by one model. */
export interface ConfusionMatrix {
  readonly labels: readonly string[]
  /** Counts: `rows[i][j]` of label i that were answered with j; the last column counts answers that name no label. */
  readonly rows: readonly (readonly number[])[]
}

/** What somebody should know of the rows of a task: some were left out, cut, or could not be scored. */
export interface TaskWarning {
  /** A short word for programs, such as 'withoutReference'. */
  readonly code: string
  /** How many rows it concerns. */
  readonly rows: number
  /** What happened and what to do, in one line. */
  readonly message: string
}

/** The examples that stood before the question of each row. */
export interface FewshotReport {
  /** How many. */
  readonly numFewshot: number
  /** 'default' draws them for each row, 'first_n' takes the first rows. */
  readonly sampler: 'default' | 'first_n'
  /** Seed of the draw; absent where nothing is drawn. */
  readonly seed?: number
  /** Rows that they were taken from. */
  readonly rowCount: number
  /** Where these come from. */
  readonly lineage: readonly SourceLineage[]
  /** SHA-256 of all that was asked, with its examples: two reports with the same one asked the same. */
  readonly promptsSha256: string
}

/** A task, as it was done. */
export interface TaskReport {
  /** Unique in a report. */
  readonly name: string
  /** The kind of the task, such as 'generation'. */
  readonly type: string
  /** Rows that were scored. */
  readonly rowCount: number
  readonly lineage: readonly SourceLineage[]
  /** Examples before the questions; absent where there were none. */
  readonly fewshot?: FewshotReport
  /** Rows that were left out, cut or could not be scored; empty where all is well. */
  readonly warnings?: readonly TaskWarning[]
  /** The first metric is the one that sorts rows and stands for the task. */
  readonly metrics: readonly ReportedMetric[]
  /** By name of the model; absent where a task tells no classes apart. */
  readonly confusion?: Readonly<Record<string, ConfusionMatrix>>
  /** What the judge of a task did, by name of the model: counts, tokens, cost. Absent where a task has none. */
  readonly judge?: Readonly<Record<string, JudgeSummary>>
  /**
   * Answers beside those of the first model, by a judge that saw each pair in both orders. By name of the model,
   * without the first; absent where a task asks for none.
   */
  readonly comparisons?: Readonly<Record<string, ComparisonSummary>>
  /** Rows that a report shows: those that got worse first. At most as many as `maxSamples` asks for. */
  readonly samples: readonly EvaluatedRow[]
  readonly seconds: number
}

/** What `evaluate` gives. */
export interface EvaluationReport {
  /** Version of this form of report. */
  readonly version: 1
  /** When it began, as in `2026-01-31T12:00:00.000Z`. */
  readonly startedAt: string
  /** What was loaded: a Hub id, a directory, a GGUF file. */
  readonly model: string
  /** The first one is what the others are compared with. */
  readonly models: readonly EvaluatedModel[]
  /** Confidence of the intervals, such as 0.95. */
  readonly confidence: number
  readonly tasks: readonly TaskReport[]
  /** What else each adapter changed, by name of the model; absent where it was not asked for. */
  readonly behaviour?: Readonly<Record<string, BehaviourReport>>
  readonly seconds: number
  /** Version of this package; null where a bundler has taken it out of its package. */
  readonly lowrank: string | null
}

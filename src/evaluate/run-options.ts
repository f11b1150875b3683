/** @file The options of `runTasks`, most of which `evaluate` has too. Loads nothing that computes, for help texts. */

import { BOOTSTRAP_OPTIONS } from '../metrics/bootstrap.js'
import { callback, either, exactly, integer, number, text } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

/** How far a model is with a task. */
export interface EvaluationProgress {
  /** The name of the task; 'behaviour', without rows, while an adapter is compared on the prompts of this package. */
  readonly task: string
  /** The name of the model in the report. */
  readonly model: string
  /** Rows that are done, of `totalRows`. */
  readonly rows: number
  readonly totalRows: number
  /** The part of all tasks and models that is done, from 0 to 1; of 'behaviour', that of this adapter. */
  readonly fraction: number
  /** A judge is asked: for scores of each answer, or which of two is better. `rows` are those that it judged. */
  readonly judge?: {
    readonly step: 'score' | 'compare'
    /** Requests that were sent in this run. */
    readonly requests: number
    /** What all replies cost, those of earlier runs included. */
    readonly cost: number
  }
}

export interface RunTasksOptions {
  /**
   * What reports call the model.
   * @default 'model'
   */
  modelName?: string
  /**
   * Rows at a time; 'auto' takes as many as the device is fast with and its memory has room for.
   * @default 8
   */
  batchSize?: number
  /**
   * Rows of each task that the report shows with their answers, those that got worse first.
   * @default 50
   */
  maxSamples?: number
  /**
   * Confidence of the intervals of scores.
   * @default 0.95
   */
  confidence?: number
  /**
   * Resamples of the rows from which intervals are made; 0 makes none, which saves time.
   * @default 10000
   */
  bootstrapSamples?: number
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Told how far it is, after each batch and each row that a judge has judged.
   * @default none
   */
  onProgress?: (progress: EvaluationProgress) => void
}

/** The options of `runTasks`. */
export const RUN_TASKS_OPTIONS = {
  modelName: { rule: text, default: 'model', help: 'what reports call the model' },
  batchSize: { rule: integer({ min: 1 }), default: 8, help: 'rows at a time' },
  maxSamples: {
    rule: integer({ min: 0 }),
    default: 50,
    help: 'rows of each task that the report shows with their answers, those that got worse first',
  },
  confidence: {
    rule: number({ above: 0, below: 1 }),
    default: 0.95,
    help: 'confidence of the intervals of scores',
  },
  bootstrapSamples: {
    rule: either(exactly(0, 'no intervals'), BOOTSTRAP_OPTIONS.samples.rule),
    default: BOOTSTRAP_OPTIONS.samples.default,
    help: 'resamples of the rows from which intervals are made; 0: none',
  },
  signal: SIGNAL,
  onProgress: {
    rule: callback,
    otherwise: 'none',
    help: 'told how far it is, after each batch and each row that a judge has judged',
  },
} as const satisfies OptionTable<RunTasksOptions>

const { modelName: _, ...RUNNING } = RUN_TASKS_OPTIONS

/** The options of `runTasks` that `evaluate` has too. */
export const RUNNING_OPTIONS = RUNNING

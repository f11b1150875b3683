/**
 * @file Which evaluation of a run is the best one so far, and whether the run goes on, as transformers' Trainer decides
 * it. Everything follows from the evaluations in the order in which they were made: a run that is resumed counts those
 * of its log again, and so decides as one that was never interrupted.
 */

import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { listNames, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { EarlyStopping } from './early-stopping.js'
import type { BestEvaluation } from './events.js'
import { checkpointStep } from './output-directory.js'
import type { LogEntry } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'

/** Scores of an evaluation by the names that transformers gives them: `eval_loss`. Null: no finite number. */
export type EvalMetrics = Readonly<Record<string, number | null>>

export interface BestModelOptions {
  /** The name of the metric, `eval_` in front. */
  readonly metric: string
  readonly greaterIsBetter: boolean
  /** Undefined: the run does not end early. */
  readonly patience?: number | undefined
  readonly threshold?: number
}

/** What one evaluation has decided. */
export interface Verdict {
  /** The best one so far; undefined where none was a number. */
  readonly best: BestEvaluation | undefined
  readonly isBest: boolean
  /** Present with early stopping. */
  readonly earlyStopping?: { readonly counter: number; readonly patience: number }
}

export class BestModel {
  readonly metric: string
  readonly greaterIsBetter: boolean
  readonly earlyStopping: EarlyStopping | undefined
  /** As in transformers, an evaluation without a number leaves the worst value that there is. */
  #value: number | undefined
  #step: number | undefined
  #checkpoint: string | undefined
  /** All that were the best one when they were made. */
  readonly #bestSteps: number[] = []

  constructor({ metric, greaterIsBetter, patience, threshold = 0 }: BestModelOptions) {
    this.metric = metric
    this.greaterIsBetter = greaterIsBetter
    this.earlyStopping = patience === undefined ? undefined : new EarlyStopping({ patience, threshold })
  }

  /** The best evaluation so far; undefined where there is none. */
  get best(): BestEvaluation | undefined {
    if (this.#value === undefined || this.#step === undefined) return undefined
    const checkpoint = this.#checkpoint
    return {
      metric: this.metric,
      value: this.#value,
      step: this.#step,
      ...(checkpoint !== undefined && { checkpoint }),
    }
  }

  /** The directory of the last checkpoint that was the best one when it was written. */
  get checkpoint(): string | undefined {
    return this.#checkpoint
  }

  /** Whether the run ends, as nothing has improved for long enough. */
  get isOver(): boolean {
    return this.earlyStopping?.isOver ?? false
  }

  /** Counts the evaluation after `step`. */
  observe(step: number, value: number): Verdict {
    const isBetter = (a: number, b: number): boolean => (this.greaterIsBetter ? a > b : a < b)
    this.earlyStopping?.observe(value, this.#value, isBetter)
    this.#value ??= this.greaterIsBetter ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
    const isBest = isBetter(value, this.#value)
    if (isBest) {
      this.#value = value
      this.#step = step
      this.#bestSteps.push(step)
    }
    return this.verdict(isBest)
  }

  verdict(isBest: boolean): Verdict {
    const { best, earlyStopping } = this
    if (!earlyStopping) return { best, isBest }
    const { counter, patience } = earlyStopping
    return { best, isBest, earlyStopping: { counter, patience } }
  }

  /** Counts the evaluations of a log again, those before the first step left out. */
  replay(history: readonly LogEntry[]): void {
    for (const entry of history) {
      const { step } = entry
      const value = entry[this.metric]
      if (typeof step === 'number' && step > 0 && value !== undefined) this.observe(step, value ?? Number.NaN)
    }
  }

  /** A checkpoint is about to be complete at `path`. */
  noteCheckpoint(step: number, path: string, pathOf: (step: number) => string): void {
    if (this.#step === undefined) return
    if (this.#step === step) this.#checkpoint = path
    else if (existsSync(pathOf(this.#step))) this.#checkpoint = pathOf(this.#step)
  }

  /**
   * A run goes on from the checkpoint at `resumed`: where the best one of its evaluations lies.
   * @param recorded the best checkpoint as the run that wrote it knew it
   * @returns what is not there any more, as a warning
   */
  findCheckpoint(resumed: string, recorded: string | undefined): string | undefined {
    const beside = (step: number): string => join(dirname(resumed), `checkpoint-${step}`)
    const step = recorded === undefined ? undefined : checkpointStep(basename(recorded))
    if (recorded === undefined || step === undefined || !this.#bestSteps.includes(step)) {
      // Another metric, or none, was judged by before.
      const saved = this.#bestSteps.findLast((best) => existsSync(beside(best)))
      if (saved !== undefined) this.#checkpoint = beside(saved)
      return undefined
    }
    this.#checkpoint = [beside(step), resolve(recorded)].find((path) => existsSync(path))
    return this.#checkpoint === undefined
      ? `[resume] ${beside(step)}, the best checkpoint so far, is not there any more: until a better one is written, the run has none`
      : undefined
  }
}

/** Losses and errors, by the names that they have. */
const LESS_IS_BETTER = /(?:loss|perplexity|ece|brier_score)$/

/** The metric with `eval_` in front. */
export function evalName(name: string): string {
  return name.startsWith('eval_') ? name : `eval_${name}`
}

/**
 * The best model of a run; undefined where no evaluation is better than another.
 * @param lowerIsBetter metrics of which that is known, `eval_` in front
 */
export function createBestModel(
  training: ResolvedTrainingOptions,
  lowerIsBetter: readonly string[] = [],
): BestModel | undefined {
  const { metricForBestModel: name, earlyStoppingPatience: patience, earlyStoppingThreshold: threshold } = training
  if (name === undefined) return undefined
  const metric = evalName(name)
  const isLess = LESS_IS_BETTER.test(metric) || lowerIsBetter.includes(metric)
  const greaterIsBetter = training.greaterIsBetter ?? !isLess
  return new BestModel({ metric, greaterIsBetter, patience, threshold })
}

/** @throws where an evaluation does not tell the metric that the best one is judged by */
export function metricOf(metrics: EvalMetrics, name: string): number {
  const value = Object.hasOwn(metrics, name) ? metrics[name] : undefined
  if (value === undefined) throw unknownMetric(name, Object.keys(metrics))
  return value ?? Number.NaN
}

/** @param known names of all metrics of the evaluations */
export function unknownMetric(name: string, known: readonly string[]): OptionError {
  const near = nearestName(name, known)
  return new OptionError(
    `[training] expected a metric of this run's evaluations for metricForBestModel, got ${name}; ` +
      `${near === undefined ? '' : `did you mean ${near}? `}they tell ${listNames(known)}`,
  )
}

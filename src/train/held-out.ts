/** @file The evaluations of a run: its held-out rows are scored, and told of. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { BatchWindow } from '../data/batches.js'
import type { Item, ItemList } from '../data/items.js'
import type { Report } from './callbacks.js'
import { evaluate, type Scores } from './evaluate-loss.js'
import type { Objective } from './objective.js'
import type { RunRecord } from './run-record.js'
import { evaluationEntry } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'

/** Milliseconds between two reports of how far an evaluation is. */
const REPORT_INTERVAL = 500

export interface HeldOutOptions<I extends Item> {
  readonly model: CausalLM
  readonly objective: Objective<I>
  readonly evaluation: ItemList<I>
  readonly training: ResolvedTrainingOptions
  readonly signal: AbortSignal | undefined
  readonly report: Report
}

export class HeldOut<I extends Item> {
  readonly #options: HeldOutOptions<I>
  readonly #record: RunRecord
  #last: Scores | undefined

  constructor(options: HeldOutOptions<I>, record: RunRecord) {
    this.#options = options
    this.#record = record
  }

  /** The last evaluation of this run, if there was one. */
  get last(): Scores | undefined {
    return this.#last
  }

  /** Whether the step that was made is followed by an evaluation: its window ended, or did not end, an epoch. */
  isDue(endsEpoch: boolean): boolean {
    const { training, evaluation } = this.#options
    return evaluation.length > 0 && this.#record.isDue(training.evalStrategy, training.evalSteps, endsEpoch)
  }

  /** Nothing happens where the run is asked to end, before or meanwhile: what was trained is saved by then. */
  async evaluate(window?: BatchWindow): Promise<void> {
    const { model, objective, evaluation, training, signal, report } = this.#options
    if (signal?.aborted) return
    const start = performance.now()
    const batchSize = training.perDeviceEvalBatchSize
    const onProgress = this.#reporter(window)
    const scores = await evaluate(objective, model, evaluation, { batchSize, signal, onProgress }).catch(
      (error: unknown) => {
        if (signal?.aborted) return undefined
        throw error
      },
    )
    if (!scores) return
    this.#last = scores
    const seconds = (performance.now() - start) / 1000
    const event = { type: 'evaluate', ...this.#record.progress(window), ...scores, seconds } as const
    const batches = Math.ceil(evaluation.length / batchSize)
    this.#record.history.push(evaluationEntry(event, { rows: evaluation.length, batches }))
    await report(event)
  }

  /** A checkpoint is written before the evaluation of its step: a run that goes on from there begins with it. */
  async evaluateAgain(): Promise<void> {
    const { state, history } = this.#record
    if (state.step === 0 || !this.isDue(state.cursor.index === 0)) return
    if (history.some((entry) => entry.step === state.step && 'eval_loss' in entry)) return
    await this.evaluate()
    this.#record.skipTime()
  }

  #reporter(window: BatchWindow | undefined): (rows: number) => void {
    const { evaluation, report } = this.#options
    let last = performance.now()
    return (rows) => {
      if (performance.now() - last < REPORT_INTERVAL) return
      last = performance.now()
      void report({ type: 'evaluating', ...this.#record.progress(window), rows, totalRows: evaluation.length })
    }
  }
}

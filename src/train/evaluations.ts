/** @file The evaluations of a run: its held-out rows are scored, told of, and judged. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { BatchWindow } from '../data/batches.js'
import type { Item, ItemList } from '../data/items.js'
import { withCause } from '../decoding/decoding.js'
import { ModelError } from '../lowrank-error.js'
import { type BestModel, type EvalMetrics, metricOf, type Verdict } from './best-model.js'
import type { Report } from './callbacks.js'
import { type ScoreSums, type Scores, scoresOf, sumScores } from './evaluate-loss.js'
import type { EvaluateEvent } from './events.js'
import { divergedAt } from './finiteness.js'
import type { Objective } from './objective.js'
import type { Probes } from './probes.js'
import type { RunRecord } from './run-record.js'
import { type EvaluatedPart, evaluationEntry } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'

/** Where there are no held-out rows. */
const NO_SCORES: Scores = { loss: Number.NaN, tokens: 0 }

/** Milliseconds between two reports of how far an evaluation is. */
const REPORT_INTERVAL = 500

/** Rows that a run is evaluated on. */
export interface HeldOutRows<I extends Item = Item> {
  /** The key under which `evalDataset` has them; undefined: it is one data set, or rows of `evalSplit`. */
  readonly name: string | undefined
  readonly items: ItemList<I>
}

export interface EvaluationsOptions<I extends Item> {
  readonly model: CausalLM
  readonly objective: Objective<I>
  readonly evaluation: readonly HeldOutRows<I>[]
  readonly training: ResolvedTrainingOptions
  readonly bestModel: BestModel | undefined
  readonly probes: Probes | undefined
  readonly signal: AbortSignal | undefined
  readonly report: Report
  /** The directory of the last good checkpoint; undefined where there is none. */
  readonly lastCheckpoint: () => string | undefined
}

export class Evaluations<I extends Item> {
  readonly #options: EvaluationsOptions<I>
  readonly #record: RunRecord
  readonly #totalRows: number
  #last: Scores | undefined

  constructor(options: EvaluationsOptions<I>, record: RunRecord) {
    this.#options = options
    this.#record = record
    this.#totalRows = rowsOf(options.evaluation) + (options.probes?.count ?? 0)
  }

  /** The last evaluation of held-out rows of this run, if there was one. */
  get last(): Scores | undefined {
    return this.#last
  }

  /** Whether the step that was made is followed by an evaluation. */
  isDue(window?: BatchWindow): boolean {
    const { evalStrategy, evalSteps, evalDelay } = this.#options.training
    const { state } = this.#record
    const endsEpoch = window === undefined ? state.cursor.index === 0 : window.next.epoch > window.cursor.epoch
    if (this.#totalRows === 0 || !this.#record.isDue(evalStrategy, evalSteps, endsEpoch)) return false
    return evalDelay <= (evalStrategy === 'epoch' ? this.#record.progress(window).epoch : state.step)
  }

  /**
   * Scores, judges and tells of the step that was made.
   * @returns undefined where the run is asked to end, before or meanwhile: that evaluation is made when it goes on
   */
  async evaluate(window?: BatchWindow): Promise<Verdict | undefined> {
    const { signal } = this.#options
    if (signal?.aborted) return undefined
    try {
      return await this.#evaluate(window)
    } catch (error) {
      if (signal?.aborted) return undefined
      const cause = withCause(error)
      const { step } = this.#record.state
      // Before the first step the model came so.
      if (cause instanceof ModelError && step > 0) throw divergedAt(step, cause, this.#options.lastCheckpoint())
      throw error
    }
  }

  async #evaluate(window: BatchWindow | undefined): Promise<Verdict> {
    const { objective, evaluation, training, probes, report } = this.#options
    const start = performance.now()
    const parts: EvaluatedPart[] = []
    const sums: ScoreSums[] = []
    const onProgress = this.#reporter(window)
    for (const set of evaluation) {
      const began = performance.now()
      const done = rowsOf(evaluation.slice(0, sums.length))
      const all = await this.#score(set, (rows) => onProgress(done + rows))
      sums.push(all)
      const prefix = set.name === undefined ? 'eval' : `eval_${set.name}`
      parts.push({
        metrics: namedScores(scoresOf(objective, [all]), prefix),
        prefix,
        seconds: (performance.now() - began) / 1000,
        rows: set.items.length,
        batches: Math.ceil(set.items.length / training.perDeviceEvalBatchSize),
      })
    }
    const scores = sums.length === 0 ? NO_SCORES : scoresOf(objective, sums)
    if (sums.length > 0) this.#last = scores
    const done = rowsOf(evaluation)
    parts.push(...((await probes?.score((rows) => onProgress(done + rows))) ?? []))
    const samples = (await probes?.sample()) ?? []
    const metrics: EvalMetrics = Object.assign({}, ...parts.map((part) => part.metrics))
    const progress = this.#record.progress(window)
    const verdict = this.#judge(metrics)
    for (const part of parts) this.#record.history.push(evaluationEntry(progress, part))
    const event: EvaluateEvent = {
      type: 'evaluate',
      ...progress,
      ...scores,
      seconds: (performance.now() - start) / 1000,
      metrics,
      ...(samples.length > 0 && { samples }),
      ...toldOf(verdict),
    }
    await report(event)
    return verdict
  }

  /** A run whose checkpoint holds no evaluation of its step, as it was left before that, begins with it. */
  async evaluateAgain(): Promise<Verdict | undefined> {
    const { training } = this.#options
    const { state, history } = this.#record
    if (state.step === 0 ? !training.evalOnStart || this.#totalRows === 0 : !this.isDue()) return undefined
    if (history.some((entry) => entry.step === state.step && Object.keys(entry).some(isScore))) return undefined
    const verdict = await this.evaluate()
    this.#record.skipTime()
    return verdict
  }

  /** What comes before the first step is nothing that the run has made. */
  #judge(metrics: EvalMetrics): Verdict {
    const { bestModel } = this.#options
    const { step } = this.#record.state
    if (!bestModel) return { best: undefined, isBest: false }
    const value = metricOf(metrics, bestModel.metric)
    return step === 0 ? bestModel.verdict(false) : bestModel.observe(step, value)
  }

  async #score({ items }: HeldOutRows<I>, onProgress: (rows: number) => void): Promise<ScoreSums> {
    const { model, objective, training, signal } = this.#options
    return await sumScores(objective, model, items, { batchSize: training.perDeviceEvalBatchSize, signal, onProgress })
  }

  #reporter(window: BatchWindow | undefined): (rows: number) => void {
    const { report } = this.#options
    let last = performance.now()
    return (rows) => {
      if (performance.now() - last < REPORT_INTERVAL) return
      last = performance.now()
      void report({ type: 'evaluating', ...this.#record.progress(window), rows, totalRows: this.#totalRows })
    }
  }
}

/** Rows of all data sets together. */
export function rowsOf(evaluation: readonly HeldOutRows[]): number {
  return evaluation.reduce((sum, { items }) => sum + items.length, 0)
}

function namedScores({ loss, perplexity, figures = {} }: Scores, prefix: string): EvalMetrics {
  return {
    [`${prefix}_loss`]: loss,
    ...(perplexity !== undefined && { [`${prefix}_perplexity`]: perplexity }),
    ...Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}_${name}`, value])),
  }
}

function isScore(name: string): boolean {
  return name.startsWith('eval_')
}

/** The part of a verdict that an event has. */
function toldOf({ best, isBest, earlyStopping }: Verdict): Pick<EvaluateEvent, 'best' | 'isBest' | 'earlyStopping'> {
  if (best === undefined && earlyStopping === undefined) return {}
  return { ...(best !== undefined && { best, isBest }), ...(earlyStopping && { earlyStopping }) }
}

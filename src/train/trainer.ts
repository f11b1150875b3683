/**
 * @file The training loop. What happens in a step stands in `run` and `#accumulate`. What is optimised is the
 * objective's, and what is kept, told and written of a run is in files of its own.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { BatchWindow, WindowSource } from '../data/batches.js'
import type { Item } from '../data/items.js'
import { OptionError } from '../lowrank-error.js'
import type { Turns } from '../turns.js'
import type { AdamW } from './adamw.js'
import { type BestModel, createBestModel, type Verdict } from './best-model.js'
import type { Report } from './callbacks.js'
import type { Scores } from './evaluate-loss.js'
import { Evaluations, type HeldOutRows } from './evaluations.js'
import type { EndEvent, Progress } from './events.js'
import { type BadStep, diverged, expectSoundModel, overflowed } from './finiteness.js'
import { layerGradNorms, memoryFigures } from './log-details.js'
import { LossScaler } from './loss-scaler.js'
import { addMeans, type Means } from './means.js'
import type { BatchLoss, Objective } from './objective.js'
import type { OutputDirectory } from './output-directory.js'
import type { Probes } from './probes.js'
import { RunCheckpoints } from './run-checkpoints.js'
import { type ResumedFrom, RunRecord } from './run-record.js'
import { learningRateAt, resolveWarmupSteps } from './schedule.js'
import { summaryEntry } from './trainer-state.js'
import { MOST_STEPS, type ResolvedTrainingOptions } from './training-options.js'
import type { RunIdentity, TrainedWeights } from './training-state.js'

export interface TrainerOptions<I extends Item> {
  readonly objective: Objective<I>
  readonly model: CausalLM
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly source: WindowSource<I>
  /** Optimizer steps of the whole run; see `countSteps`. */
  readonly totalSteps: number
  readonly evaluation: readonly HeldOutRows<I>[]
  /** Default: none. */
  readonly probes?: Probes | undefined
  /** Metrics of tasks of which less is better. */
  readonly lowerIsBetter?: readonly string[]
  readonly training: ResolvedTrainingOptions
  readonly identity: RunIdentity
  readonly output: OutputDirectory | undefined
  readonly signal: AbortSignal | undefined
  readonly report: Report
  /** Writes what the log of the run has not written yet. */
  readonly flushLog: () => void
}

/** How a run ended. */
export interface TrainerResult {
  readonly reason: 'completed' | 'aborted'
  readonly step: number
  /** Mean loss of the steps of this run; undefined where it made none. */
  readonly loss: number | undefined
  /** The last evaluation, if there was one. */
  readonly evaluation: Scores | undefined
  /** What is still to be reported, when everything is written. */
  readonly end: EndEvent
}

/** A step whose commands are queued and whose figures are not known yet. */
interface QueuedStep {
  readonly step: number
  readonly window: BatchWindow
  readonly means: Means
  readonly learningRate: number
  /** In float16: of its gradients. */
  readonly lossScale: number | undefined
  /** Known when the device has made the step, with the moment when that was. */
  readonly done: Promise<{ total: number; byName: Map<string, number>; at: number }>
}

/** Trains a model's trainable parameters on windows of batches. */
export class Trainer<I extends Item> {
  readonly #options: TrainerOptions<I>
  readonly #record: RunRecord
  readonly #checkpoints: RunCheckpoints
  readonly #evaluations: Evaluations<I>
  readonly #bestModel: BestModel | undefined
  readonly #warmupSteps: number
  /** What the source of the windows has thrown. */
  #failure: { readonly error: unknown } | undefined
  /** In float16. */
  readonly #scaler: LossScaler | undefined

  /** @param resumed where to go on; default the beginning. */
  constructor(options: TrainerOptions<I>, resumed?: ResumedFrom) {
    this.#options = options
    this.#bestModel = createBestModel(options.training, options.lowerIsBetter)
    const judged = { ...options, probes: options.probes, bestModel: this.#bestModel }
    this.#record = new RunRecord(judged, resumed)
    this.#bestModel?.replay(this.#record.history)
    const gone = resumed && this.#bestModel?.findCheckpoint(resumed.path, resumed.checkpoint.bestCheckpoint)
    this.warnings = gone === undefined ? [] : [gone]
    this.#scaler = options.model.dtype === 'float16' ? new LossScaler(resumed?.checkpoint.state.lossScaler) : undefined
    const started = { record: this.#record, scaler: this.#scaler, resumed: resumed?.path }
    this.#checkpoints = new RunCheckpoints(judged, started)
    this.#evaluations = new Evaluations({ ...judged, lastCheckpoint: () => this.#checkpoints.last }, this.#record)
    this.#warmupSteps = resolveWarmupSteps(options.totalSteps, options.training)
  }

  /** What is lacking of the run that goes on. */
  readonly warnings: readonly string[]

  /** The same for all parts of a run that is resumed. */
  get runId(): string {
    return this.#record.state.runId
  }

  /** Where the run stands. */
  get progress(): Progress {
    return this.#record.progress()
  }

  /**
   * Runs to the end, or to the step after which `signal` was seen.
   * @throws when a loss or gradient is not finite, naming the step and the largest gradient; the last checkpoint is
   * left as it is. In float16 a
   *   step whose gradient is not finite is skipped instead, until scales so small were tried that there is another
   *   reason for it.
   */
  async run(): Promise<TrainerResult> {
    const { model, optimizer, training } = this.#options
    const { state } = this.#record
    model.train()
    model.dropoutState.seed = training.seed
    model.dropoutState.microStep = state.microStep
    this.#record.start()
    let settled: Promise<void> | undefined
    try {
      await this.#follow(await this.#evaluations.evaluateAgain())
      for await (const window of this.#windowsToGo()) {
        const means = await this.#accumulate(window, settled)
        await settled
        if (!Number.isFinite(means.loss)) await this.#expectSoundModel(means.loss)
        // As in transformers' Trainer a skipped step counts, but neither the schedule nor the bias correction goes on
        // with it.
        const learningRate = this.#learningRateAt(optimizer.stepCount)
        const lossScale = this.#scaler?.scale
        optimizer.lr = learningRate
        optimizer.step({ maxGradNorm: training.maxGradNorm, lossScale })
        const done = handled(optimizer.gradNorms().then((norms) => ({ ...norms, at: performance.now() })))
        optimizer.zeroGrad()
        state.step++
        state.cursor = window.next
        if (window.position) state.position = window.position
        if (window.isLast) this.#record.endNow()
        state.microStep = model.dropoutState.microStep
        state.numInputTokensSeen += window.numTokens
        // It is told of as soon as the device has made it, while the next one is waited for and queued behind it.
        settled = handled(this.#settle({ step: state.step, window, means, learningRate, lossScale, done }))
        if (this.#isBoundary(window)) {
          await settled
          settled = undefined
          await this.#evaluateAndSave(window)
        }
      }
      await settled
    } finally {
      model.eval()
    }
    if (this.#failure !== undefined) await this.#leave(this.#failure.error)
    const isComplete = state.step >= this.#record.totalSteps || this.#bestModel?.isOver
    const reason = isComplete ? 'completed' : 'aborted'
    const end = await this.#finish(reason)
    return { reason, step: state.step, loss: this.#record.meanLoss, evaluation: this.#evaluations.last, end }
  }

  /** Writes a checkpoint of where the run stands if there is none yet: the run is about to be left. */
  async saveUnsaved(): Promise<void> {
    await this.#checkpoints.saveUnsaved()
  }

  /** The windows that are left, until the signal is seen or nothing improves any more. */
  async *#windowsToGo(): AsyncGenerator<BatchWindow<I>> {
    const { source, signal } = this.#options
    const { state, totalSteps } = this.#record
    const windows = this.#record.timed(source.windows(state.cursor))
    try {
      while (state.step < totalSteps && !signal?.aborted && !this.#bestModel?.isOver) {
        const next = await windows.next().catch((error: unknown) => {
          if (signal?.aborted) return undefined
          this.#failure = { error }
          return undefined
        })
        if (next === undefined) return
        if (next.done) {
          // A run that goes on from the end of its rows has none left.
          if (!signal?.aborted) this.#record.endNow()
          return
        }
        yield next.value
      }
    } finally {
      await windows.return(undefined)
    }
  }

  /**
   * Forward and backward of each micro-batch of a window; the sum of their losses is the window's mean loss.
   * @param settled the step before, on which the scale of the loss depends in float16.
   */
  async #accumulate(window: BatchWindow<I>, settled: Promise<void> | undefined): Promise<Means> {
    const { model, objective } = this.#options
    let sum: Means = { loss: 0 }
    let previous: Promise<Means> | undefined
    for (const batch of this.#record.timedAtOnce(window.batches())) {
      const loss = await this.#scaled(objective.begin(model, batch, window.weight), settled)
      // A turn of the event loop between the two halves keeps each turn short.
      await nextTurn()
      await loss.backward()
      const means = handled(loss.read())
      loss.dispose()
      // At most one micro-batch waits behind the one that runs.
      if (previous) sum = addMeans(sum, await previous)
      previous = means
    }
    if (previous) sum = addMeans(sum, await previous)
    return sum
  }

  /**
   * All micro-batches of a step have one scale: that which the step before left, whose outcome is waited for while the
   * forward pass runs.
   */
  async #scaled(finish: (lossScale: number) => BatchLoss, settled: Promise<void> | undefined): Promise<BatchLoss> {
    if (!this.#scaler) return finish(1)
    await settled
    return finish(this.#scaler.scale)
  }

  /** Takes the figures of a step once the device has made it. */
  async #settle({ done, ...queued }: QueuedStep): Promise<void> {
    const { step, lossScale } = queued
    const { loss } = queued.means
    const { total, byName, at } = await done
    const skipped = this.#scaler !== undefined && !Number.isFinite(total)
    const asBad = (): BadStep => ({ step, loss, lossScale, byName, checkpoint: this.#checkpoints.last })
    if (!Number.isFinite(loss) || (!Number.isFinite(total) && !skipped)) throw diverged(asBad())
    if (skipped) this.#options.optimizer.stepCount--
    this.#scaler?.update(skipped)
    if (this.#scaler?.isExhausted) throw overflowed(asBad())
    const { model, training } = this.#options
    const gradNorms = training.logGradNorms ? layerGradNorms(byName) : undefined
    const memory = training.includeMemoryMetrics ? () => memoryFigures(model.device) : undefined
    const events = this.#record.settle({ ...queued, gradNorm: total, at, skipped, gradNorms, memory })
    for (const event of events) await this.#options.report(event)
  }

  async #expectSoundModel(loss: number): Promise<void> {
    const { model, weights } = this.#options
    const { state, ownSteps } = this.#record
    const { last: checkpoint } = this.#checkpoints
    await expectSoundModel(model, weights, { step: state.step + 1, loss, isFirst: ownSteps === 0, checkpoint })
  }

  #isBoundary(window: BatchWindow): boolean {
    const isLast = this.#record.state.step === this.#record.totalSteps
    return isLast || this.#evaluations.isDue(window) || this.#checkpoints.isDue(endsEpoch(window))
  }

  /** Rows that cannot be had, and an evaluation that fails, lose nothing of the training before them. */
  async #leave(error: unknown): Promise<never> {
    const { report } = this.#options
    await this.saveUnsaved().catch((cause: Error) => report({ type: 'warning', message: cause.message }))
    throw error
  }

  /** In this order, so that a checkpoint knows whether it is the best one. */
  async #evaluateAndSave(window: BatchWindow): Promise<void> {
    const isSaved = this.#checkpoints.isDue(endsEpoch(window))
    let verdict: Verdict | undefined
    if (this.#evaluations.isDue(window))
      verdict = await this.#evaluations.evaluate(window).catch(async (error: unknown) => await this.#leave(error))
    if (isSaved) await this.#checkpoints.save(window)
    await this.#follow(verdict)
    this.#record.skipTime()
  }

  /** Saves what an evaluation found to be the best, where that is asked for. */
  async #follow(verdict: Verdict | undefined): Promise<void> {
    if (!verdict?.isBest) return
    this.#checkpoints.noteBest()
    if (this.#checkpoints.areOfBest) await this.#checkpoints.saveBest()
  }

  async #finish(reason: 'completed' | 'aborted'): Promise<EndEvent> {
    const record = this.#record
    const { training } = this.#options
    if (record.ownSteps > 0) await this.#checkpoints.expectFinite()
    if (reason === 'aborted') await this.saveUnsaved()
    const loadedStep = training.loadBestModelAtEnd ? await this.#checkpoints.loadBest() : undefined
    const { meanLoss: loss, seconds, dataSeconds } = record
    const figures = loss === undefined ? { seconds } : { loss, seconds, dataSeconds }
    const { best, earlyStopping } = this.#bestModel ?? {}
    const event: EndEvent = {
      type: 'end',
      reason,
      ...this.progress,
      ...figures,
      ...(best && { best }),
      ...(loadedStep !== undefined && { loadedStep }),
      ...(earlyStopping?.isOver && {
        earlyStopping: { counter: earlyStopping.counter, patience: earlyStopping.patience },
      }),
    }
    if (reason === 'completed') {
      record.history.push(summaryEntry(event, { rows: record.ownRows, steps: record.ownSteps }))
      if (training.loadBestModelAtEnd) await this.#checkpoints.pruneToBest()
    }
    await this.#checkpoints.writeTrainerState(event.epoch)
    return event
  }

  #learningRateAt(step: number): number {
    const { lrSchedulerType, learningRate } = this.#options.training
    return learningRateAt(step, {
      type: lrSchedulerType,
      learningRate,
      warmupSteps: this.#warmupSteps,
      // That of the schedule, also where the rows end before it.
      totalSteps: this.#options.totalSteps,
    })
  }
}

/** Optimizer steps of a run: `maxSteps`, or those of `numTrainEpochs`, a last part of an epoch rounded up. */
export async function countSteps(
  plan: { countWindows(epochs: number, turns: Turns): Promise<number> },
  { maxSteps, numTrainEpochs }: Pick<ResolvedTrainingOptions, 'maxSteps' | 'numTrainEpochs'>,
  turns: Turns,
): Promise<number> {
  const steps = maxSteps > 0 ? maxSteps : await plan.countWindows(numTrainEpochs, turns)
  if (steps <= MOST_STEPS) return steps
  throw new OptionError(
    `[train] expected at most ${MOST_STEPS} steps, got ${steps} in numTrainEpochs ${numTrainEpochs}; lower it, or set maxSteps`,
  )
}

function endsEpoch({ cursor, next }: BatchWindow): boolean {
  return next.epoch > cursor.epoch
}

/** Marks a promise that is awaited later, so that a fault which ends the loop before that is not reported twice. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

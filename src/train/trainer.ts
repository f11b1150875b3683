/** @file The training loop. What happens in a step stands in `run` and `#accumulate`; all else is bookkeeping round it. */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { RaggedBatch } from '../architecture/batch.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { BatchPlan, BatchWindow } from '../data/batches.js'
import type { Example } from '../data/examples.js'
import { writeFileAtomic } from '../files.js'
import type { Tensor } from '../tensor/tensor.js'
import { Turns } from '../turns.js'
import type { AdamW } from './adamw.js'
import type { Report } from './callbacks.js'
import { type Evaluation, evaluateLoss } from './evaluate-loss.js'
import type { EndEvent } from './events.js'
import { firstBadWeight } from './finite-weights.js'
import { LossScaler } from './loss-scaler.js'
import { MOST_STEPS, type ResolvedTrainingOptions } from './options.js'
import type { OutputDirectory } from './output-directory.js'
import { NO_FIGURES, type TrainerState } from './run-state.js'
import { learningRateAt, resolveWarmupSteps } from './schedule.js'
import {
  evaluationEntry,
  type LogEntry,
  logEntry,
  summaryEntry,
  TRAINER_STATE_FILE,
  trainerStateText,
} from './trainer-state.js'
import { type LoadedCheckpoint, type RunIdentity, saveCheckpoint, type TrainedWeights } from './training-state.js'

export interface TrainerOptions {
  readonly model: CausalLM
  readonly weights: TrainedWeights
  readonly optimizer: AdamW
  readonly plan: BatchPlan
  /** Optimizer steps of the whole run; see `countSteps`. */
  readonly totalSteps: number
  readonly evaluation: readonly Example[]
  readonly training: ResolvedTrainingOptions
  readonly identity: RunIdentity
  readonly output: OutputDirectory | undefined
  readonly signal: AbortSignal | undefined
  readonly report: Report
}

/** The checkpoint that a run goes on from. */
export interface ResumedFrom {
  readonly path: string
  readonly checkpoint: LoadedCheckpoint
  /** Whether it lies in the run's own output directory. */
  readonly isContinued: boolean
}

/** How a run ended. */
export interface TrainerResult {
  readonly reason: 'completed' | 'aborted'
  readonly step: number
  /** Mean loss of the steps of this run; undefined where it made none. */
  readonly loss: number | undefined
  /** The last evaluation, if there was one. */
  readonly evaluation: Evaluation | undefined
  /** What is still to be reported, when everything is written. */
  readonly end: EndEvent
}

/** A step whose commands are queued and whose figures are not known yet. */
interface QueuedStep {
  readonly step: number
  readonly window: BatchWindow
  readonly losses: number
  readonly learningRate: number
  /** In float16: of its gradients. */
  readonly lossScale: number | undefined
  /** Known when the device has made the step, with the moment when that was. */
  readonly done: Promise<{ total: number; byName: Map<string, number>; at: number }>
}

/** Trains a model's trainable parameters on a plan of batches. */
export class Trainer {
  readonly #options: TrainerOptions
  readonly #state: TrainerState
  readonly #totalSteps: number
  /** Passes through the data, one that is cut short counted whole. */
  readonly #numTrainEpochs: number
  readonly #warmupSteps: number
  /** In float16. */
  readonly #scaler: LossScaler | undefined
  #evaluation: Evaluation | undefined
  #lastCheckpoint: string | undefined
  /** The step whose weights were found to be finite. */
  #finiteAt: number | undefined
  #started = 0
  #stepEnd = 0
  #lossOfRun = 0
  #stepsOfRun = 0
  #rowsOfRun = 0
  /** Figures of all log events and evaluations since the run began, before it was resumed too. */
  readonly #history: LogEntry[]
  #secondsPerStep = 0

  /** @param resumed where to go on; default the beginning. */
  constructor(options: TrainerOptions, resumed?: ResumedFrom) {
    this.#options = options
    const state = resumed?.checkpoint.state
    this.#state = state ?? {
      runId: randomUUID(),
      step: 0,
      cursor: { epoch: 0, index: 0 },
      microStep: 0,
      numInputTokensSeen: 0,
      log: { ...NO_FIGURES },
    }
    this.#history = [...(resumed?.checkpoint.history ?? [])]
    this.#lastCheckpoint = resumed?.path
    // In another directory it is another run from here on.
    if (resumed && !resumed.isContinued) this.#state.runId = randomUUID()
    this.#state.runId ||= randomUUID()
    this.#totalSteps = options.totalSteps
    const { maxSteps, numTrainEpochs } = options.training
    const stepsPerEpoch = options.plan.numWindows(this.#state.cursor.epoch)
    this.#numTrainEpochs = Math.ceil(maxSteps > 0 ? maxSteps / stepsPerEpoch : numTrainEpochs)
    this.#warmupSteps = resolveWarmupSteps(this.#totalSteps, options.training)
    this.#scaler = options.model.dtype === 'float16' ? new LossScaler(state?.lossScaler) : undefined
  }

  /** Where the run stands. */
  get progress(): { step: number; totalSteps: number; epoch: number } {
    return this.#progress(this.#state.step, undefined)
  }

  /**
   * Runs to the end, or to the step after which `signal` was seen.
   * @throws when a loss or gradient is not finite, naming the step and the largest gradient; the last checkpoint is left as it is. In float16 a
   *   step whose gradient is not finite is skipped instead, until scales so small were tried that there is another reason for it.
   */
  async run(): Promise<TrainerResult> {
    const { model, optimizer, plan, training, signal } = this.#options
    const state = this.#state
    model.train()
    model.dropoutState.seed = training.seed
    model.dropoutState.microStep = state.microStep
    this.#started = this.#stepEnd = performance.now()
    let queued: QueuedStep | undefined
    try {
      await this.#evaluateAgain()
      while (state.step < this.#totalSteps && !signal?.aborted) {
        await plan.prepare(state.cursor.epoch, new Turns())
        const window = plan.window(state.cursor)
        // The step before is told of as soon as the device has made it, while this one is queued behind it.
        const settled = queued && handled(this.#settle(queued))
        const losses = await this.#accumulate(window, settled)
        await settled
        if (!Number.isFinite(losses)) await this.#expectSoundModel(losses)
        // As in transformers' Trainer a skipped step counts, but neither the schedule nor the bias correction goes on with it.
        const learningRate = this.#learningRateAt(optimizer.stepCount)
        const lossScale = this.#scaler?.scale
        optimizer.lr = learningRate
        optimizer.step({ maxGradNorm: training.maxGradNorm, lossScale })
        const done = handled(optimizer.gradNorms().then((norms) => ({ ...norms, at: performance.now() })))
        optimizer.zeroGrad()
        state.step++
        state.cursor = window.next
        state.microStep = model.dropoutState.microStep
        state.numInputTokensSeen += window.numTokens
        queued = { step: state.step, window, losses, learningRate, lossScale, done }
        if (this.#isBoundary(window)) {
          await this.#settle(queued)
          queued = undefined
          await this.#evaluateAndSave(window)
        }
      }
      if (queued) await this.#settle(queued)
    } finally {
      model.eval()
    }
    const reason = state.step >= this.#totalSteps ? 'completed' : 'aborted'
    const end = await this.#finish(reason)
    return { reason, step: state.step, loss: this.#meanLoss(), evaluation: this.#evaluation, end }
  }

  /**
   * Forward and backward of each micro-batch of a window; the sum of their losses is the window's mean loss.
   * @param settled the step before, on which the scale of the loss depends in float16.
   */
  async #accumulate(window: BatchWindow, settled: Promise<void> | undefined): Promise<number> {
    const { model } = this.#options
    let sum = 0
    let previous: Promise<Float32Array> | undefined
    for (const batch of window.batches()) {
      const loss = this.#scaler
        ? await this.#scaledLoss(batch, window, this.#scaler, settled)
        : model.forwardRagged(batch, window.numSupervised).loss
      // A turn of the event loop between the two halves keeps each turn short.
      await nextTurn()
      loss.backward()
      const value = handled(loss.read())
      loss.dispose()
      // At most one micro-batch waits behind the one that runs.
      if (previous) sum += (await previous)[0] as number
      previous = value
    }
    if (previous) sum += (await previous)[0] as number
    return sum
  }

  /** All micro-batches of a step have one scale: that which the step before left, whose outcome is waited for while the decoder runs. */
  async #scaledLoss(
    batch: RaggedBatch,
    { numSupervised }: BatchWindow,
    scaler: LossScaler,
    settled: Promise<void> | undefined,
  ): Promise<Tensor> {
    const loss = this.#options.model.beginRagged(batch, numSupervised)
    await settled
    return loss(scaler.scale)
  }

  /** Takes the figures of a step once the device has made it. */
  async #settle({ step, window, losses, learningRate, lossScale, done }: QueuedStep): Promise<void> {
    const { total, byName, at } = await done
    const skipped = this.#scaler !== undefined && !Number.isFinite(total)
    if (!Number.isFinite(losses) || (!Number.isFinite(total) && !skipped)) throw this.#diverged(step, losses, byName)
    if (skipped) this.#options.optimizer.stepCount--
    this.#scaler?.update(skipped)
    if (this.#scaler?.isExhausted) throw this.#overflowed(step, lossScale, byName)
    const seconds = (at - this.#stepEnd) / 1000
    this.#stepEnd = at
    // The first step pays for memory that later ones reuse: let the estimate forget it.
    this.#secondsPerStep = this.#stepsOfRun < 2 ? seconds : 0.8 * this.#secondsPerStep + 0.2 * seconds
    this.#lossOfRun += losses
    this.#stepsOfRun++
    this.#rowsOfRun += window.numSequences
    const { log } = this.#state
    log.steps++
    log.loss += losses
    if (skipped) log.skipped++
    else log.gradNorm += total
    log.tokens += window.numTokens
    log.seconds += seconds
    const figures = {
      ...this.#progress(step, window),
      learningRate,
      numInputTokensSeen: this.#state.numInputTokensSeen,
      etaSeconds: this.#secondsPerStep * (this.#totalSteps - step),
      ...(lossScale !== undefined && { lossScale }),
    }
    const { report, training } = this.#options
    await report({
      type: 'step',
      ...figures,
      ...(this.#scaler && { skipped }),
      loss: losses,
      gradNorm: total,
      tokensPerSecond: window.numTokens / seconds,
    })
    if (step % training.loggingSteps === 0 || step === this.#totalSteps) {
      const tokensPerSecond = log.tokens / log.seconds
      const event = {
        type: 'log',
        ...figures,
        ...(this.#scaler && { skippedSteps: log.skipped }),
        loss: log.loss / log.steps,
        gradNorm: log.gradNorm / (log.steps - log.skipped),
        tokensPerSecond,
      } as const
      this.#history.push(logEntry(event))
      this.#state.log = { ...NO_FIGURES }
      await report(event)
    }
  }

  #diverged(step: number, loss: number, byName: ReadonlyMap<string, number>): Error {
    const float16 = this.#scaler ? "set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, " : ''
    return new Error(
      `[train] expected a finite loss and gradient at step ${step}, got loss ${loss}; ${this.#whereItStood(byName)} ` +
        `Lower learningRate, lengthen the warm-up, set maxGradNorm, ${float16}or look at the rows of this step`,
    )
  }

  #overflowed(step: number, lossScale: number | undefined, byName: ReadonlyMap<string, number>): Error {
    return new Error(
      `[train] expected a gradient that float16 can hold at step ${step}, but it overflows at every loss scale down to ${lossScale}; ` +
        `${this.#whereItStood(byName)} Set dtype to 'bfloat16' or 'float32', or lower learningRate`,
    )
  }

  #whereItStood(byName: ReadonlyMap<string, number>): string {
    const size = (norm: number): number => (Number.isFinite(norm) ? norm : Number.POSITIVE_INFINITY)
    const [name, norm] = [...byName].reduce(
      (largest, entry) => (size(entry[1]) > size(largest[1]) ? entry : largest),
      ['none', -1],
    )
    return `the largest gradient is that of ${name} (norm ${norm}). ${this.#lastGood()}`
  }

  #lastGood(): string {
    return this.#lastCheckpoint
      ? `The last good checkpoint is ${this.#lastCheckpoint}.`
      : 'No checkpoint was written before.'
  }

  /**
   * Before an update makes more weights like it.
   * @throws naming a weight that is no finite number and was not made so by this run
   */
  async #expectSoundModel(loss: number): Promise<void> {
    const { model, weights } = this.#options
    const all = [...model.parameters(), ...weights.parameters]
    const untouched = this.#stepsOfRun === 0 ? all : all.filter(([, parameter]) => !parameter.requiresGrad)
    const bad = await firstBadWeight(untouched)
    if (!bad) return
    const float16 = this.#scaler ? "set dtype to 'bfloat16' or 'float32', which hold numbers above 65504, or " : ''
    throw new Error(
      `[train] expected finite numbers in the weights of the model, got ${bad.value} at ${bad.index} in ${bad.name}, which makes the loss ` +
        `of step ${this.#state.step + 1} ${loss}; ${float16}get the model anew, or load one whose training did not diverge. ${this.#lastGood()}`,
    )
  }

  /** The loss of a step tells nothing of what the step made of the weights. @throws naming one that is no finite number */
  async #expectFiniteWeights(): Promise<void> {
    const { step } = this.#state
    if (this.#finiteAt === step) return
    const bad = await firstBadWeight(this.#options.weights.parameters)
    if (bad) {
      throw new Error(
        `[train] expected finite weights after step ${step}, got ${bad.value} at ${bad.index} in ${bad.name}; nothing is saved of them. ` +
          `${this.#lastGood()} Lower learningRate or weightDecay, or lengthen the warm-up`,
      )
    }
    this.#finiteAt = step
  }

  #isBoundary(window: BatchWindow): boolean {
    const end = endOf(window)
    return this.#isDue('eval', end) || this.#isDue('save', end) || this.#state.step === this.#totalSteps
  }

  #isDue(what: 'eval' | 'save', { endsEpoch }: { endsEpoch: boolean }): boolean {
    const { training, evaluation, output } = this.#options
    if (what === 'eval' ? evaluation.length === 0 : output === undefined) return false
    const strategy = what === 'eval' ? training.evalStrategy : training.saveStrategy
    const every = what === 'eval' ? training.evalSteps : training.saveSteps
    if (strategy === 'no') return false
    if (this.#state.step === this.#totalSteps) return true
    return strategy === 'steps' ? this.#state.step % every === 0 : endsEpoch
  }

  async #evaluateAndSave(window: BatchWindow): Promise<void> {
    if (this.#isDue('save', endOf(window))) await this.#save(window)
    if (this.#isDue('eval', endOf(window))) await this.#evaluate(window)
    this.#stepEnd = performance.now()
  }

  async #evaluate(window: BatchWindow | undefined): Promise<void> {
    const { model, evaluation, training, signal, report } = this.#options
    if (signal?.aborted) return
    const start = performance.now()
    const batchSize = training.perDeviceEvalBatchSize
    const onProgress = this.#evaluationProgress(window)
    const result = await evaluateLoss(model, evaluation, { batchSize, signal, onProgress }).catch((error: Error) => {
      // The step is saved already; the run ends without this evaluation.
      if (signal?.aborted) return undefined
      throw error
    })
    if (!result) return
    this.#evaluation = result
    const seconds = (performance.now() - start) / 1000
    const event = { type: 'evaluate', ...this.#progress(this.#state.step, window), ...result, seconds } as const
    const batches = Math.ceil(evaluation.length / batchSize)
    this.#history.push(evaluationEntry(event, { rows: evaluation.length, batches }))
    await report(event)
  }

  /** A checkpoint is written before the evaluation of its step: a run that goes on from there begins with it. */
  async #evaluateAgain(): Promise<void> {
    const { step, cursor } = this.#state
    if (step === 0 || !this.#isDue('eval', { endsEpoch: cursor.index === 0 })) return
    if (this.#history.some((entry) => entry.step === step && 'eval_loss' in entry)) return
    await this.#evaluate(undefined)
    this.#stepEnd = performance.now()
  }

  #evaluationProgress(window: BatchWindow | undefined): (rows: number) => void {
    const { evaluation, report } = this.#options
    let last = performance.now()
    return (rows) => {
      if (performance.now() - last < EVALUATION_INTERVAL) return
      last = performance.now()
      void report({
        type: 'evaluating',
        ...this.#progress(this.#state.step, window),
        rows,
        totalRows: evaluation.length,
      })
    }
  }

  async #save(window: BatchWindow | undefined): Promise<void> {
    const { weights, optimizer, identity, output, training, report } = this.#options
    if (output === undefined) return
    await this.#expectFiniteWeights()
    const path = output.checkpointPath(this.#state.step)
    const state = this.#scaler ? { ...this.#state, lossScaler: this.#scaler.state } : this.#state
    await output.confirm()
    const { epoch } = this.#progress(state.step, window)
    await saveCheckpoint(path, { weights, optimizer, state, identity, trainerState: this.#trainerState(epoch) })
    this.#lastCheckpoint = path
    const warnings = training.saveTotalLimit === null ? [] : await output.prune(training.saveTotalLimit)
    await report({ type: 'save', ...this.#progress(this.#state.step, window), path })
    for (const message of warnings) await report({ type: 'warning', message })
  }

  async #finish(reason: 'completed' | 'aborted'): Promise<EndEvent> {
    if (this.#stepsOfRun > 0) await this.#expectFiniteWeights()
    if (reason === 'aborted') await this.saveUnsaved()
    const { output } = this.#options
    const loss = this.#meanLoss()
    const event = {
      type: 'end',
      reason,
      ...this.progress,
      ...(loss !== undefined && { loss }),
      seconds: (performance.now() - this.#started) / 1000,
    } as const
    if (reason === 'completed') {
      this.#history.push(summaryEntry(event, { rows: this.#rowsOfRun, steps: this.#stepsOfRun }))
    }
    if (output) await this.#writeTrainerState(output, event.epoch)
    return event
  }

  /** For tools that plot the run: what was trained is not lost where this cannot be written. */
  async #writeTrainerState(output: OutputDirectory, epoch: number): Promise<void> {
    try {
      await output.confirm()
      await writeFileAtomic(join(output.path, TRAINER_STATE_FILE), this.#trainerState(epoch))
    } catch (error) {
      await this.#options.report({ type: 'warning', message: (error as Error).message })
    }
  }

  #trainerState(epoch: number): string {
    const { step, numInputTokensSeen } = this.#state
    return trainerStateText({
      step,
      epoch,
      totalSteps: this.#totalSteps,
      numTrainEpochs: this.#numTrainEpochs,
      numInputTokensSeen,
      training: this.#options.training,
      history: this.#history,
    })
  }

  /** Writes a checkpoint of where the run stands if there is none yet, whatever `saveStrategy` says: the run is about to be left. */
  async saveUnsaved(): Promise<void> {
    const { output } = this.#options
    if (output === undefined || this.#stepsOfRun === 0) return
    if (this.#lastCheckpoint !== output.checkpointPath(this.#state.step)) await this.#save(undefined)
  }

  #meanLoss(): number | undefined {
    return this.#stepsOfRun === 0 ? undefined : this.#lossOfRun / this.#stepsOfRun
  }

  #progress(step: number, window: BatchWindow | undefined): { step: number; totalSteps: number; epoch: number } {
    const { epoch, index } = window?.next ?? this.#state.cursor
    // At its beginning, an epoch need not be planned yet.
    const part = index === 0 ? 0 : index / this.#options.plan.numBatches(epoch)
    return { step, totalSteps: this.#totalSteps, epoch: epoch + part }
  }

  #learningRateAt(step: number): number {
    const { lrSchedulerType, learningRate } = this.#options.training
    return learningRateAt(step, {
      type: lrSchedulerType,
      learningRate,
      warmupSteps: this.#warmupSteps,
      totalSteps: this.#totalSteps,
    })
  }
}

/** Milliseconds between two reports of how far an evaluation is. */
const EVALUATION_INTERVAL = 500

/** Optimizer steps of a run: `maxSteps`, or those of `numTrainEpochs`, a last part of an epoch rounded up. */
export async function countSteps(
  plan: BatchPlan,
  { maxSteps, numTrainEpochs }: Pick<ResolvedTrainingOptions, 'maxSteps' | 'numTrainEpochs'>,
  turns: Turns,
): Promise<number> {
  const steps = maxSteps > 0 ? maxSteps : await plan.countWindows(numTrainEpochs, turns)
  if (steps <= MOST_STEPS) return steps
  throw new Error(
    `[train] expected at most ${MOST_STEPS} steps, got ${steps} in numTrainEpochs ${numTrainEpochs}; lower it, or set maxSteps`,
  )
}

function endOf({ cursor, next }: BatchWindow): { endsEpoch: boolean } {
  return { endsEpoch: next.epoch > cursor.epoch }
}

/** Marks a promise that is awaited later, so that a fault which ends the loop before that is not reported twice. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

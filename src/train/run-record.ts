/**
 * @file What a run knows of itself: where it stands, the figures of its steps, and the entries of trainer_state.json.
 */

import { randomUUID } from 'node:crypto'
import type { BatchWindow, WindowSource } from '../data/batches.js'
import type { BestModel } from './best-model.js'
import type { IntervalStrategy } from './during-run-options.js'
import type { LogEvent, MemoryFigures, Progress, StepEvent } from './events.js'
import { addNorms, mapNumbers } from './log-details.js'
import { addMeans, divideMeans, type Means } from './means.js'
import { NO_FIGURES, type TrainerState } from './run-state.js'
import { type LogEntry, logEntry, trainerStateText } from './trainer-state.js'
import type { ResolvedTrainingOptions } from './training-options.js'
import type { LoadedCheckpoint } from './training-state.js'

/** The checkpoint that a run goes on from. */
export interface ResumedFrom {
  readonly path: string
  readonly checkpoint: LoadedCheckpoint
  /** Whether it lies in the run's own output directory. */
  readonly isContinued: boolean
}

/** A step that the device has made. */
export interface SettledStep {
  readonly step: number
  readonly window: BatchWindow
  readonly means: Means
  readonly learningRate: number
  readonly gradNorm: number
  /** When it was made, as `performance.now()` has it. */
  readonly at: number
  /** In float16: of its gradients. */
  readonly lossScale: number | undefined
  /** In float16: whether a gradient overflowed, so that it changed nothing. */
  readonly skipped: boolean
  /** With `logGradNorms`: of the layers, by name. */
  readonly gradNorms?: Readonly<Record<string, number>> | undefined
  /** With `includeMemoryMetrics`: the memory by now. */
  readonly memory?: (() => MemoryFigures) | undefined
}

export interface RunRecordOptions {
  readonly source: WindowSource
  readonly totalSteps: number
  readonly training: ResolvedTrainingOptions
  readonly bestModel: BestModel | undefined
}

export class RunRecord {
  readonly state: TrainerState
  /** Fewer than were planned once the rows have ended before. */
  totalSteps: number
  /** Figures of all log events and evaluations since the run began, before it was resumed too. */
  readonly history: LogEntry[]
  readonly #source: WindowSource
  readonly #training: ResolvedTrainingOptions
  readonly #bestModel: BestModel | undefined
  /** Passes through the data, one that is cut short counted whole. */
  readonly #numTrainEpochs: number
  #started = 0
  #stepEnd = 0
  #secondsPerStep = 0
  #dataTime = 0
  #loss = 0
  #steps = 0
  #rows = 0

  /** @param resumed where to go on; default the beginning. */
  constructor({ source, totalSteps, training, bestModel }: RunRecordOptions, resumed?: ResumedFrom) {
    this.#source = source
    this.#training = training
    this.#bestModel = bestModel
    this.totalSteps = totalSteps
    this.state = resumed?.checkpoint.state ?? {
      runId: randomUUID(),
      step: 0,
      cursor: { epoch: 0, index: 0 },
      microStep: 0,
      numInputTokensSeen: 0,
      log: { ...NO_FIGURES },
    }
    this.history = [...(resumed?.checkpoint.history ?? [])]
    // In another directory it is another run from here on.
    if (resumed && !resumed.isContinued) this.state.runId = randomUUID()
    this.state.runId ||= randomUUID()
    const { maxSteps, numTrainEpochs } = training
    const stepsPerEpoch = source.numWindows(this.state.cursor.epoch)
    // How many steps make a pass may not be known of rows that are not all there.
    this.#numTrainEpochs = Math.max(1, Math.ceil(maxSteps > 0 ? maxSteps / stepsPerEpoch : numTrainEpochs))
  }

  /** The clocks of the run and of its first step begin. */
  start(): void {
    this.#started = this.#stepEnd = performance.now()
  }

  /** Windows or batches, while a clock counts how long they are waited for. */
  async *timed<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
    const values = source[Symbol.asyncIterator]()
    try {
      for (;;) {
        const start = performance.now()
        const { done, value } = await values.next()
        this.#dataTime += performance.now() - start
        if (done) return
        yield value
      }
    } finally {
      await values.return?.()
    }
  }

  /** The same for what is there at once. */
  *timedAtOnce<T>(source: Iterable<T>): Generator<T> {
    const values = source[Symbol.iterator]()
    for (;;) {
      const start = performance.now()
      const { done, value } = values.next()
      this.#dataTime += performance.now() - start
      if (done) return
      yield value
    }
  }

  /** Seconds in which steps of this run waited for data. */
  get dataSeconds(): number {
    return this.#dataTime / 1000
  }

  /** What was done since the last step, as an evaluation, does not count as time of the next. */
  skipTime(): void {
    this.#stepEnd = performance.now()
  }

  /** No step comes behind the present one. */
  endNow(): void {
    this.totalSteps = this.state.step
  }

  /** Steps of this run alone, not of those before a resume. */
  get ownSteps(): number {
    return this.#steps
  }

  /** Rows of these steps. */
  get ownRows(): number {
    return this.#rows
  }

  /** Their mean loss; undefined where there are none. */
  get meanLoss(): number | undefined {
    return this.#steps === 0 ? undefined : this.#loss / this.#steps
  }

  /** Seconds since the run was started. */
  get seconds(): number {
    return (performance.now() - this.#started) / 1000
  }

  /** @param window the last one that is done; default: the cursor tells. */
  progress(window?: BatchWindow, step = this.state.step): Progress {
    const { epoch, index } = window?.next ?? this.state.cursor
    // At its beginning, an epoch need not be planned yet.
    const part = index === 0 ? 0 : Math.min(1, index / this.#source.numBatches(epoch))
    return { step, totalSteps: this.totalSteps, epoch: epoch + part }
  }

  /** Whether something that happens so often happens after the step that was made. */
  isDue(strategy: IntervalStrategy, every: number, endsEpoch: boolean): boolean {
    if (strategy === 'no') return false
    if (this.state.step === this.totalSteps) return true
    return strategy === 'steps' ? this.state.step % every === 0 : endsEpoch
  }

  /** Counts a step that the device has made, and says what is to be told of it. */
  settle(done: SettledStep): [StepEvent] | [StepEvent, LogEvent] {
    const { step, window, means, learningRate, gradNorm, at, lossScale, skipped, gradNorms, memory } = done
    const seconds = (at - this.#stepEnd) / 1000
    this.#stepEnd = at
    // The first step pays for memory that later ones reuse: let the estimate forget it.
    this.#secondsPerStep = this.#steps < 2 ? seconds : 0.8 * this.#secondsPerStep + 0.2 * seconds
    this.#loss += means.loss
    this.#steps++
    this.#rows += window.numItems
    const { log } = this.state
    log.steps++
    Object.assign(log, addMeans(log, means))
    if (skipped) log.skipped++
    else log.gradNorm += gradNorm
    // Where those of earlier steps are not known, as they were not asked for, there is no mean.
    if (gradNorms && !skipped && (log.gradNorms || log.steps - log.skipped === 1))
      log.gradNorms = addNorms(log.gradNorms, gradNorms)
    log.tokens += window.numTokens
    log.seconds += seconds
    const position = {
      ...this.progress(window, step),
      learningRate,
      numInputTokensSeen: this.state.numInputTokensSeen,
      etaSeconds: this.#secondsPerStep * (this.totalSteps - step),
      ...(lossScale !== undefined && { lossScale }),
    }
    const stepEvent: StepEvent = {
      type: 'step',
      ...position,
      ...(lossScale !== undefined && { skipped }),
      ...means,
      gradNorm,
      tokensPerSecond: window.numTokens / seconds,
    }
    if (!this.#isLogged(step)) return [stepEvent]
    const taken = log.steps - log.skipped
    const { gradNorms: sums } = log
    const logEvent: LogEvent = {
      type: 'log',
      ...position,
      ...(lossScale !== undefined && { skippedSteps: log.skipped }),
      ...divideMeans(log, log.steps),
      gradNorm: log.gradNorm / taken,
      tokensPerSecond: log.tokens / log.seconds,
      ...(gradNorms && sums && { gradNorms: mapNumbers(sums, (sum) => sum / taken) }),
      ...(memory && { memory: memory() }),
    }
    this.history.push(logEntry(logEvent))
    this.state.log = { ...NO_FIGURES }
    return [stepEvent, logEvent]
  }

  #isLogged(step: number): boolean {
    const { loggingSteps, loggingFirstStep } = this.#training
    return step % loggingSteps === 0 || step === this.totalSteps || (step === 1 && loggingFirstStep)
  }

  /** The content of trainer_state.json. */
  trainerState(epoch: number): string {
    const { step, numInputTokensSeen } = this.state
    return trainerStateText({
      step,
      epoch,
      totalSteps: this.totalSteps,
      numTrainEpochs: this.#numTrainEpochs,
      numInputTokensSeen,
      training: this.#training,
      history: this.history,
      bestModel: this.#bestModel,
    })
  }
}

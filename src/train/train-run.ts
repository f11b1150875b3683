/**
 * @file A run while it goes on: awaited for its result, iterated for its events, stopped. What the run does is in
 * train-lora.ts.
 */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { DataStatistics } from '../data/report.js'
import { LowrankError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { toError } from '../values.js'
import type { Scores } from './evaluate-loss.js'
import { EventLog } from './event-log.js'
import type { BestEvaluation, TrainEvent } from './events.js'

/** What became of the rows of `dataset`. */
export interface RunStatistics extends DataStatistics {
  /** The same of `evalDataset`. */
  evaluation?: DataStatistics
  /** By name, where it names several data sets. */
  evaluations?: Readonly<Record<string, DataStatistics>>
}

/** What a run gives when it is complete or was stopped. */
export interface TrainResult {
  readonly model: CausalLM
  readonly tokenizer: Tokenizer
  /** The trained adapter. @throws with method 'full', which has none: use `save()`. */
  readonly adapter: LoraAdapter
  readonly reason: 'completed' | 'aborted'
  /** Optimizer steps done. */
  readonly step: number
  /** Mean loss of the steps of this run; undefined where it made none, because it was complete before. */
  readonly loss: number | undefined
  /**
   * The best evaluation of the run by `metricForBestModel`; undefined where none is better than another. With
   * `loadBestModelAtEnd` model and adapter have the weights of its checkpoint.
   */
  readonly best: BestEvaluation | undefined
  /** The last evaluation of held-out rows, if there was one. */
  readonly evaluation: Scores | undefined
  /** What became of the rows, and of those of `evalDataset` where it was given. */
  readonly statistics: RunStatistics
  /** The step, loss, learning rate... of each log event, and the evaluations, in order. */
  readonly history: readonly TrainEvent[]
  /** Writes what was trained: the adapter, or the model with its tokenizer. */
  save(directory: string): Promise<void>
  /** Frees the memory of model and adapter. */
  dispose(): void
}

/**
 * A run that goes on, whether or not anybody follows it.
 *
 * - `await run` gives its result, or throws its failure.
 * - `for await (const event of run)` gives its events. An iteration that begins late gets the earlier ones too, but of
 *   those that only tell how far something is (`download`, `prepare`, `evaluating`) the last one in a row, and of
 *   `step` the last 10,000. The run does not wait for it; what has to be waited for is a callback. Any number of
 *   iterations may go on. Each throws the failure of the run behind the last event.
 * - `await using run = trainLora(...)` stops the run where the block is left before its end, waits for it, and frees
 *   model and adapter. It throws the failure of a run that was neither awaited nor iterated.
 *
 * A failure that nobody asks for is no unhandled rejection. Where no callback and no `onEvent` was told of it either, a
 * warning of the process says what it was.
 */
export interface TrainRun extends Promise<TrainResult>, AsyncIterable<TrainEvent>, AsyncDisposable {
  /**
   * Ends the run after the step in progress, with a checkpoint where there is an `outputDir`; its result then has the
   * reason 'aborted'. Before the first step the run rejects. After its end this does nothing.
   */
  stop(): void
}

/** What the work of a run has of it. */
export interface RunInProgress {
  readonly log: EventLog
  /** Aborted by `stop()`. */
  readonly stopped: AbortSignal
  /** Says that somebody is told of a failure. */
  follow(): void
}

/** Begins a run at once. */
export function startRun(work: (run: RunInProgress) => Promise<TrainResult>): TrainRun {
  return new StartedRun(work)
}

class StartedRun implements TrainRun {
  readonly [Symbol.toStringTag] = 'TrainRun'
  readonly #log = new EventLog()
  readonly #stopping = new AbortController()
  readonly #result: Promise<TrainResult>
  /** Whether it was awaited or iterated: then its failure has an owner. */
  #isOwned = false
  #isFollowed = false

  constructor(work: (run: RunInProgress) => Promise<TrainResult>) {
    const follow = (): void => {
      this.#isFollowed = true
    }
    this.#result = work({ log: this.#log, stopped: this.#stopping.signal, follow })
    this.#result.then(
      () => this.#log.close(),
      (error: unknown) => {
        this.#log.close({ error })
        if (!this.#isOwned && !this.#isFollowed) warnOf(error)
      },
    )
  }

  stop(): void {
    this.#stopping.abort(new LowrankError('STOPPED', '[train] the run was stopped before its first step'))
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is awaited; of a real promise nobody could tell whether it is.
  then<Value = TrainResult, Other = never>(
    onResult?: ((result: TrainResult) => Value | PromiseLike<Value>) | null,
    onFailure?: ((error: unknown) => Other | PromiseLike<Other>) | null,
  ): Promise<Value | Other> {
    this.#isOwned = true
    return this.#result.then(onResult, onFailure)
  }

  catch<Other = never>(
    onFailure?: ((error: unknown) => Other | PromiseLike<Other>) | null,
  ): Promise<TrainResult | Other> {
    return this.then(undefined, onFailure)
  }

  finally(onEnd?: (() => void) | null): Promise<TrainResult> {
    this.#isOwned = true
    return this.#result.finally(onEnd)
  }

  [Symbol.asyncIterator](): AsyncGenerator<TrainEvent, void> {
    this.#isOwned = true
    return this.#log.read()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const wasOwned = this.#isOwned
    this.#isOwned = true
    this.stop()
    try {
      const result = await this.#result
      result.dispose()
    } catch (error) {
      // Being stopped before the first step is what was asked for here.
      if (!wasOwned && error !== this.#stopping.signal.reason) throw error
    }
  }
}

/** Nobody awaits the run, and nobody was told: without this it would have ended as if it had never begun. */
function warnOf(error: unknown): void {
  process.emitWarning(
    `[train] the run failed, and nobody waits for it: ${toError(error).message}; await what trainLora() gives, or iterate over it`,
    'LowrankWarning',
  )
}

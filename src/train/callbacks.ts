/**
 * @file Who is told of the events of a run: the callbacks, for which the run waits at its boundaries, and `onEvent`,
 * for which it does not. What they throw never reaches the middle of a step.
 */

import { withoutSecrets } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { isObject, toError } from '../values.js'
import type { TrainEvent } from './events.js'

/** What a callback may do to the run that it is told of. */
export interface RunControl {
  /**
   * Ends the run after the step in progress, with a checkpoint where there is an `outputDir`; the event `end` then
   * carries the callback's name. Before the first step the run rejects.
   */
  stop(): void
}

/** Follows a run: a tracker, a progress bar, early stopping. Give any number of them as `callbacks` of `trainLora`. */
export interface TrainCallback {
  /** What warnings and errors call it. */
  readonly name: string
  /**
   * Is told every event of the run, in order. Where it gives a promise, its next event waits until that has settled.
   * The run itself waits for all callbacks at `start`, `log`, `evaluate`, `save`, `end` and `fail`, and wherever more
   * than 1,000 events wait for one of them: what a callback has begun is complete when the run ends. A promise that
   * never settles holds the run for ever, so give requests a time limit.
   */
  onEvent(event: TrainEvent, run: RunControl): unknown
  /**
   * What follows when `onEvent` throws or rejects. False: an event `warning` tells of it, each message once, and the
   * run goes on. True: the run ends after the step in progress, with a checkpoint, and rejects with what was thrown.
   * The callback is told of later events either way.
   * @default false
   */
  readonly endsRunOnError?: boolean
  /**
   * Whether it wants what was trained on disk at `end`: a run with an `outputDir` that is complete then writes it there
   * first, as `adapter` or `model`, and the event says where.
   * @default false
   */
  readonly needsResult?: boolean
}

/** Whether a value is what `callbacks` may be. */
export function isCallbacks(value: unknown): value is readonly TrainCallback[] {
  return Array.isArray(value) && value.every(isCallback)
}

function isCallback(value: unknown): value is TrainCallback {
  return isObject(value) && typeof value.name === 'string' && value.name !== '' && typeof value.onEvent === 'function'
}

/** Events at which the run waits for its callbacks. */
const BOUNDARIES: ReadonlySet<TrainEvent['type']> = new Set(['start', 'log', 'evaluate', 'save', 'end', 'fail'])
/** Events that may wait for a callback between two boundaries. */
const MOST_WAITING = 1000
/** Different messages of one callback that are told of. */
const MOST_WARNINGS = 10

export interface ReporterOptions {
  readonly callbacks?: readonly TrainCallback[] | undefined
  readonly onEvent?: ((event: TrainEvent) => unknown) | undefined
  /** The caller's. */
  readonly signal?: AbortSignal | undefined
  /** Aborted by `run.stop()`. */
  readonly stopped?: AbortSignal | undefined
  /** Is told before all others, and must not throw. */
  readonly record: (event: TrainEvent) => void
}

/**
 * Tells everybody of an event, before it returns. What it gives resolves when the run may go on, at once but for
 * boundaries, and never rejects.
 */
export type Report = (event: TrainEvent) => Promise<void>

/** Where a run reports to. */
export class Reporter {
  readonly #options: ReporterOptions
  readonly #queues: CallbackQueue[]
  readonly #controller = new AbortController()
  /**
   * Aborted by the caller's signal, when somebody stops the run, or when something that was told of an event has failed
   * and ends the run.
   */
  readonly signal: AbortSignal
  /** Events that came up while another one was being told. */
  readonly #told: TrainEvent[] = []
  #isTelling = false
  #listenerHasFailed = false
  #failure: { readonly error: unknown; readonly callback?: string } | undefined
  #stoppedBy: string | undefined

  constructor(options: ReporterOptions) {
    this.#options = options
    const { callbacks = [], signal, stopped } = options
    this.signal = AbortSignal.any([signal ?? [], stopped ?? [], this.#controller.signal].flat())
    this.#queues = callbacks.map((callback) => {
      const stop = (): void => {
        if (this.signal.aborted) return
        this.#stoppedBy = callback.name
        this.#controller.abort(
          new LowrankError('STOPPED', `[train] ${callback.name} stopped the run before its first step`),
        )
      }
      return new CallbackQueue(callback, { stop }, this)
    })
  }

  readonly report: Report = async (event) => {
    this.#told.push(event)
    // What is thrown at an event is told of after that event, to everybody.
    if (!this.#isTelling) {
      this.#isTelling = true
      for (let next = this.#told.shift(); next; next = this.#told.shift()) this.#tell(next)
      this.#isTelling = false
    }
    const mustWait = BOUNDARIES.has(event.type) || this.#queues.some(({ size }) => size > MOST_WAITING)
    while (mustWait && this.#isBusy) await Promise.all(this.#queues.map(({ work }) => work))
  }

  /** Ends the run after the step in progress, and has it reject with `error`. */
  fail(error: unknown, callback?: string): void {
    this.#failure ??= { error, ...(callback !== undefined && { callback }) }
    this.#controller.abort(error)
  }

  /** Whether anybody but iterations is told of events, a failure among them. */
  get hasAudience(): boolean {
    return this.#queues.length > 0 || (this.#options.onEvent !== undefined && !this.#listenerHasFailed)
  }

  /** Whether somebody wants what was trained on disk at the end. */
  get needsResult(): boolean {
    return this.#options.callbacks?.some(({ needsResult }) => needsResult) ?? false
  }

  /** Which callback asked to stop, if one did, as the event `end` has it. */
  get stopped(): { readonly stoppedBy?: string } {
    return this.#stoppedBy === undefined ? {} : { stoppedBy: this.#stoppedBy }
  }

  /** Whether something that was told of an event has failed and ends the run. */
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  /** The callback whose failure ended the run. */
  get failedCallback(): string | undefined {
    return this.#failure?.callback
  }

  /** @throws what ended the run, if something that was told of an event did. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error
  }

  #tell(event: TrainEvent): void {
    this.#options.record(event)
    this.#tellListener(event)
    for (const queue of this.#queues) queue.add(event)
  }

  #tellListener(event: TrainEvent): void {
    const { onEvent } = this.#options
    if (!onEvent || this.#listenerHasFailed) return
    const fail = (error: unknown): void => {
      this.#listenerHasFailed = true
      this.fail(error)
    }
    try {
      // A rejection has an owner too: a listener may be an async function.
      Promise.resolve(onEvent(event)).catch(fail)
    } catch (error) {
      fail(error)
    }
  }

  get #isBusy(): boolean {
    return this.#queues.some(({ work }) => work !== undefined)
  }
}

/** The events on their way to one callback, one at a time. */
class CallbackQueue {
  readonly #callback: TrainCallback
  readonly #control: RunControl
  readonly #reporter: Pick<Reporter, 'report' | 'fail'>
  readonly #waiting: TrainEvent[] = []
  readonly #messages = new Set<string>()
  /** Settles when nothing waits any more; undefined where nothing does. Never rejects. */
  work: Promise<void> | undefined

  constructor(callback: TrainCallback, control: RunControl, reporter: Pick<Reporter, 'report' | 'fail'>) {
    this.#callback = callback
    this.#control = control
    this.#reporter = reporter
  }

  get size(): number {
    return this.#waiting.length
  }

  add(event: TrainEvent): void {
    if (this.work !== undefined) this.#waiting.push(event)
    else {
      const answer = this.#call(event)
      if (answer !== undefined) this.work = this.#goOn(answer)
    }
  }

  async #goOn(answer: Promise<void>): Promise<void> {
    await answer
    for (let event = this.#waiting.shift(); event; event = this.#waiting.shift()) await this.#call(event)
    this.work = undefined
  }

  /** @returns what to wait for; undefined where the callback is done */
  #call(event: TrainEvent): Promise<void> | undefined {
    try {
      const answer = this.#callback.onEvent(event, this.#control)
      if (!isThenable(answer)) return undefined
      return Promise.resolve(answer).then(
        () => {},
        (error: unknown) => this.#failed(event, error),
      )
    } catch (error) {
      this.#failed(event, error)
      return undefined
    }
  }

  #failed({ type }: TrainEvent, error: unknown): void {
    const { name, endsRunOnError } = this.#callback
    if (endsRunOnError) this.#reporter.fail(error, name)
    else {
      const reason = withoutSecrets(toError(error).message)
      // A callback that fails at every event, warnings included, is told of a few times and not for ever.
      if (this.#messages.has(reason) || this.#messages.size === MOST_WARNINGS) return
      this.#messages.add(reason)
      void this.#reporter.report({
        type: 'warning',
        message: `[callbacks] ${name} failed at the event '${type}': ${reason}; the run goes on`,
      })
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

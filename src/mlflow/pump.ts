/**
 * @file Sends the calls of a run beside the run: what is pushed is written to the journal and on its way soon, and
 * nobody waits before the end. A server that is down, slow or refuses makes no difference to the run.
 */

import { isObject } from '../values.js'
import type { MlflowCall, RunState } from './calls.js'
import { createMlflowClient } from './client.js'
import { connectTo, type MlflowConnection } from './connect.js'
import { callsFrom, type Journal, type JournalSummary } from './journal.js'
import { MOST_METRICS } from './limits.js'
import { parsedCall, type QueuedCall, queuedCall } from './queued-call.js'
import { CallSender, messageOf, remedyFor } from './send-calls.js'
import type { MlflowTarget } from './settings.js'

export interface PumpOptions {
  readonly journal: Journal
  /** What the journal says, where it has calls already. */
  readonly summary: JournalSummary | undefined
  /** Where relative paths of calls begin. */
  readonly directory: string
  /** Undefined: calls are only written down. */
  readonly target: MlflowTarget | undefined
  /** Seconds that one request may take. */
  readonly requestTimeout: number
  /** Is told what its owner should know, each once. */
  readonly warn: (message: string) => void
}

/** Calls kept in memory; more are read from the journal again when their turn has come. */
const MOST_KEPT = 20_000
/** Milliseconds between two requests of points, unless there are enough of them for a whole one. */
const PACE = 1000
const SHORTEST_BACKOFF = 1000
const LONGEST_BACKOFF = 60_000

export class Pump {
  readonly #options: PumpOptions
  readonly #journal: Journal
  readonly #controller = new AbortController()
  #queue: QueuedCall[] = []
  /** Number of the first call of the queue. */
  #sent: number
  #total: number
  /** Figures that wait, roughly: whether they are worth a request. */
  #points = 0
  #work: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isFinishing = false
  #isStopped = false
  #failures = 0
  #nextAt = 0
  #sender: CallSender | undefined
  #connection: MlflowConnection | undefined
  readonly #told = new Set<string>()

  constructor(options: PumpOptions) {
    this.#options = options
    this.#journal = options.journal
    const { summary } = options
    this.#sent = summary?.done ?? 0
    this.#total = summary?.total ?? 0
  }

  /** The run that the server has made; undefined where it has made none yet. */
  get run(): RunState | undefined {
    return this.#sender?.run ?? this.#options.summary?.run
  }

  /** Calls that no server has yet. */
  get unsent(): number {
    return this.#total - this.#sent
  }

  push(call: MlflowCall): void {
    const queued = queuedCall(call)
    try {
      this.#journal.append(queued.line, queued.points !== undefined)
    } catch (error) {
      this.#warnOfFile(error)
    }
    // A gap in the queue is closed from the journal, in order; without one memory has to do.
    const isNext = this.#sent + this.#queue.length === this.#total
    const isWanted = this.#options.target !== undefined && this.#queue.length < MOST_KEPT
    if (isNext && (isWanted || !this.#journal.isComplete)) this.#queue.push(queued)
    this.#total++
    this.#points += weightOf(queued)
    this.#wake()
  }

  /** Writes what waits into the journal. What it could not write it writes with what comes next. */
  #writeJournal(): void {
    try {
      this.#journal.write()
    } catch (error) {
      this.#warnOfFile(error)
    }
  }

  #warnOfFile(error: unknown): void {
    this.#warn(
      `${messageOf(error)}; what is not sent before the run ends is lost, unless the file can be written by then`,
    )
  }

  /** Waits until the disk has what was pushed. */
  flush(): void {
    try {
      this.#journal.flush()
    } catch (error) {
      this.#warn(messageOf(error))
    }
  }

  /**
   * Waits until the server has everything, or the time is over.
   * @param seconds how long
   * @returns whether it has everything
   */
  async finish(seconds: number): Promise<boolean> {
    this.#isFinishing = true
    // One more try at once, whatever was tried before.
    this.#nextAt = 0
    this.#failures = 0
    clearTimeout(this.#timer)
    this.#timer = undefined
    const timer = setTimeout(() => this.#controller.abort(), 1000 * seconds)
    try {
      this.#wake()
      while (this.unsent > 0 && !this.#isStopped && !this.#controller.signal.aborted) {
        if (this.#work !== undefined) await this.#work
        else if (this.#options.target === undefined) break
        else await this.#untilNextTry()
      }
    } finally {
      clearTimeout(timer)
      clearTimeout(this.#timer)
      this.#controller.abort()
      await this.#work
    }
    if (this.unsent === 0 && this.run !== undefined && this.#journal.isComplete) {
      await this.#journal.shrink().catch((error: unknown) => this.#warn(messageOf(error)))
    } else {
      this.flush()
      this.#journal.close()
    }
    return this.unsent === 0
  }

  #untilNextTry(): Promise<void> {
    const { signal } = this.#controller
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        this.#wake()
        resolve()
      }
      const timer = setTimeout(end, Math.max(0, this.#nextAt - performance.now()))
      signal.addEventListener('abort', end)
    })
  }

  #wake(): void {
    const { target } = this.#options
    if (target === undefined || this.#isStopped || this.#work !== undefined || this.unsent === 0) return
    if (this.#controller.signal.aborted) return
    const wait = this.#nextAt - performance.now()
    const isDue = wait <= 0 || (this.#failures === 0 && (this.#points >= MOST_METRICS || this.#isFinishing))
    if (isDue) {
      this.#work = this.#sendWaiting(target).finally(() => {
        this.#work = undefined
        this.#wake()
      })
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined
        this.#wake()
      }, wait)
      // The process need not wait for it.
      this.#timer.unref()
    }
  }

  /** Sends what waits, once. Never rejects. */
  async #sendWaiting(target: MlflowTarget): Promise<void> {
    try {
      const sender = await this.#open(target)
      await this.#refill()
      while (this.#queue.length > 0 && !this.#controller.signal.aborted) {
        this.#writeJournal()
        const before = sender.run
        const count = await sender.send(this.#queue)
        this.#took(count, sender.run === before ? undefined : sender.run)
        this.#failures = 0
        // What comes meanwhile waits for its turn.
        if (this.#points < MOST_METRICS && !this.#isFinishing && this.#queue[0]?.points) break
        await this.#refill()
      }
      this.#nextAt = performance.now() + PACE
    } catch (error) {
      this.#failed(error)
    }
  }

  async #open(target: MlflowTarget): Promise<CallSender> {
    const { directory, summary, requestTimeout, warn } = this.#options
    const { signal } = this.#controller
    this.#connection ??= await connectTo(target, { timeout: requestTimeout, patience: 0, signal })
    this.#sender ??= new CallSender(
      createMlflowClient(this.#connection, signal),
      { directory, run: summary?.run, warn },
      summary !== undefined,
    )
    return this.#sender
  }

  /** Reads from the journal what memory did not keep. */
  async #refill(): Promise<void> {
    if (this.#queue.length > 0 || this.unsent === 0) return
    this.#writeJournal()
    if (!this.#journal.isComplete) return
    const calls: QueuedCall[] = []
    for await (const call of callsFrom(this.#journal.path, this.#sent)) {
      calls.push(queuedCall(call))
      if (calls.length === MOST_KEPT) break
    }
    this.#queue = calls
  }

  #took(count: number, run: RunState | undefined): void {
    for (const call of this.#queue.splice(0, count)) this.#points -= weightOf(call)
    this.#points = Math.max(0, this.#points)
    this.#sent += count
    try {
      this.#journal.done(this.#sent, run)
    } catch (error) {
      this.#warn(messageOf(error))
    }
  }

  #failed(error: unknown): void {
    const [first] = this.#queue
    const call = first && parsedCall(first)
    const remedy = remedyFor(error, call)
    const message = messageOf(error)
    if (this.#controller.signal.aborted) return
    if (remedy === 'leave out') {
      try {
        this.#journal.failed(this.#sent, message)
      } catch {
        // It is told of all the same.
      }
      this.#warn(`${message}; this call is left out`)
      this.#took(1, undefined)
      return
    }
    if (remedy === 'stop') {
      this.#isStopped = true
      this.#warn(`${message}; nothing more is sent. What is written down waits for "lowrank mlflow sync"`)
      return
    }
    const asked = isObject(error) ? this.#connection?.waitOf(error) : undefined
    // At the end the run waits for it.
    const shortest = this.#isFinishing ? SHORTEST_BACKOFF / 10 : SHORTEST_BACKOFF
    const backoff = Math.min(shortest * 2 ** this.#failures, LONGEST_BACKOFF)
    this.#failures++
    this.#nextAt = performance.now() + Math.max(asked ?? 0, backoff * (0.5 + Math.random() / 2))
    this.#warn(`${message}; the run goes on, and what is written down is sent later`)
  }

  #warn(message: string): void {
    if (this.#told.has(message)) return
    this.#told.add(message)
    this.#options.warn(message)
  }
}

/** Points of a call. What is no point is sent at once, as a whole request of them is. */
function weightOf({ points }: QueuedCall): number {
  return points?.keys.length ?? MOST_METRICS
}

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

/**
 * A call on its way, as its line. Figures live as text until they are sent: the collector of garbage looks at one
 * string where it would copy dozens of values.
 */
interface Waiting {
  readonly line: string
  /** Whether it is points, which may wait for more. */
  readonly isPoints: boolean
  readonly points: number
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
  #queue: Waiting[] = []
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
    const waiting = waitingCall(call)
    this.#keep(() => this.#journal.append(waiting.line, waiting.isPoints))
    // A gap in the queue is closed from the journal, in order; without one memory has to do.
    const isNext = this.#sent + this.#queue.length === this.#total
    if (isNext && (this.#queue.length < MOST_KEPT || !this.#journal.isComplete)) this.#queue.push(waiting)
    this.#total++
    this.#points += waiting.points
    this.#wake()
  }

  /** Writes into the journal. What it could not write it writes with what comes next. */
  #keep(write: () => void): void {
    try {
      write()
    } catch (error) {
      this.#warn(
        `${messageOf(error)}; what is not sent before the run ends is lost, unless the file can be written by then`,
      )
    }
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
        this.#keep(() => this.#journal.write())
        const before = sender.run
        const count = await sender.send(this.#nextCalls())
        this.#took(count, sender.run === before ? undefined : sender.run)
        this.#failures = 0
        // What comes meanwhile waits for its turn.
        if (this.#points < MOST_METRICS && !this.#isFinishing && this.#queue[0]?.isPoints) break
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

  /** The calls that may go together next, and the first of them in any case. */
  #nextCalls(): MlflowCall[] {
    const calls: MlflowCall[] = []
    let points = 0
    for (const waiting of this.#queue) {
      points += waiting.points
      if (calls.length > 0 && points > MOST_METRICS) break
      calls.push(JSON.parse(waiting.line) as MlflowCall)
    }
    return calls
  }

  /** Reads from the journal what memory did not keep. */
  async #refill(): Promise<void> {
    if (this.#queue.length > 0 || this.unsent === 0) return
    this.#keep(() => this.#journal.write())
    if (!this.#journal.isComplete) return
    const calls: Waiting[] = []
    for await (const call of callsFrom(this.#journal.path, this.#sent)) {
      calls.push(waitingCall(call))
      if (calls.length === MOST_KEPT) break
    }
    this.#queue = calls
  }

  #took(count: number, run: RunState | undefined): void {
    for (const { points } of this.#queue.splice(0, count)) this.#points -= points
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
    const call = first && (JSON.parse(first.line) as MlflowCall)
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

function waitingCall(call: MlflowCall): Waiting {
  const isPoints = call.call === 'log-metrics'
  // What is no point is sent at once.
  return { line: JSON.stringify(call), isPoints, points: isPoints ? Object.keys(call.metrics).length : MOST_METRICS }
}

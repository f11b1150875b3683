/**
 * @file Sends the calls of a run beside the run: what is pushed is written to the journal and on its way soon, and
 * nobody waits before the end. A server that is down, slow or refuses makes no difference to the run.
 *
 * Points come many times a second, and a step leaves little of them in the caches of the processor. So they are
 * handled together: what is pushed within 100 ms is written together, and what is written within a second is sent
 * together. A process that a signal or a crash ends loses what it logged in the last 100 ms, and one that ends by
 * itself loses nothing. All other calls are written and sent at once.
 */

import { isObject } from '../values.js'
import type { MlflowCall, RunState } from './calls.js'
import { createMlflowClient } from './client.js'
import { connectTo, type MlflowConnection } from './connect.js'
import { callsFrom, type Journal, type JournalSummary } from './journal.js'
import { hasPoints, type PushedCall, type QueuedCall, queuedCalls } from './queued-call.js'
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

/** Milliseconds between two writes of points. */
const WRITE_PACE = 100
/** Calls kept in memory; more are read from the journal again when their turn has come. */
const MOST_KEPT = 20_000
/**
 * Milliseconds between two sendings of points. Each sends one request, and more while there is enough for whole ones:
 * a second request takes less of the processor when the first one has just warmed its caches.
 */
const PACE = 1000
const SHORTEST_BACKOFF = 1000
const LONGEST_BACKOFF = 60_000

export class Pump {
  readonly #options: PumpOptions
  readonly #journal: Journal
  readonly #controller = new AbortController()
  /** Points that wait for their write. */
  #late: PushedCall[] = []
  #writeTimer: NodeJS.Timeout | undefined
  /** When the next write is due, by the clock of the calls. */
  #writeAt = 0
  #isWatchingExit = false
  /** What is written and waits to be sent. */
  #queue: QueuedCall[] = []
  /** Number of the first call of the queue. */
  #sent: number
  #total: number
  /** Calls that wait and log no points: they are sent at once. */
  #urgent = 0
  #work: Promise<void> | undefined
  #sendTimer: NodeJS.Timeout | undefined
  #isFinishing = false
  #isStopped = false
  #failures = 0
  #nextAt = 0
  #sender: CallSender | undefined
  #connection: MlflowConnection | undefined
  readonly #told = new Set<string>()
  readonly #takeLate = (): void => {
    if (this.#late.length > 0) this.#take()
  }

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

  push(call: PushedCall): void {
    this.#late.push(call)
    // A busy process has no turn for timers: the clock decides as well.
    if (!hasPoints(call) || call.timestamp >= this.#writeAt) this.#take()
    else if (this.#writeTimer === undefined) this.#takeLater()
  }

  /** The process need not wait for it: what is left is written as it ends. */
  #takeLater(): void {
    this.#writeTimer = setTimeout(this.#takeLate, WRITE_PACE).unref()
    if (this.#isWatchingExit) return
    this.#isWatchingExit = true
    process.once('exit', this.#takeLate)
  }

  /** Writes what was pushed, and has it sent. */
  #take(): void {
    clearTimeout(this.#writeTimer)
    this.#writeTimer = undefined
    const { queued, lines } = queuedCalls(this.#late)
    this.#late = []
    const last = queued.at(-1)
    try {
      this.#journal.append(lines, last?.call === 'create-run' ? last : undefined)
    } catch (error) {
      this.#warnOfFile(error)
    }
    this.#writeAt = Date.now() + WRITE_PACE
    // A gap in the queue is closed from the journal, in order; without one memory has to do.
    const isNext = this.#sent + this.#queue.length === this.#total
    const isWanted = this.#options.target !== undefined && this.#queue.length < MOST_KEPT
    if (isNext && (isWanted || !this.#journal.isComplete)) this.#queue.push(...queued)
    this.#total += queued.length
    // Only the last one may be another call.
    if (last !== undefined && last.call !== 'log-metrics') this.#urgent++
    this.#wake()
  }

  /** Writes what the journal could not take before. */
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
    this.#takeLate()
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
    this.#takeLate()
    process.off('exit', this.#takeLate)
    this.#isFinishing = true
    // One more try at once, whatever was tried before.
    this.#nextAt = 0
    this.#failures = 0
    clearTimeout(this.#sendTimer)
    this.#sendTimer = undefined
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
      clearTimeout(this.#sendTimer)
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
    const mayHurry = this.#failures === 0 && (this.#urgent > 0 || this.#isFinishing)
    if (this.#sendTimer !== undefined && !mayHurry) return
    const wait = this.#nextAt - performance.now()
    const isDue = wait <= 0 || mayHurry
    if (isDue) {
      this.#work = this.#sendWaiting(target).finally(() => {
        this.#work = undefined
        this.#wake()
      })
    } else if (this.#sendTimer === undefined) {
      this.#sendTimer = setTimeout(() => {
        this.#sendTimer = undefined
        this.#wake()
      }, wait)
      // The process need not wait for it.
      this.#sendTimer.unref()
    }
  }

  /** Sends what waits, once. Never rejects. */
  async #sendWaiting(target: MlflowTarget): Promise<void> {
    try {
      const sender = await this.#open(target)
      await this.#refill()
      while (this.#queue.length > 0 && !this.#controller.signal.aborted) {
        this.#writeJournal()
        const { run } = sender
        const waiting = this.#queue.length
        const count = await sender.send(this.#queue)
        this.#took(count, sender.run === run ? undefined : sender.run)
        this.#failures = 0
        const [next] = this.#queue
        // What is less than a whole request waits for its turn.
        const isEnough = count < waiting && count <= this.#queue.length
        if (next?.call === 'log-metrics' && !isEnough && !this.#isFinishing) break
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
    const calls: MlflowCall[] = []
    for await (const call of callsFrom(this.#journal.path, this.#sent)) {
      calls.push(call)
      if (calls.length === MOST_KEPT) break
    }
    this.#queue = queuedCalls(calls).queued
  }

  #took(count: number, run: RunState | undefined): void {
    const [first] = this.#queue.splice(0, count)
    // Other calls than points are sent one by one. Those of before a resume were not counted.
    if (first?.call !== 'log-metrics') this.#urgent = Math.max(0, this.#urgent - 1)
    this.#sent += count
    try {
      this.#journal.done(this.#sent, run)
    } catch (error) {
      this.#warn(messageOf(error))
    }
  }

  #failed(error: unknown): void {
    const remedy = remedyFor(error, this.#queue[0])
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

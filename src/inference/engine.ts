/**
 * @file The engine: takes requests, runs step after step as long as there is anything to compute, and gives tokens to
 * answers. What a step computes is in scheduler.ts, how in model-executor.ts.
 */

import { withCause } from '../decoding/decoding.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import type { BatchExecutor, QueuedStep } from './batch-executor.js'
import { expectRequest } from './engine-options.js'
import { GrowingAnswer } from './growing-answer.js'
import type {
  FinishReason,
  InferenceAnswer,
  InferenceEngine,
  InferenceFigures,
  InferenceRequest,
  InferenceToken,
} from './inference-request.js'
import type { LoadedAdapter, LoadedAdapters } from './loaded-adapters.js'
import { LogitAdditions } from './logit-additions.js'
import type { PagePool } from './page-pool.js'
import { Scheduler, type Sequence } from './scheduler.js'

/** A request on its way. */
interface Job extends Sequence {
  readonly request: InferenceRequest
  readonly answer: GrowingAnswer
  readonly loaded: LoadedAdapter | undefined
  readonly additions: LogitAdditions | undefined
  /** Tokens of the answer that have come. */
  length: number
  /** Called once, when it is over. */
  leave(): void
}

/** Draws that are queued, and whose they are. */
interface QueuedDraws {
  readonly jobs: readonly Job[]
  readonly tokens: Promise<InferenceToken[]>
}

/** What an engine is made of. */
interface EngineParts {
  readonly executor: BatchExecutor
  readonly pool: PagePool
  readonly adapters: Pick<LoadedAdapters, 'names' | 'use' | 'leave' | 'load' | 'remove' | 'settle' | 'dispose'>
  readonly vocabSize: number
  readonly maxModelLen: number
  readonly maxSequences: number
  readonly maxWaiting: number
  readonly prefillTokens: number
  readonly prefixCaching: boolean
  /** Called once, when the engine is closed. */
  onClose(): void
}

/**
 * A step is queued before the tokens of the one before are there, so that the device does not wait for JavaScript: it
 * computes step n + 1 while the tokens of step n are given out and the masks of n + 1 are made. Draws of n + 1 come
 * last. A row whose answer has ended meanwhile is computed for nobody.
 */
export class ContinuousEngine implements InferenceEngine {
  readonly #parts: EngineParts
  readonly #scheduler: Scheduler<Job>
  /** The root of the base model's keys and values. */
  readonly #root: number
  readonly #words: number
  readonly #counts = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0, finishedRequests: 0 }
  #isRunning = false
  #closing: Promise<void> | undefined
  /** Called when nothing runs or waits any more. */
  #onIdle: (() => void)[] = []

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#scheduler = new Scheduler(parts.pool, parts)
    this.#root = parts.pool.newRoot()
    this.#words = Math.ceil(parts.vocabSize / 32)
  }

  get maxModelLen(): number {
    const { maxModelLen, pool } = this.#parts
    return Math.min(maxModelLen, pool.total * pool.pageSize)
  }

  get adapters(): readonly string[] {
    return this.#parts.adapters.names
  }

  submit(request: InferenceRequest, signal?: AbortSignal): InferenceAnswer {
    this.#expectOpen()
    expectRequest(request, this.#parts.vocabSize)
    this.#expectRoom(request)
    const job = this.#newJob(request, signal)
    if (signal?.aborted) {
      this.#fail(job, signal.reason)
      return job.answer
    }
    const { maxWaiting } = this.#parts
    this.#scheduler.add(job)
    if (this.#scheduler.waiting.size > maxWaiting) {
      this.#scheduler.remove(job)
      job.leave()
      throw new LowrankError(
        'BUSY',
        `[inference] expected at most ${maxWaiting} requests that wait (maxWaiting), got one more; ask again later`,
      )
    }
    if (!this.#isRunning) void this.#run()
    return job.answer
  }

  async loadAdapter(name: string, directory: string): Promise<void> {
    this.#expectOpen()
    await this.#parts.adapters.load(name, directory)
  }

  async removeAdapter(name: string): Promise<void> {
    this.#expectOpen()
    await this.#parts.adapters.remove(name)
  }

  figures(): InferenceFigures {
    const { pool } = this.#parts
    return {
      running: this.#scheduler.running.size,
      waiting: this.#scheduler.waiting.size,
      pages: { total: pool.total, held: pool.held, cached: pool.kept },
      ...this.#counts,
    }
  }

  async close(signal?: AbortSignal): Promise<void> {
    const end = (): void => this.#failAll([...this.#scheduler.waiting, ...this.#scheduler.running], signal?.reason)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted) end()
    this.#closing ??= this.#close()
    try {
      await this.#closing
    } finally {
      signal?.removeEventListener('abort', end)
    }
  }

  async #close(): Promise<void> {
    if (this.#isRunning) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
    await this.#parts.adapters.settle()
    this.#parts.adapters.dispose()
    this.#parts.executor.dispose()
    this.#parts.onClose()
  }

  /**
   * Steps until nothing is left to do. Other work of the device, as a training step, goes between two steps: it is
   * queued where this loop begins a turn, and changes neither the pages nor the adapters of the engine.
   */
  async #run(): Promise<void> {
    this.#isRunning = true
    // Requests that come together begin together.
    await undefined
    let before: QueuedDraws | undefined
    for (;;) {
      try {
        const step = this.#scheduler.plan()
        if (!step && !before) break
        const queued = step && this.#parts.executor.queue(step)
        if (before) this.#deliver(before.jobs, await before.tokens)
        before = undefined
        if (!step || !queued) continue
        await this.#prepareMasks(step.draws)
        before = { jobs: step.draws, tokens: this.#draw(queued, step.draws) }
      } catch (error) {
        before = undefined
        await this.#recover(error)
      }
    }
    this.#isRunning = false
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /** Lets masks be made that take longer than a turn of the event loop. */
  async #prepareMasks(jobs: readonly Job[]): Promise<void> {
    for (const job of jobs) {
      if (job.answer.hasEnded) continue
      try {
        const prepared = job.request.mask?.prepare?.()
        if (prepared) await prepared
      } catch (error) {
        this.#fail(job, error)
      }
    }
  }

  #draw(queued: QueuedStep, jobs: readonly Job[]): Promise<InferenceToken[]> {
    const masks = jobs.map((job) => this.#maskOf(job))
    const additions = jobs.map(({ answer, additions }) => (answer.hasEnded ? undefined : additions?.next()))
    const tokens = queued.draw(masks, additions)
    // It is awaited later: a failure meanwhile is no surprise to Node.
    tokens.catch(() => undefined)
    return tokens
  }

  /** The ids that may come next; undefined for all. A mask that fails ends its own answer alone. */
  #maskOf(job: Job): Uint32Array | undefined {
    const { mask } = job.request
    if (!mask || job.answer.hasEnded) return undefined
    const words = new Uint32Array(this.#words)
    try {
      if (!mask.allowed(words)) return undefined
      const last = this.#parts.vocabSize % 32
      if (last !== 0) words[this.#words - 1] = (words[this.#words - 1] as number) & (2 ** last - 1)
      if (words.some((word) => word !== 0)) return words
      throw new LowrankError(
        'INVALID_CALL',
        '[inference] expected a mask that lets some id come, got one that lets none',
      )
    } catch (error) {
      this.#fail(job, error)
      return undefined
    }
  }

  #deliver(jobs: readonly Job[], tokens: readonly InferenceToken[]): void {
    for (const [i, job] of jobs.entries()) {
      if (job.answer.hasEnded) continue
      const token = tokens[i] as InferenceToken
      try {
        job.request.mask?.accept(token.id)
      } catch (error) {
        this.#fail(job, error)
        continue
      }
      if (job.length === 0) {
        this.#counts.promptTokens += job.promptIds.length
        this.#counts.cachedTokens += job.cachedTokens
        job.answer.cachedTokens = job.cachedTokens
      }
      job.additions?.accept(token.id)
      job.length++
      this.#counts.generatedTokens++
      job.answer.push(token)
      if (job.request.eosTokenIds.has(token.id)) this.#finish(job, 'stop')
      else if (job.length === job.maxNewTokens) this.#finish(job, 'length')
    }
  }

  #finish(job: Job, reason: FinishReason): void {
    this.#counts.finishedRequests++
    job.answer.end(reason)
    this.#end(job)
  }

  #fail(job: Job, reason: unknown): void {
    job.answer.fail(reason)
    this.#end(job)
  }

  #failAll(jobs: readonly Job[], reason: unknown): void {
    for (const job of jobs) this.#fail(job, reason)
  }

  #end(job: Job): void {
    if (this.#scheduler.running.has(job)) this.#parts.executor.end(job.slot)
    this.#scheduler.remove(job)
    job.leave()
  }

  /** After a fault of the device everything that it had is lost: pages, and the answers that run. */
  async #recover(error: unknown): Promise<void> {
    this.#parts.pool.forget()
    this.#failAll([...this.#scheduler.running], withCause(error))
    try {
      await this.#parts.executor.recover()
    } catch (cause) {
      this.#failAll([...this.#scheduler.waiting, ...this.#scheduler.running], cause)
    }
  }

  #expectOpen(): void {
    if (this.#closing !== undefined)
      throw new LowrankError('INVALID_CALL', '[inference] expected an engine that is open, got one that was closed')
  }

  /** @throws where a request cannot be answered, however long it waits */
  #expectRoom(request: InferenceRequest): void {
    const { maxModelLen, pool } = this.#parts
    const tokens = request.promptIds.length + request.maxNewTokens
    if (tokens > maxModelLen)
      throw new OptionError(
        `[inference] expected a prompt and an answer of ${maxModelLen} tokens together at most (maxModelLen), ` +
          `got ${request.promptIds.length} and maxNewTokens ${request.maxNewTokens}`,
      )
    const pages = this.#scheduler.pagesOf(request)
    if (pages > pool.total)
      throw new OptionError(
        `[inference] expected a request that ${pool.total} pages of ${pool.pageSize} tokens hold (kvCacheMemory), ` +
          `got ${request.promptIds.length} tokens and maxNewTokens ${request.maxNewTokens}, which need ${pages}`,
      )
  }

  #newJob(request: InferenceRequest, signal: AbortSignal | undefined): Job {
    const { adapters, prefixCaching } = this.#parts
    const loaded = request.adapter === undefined ? undefined : adapters.use(request.adapter)
    const root = loaded?.root ?? this.#root
    const answer = new GrowingAnswer(() => {
      this.#counts.finishedRequests++
      this.#end(job)
    })
    const onAbort = (): void => this.#fail(job, signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    let hasLeft = false
    const job: Job = {
      request,
      answer,
      loaded,
      additions: LogitAdditions.of(request),
      slot: -1,
      promptIds: request.promptIds.slice(),
      maxNewTokens: request.maxNewTokens,
      adapter: loaded?.parts,
      sampling: request.sampling,
      logprobs: request.logprobs,
      root: prefixCaching ? root : undefined,
      parent: root,
      pages: [],
      ...{ reserved: 0, computed: 0, cachedTokens: 0, drawn: 0, length: 0 },
      leave: () => {
        if (hasLeft) return
        hasLeft = true
        signal?.removeEventListener('abort', onAbort)
        if (loaded) adapters.leave(loaded)
      },
    }
    return job
  }
}

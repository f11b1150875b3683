/** @file An engine that answers what a test says, token by token when the test says so. */

import type {
  FinishReason,
  InferenceAnswer,
  InferenceEngine,
  InferenceRequest,
  InferenceToken,
} from '../../src/inference/inference-request.js'
import { LowrankError } from '../../src/lowrank-error.js'

export interface ScriptedEngineOptions {
  /** The ids of an answer. Ending ids are not added. */
  answer: (request: InferenceRequest) => readonly number[]
  /** Awaited before each token. */
  beforeToken?: (at: number, request: InferenceRequest) => Promise<void> | void
  adapters?: string[]
  /** Requests that may run at a time; more are refused. */
  most?: number
  cachedTokens?: number
  maxModelLen?: number
}

/** What a scripted engine was asked, and what is left of it. */
export interface ScriptedEngine extends InferenceEngine {
  readonly requests: InferenceRequest[]
  readonly running: ReadonlySet<InferenceAnswer>
  readonly closed: boolean
}

export function scriptedEngine(options: ScriptedEngineOptions): ScriptedEngine {
  const {
    answer: answerOf,
    beforeToken,
    adapters = [],
    most = Number.POSITIVE_INFINITY,
    cachedTokens = 0,
    maxModelLen,
  } = options
  const requests: InferenceRequest[] = []
  const running = new Set<InferenceAnswer>()
  const counts = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0, finishedRequests: 0 }
  let closed = false
  return {
    requests,
    running,
    get closed() {
      return closed
    },
    ...(maxModelLen !== undefined && { maxModelLen }),
    adapters,
    submit(request, signal) {
      if (running.size >= most)
        throw new LowrankError('BUSY', '[inference] expected fewer requests that wait; ask again later')
      requests.push(request)
      counts.promptTokens += request.promptIds.length
      const ids = answerOf(request)
      let finishReason: FinishReason | undefined
      let isStopped = false
      async function* tokens(): AsyncGenerator<InferenceToken> {
        try {
          for (let at = 0; at < Math.min(ids.length, request.maxNewTokens); at++) {
            await unlessAborted(beforeToken?.(at, request), signal)
            if (isStopped) return
            const id = ids[at] as number
            counts.generatedTokens++
            yield request.logprobs === undefined
              ? { id }
              : { id, logprob: -0.5, topLogprobs: topOf(id, request.logprobs) }
            if (request.eosTokenIds.has(id)) break
          }
          finishReason = request.eosTokenIds.has(ids[Math.min(ids.length, request.maxNewTokens) - 1] ?? -1)
            ? 'stop'
            : 'length'
        } finally {
          running.delete(answer)
          counts.finishedRequests++
        }
      }
      const answer: InferenceAnswer = {
        cachedTokens,
        get finishReason() {
          return finishReason
        },
        stop() {
          isStopped = true
          running.delete(answer)
        },
        [Symbol.asyncIterator]: () => tokens(),
      }
      running.add(answer)
      return answer
    },
    async loadAdapter(name, directory) {
      if (directory === '/nowhere')
        throw new LowrankError('FILE', '[lora] expected an adapter in /nowhere, got nothing')
      if (!adapters.includes(name)) adapters.push(name)
    },
    async removeAdapter(name) {
      adapters.splice(adapters.indexOf(name), 1)
    },
    figures: () => ({
      running: running.size,
      waiting: 0,
      pages: { total: 8, held: running.size, cached: 0 },
      ...counts,
    }),
    async close() {
      closed = true
    },
  }
}

/** Waits, and rejects with the reason of a signal. */
async function unlessAborted(work: Promise<void> | void, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  let fail: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    fail = () => reject(signal?.reason)
  })
  signal?.addEventListener('abort', fail)
  try {
    await Promise.race([work, aborted])
  } finally {
    signal?.removeEventListener('abort', fail)
  }
}

function topOf(id: number, count: number): { id: number; logprob: number }[] {
  return Array.from({ length: count }, (_, i) => ({ id: id + i, logprob: -0.5 - i }))
}

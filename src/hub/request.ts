/**
 * @file One GET to the Hub: patience with servers that are busy, none with those that do not answer, and the access
 * token for the Hub alone. Knows nothing of models.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { HubError, type HubSubject, refusal, retryAfter, what } from './hub-error.js'
import { causeWithoutToken, withoutToken } from './secret.js'
import type { HubSettings } from './settings.js'

export interface RequestOptions {
  readonly settings: HubSettings
  readonly subject: HubSubject
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /** Attempts in all, the first included. */
  readonly attempts: number
}

/** An answer of success whose body is still to be read. */
export interface HubAnswer {
  readonly response: Response
  /**
   * The body; throws a `HubError` when no piece comes in time, when all come too slowly, or when the connection is cut.
   */
  pieces(): AsyncGenerator<Uint8Array>
}

/** Attempts where nothing else can help. */
export const ATTEMPTS = 4
/** A server that asks for more patience gets an error in place of a wait. */
const LONGEST_WAIT = 30_000
const FIRST_WAIT = 500
const LONGEST_REASON = 300
/** Bytes per second, over six times the patience with one piece. A server that sends less would keep a run for ever. */
const SLOWEST_RATE = 1024
const RATE_PIECES = 6
const RETRIED_STATUS = [408, 429, 500, 502, 503, 504]

/**
 * Asks until there is an answer of success, redirects followed.
 * @throws HubError when there is none after all attempts; the signal's reason when it is aborted
 */
export async function request(url: string, options: RequestOptions): Promise<HubAnswer> {
  const { settings, subject, signal, attempts } = options
  for (let attempt = 1; ; attempt++) {
    let error: HubError
    let wait = backoff(attempt)
    try {
      const answer = await requestOnce(url, options)
      const { response } = answer
      if (response.ok) return answer
      await response.body?.cancel().catch(() => {})
      error = refusal(response, subject, settings)
      if (!RETRIED_STATUS.includes(response.status)) throw error
      wait = Math.max(wait, retryAfter(response.headers) ?? 0)
    } catch (thrown) {
      signal?.throwIfAborted()
      if (!(thrown instanceof TransportError)) throw thrown
      error = thrown
      if (!thrown.isTransient) throw error
    }
    if (attempt >= attempts || wait > LONGEST_WAIT) throw error
    await pause(wait, signal)
  }
}

/** Milliseconds before the attempt after this one. */
export function backoff(attempt: number): number {
  return FIRST_WAIT * 2 ** (attempt - 1)
}

export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
  signal?.throwIfAborted()
}

/** No answer, or a part of one. */
export class TransportError extends HubError {
  /** Whether another attempt may do better. */
  readonly isTransient: boolean
  /** Whether something came all the time, but too little. */
  readonly isSlow: boolean

  constructor(
    message: string,
    { isTransient = true, isSlow = false, cause }: { isTransient?: boolean; isSlow?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.isTransient = isTransient
    this.isSlow = isSlow
  }
}

async function requestOnce(url: string, { settings, subject, headers, signal }: RequestOptions): Promise<HubAnswer> {
  const { endpoint, token, answerTimeout, pieceTimeout } = settings
  // Lists may be continued on any address that the server names, but the token is for the Hub; `fetch` itself drops it
  // when a redirect leaves the Hub.
  const isHub = new URL(url).origin === new URL(endpoint).origin
  const silence = new AbortController()
  const within = async <T>(milliseconds: number, action: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${milliseconds / 1000} s`)), milliseconds)
    try {
      return await action
    } catch (cause) {
      signal?.throwIfAborted()
      throw transportError(url, subject, settings, silence.signal.aborted ? silence.signal.reason : cause)
    } finally {
      clearTimeout(timer)
    }
  }
  const response = await within(
    answerTimeout,
    fetch(url, {
      headers: {
        'user-agent': `lowrank; node/${process.versions.node}`,
        ...(isHub && token && { authorization: `Bearer ${token.value}` }),
        ...headers,
      },
      signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
    }),
  )
  return {
    response,
    async *pieces() {
      const reader = response.body?.getReader()
      const window = RATE_PIECES * pieceTimeout
      let waited = 0
      let bytes = 0
      try {
        while (reader) {
          // What the reader does with a piece takes time too, which is not the server's.
          const start = performance.now()
          const { done, value } = await within(pieceTimeout, reader.read())
          if (done) break
          waited += performance.now() - start
          bytes += value.byteLength
          if (waited >= window) {
            if (bytes < (SLOWEST_RATE * window) / 1000) throw tooSlow(subject, settings, bytes, waited)
            waited = 0
            bytes = 0
          }
          yield value
        }
      } finally {
        await reader?.cancel().catch(() => {})
      }
    },
  }
}

function tooSlow(subject: HubSubject, { endpoint }: HubSettings, bytes: number, waited: number): TransportError {
  return new TransportError(
    `[hub] ${what(subject)} comes too slowly from ${endpoint}: ${bytes} bytes in ${(waited / 1000).toFixed(1)} s; check the connection and ` +
      'the proxy or mirror in between. What came so far of a file is kept, and the next attempt goes on from it',
    { isSlow: true },
  )
}

/** `fetch` of Node goes past a proxy that the environment names, unless it is told otherwise. */
function proxyHint(): string {
  const { HTTPS_PROXY, https_proxy, ALL_PROXY, all_proxy, NODE_USE_ENV_PROXY } = process.env
  if (NODE_USE_ENV_PROXY === '1' || !(HTTPS_PROXY || https_proxy || ALL_PROXY || all_proxy)) return ''
  return '. The proxy that the environment names is not used: set NODE_USE_ENV_PROXY=1 (Node 24 or newer), or fetch the model with "hf download"'
}

function transportError(
  url: string,
  subject: HubSubject,
  { endpoint, token }: HubSettings,
  thrown: unknown,
): TransportError {
  // fetch says "fetch failed", and what happened is the cause of that.
  const { message, cause: inner } = thrown as Error
  const cause = causeWithoutToken(thrown, token)
  const reason = withoutToken(
    inner instanceof Error ? inner.message || String((inner as NodeJS.ErrnoException).code) : message,
    token,
  ).slice(0, LONGEST_REASON)
  if (reason.includes('redirect count exceeded')) {
    return new TransportError(
      `[hub] ${url} redirects without end; check HF_ENDPOINT (${endpoint}) and the proxy or mirror in between`,
      { isTransient: false, cause },
    )
  }
  return new TransportError(
    `[hub] cannot get ${what(subject)} from ${endpoint}: ${reason}; check the connection, and HF_ENDPOINT if it is set${proxyHint()}`,
    { cause },
  )
}

/**
 * @file One GET to a server: patience with servers that are busy, none with those that do not answer, and credentials
 * for the server alone that they are of. Knows nothing of models and data sets; what a refusal means is said by the
 * target.
 */

import { reasonOf, retryAfter, unlessStopped } from '../http/patience.js'
import { isRefusedByProxy, proxiedFetch, proxyHint } from '../http/proxied-fetch.js'
import { type Failure, retry } from '../http/retry.js'
import { causeWithoutToken } from '../http/secret.js'
import { OptionError } from '../lowrank-error.js'
import { HubError } from './hub-error.js'
import type { HubToken } from './settings.js'

/** What is asked for, of whom, and how errors speak of it. */
export interface HttpTarget {
  /** As errors have it: `model.safetensors of "org/name"`. */
  readonly what: string
  /** Who is asked, as errors have it: the address that somebody set. */
  readonly server: string
  /** What begins an error: `hub`. */
  readonly where: string
  /** What to look at where no answer comes, behind `check the connection`: `, and HF_ENDPOINT if it is set`. */
  readonly setting: string
  /** Sent to the origin of `server` alone. */
  readonly token: HubToken | undefined
  /** Milliseconds until an answer must begin, and between two pieces of it. */
  readonly answerTimeout: number
  readonly pieceTimeout: number
  /** The error for an answer that is none of success. */
  refusal(response: Response): HubError
  /**
   * Refuses an address, the one that is asked or one that a redirect leads to.
   * @default every address may be asked
   */
  checkUrl?(url: URL): void
}

export interface HttpOptions {
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
  /** Attempts in all, the first included. */
  readonly attempts: number
  /** Statuses without content that are an answer too, as 304. */
  readonly alsoGood?: readonly number[]
}

/** An answer of success whose body is still to be read. */
export interface HttpAnswer {
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
const MOST_REDIRECTS = 20
/** Bytes per second, over six times the patience with one piece. A server that sends less would keep a run for ever. */
const SLOWEST_RATE = 1024
const RATE_PIECES = 6
const RETRIED_STATUS = [408, 429, 500, 502, 503, 504]
const REDIRECTS = [301, 302, 303, 307, 308]

/**
 * Asks until there is an answer of success, redirects followed.
 * @throws HubError when there is none after all attempts; the signal's reason when it is aborted
 */
export async function get(url: string, target: HttpTarget, options: HttpOptions): Promise<HttpAnswer> {
  const { signal, attempts, alsoGood = [] } = options
  const tryOnce = async (): Promise<{ readonly value: HttpAnswer } | Failure> => {
    try {
      const answer = await getOnce(url, target, options)
      const { status, ok, headers, body } = answer.response
      if (ok || alsoGood.includes(status)) return { value: answer }
      await body?.cancel().catch(() => {})
      const error = target.refusal(answer.response)
      return { error, isTransient: RETRIED_STATUS.includes(status), wait: retryAfter(headers) }
    } catch (thrown) {
      signal?.throwIfAborted()
      if (!(thrown instanceof TransportError)) throw thrown
      return { error: thrown, isTransient: thrown.isTransient }
    }
  }
  return await retry(tryOnce, { attempts, longestWait: LONGEST_WAIT, backoff }, signal)
}

/** Milliseconds before the attempt after this one. */
export function backoff(attempt: number): number {
  return FIRST_WAIT * 2 ** (attempt - 1)
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

async function getOnce(url: string, target: HttpTarget, { headers, signal }: HttpOptions): Promise<HttpAnswer> {
  const { pieceTimeout, answerTimeout } = target
  const silence = new AbortController()
  const stop = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal
  const within = async <T>(milliseconds: number, action: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${milliseconds / 1000} s`)), milliseconds)
    try {
      return await unlessStopped(action, stop)
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof OptionError) throw cause
      throw transportError(url, target, silence.signal.aborted ? silence.signal.reason : cause)
    } finally {
      clearTimeout(timer)
    }
  }
  const response = await follow(url, target, { headers, signal: stop }, (action) => within(answerTimeout, action))
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
            if (bytes < (SLOWEST_RATE * window) / 1000) throw tooSlow(target, bytes, waited)
            waited = 0
            bytes = 0
          }
          yield value
        }
      } finally {
        const cancelled = reader?.cancel().catch(() => {})
        if (!stop.aborted) await cancelled
      }
    },
  }
}

/** Where addresses are checked, each redirect is looked at before it is followed. */
async function follow(
  url: string,
  target: HttpTarget,
  { headers, signal }: { headers: HttpOptions['headers']; signal: AbortSignal },
  within: (action: Promise<Response>) => Promise<Response>,
): Promise<Response> {
  const { token, server, checkUrl } = target
  let address = new URL(url)
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    checkUrl?.(address)
    // Lists may be continued on any address that the server names, but the token is for the server; `fetch` itself
    // drops it when a redirect leaves the server.
    const isServer = address.origin === new URL(server).origin
    const response = await within(
      proxiedFetch(address.href, {
        headers: {
          'user-agent': `lowrank; node/${process.versions.node}`,
          ...(isServer && token && { authorization: token.authorization ?? `Bearer ${token.value}` }),
          ...headers,
        },
        signal,
        redirect: checkUrl === undefined ? 'follow' : 'manual',
      }),
    )
    const location = response.headers.get('location')
    if (checkUrl === undefined || !REDIRECTS.includes(response.status) || location === null) return response
    await response.body?.cancel().catch(() => {})
    if (!URL.canParse(location, address.href)) {
      throw new TransportError(`[${target.where}] ${target.what} redirects to what is no address; check it`, {
        isTransient: false,
      })
    }
    address = new URL(location, address)
  }
  throw endless(url, target)
}

function tooSlow({ where, what, server }: HttpTarget, bytes: number, waited: number): TransportError {
  return new TransportError(
    `[${where}] ${what} comes too slowly from ${server}: ${bytes} bytes in ${(waited / 1000).toFixed(1)} s; check the connection and ` +
      'the proxy or mirror in between. What came so far of a file is kept, and the next attempt goes on from it',
    { isSlow: true },
  )
}

function endless(url: string, { where, server, checkUrl, what }: HttpTarget, cause?: unknown): TransportError {
  const message =
    checkUrl === undefined
      ? `[${where}] ${url} redirects without end; check HF_ENDPOINT (${server}) and the proxy or mirror in between`
      : `[${where}] ${what} redirects without end; check the address and the proxy in between`
  return new TransportError(message, { isTransient: false, cause })
}

function transportError(url: string, target: HttpTarget, thrown: unknown): TransportError {
  const { where, what, server, token, setting } = target
  const cause = causeWithoutToken(thrown, token)
  const reason = reasonOf(thrown, token)
  if (reason.includes('redirect count exceeded')) return endless(url, target, cause)
  return new TransportError(
    `[${where}] cannot get ${what} from ${server}: ${reason}; check the connection${setting}${proxyHint(url, thrown)}`,
    { isTransient: !isRefusedByProxy(thrown), cause },
  )
}

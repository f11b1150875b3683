/**
 * @file `exchange` for short bytes that are sent many times a second: `node:http` takes a third of the processor time
 * of `fetch`. The answer is read whole.
 */

import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { urlToHttpOptions } from 'node:url'
import { type Answer, type Exchange, exchange, type Silence } from './exchange.js'
import { hasProxy, proxyFor } from './proxy.js'

/** Milliseconds that a connection stays open without a request: servers close theirs after 5 seconds or more. */
const KEPT_OPEN = 4000
/** Bytes of an answer. */
const LONGEST_ANSWER = 2 ** 20
const AGENTS = {
  http: new HttpAgent({ keepAlive: true, timeout: KEPT_OPEN }),
  https: new HttpsAgent({ keepAlive: true, timeout: KEPT_OPEN }),
}

/** An exchange whose body is bytes. */
export interface ShortExchange extends Omit<Exchange, 'body' | 'redirect' | 'bodyError'> {
  readonly body: Uint8Array
}

/** An answer that was read. */
export interface ShortAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/**
 * Sends bytes and reads the answer. Redirects are answers.
 * @throws what `exchange` throws
 */
export async function shortExchange(
  url: string,
  request: ShortExchange,
  silence: Silence,
): Promise<Answer | ShortAnswer> {
  const { signal, body } = request
  // Only `fetch` knows proxies, and in Deno and Bun it is the quicker one.
  if (isProxied(url) || process.versions.bun !== undefined || 'deno' in process.versions) {
    const opened = { size: body.byteLength, open: () => body }
    return await exchange(url, { ...request, body: opened, redirect: 'manual' }, silence)
  }
  signal?.throwIfAborted()
  return await new Promise((resolve, reject) => {
    const sent = open(url, request)
    const fail = (cause: unknown): void => {
      signal?.removeEventListener('abort', abort)
      sent.destroy()
      // As `fetch` throws it.
      reject(signal?.aborted ? signal.reason : new Error('the request failed', { cause }))
    }
    const abort = (): void => fail(signal?.reason)
    signal?.addEventListener('abort', abort)
    // Counted from the last byte that came or went.
    sent.setTimeout(silence.answerTimeout, () => fail(new Error(`nothing came for ${silence.answerTimeout / 1000} s`)))
    sent.on('error', fail)
    sent.on('response', (message) => {
      const pieces: Buffer[] = []
      let length = 0
      message.on('data', (piece: Buffer) => {
        pieces.push(piece)
        length += piece.length
        if (length > LONGEST_ANSWER) fail(new Error(`the answer is longer than ${LONGEST_ANSWER} bytes`))
      })
      message.on('error', fail)
      message.on('end', () => {
        signal?.removeEventListener('abort', abort)
        resolve(answerOf(message, pieces))
      })
    })
    sent.end(body)
  })
}

function isProxied(url: string): boolean {
  return hasProxy() && proxyFor(url) !== undefined
}

/** The last address, parsed: the same one comes many times. */
let lastUrl = ''
let lastOptions: RequestOptions = {}

function open(url: string, { method, headers, body }: ShortExchange): ClientRequest {
  if (url !== lastUrl) {
    lastOptions = urlToHttpOptions(new URL(url))
    lastUrl = url
  }
  const all = { ...headers, 'content-length': body.byteLength }
  if (url.startsWith('https:')) return httpsRequest({ ...lastOptions, method, headers: all, agent: AGENTS.https })
  return httpRequest({ ...lastOptions, method, headers: all, agent: AGENTS.http })
}

function answerOf(message: IncomingMessage, pieces: readonly Buffer[]): ShortAnswer {
  return {
    status: message.statusCode ?? 0,
    // Made where somebody looks: an answer of success seldom has a reader of its headers.
    get headers() {
      return headersOf(message)
    },
    text: Buffer.concat(pieces).toString(),
  }
}

function headersOf({ headers }: IncomingMessage): Headers {
  const named = new Headers()
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) named.set(name, [value].flat().join(', '))
  return named
}

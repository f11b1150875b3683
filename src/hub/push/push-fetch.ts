/**
 * @file `fetch` for what @huggingface/hub sends: the token to the Hub alone, patience where another try does no harm,
 * bytes counted as they leave, and errors that say what to do and hold no token.
 */

import { describeValue } from '../../errors.js'
import { reasonOf, retryAfter } from '../../http/patience.js'
import { isNeverSent, proxiedFetch, proxyHint } from '../../http/proxied-fetch.js'
import { type Failure, retry } from '../../http/retry.js'
import { causeWithoutToken, withoutToken } from '../../http/secret.js'
import { OptionError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import { backoff } from '../http.js'
import { HubError } from '../hub-error.js'
import type { HubSettings } from '../settings.js'

export interface PushFetchOptions {
  readonly settings: HubSettings
  readonly id: string
  readonly signal: AbortSignal | undefined
  /** Is told of bytes that were sent; less than nothing where a try failed and they are sent again. */
  readonly onBytes: (count: number) => void
}

const ATTEMPTS = 5
const RETRIED_STATUS = [408, 429, 500, 502, 503, 504]
const LONGEST_WAIT = 60_000
/** Milliseconds without a byte in either direction; a commit of many files takes the Hub a while. */
const SILENCE = 120_000
const LARGEST_TEXT = 2000

/** A `fetch` that rejects with a `HubError` where the answer is none of success. */
export function createPushFetch(options: PushFetchOptions): typeof globalThis.fetch {
  const { signal } = options
  return async (input, init = {}) => {
    const url = String(input)
    const isCommit = /\/commit\/[^/]+$/.test(new URL(url).pathname)
    const tryOnce = async (): Promise<{ readonly value: Response } | Failure> => {
      try {
        const response = await sendOnce(url, init, options)
        if (response.ok) return { value: response }
        const { status, headers } = response
        // A commit may have been made although the answer says that something failed.
        const isTransient = isCommit ? status === 429 : RETRIED_STATUS.includes(status)
        return { error: await refusal(response, options), isTransient, wait: retryAfter(headers) }
      } catch (thrown) {
        signal?.throwIfAborted()
        if (thrown instanceof OptionError) throw thrown
        return { error: unreached(url, thrown, options), isTransient: !isCommit || isNeverSent(thrown) }
      }
    }
    return await retry(tryOnce, { attempts: ATTEMPTS, longestWait: LONGEST_WAIT, backoff }, signal)
  }
}

async function sendOnce(
  url: string,
  init: RequestInit,
  { settings, signal, onBytes }: PushFetchOptions,
): Promise<Response> {
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(new Error(`nothing was sent or came for ${SILENCE / 1000} s`)), SILENCE)
  let sent = 0
  const headers = new Headers(init.headers)
  // The library writes the token into each request; uploads go to storage of others.
  headers.delete('authorization')
  const { endpoint, token } = settings
  if (token && new URL(url).origin === new URL(endpoint).origin)
    headers.set('authorization', token.authorization ?? `Bearer ${token.value}`)
  headers.set('user-agent', `lowrank; node/${process.versions.node}`)
  const { body } = init
  const counted = body instanceof Blob && body.size > 0
  if (counted) headers.set('content-length', String(body.size))
  const request = {
    ...init,
    headers: Object.fromEntries(headers),
    signal: AbortSignal.any([init.signal ?? [], signal ?? [], silence.signal].flat()),
    ...(counted && {
      body: body.stream().pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(piece, controller) {
            timer.refresh()
            sent += piece.byteLength
            onBytes(piece.byteLength)
            controller.enqueue(piece)
          },
        }),
      ),
      duplex: 'half',
    }),
  }
  try {
    const response = await proxiedFetch(url, request as RequestInit)
    if (!response.ok) onBytes(-sent)
    return response
  } catch (error) {
    onBytes(-sent)
    throw error
  } finally {
    clearTimeout(timer)
  }
}

async function refusal(response: Response, { settings, id }: PushFetchOptions): Promise<HubError> {
  const { endpoint, token } = settings
  const { status, headers } = response
  const said = withoutToken(headers.get('x-error-message') ?? (await messageOf(response)), token)
  const got = `HTTP ${status}${said ? `, ${describeValue(said)}` : ''}`
  const code = headers.get('x-error-code') ?? undefined
  const error = (message: string): HubError => new HubError(`[push] ${message}`, { status, serverCode: code })
  if (status === 401 && !token)
    return error(`expected an access token to push to "${id}", got none; set HF_TOKEN to one that may write`)
  if (status === 401 || status === 403)
    return error(
      `${endpoint} refuses to write to "${id}" with the token from ${token?.source ?? 'nowhere'} (${got}); check the name, and make a token that may write at ${endpoint}/settings/tokens`,
    )
  if (status === 404) return error(`expected "${id}" and its branch on ${endpoint}, got ${got}; check the name`)
  if (status === 409 || status === 412)
    return error(`"${id}" was changed by another commit at the same time (${got}); push again`)
  if (status === 413) return error(`${endpoint} takes no file so large for "${id}" (${got})`)
  if (status === 429) return error(`${endpoint} had too many requests for "${id}" (${got}); push again later`)
  if (status >= 500)
    return error(`${endpoint} failed at "${id}" (${got}); push again later: what was sent is not sent again`)
  return error(`expected ${endpoint} to take the files of "${id}", got ${got}`)
}

async function messageOf(response: Response): Promise<string> {
  const text = (await response.text().catch(() => '')).slice(0, LARGEST_TEXT)
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown }
    return String(error ?? message ?? '')
  } catch {
    // Storage answers in XML, proxies in HTML.
    return text.replace(/<[^>]*>/g, ' ').trim()
  }
}

function unreached(url: string, thrown: unknown, { settings: { endpoint, token }, id }: PushFetchOptions): HubError {
  const reason = reasonOf(toError(thrown), token)
  const { origin } = new URL(url)
  const where = origin === new URL(endpoint).origin ? endpoint : `the storage of ${endpoint} (${origin})`
  return new HubError(
    `[push] cannot send "${id}" to ${where}: ${reason}; check the connection, and push again: what was sent is not sent again${proxyHint(url, thrown)}`,
    { cause: causeWithoutToken(thrown, token) },
  )
}

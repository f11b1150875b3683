/**
 * @file One request to an endpoint: JSON there and back, patience where it is busy or silent, none with what it
 * refuses. Knows no kind of request.
 */

import { describeValue, shorten, withoutSecrets } from '../errors.js'
import { reasonOf, retryAfter } from '../http/patience.js'
import { isNeverSent, isRefusedByProxy, proxiedFetch, proxyHint } from '../http/proxied-fetch.js'
import { type Failure, retry } from '../http/retry.js'
import { causeWithoutToken, withoutToken, withoutTokenParts } from '../http/secret.js'
import { OptionError } from '../lowrank-error.js'
import { isObject } from '../values.js'
import type { Allowance, TokenCounts } from './allowance.js'
import { EndpointError } from './endpoint-error.js'
import type { Address } from './endpoint-options.js'

/** What requests are sent with. */
export interface Sender {
  readonly address: Address
  readonly allowance: Allowance
  /** Seconds that one try may take. */
  readonly timeout: number
  readonly maxRetries: number
}

/** What is sent. */
export interface JsonRequest<Reply> {
  /** Behind the base address: `/chat/completions`. */
  readonly path: string
  readonly body: object
  /** The most tokens that it can take. */
  readonly most: TokenCounts
  /** How many it mostly takes. */
  readonly likely: number
  /** The reply and its tokens, where it says them. @throws EndpointError for what is no such reply */
  readonly read: (json: unknown) => { readonly reply: Reply; readonly took: TokenCounts | undefined }
  /** Keeps a reply before another request takes its place: what a kill loses is no more than may be open. */
  readonly keep?: ((reply: Reply) => Promise<void>) | undefined
}

const FIRST_WAIT = 500
const LONGEST_BACKOFF = 60_000
/** An endpoint that asks for more patience gets an error in place of a wait. */
const LONGEST_WAIT = 600_000
const RETRIED_STATUS = [408, 409, 429]
/** Bytes of one reply. */
const LARGEST_REPLY = 16 * 2 ** 20

/** Why a try failed, and what may be done about it. */
interface Refused extends Failure {
  readonly error: EndpointError
  readonly took?: 'nothing'
}

/**
 * Sends until there is a reply.
 * @throws EndpointError when there is none after all tries, or when it would be too dear; the signal's reason when it
 * is aborted
 */
export async function sendJson<Reply>(
  sender: Sender,
  request: JsonRequest<Reply>,
  signal: AbortSignal | undefined,
): Promise<Reply> {
  const { allowance, maxRetries } = sender
  const permitted = async (attempt: number): Promise<{ readonly value: Reply } | Refused> => {
    const permit = await allowance.admit(request.most, request.likely, attempt > 1, signal)
    try {
      const outcome = await tryOnce(sender, request, signal)
      if ('reply' in outcome) await request.keep?.(outcome.reply)
      permit.settle(outcome.took)
      return 'reply' in outcome ? { value: outcome.reply } : outcome
    } catch (error) {
      permit.settle(undefined)
      throw error
    }
  }
  return await retry(
    permitted,
    {
      attempts: maxRetries + 1,
      longestWait: LONGEST_WAIT,
      // Requests that failed together do not come back together.
      backoff: (attempt) => Math.min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_BACKOFF) * (0.5 + Math.random() / 2),
      clock: allowance.clock,
      // All requests wait: what one was refused for the others would be refused for too.
      onAskedWait: (milliseconds) => allowance.holdBack(milliseconds),
    },
    signal,
  )
}

async function tryOnce<Reply>(
  { address, timeout }: Sender,
  { path, body, read }: JsonRequest<Reply>,
  signal: AbortSignal | undefined,
): Promise<ReturnType<JsonRequest<Reply>['read']> | Refused> {
  const { baseUrl, key } = address
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(), timeout * 1000)
  let response: Response
  let text: string
  try {
    response = await proxiedFetch(baseUrl + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': `lowrank; node/${process.versions.node}`,
        ...(key && { authorization: `Bearer ${key.value}` }),
      },
      body: JSON.stringify(body),
      // The rows are for this endpoint alone.
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
    })
    text = withoutToken(await readText(response), key)
  } catch (thrown) {
    signal?.throwIfAborted()
    if (thrown instanceof OptionError) throw thrown
    return silence.signal.aborted ? noReply(address, timeout) : noConnection(address, thrown)
  } finally {
    clearTimeout(timer)
  }
  if (!response.ok) return refusal(address, response, text)
  try {
    return read(parse(text))
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error
    return { error, isTransient: true }
  }
}

async function readText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of response.body ?? []) {
    bytes += piece.byteLength
    if (bytes > LARGEST_REPLY) break
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw noSuchReply('JSON', describeValue(text), cause)
  }
}

/** The error for a reply that is not as the interface has it. */
export function noSuchReply(expected: string, got: string, cause?: unknown): EndpointError {
  return new EndpointError(
    `[endpoint] expected ${expected} as reply, got ${got}; check the address, and whether a proxy or a login page answers in its place`,
    { failure: 'reply', cause },
  )
}

function noReply({ baseUrl }: Address, timeout: number): Refused {
  const message = `[endpoint] expected a reply from ${baseUrl} within ${timeout} s, got none; raise timeout, or lower concurrency`
  return { error: new EndpointError(message, { failure: 'connection' }), isTransient: true }
}

function noConnection({ baseUrl, key }: Address, thrown: unknown): Refused {
  const error = new EndpointError(
    `[endpoint] cannot reach ${baseUrl}: ${reasonOf(thrown, key)}; check the address, and that the server runs${proxyHint(baseUrl, thrown)}`,
    { failure: 'connection', cause: causeWithoutToken(thrown, key) },
  )
  return { error, isTransient: !isRefusedByProxy(thrown), ...(isNeverSent(thrown) && { took: 'nothing' }) }
}

function refusal({ baseUrl, key }: Address, { status, headers }: Response, text: string): Refused {
  const { message, code } = saidIn(text)
  const got = `HTTP ${status}${message === '' ? '' : `, ${JSON.stringify(shorten(withoutSecrets(withoutTokenParts(message, key))))}`}`
  // An account without money is no busy server.
  const isOutOfMoney = code === 'insufficient_quota'
  const isTransient = !isOutOfMoney && (RETRIED_STATUS.includes(status) || status >= 500)
  const error = new EndpointError(
    `[endpoint] expected a reply from ${baseUrl}, got ${got}; ${remedy(status, key !== undefined, isOutOfMoney, headers)}`,
    { failure: 'status', status },
  )
  return { error, isTransient, took: 'nothing', wait: askedWait(headers) }
}

function remedy(status: number, hasKey: boolean, isOutOfMoney: boolean, headers: Headers): string {
  if (isOutOfMoney) return 'the account has no money left for this'
  if (status === 401 || status === 403)
    return hasKey
      ? 'it does not take the key: set OPENAI_API_KEY to one that may use this model'
      : 'set OPENAI_API_KEY to a key of this endpoint'
  if (status === 404) return 'check the address, which mostly ends in /v1, and the name of the model'
  if (status >= 300 && status < 400)
    return `it answers elsewhere: give the address that it names (${describeValue(headers.get('location') ?? 'none')})`
  if (status === 429) return 'lower concurrency, or set requestsPerMinute and tokensPerMinute'
  return status >= 500 ? 'try again later' : 'correct what it says'
}

/** Milliseconds that an answer asks to wait. */
function askedWait(headers: Headers): number | undefined {
  const milliseconds = headers.get('retry-after-ms')?.trim() ?? ''
  return /^\d+$/.test(milliseconds) ? Number(milliseconds) : retryAfter(headers)
}

/** What an answer that refuses says, wherever it stands. */
function saidIn(text: string): { message: string; code: string | undefined } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { message: text.trim(), code: undefined }
  }
  const error = isObject(json) ? (json.error ?? json.detail ?? json.message ?? json) : json
  if (!isObject(error)) return { message: typeof error === 'string' ? error : text.trim(), code: undefined }
  const { message, code } = error
  return {
    message: typeof message === 'string' ? message : JSON.stringify(error),
    code: typeof code === 'string' ? code : undefined,
  }
}

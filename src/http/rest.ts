/**
 * @file A client of a service with a REST interface: JSON and bytes there and back, pages as one list, patience where
 * the service is busy or cannot be reached. Knows no service; what a refusal means is said by its target.
 *
 * What may be sent again: an answer of 429 or 503 says that nothing was done, and so does a connection that was never
 * made. After any other failure nobody knows what was done, so that only calls that are the same when they come twice
 * are repeated.
 */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { toError } from '../values.js'
import { type Answer, exchange, type RestBody } from './exchange.js'
import { reasonOf, retryAfter } from './patience.js'
import { isNeverSent, isRefusedByProxy, proxyHint } from './proxied-fetch.js'
import { type Clock, type Failure, retry } from './retry.js'
import { causeWithoutToken, type Secret, withoutToken } from './secret.js'
import { ServiceError } from './service-error.js'
import { type ShortAnswer, shortExchange } from './short-exchange.js'
import { addressSecrets, storageError } from './storage-error.js'

/** What is asked of a service. */
export interface RestCall {
  /** @default 'GET' */
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Behind the server, its segments escaped: `/api/2.0/fs/files/Volumes/a/b`. */
  readonly path: string
  /**
   * What stands behind `?`; undefined values are left out.
   * @default nothing
   */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /**
   * The body, as JSON.
   * @default no body
   */
  readonly json?: unknown
  /**
   * The body as bytes, in place of `json`.
   * @default no body
   */
  readonly body?: RestBody
  /**
   * The body as the bytes of JSON, in place of `json`: for short requests that come many times a second. Of `json`
   * calls alone.
   * @default no body
   */
  readonly jsonBytes?: Uint8Array
  /** @default those of the client alone */
  readonly headers?: Readonly<Record<string, string>>
  /** As errors have it: `the volume file /Volumes/a/b`. */
  readonly what: string
  /**
   * Whether it may be sent again when nobody knows what became of it.
   * @default true for all methods but POST and PATCH
   */
  readonly isRepeatable?: boolean
  /** @default none */
  readonly signal?: AbortSignal | undefined
}

/** An answer of success. A body that is not read must be cancelled; what fails while it is read is the reader's. */
export interface RestAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | null
}

/** A service with a REST interface. */
export interface RestClient {
  /** Its origin, without a slash at the end. */
  readonly server: string
  /** The parsed answer; an empty one is `{}`. @throws ServiceError */
  json<T>(call: RestCall): Promise<T>
  /** The answer with its body unread. @throws ServiceError */
  send(call: RestCall): Promise<RestAnswer>
  /**
   * The items of all pages, one after the other. The next page is asked for when it is needed: `page_token` in the
   * query, or in the JSON of a POST, until an answer has no `next_page_token`.
   * @throws ServiceError
   */
  pages<T>(call: RestCall, itemsOf: (page: Record<string, unknown>) => readonly T[]): AsyncIterable<T>
  /**
   * Asks storage through a presigned address: without authorization, with the retries that storage wants. The address
   * is hidden in errors.
   * @throws ServiceError
   */
  sendTo(url: string, call: Omit<RestCall, 'path' | 'query'>): Promise<RestAnswer>
}

/** An answer that is none of success. */
export interface RefusedAnswer {
  readonly status: number
  readonly headers: Headers
  /** Its body, or the beginning of a long one, without what the request was authorized with. */
  readonly text: string
}

/** A service, as its client knows it. */
export interface RestTarget {
  readonly server: string
  /** What begins an error: `databricks`. */
  readonly where: string
  /** What to look at where the server does not answer, behind `check the connection`: ` and DATABRICKS_HOST`. */
  readonly setting: string
  /** Headers of every request. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Headers that say who asks.
   * @param rejected Those that the service did not take (HTTP 401); the same again mean that there are no better ones.
   */
  authorize(
    signal: AbortSignal | undefined,
    rejected?: Readonly<Record<string, string>>,
  ): Promise<Readonly<Record<string, string>>>
  /** The error for an answer that is none of success. */
  errorOf(answer: RefusedAnswer, call: Omit<RestCall, 'path'>): ServiceError
  /** Waits until one more request may be sent. */
  admit?(signal: AbortSignal | undefined): Promise<void>
  /** Milliseconds until an answer begins, and between two pieces of one. @default 60,000 */
  readonly timeout?: number
  /** Milliseconds for all tries of one call. @default 300,000 */
  readonly budget?: number
  /** @default the time of the machine */
  readonly clock?: Clock
}

/** Nothing was done: sent again whatever it was. */
const REFUSED_BEFORE_WORK = [429, 503]
const STORAGE_RETRIED = [408, 429, 500, 502, 503, 504]
const STORAGE_ATTEMPTS = 3
const TIMEOUT = 60_000
const BUDGET = 300_000
const SECOND = 1000
const LONGEST_BACKOFF = 10
/** Bytes of an answer that says no. */
const LONGEST_REFUSAL = 64 * 1024
/** Bytes of JSON that one answer may have. */
const LARGEST_JSON = 256 * 2 ** 20

/** A client of a service. */
export function createRest(target: RestTarget): RestClient {
  const client: RestClient = {
    server: target.server,
    send: (call) => sendCall(target, call),
    json: <T>(call: RestCall) => sendCall<T>(target, call, (answer) => readJson<T>(target, call, answer)),
    pages: (call, itemsOf) => allPages(client, call, itemsOf),
    sendTo: (url, call) => sendPresigned(target, url, call),
  }
  return client
}

/**
 * One call, with its tries.
 * @param read Makes of an answer of success what the call gives. What fails while it reads fails the try.
 * @default the answer, its body unread
 */
async function sendCall<Value = Answer>(
  target: RestTarget,
  call: RestCall,
  read?: (answer: Answer | ShortAnswer) => Promise<Value>,
): Promise<Value> {
  const { signal, method = 'GET' } = call
  const isRepeatable = call.isRepeatable ?? (method !== 'POST' && method !== 'PATCH')
  const url = target.server + call.path + queryOf(call.query)
  let isRenewed = false
  const tryOnce = async (): Promise<{ readonly value: Value } | Failure> => {
    signal?.throwIfAborted()
    await target.admit?.(signal)
    const authorization = await target.authorize(signal)
    const lost = (thrown: unknown): Failure =>
      connectionFailure(target, call.what, thrown, secretsOf(authorization), isRepeatable)
    try {
      const request = requestOf(target, call, authorization)
      const bodyError = read ? undefined : (thrown: unknown) => lost(thrown).error
      const { jsonBytes } = call
      const answer =
        jsonBytes === undefined
          ? await exchange(url, { ...request, bodyError }, silenceOf(target))
          : await shortExchange(url, { ...request, body: jsonBytes }, silenceOf(target))
      if (answer.status >= 200 && answer.status < 300) return { value: read ? await read(answer) : (answer as Value) }
      const text = withoutToken(await textOf(answer, LONGEST_REFUSAL), secretsOf(authorization))
      if (answer.status === 401 && !isRenewed) {
        isRenewed = true
        if (!isSame(await target.authorize(signal, authorization), authorization)) return await tryOnce()
      }
      const error = target.errorOf({ status: answer.status, headers: answer.headers, text }, call)
      const isTransient = REFUSED_BEFORE_WORK.includes(answer.status)
      return { error, isTransient, wait: retryAfter(answer.headers) }
    } catch (thrown) {
      signal?.throwIfAborted()
      if (thrown instanceof LowrankError) throw thrown
      return lost(thrown)
    }
  }
  return await retry(
    tryOnce,
    {
      budget: target.budget ?? BUDGET,
      backoff: (attempt) => Math.min(attempt, LONGEST_BACKOFF) * SECOND * (0.5 + Math.random() / 2),
      ...(target.clock && { clock: target.clock }),
    },
    signal,
  )
}

async function sendPresigned(
  target: RestTarget,
  url: string,
  call: Omit<RestCall, 'path' | 'query'>,
): Promise<RestAnswer> {
  const { signal, method = 'GET' } = call
  const secrets = addressSecrets(url, call.headers)
  const storage = new URL(url).origin
  const isRepeatable = call.isRepeatable ?? (method !== 'POST' && method !== 'PATCH')
  const lost = (thrown: unknown): Failure =>
    connectionFailure({ ...target, server: storage, setting: '' }, call.what, thrown, secrets, isRepeatable)
  const tryOnce = async (): Promise<{ readonly value: RestAnswer } | Failure> => {
    signal?.throwIfAborted()
    try {
      // Storage answers reads from elsewhere now and then; nothing is sent along that the address does not hold.
      const redirect = method === 'GET' || method === 'HEAD' ? 'follow' : 'manual'
      const request = {
        ...requestOf({ ...target, headers: {} }, call, {}),
        redirect,
        bodyError: (thrown: unknown) => lost(thrown).error,
      } as const
      const answer = await exchange(url, request, silenceOf(target))
      if (answer.status >= 200 && answer.status < 300) return { value: answer }
      const text = withoutToken(await readText(answer.body, LONGEST_REFUSAL), secrets)
      const error = storageError(target.where, storage, { ...answer, text }, call.what)
      return { error, isTransient: STORAGE_RETRIED.includes(answer.status), wait: retryAfter(answer.headers) }
    } catch (thrown) {
      signal?.throwIfAborted()
      return lost(thrown)
    }
  }
  return await retry(
    tryOnce,
    {
      attempts: STORAGE_ATTEMPTS,
      budget: target.budget ?? BUDGET,
      backoff: (attempt) => attempt * SECOND * (0.5 + Math.random() / 2),
      ...(target.clock && { clock: target.clock }),
    },
    signal,
  )
}

async function* allPages<T>(
  client: RestClient,
  call: RestCall,
  itemsOf: (page: Record<string, unknown>) => readonly T[],
): AsyncGenerator<T> {
  let token: string | undefined
  const asked = new Set<string>()
  for (;;) {
    const next: object =
      token === undefined
        ? {}
        : call.method === 'POST'
          ? { json: { ...(call.json as object), page_token: token } }
          : { query: { ...call.query, page_token: token } }
    const page = await client.json<Record<string, unknown>>({ ...call, ...next })
    yield* itemsOf(page)
    const following = page.next_page_token
    if (typeof following !== 'string' || following === '') return
    if (asked.has(following))
      throw new ServiceError(
        `[rest] expected the next page of ${call.what} from ${client.server}, got a page that names itself or an earlier one as the next; report it to ` +
          'whoever runs the server',
      )
    asked.add(following)
    token = following
  }
}

/** `?a=1&b=x`, or nothing. */
function queryOf(query: RestCall['query']): string {
  if (query === undefined) return ''
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
  const text = search.toString()
  return text === '' ? '' : `?${text}`
}

function requestOf(
  target: RestTarget,
  { method = 'GET', headers, json, jsonBytes, body, signal }: Omit<RestCall, 'path'>,
  authorization: Readonly<Record<string, string>>,
): Parameters<typeof exchange>[1] {
  return {
    method,
    headers: {
      ...target.headers,
      ...((json ?? jsonBytes) !== undefined && { 'content-type': 'application/json' }),
      ...headers,
      ...authorization,
    },
    body: json === undefined ? body : JSON.stringify(json),
    // A redirect of a service leads to a login page, which is no answer.
    redirect: 'manual',
    signal,
  }
}

function silenceOf({ timeout = TIMEOUT }: RestTarget): Parameters<typeof exchange>[2] {
  return { answerTimeout: timeout, pieceTimeout: timeout }
}

async function textOf(answer: Answer | ShortAnswer, most: number): Promise<string> {
  return 'text' in answer ? answer.text.slice(0, most) : await readText(answer.body, most)
}

async function readText(body: ReadableStream<Uint8Array> | null, most: number): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body ?? []) {
    pieces.push(piece)
    bytes += piece.byteLength
    if (bytes >= most) break
  }
  return Buffer.concat(pieces).subarray(0, most).toString('utf8')
}

async function readJson<T>(
  { where, server }: RestTarget,
  { what }: RestCall,
  answer: Answer | ShortAnswer,
): Promise<T> {
  const text = await textOf(answer, LARGEST_JSON)
  if (text.trim() === '') return {} as T
  try {
    const value: unknown = JSON.parse(text)
    // No service answers a lone word, and its readers take fields of what it answers.
    if (typeof value === 'object' && value !== null) return value as T
  } catch {
    // It is told of below.
  }
  const got = /^\s*</.test(text) ? 'a page of HTML' : describeValue(text)
  throw new ServiceError(
    `[${where}] expected JSON from ${server} for ${what}, got ${got}; check the address, and whether a proxy or a login page ` +
      'answers in its place',
    { status: answer.status, requestId: answer.headers.get('x-request-id') ?? undefined },
  )
}

function connectionFailure(
  { where, server, setting }: Pick<RestTarget, 'where' | 'server' | 'setting'>,
  what: string,
  thrown: unknown,
  secrets: readonly Secret[],
  isRepeatable: boolean,
): Failure {
  const isSafe = isRepeatable || isNeverSent(thrown)
  const unclear = isSafe ? '' : '. Nobody knows whether it was done: look before you try again'
  const error = new ServiceError(
    `[${where}] cannot reach ${server} for ${what}: ${reasonOf(toError(thrown), secrets)}; check the connection${setting}${unclear}` +
      proxyHint(server, thrown),
    { cause: causeWithoutToken(thrown, secrets) },
  )
  return { error, isTransient: isSafe && !isRefusedByProxy(thrown) }
}

/** What headers hold that nobody else may see. */
function secretsOf(headers: Readonly<Record<string, string>>): Secret[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (!/authorization|token|api-key/i.test(name)) return []
    return [{ value: value.replace(/^(?:Bearer|Basic) /, ''), authorization: value }]
  })
}

function isSame(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

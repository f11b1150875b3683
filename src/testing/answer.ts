/** @file One request to the loopback workspace: its fault, its authorization, its body, its route, its answer. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isObject, toError } from '../values.js'
import type { Fault } from './faults.js'
import { masked, type RecordedRequest } from './record.js'
import { RefusedRequest, type Route, type RouteAnswer, type RouteMethod, type RouteRequest } from './route.js'
import type { Router } from './router.js'
import type { WorkspaceState } from './state.js'

/** A statement may have 16 MiB, and JSON writes some characters with six. */
const LARGEST_JSON = 64 * 1024 * 1024
const NO_BODY: readonly string[] = ['GET', 'HEAD', 'DELETE']

export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly address: URL
  readonly record: RecordedRequest
  readonly fault: Fault | undefined
  readonly state: WorkspaceState
}

/** Does what a fault says before the request is handled. @returns whether that was all */
export async function meetFault({
  request,
  response,
  fault,
  address,
}: Pick<Exchange, 'request' | 'response' | 'fault' | 'address'>): Promise<boolean> {
  if (fault === undefined) return false
  if (fault === 'reset') request.socket.resetAndDestroy()
  else if (fault === 'lost-answer') loseAnswer(response)
  else if ('status' in fault) sendFault(response, fault)
  else if ('cutRequestAfter' in fault) await cutRequest(request, fault.cutRequestAfter)
  else if ('cutAfter' in fault) limitBody(response, fault.cutAfter, () => response.destroy())
  else if ('stallAfter' in fault) limitBody(response, fault.stallAfter, () => {})
  else if ('emptyPages' in fault)
    sendEmptyPage(response, fault.emptyPages, address.searchParams.get('page_token') ?? '')
  else await untilClosed(response, fault.delay)
  return (
    fault === 'reset' ||
    (fault !== 'lost-answer' && ['status', 'cutRequestAfter', 'emptyPages'].some((kind) => kind in fault))
  )
}

/** Answers a request to the workspace itself. */
export async function answerRequest(exchange: Exchange, router: Router): Promise<void> {
  const { response, state, record } = exchange
  response.setHeader('x-request-id', record.requestId)
  if (state.clockOffset !== 0) response.setHeader('date', new Date(state.now()).toUTCString())
  if (await meetFault(exchange)) return
  if (answerMorePages(exchange)) return
  try {
    await send(response, await answerOf(exchange, router))
  } catch (error) {
    if (response.headersSent) response.destroy()
    else await send(response, refusalOf(error, record.requestId))
  }
}

async function answerOf(exchange: Exchange, router: Router): Promise<RouteAnswer> {
  const { request, address, state, record } = exchange
  const method = record.method as RouteMethod
  const found = router(method, address.pathname)
  if (found === undefined)
    throw new RefusedRequest(404, 'ENDPOINT_NOT_FOUND', `No API found for '${method} ${address.pathname}'`)
  const { route, params } = found
  record.user = route.isOpen ? '' : userOf(request.headers.authorization, state)
  const kind = route.body ?? (NO_BODY.includes(method) ? 'none' : 'json')
  const bytes = kind === 'json' || kind === 'form' ? await readBody(request, LARGEST_JSON, tooLarge) : Buffer.alloc(0)
  const type = request.headers['content-type'] ?? ''
  const text = type.startsWith('multipart/') ? '' : bytes.toString()
  const json = kind === 'json' ? (text === '' ? await fieldsOf(bytes, type) : parsedBody(text)) : {}
  const form = new URLSearchParams(kind === 'form' ? text : '')
  if (kind === 'json') record.json = masked(json)
  if (kind === 'form') record.json = masked(Object.fromEntries(form))
  return handle(route, state, {
    method,
    path: address.pathname,
    params,
    query: address.searchParams,
    headers: request.headers,
    user: record.user,
    json,
    form,
    body: kind === 'raw' ? request : Readable.from([]),
  })
}

async function handle(route: Route, state: WorkspaceState, request: RouteRequest): Promise<RouteAnswer> {
  return route.handle(request, state)
}

async function send(response: ServerResponse, answer: RouteAnswer): Promise<void> {
  const { status = 200, headers = {}, json, body } = answer
  const content = json === undefined ? body : JSON.stringify(json)
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (json !== undefined && !response.hasHeader('content-type')) response.setHeader('content-type', 'application/json')
  response.statusCode = status
  if (content instanceof Readable) await pipeline(content, response)
  else if (response.req.method === 'HEAD' || content === undefined) response.end()
  else {
    response.setHeader('content-length', Buffer.byteLength(content))
    response.end(content)
  }
}

function refusalOf(error: unknown, requestId: string): RouteAnswer {
  const refused =
    error instanceof RefusedRequest ? error : new RefusedRequest(500, 'INTERNAL_ERROR', toError(error).message)
  const details = [{ '@type': 'type.googleapis.com/google.rpc.RequestInfo', request_id: requestId, serving_data: '' }]
  const { status, errorCode, message, json } = refused
  return { status, json: json ?? { error_code: errorCode, message, details } }
}

function userOf(authorization: string | undefined, state: WorkspaceState): string {
  const [, token] = /^Bearer (.+)$/.exec(authorization ?? '') ?? []
  if (token === undefined) {
    const message = 'Credential was not sent or was of an unsupported type for this API.'
    throw new RefusedRequest(401, 'UNAUTHENTICATED', message)
  }
  const holder = state.tokens.get(token)
  if (holder === undefined) throw new RefusedRequest(403, 'PERMISSION_DENIED', 'Invalid access token.')
  if (holder.expires !== undefined && holder.expires <= state.now())
    throw new RefusedRequest(401, 'UNAUTHENTICATED', 'Token is expired.')
  return holder.user
}

function tooLarge(): RefusedRequest {
  return new RefusedRequest(413, 'MAX_REQUEST_SIZE_EXCEEDED', 'The request is too large.')
}

/** The whole body of a request. @throws what `refuse` makes where it has more than `limit` bytes */
export async function readBody(request: IncomingMessage, limit: number, refuse: () => Error): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of request as AsyncIterable<Uint8Array>) {
    pieces.push(piece)
    size += piece.length
    if (size > limit) throw refuse()
  }
  return Buffer.concat(pieces)
}

/** What services that take JSON also take as multipart/form-data: a file stands for its content in base64. */
async function fieldsOf(bytes: Buffer, type: string): Promise<Record<string, unknown>> {
  if (bytes.length === 0) return {}
  const form = await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } }).formData()
  const fields: Record<string, unknown> = {}
  for (const [name, value] of form)
    if (typeof value !== 'string') fields[name] = Buffer.from(await value.arrayBuffer()).toString('base64')
    else fields[name] = value === 'true' || value === 'false' ? value === 'true' : value
  return fields
}

function parsedBody(text: string): Record<string, unknown> {
  if (text.trim() === '') return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {}
  if (!isObject(value)) throw new RefusedRequest(400, 'MALFORMED_REQUEST', 'Could not parse request object.')
  return value
}

function sendFault(response: ServerResponse, fault: Extract<Fault, { readonly status: number }>): void {
  const isText = typeof fault.body === 'string'
  response.writeHead(fault.status, { ...(!isText && { 'content-type': 'application/json' }), ...fault.headers })
  response.end(isText ? fault.body : JSON.stringify(fault.body ?? {}))
}

async function cutRequest(request: IncomingMessage, most: number): Promise<void> {
  let seen = 0
  if (most > 0)
    for await (const piece of request as AsyncIterable<Uint8Array>) {
      seen += piece.length
      if (seen >= most) break
    }
  request.socket.resetAndDestroy()
}

/** Lets nothing of the answer out, and ends the connection where it would be complete. */
function loseAnswer(response: ServerResponse): void {
  const drop = (...given: unknown[]): boolean => {
    const done = given.find((value) => typeof value === 'function') as (() => void) | undefined
    if (done) setImmediate(done)
    return true
  }
  response.write = drop
  response.end = () => {
    response.socket?.resetAndDestroy()
    return response
  }
}

/** Lets the first bytes of the body out, at most all but the last. */
function limitBody(response: ServerResponse, most: number, afterwards: () => void): void {
  const write = response.write.bind(response)
  const end = response.end.bind(response)
  let left = most
  const bytesOf = (piece: unknown): Uint8Array | undefined =>
    typeof piece === 'string' ? Buffer.from(piece) : piece instanceof Uint8Array ? piece : undefined
  const stop = (piece: Uint8Array): void => {
    left = -1
    response.flushHeaders()
    if (piece.length === 0) afterwards()
    else write(piece, afterwards)
  }
  response.write = (piece: unknown, ...rest: unknown[]): boolean => {
    const bytes = bytesOf(piece) ?? new Uint8Array()
    if (left < 0) return true
    if (bytes.length <= left) {
      left -= bytes.length
      return write(bytes, rest.find((value) => typeof value === 'function') as () => void)
    }
    stop(bytes.subarray(0, left))
    return false
  }
  response.end = (piece?: unknown): ServerResponse => {
    const bytes = bytesOf(piece) ?? new Uint8Array()
    if (left < 0) return response
    if (bytes.length === 0) return end()
    stop(bytes.subarray(0, Math.min(left, bytes.length - 1)))
    return response
  }
}

async function untilClosed(response: ServerResponse, milliseconds: number): Promise<void> {
  const closed = new AbortController()
  response.once('close', () => closed.abort())
  await sleep(milliseconds, undefined, { signal: closed.signal }).catch(() => {})
}

const EMPTY_PAGE = /^empty-(\d+)-(.*)$/

function sendEmptyPage(response: ServerResponse, left: number, token: string): void {
  const next = left > 0 ? `empty-${left - 1}-${token}` : token
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ next_page_token: next }))
}

/** Goes on with the empty pages that a fault has begun. @returns whether this request is one of them */
function answerMorePages({ address, response }: Exchange): boolean {
  const [, left, token] = EMPTY_PAGE.exec(address.searchParams.get('page_token') ?? '') ?? []
  if (left === undefined || token === undefined) return false
  if (Number(left) > 0) {
    sendEmptyPage(response, Number(left), token)
    return true
  }
  if (token === '') address.searchParams.delete('page_token')
  else address.searchParams.set('page_token', token)
  return false
}

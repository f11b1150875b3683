/** @file A loopback server of a service that fine-tunes: routes, records, faults, and who may ask. Knows no service. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isObject } from '../../values.js'
import { meetFault, readBody } from '../answer.js'
import { createFaults, type FaultRule } from '../faults.js'
import { closeServer, listen } from '../listen.js'
import { masked, type RecordedRequest, recordOf } from '../record.js'

/** A request as a route of a hosted service sees it. */
export interface HostedCall {
  readonly method: string
  readonly path: string
  readonly groups: readonly string[]
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** The body as JSON; an empty object for others. */
  readonly json: Readonly<Record<string, unknown>>
}

/** What a route answers. */
export interface HostedAnswer {
  readonly status?: number
  readonly json?: unknown
  readonly text?: string
}

export interface HostedRoute {
  readonly method: string
  readonly path: RegExp
  /** Throws a Refusal where the asker is not let in. */
  readonly authorize?: (call: HostedCall) => void
  handle(call: HostedCall): HostedAnswer | Promise<HostedAnswer>
}

/** A request that the service refuses. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.name = 'Refusal'
    this.status = status
    this.code = code
  }
}

/** A loopback service that fine-tunes. */
export interface LoopbackHosted {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Variables of the environment that lead lowrank and the vendors' clients to it. */
  readonly env: Readonly<Record<string, string>>
  readonly requests: readonly RecordedRequest[]
  /** Answers of models that were sent or lost: what would be paid for, by the text of the last message. */
  readonly paid: readonly string[]
  /** Adds a rule. The first rule that matches a request is met. */
  fail(rule: FaultRule): void
  pendingFaults(): readonly FaultRule[]
  /** Takes all rules away. */
  heal(): void
  /** Makes every token that was given out worthless. */
  expireTokens(): void
  /** `stop` is `close`, by the name that services of a pipeline have. */
  stop(): Promise<void>
  close(): Promise<void>
}

const LARGEST = 600 * 2 ** 20

/** Starts a server. @param errorOf The body of a refusal, as the service words it. */
export async function startHosted(
  routesOf: (url: string) => readonly HostedRoute[],
  errorOf: (refusal: Refusal) => unknown,
): Promise<Pick<LoopbackHosted, 'url' | 'requests' | 'fail' | 'pendingFaults' | 'heal' | 'close'>> {
  const requests: RecordedRequest[] = []
  let faults = createFaults()
  let routes: readonly HostedRoute[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const address = new URL(request.url ?? '/', 'http://127.0.0.1')
    const record = recordOf('workspace', request, address, String(requests.length + 1))
    requests.push(record)
    response.setHeader('x-request-id', record.requestId)
    response.on('finish', () => {
      record.status = response.statusCode
    })
    record.fault = faults.take('workspace', record.method, address.pathname + address.search)
    if (await meetFault({ request, response, address, fault: record.fault })) return
    const body = await readBody(request, LARGEST, tooLarge)
    const json = jsonOf(body, request.headers['content-type'])
    record.json = masked(json)
    send(
      response,
      await answerOf(
        routes,
        {
          method: record.method,
          path: address.pathname,
          groups: [],
          query: address.searchParams,
          headers: request.headers,
          body,
          json,
        },
        errorOf,
      ),
    )
  }
  const server = createServer((request, response) => {
    // A client that has gone leaves nobody to answer.
    answer(request, response).catch(() => response.destroy())
  })
  const url = await listen(server)
  routes = routesOf(url)
  return {
    url,
    requests,
    fail: (rule) => faults.add(rule),
    pendingFaults: () => faults.pending(),
    heal: () => {
      faults = createFaults()
    },
    close: () => closeServer(server),
  }
}

async function answerOf(
  routes: readonly HostedRoute[],
  call: HostedCall,
  errorOf: (refusal: Refusal) => unknown,
): Promise<HostedAnswer> {
  try {
    for (const route of routes) {
      const match = route.method === call.method ? route.path.exec(call.path) : null
      if (match === null) continue
      const matched = { ...call, groups: match.slice(1).map((group) => decodeURIComponent(group ?? '')) }
      route.authorize?.(matched)
      return await route.handle(matched)
    }
    throw new Refusal(404, 'not_found', `Unknown request: ${call.method} ${call.path}`)
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(500, 'internal_error', String(error))
    return { status: refusal.status, json: errorOf(refusal) }
  }
}

function send(response: ServerResponse, { status = 200, json, text }: HostedAnswer): void {
  response.statusCode = status
  const content = text ?? (json === undefined ? '' : JSON.stringify(json))
  if (text === undefined && json !== undefined) response.setHeader('content-type', 'application/json')
  response.setHeader('content-length', Buffer.byteLength(content))
  response.end(content)
}

function tooLarge(): Refusal {
  return new Refusal(413, 'too_large', 'The request is too large.')
}

function jsonOf(body: Buffer, type = ''): Record<string, unknown> {
  if (!type.startsWith('application/json') || body.length === 0) return {}
  try {
    const json: unknown = JSON.parse(body.toString())
    return isObject(json) ? json : {}
  } catch {
    return {}
  }
}

/** The fields of a body: unknown ones are refused, so that a misspelled one is seen. @throws Refusal */
export function expectOnly(
  json: Readonly<Record<string, unknown>>,
  where: string,
  needed: readonly string[],
  optional: readonly string[] = [],
): void {
  for (const name of Object.keys(json))
    if (!needed.includes(name) && !optional.includes(name))
      throw new Refusal(400, 'invalid_request_error', `Unrecognized request argument supplied: ${name} in ${where}`)
  for (const name of needed)
    if (json[name] === undefined)
      throw new Refusal(400, 'invalid_request_error', `Missing required parameter: '${name}' in ${where}.`)
}

/** Questions and answers of rows in OpenAI's form, by the last message of the user. */
export function answersOf(text: string): ReadonlyMap<string, string> {
  const answers = new Map<string, string>()
  for (const line of text.replace(/^\ufeff/, '').split('\n')) {
    if (line.trim() === '') continue
    const row = JSON.parse(line) as {
      messages?: { role: string; content?: string }[]
      contents?: { role: string; parts: { text?: string }[] }[]
    }
    const turns =
      row.messages ??
      (row.contents ?? []).map(({ role, parts }) => ({
        role,
        content: parts.map(({ text: part = '' }) => part).join(''),
      }))
    const asked = turns.filter(({ role }) => role === 'user').at(-1)?.content
    const said = turns.at(-1)?.content
    if (asked !== undefined && said !== undefined) answers.set(asked, said)
  }
  return answers
}

/**
 * @file Each request from its first byte to its last: who asks, which route, the answer or the error, the log, and the
 * end of all of them. What routes do is in their own files.
 */

import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { LowrankError } from '../lowrank-error.js'
import type { Resolved } from '../options/table.js'
import { toError } from '../values.js'
import { loadLoraAdapter, unloadLoraAdapter } from './admin.js'
import { collect } from './answer-writer.js'
import { type AnswerEvent, Answers } from './answers.js'
import { ApiError, isEnding, toApiError, tooManyRequests } from './api-error.js'
import { createKeyCheck } from './api-keys.js'
import { askChat } from './chat-completions.js'
import { askCompletion } from './completions.js'
import { corsHeaders, isPreflight, preflightHeaders } from './cors.js'
import { EVENT_STREAM_HEADERS, eventStream, type ServerEvent } from './event-stream.js'
import { METRICS_TYPE, ServerMetrics } from './metrics.js'
import { openApi } from './openapi.js'
import type { SERVE_HANDLER_OPTIONS, ServeHandlerOptions } from './options.js'
import { PAGE, PAGE_HEADERS } from './page.js'
import type { AskedRequest } from './read-asked.js'
import { readJson } from './request-body.js'
import type { OpenLogEntry } from './request-log.js'
import { askResponse } from './responses.js'
import { type FoundRoute, findRoute } from './routes.js'
import type { ServedModel } from './served-model.js'

type Settings = Resolved<ServeHandlerOptions, typeof SERVE_HANDLER_OPTIONS>

/** What is known of a request while it is answered. */
interface OpenRequest {
  readonly began: number
  readonly entry: OpenLogEntry
  readonly cors: Readonly<Record<string, string>>
  /** Ends the work: the client is gone, time is over, or the server ends. */
  readonly stop: AbortController
  answers?: Answers
  isOver: boolean
}

export class ServeRequests {
  readonly #served: ServedModel
  readonly #settings: Settings
  readonly #metrics = new ServerMetrics()
  readonly #checkKey: (headers: Headers) => void
  readonly #open = new Set<OpenRequest>()
  #isClosing = false
  #onIdle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(served: ServedModel, settings: Settings) {
    this.#served = served
    this.#settings = settings
    this.#checkKey = createKeyCheck(settings.apiKeys ?? [])
  }

  async answer(request: Request): Promise<Response> {
    const id = `req_${randomBytes(12).toString('hex')}`
    const cors = corsHeaders(request, this.#settings.allowedOrigins ?? [])
    const { method } = request
    const entry: OpenLogEntry = {
      time: new Date().toISOString(),
      id,
      method: knownMethod(method),
      route: 'unknown',
      status: 500,
      milliseconds: 0,
    }
    const open: OpenRequest = { began: performance.now(), entry, cors, stop: new AbortController(), isOver: false }
    // Each answer of the request listens: many are no leak.
    setMaxListeners(0, open.stop.signal)
    this.#open.add(open)
    this.#metrics.open = this.#open.size
    const leave = (): void => open.stop.abort(new DOMException('the client went away', 'AbortError'))
    if (request.signal.aborted) leave()
    else request.signal.addEventListener('abort', leave, { once: true, signal: open.stop.signal })
    const { answerTimeout } = this.#settings
    const timer = setTimeout(() => open.stop.abort(timeOver(answerTimeout)), 1000 * answerTimeout)
    timer.unref?.()
    open.stop.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    try {
      return await this.#respond(request, open)
    } catch (thrown) {
      return this.#refuse(open, open.stop.signal.aborted ? open.stop.signal.reason : thrown)
    }
  }

  async #respond(request: Request, open: OpenRequest): Promise<Response> {
    if (isPreflight(request)) {
      open.entry.route = 'preflight'
      return this.#finish(open, new Response(null, { status: 204, headers: preflightHeaders(open.cors) }))
    }
    const route = findRoute(request.method, new URL(request.url).pathname)
    open.entry.route = route.path
    if (!route.isOpen) this.#checkKey(request.headers)
    switch (route.path) {
      case '/v1/chat/completions':
        return await this.#answerBy(askChat, request, open)
      case '/v1/completions':
        return await this.#answerBy(askCompletion, request, open)
      case '/v1/responses':
        return await this.#answerBy(askResponse, request, open)
      case '/v1/load_lora_adapter':
        return await this.#administer(loadLoraAdapter, request, open)
      case '/v1/unload_lora_adapter':
        return await this.#administer(unloadLoraAdapter, request, open)
      default: {
        const response = this.#plain(route)
        const body = request.method === 'HEAD' ? null : response.body
        return this.#finish(open, new Response(body, response))
      }
    }
  }

  /** Routes that answer at once. */
  #plain(route: FoundRoute): Response {
    const served = this.#served
    switch (route.path) {
      case '/':
        if (!this.#settings.page) throw noRoute()
        return new Response(PAGE, { headers: PAGE_HEADERS })
      case '/openapi.json': {
        const { admin, page, apiKeys = [] } = this.#settings
        return Response.json(openApi({ admin, page, hasKeys: apiKeys.length > 0, models: served.names }))
      }
      case '/health':
        return Response.json({ status: 'ok' })
      case '/ready':
        if (this.#isClosing) throw isEnding()
        return Response.json({ status: 'ready' })
      case '/metrics':
        return new Response(this.#metrics.text(served.engine.figures()), { headers: { 'content-type': METRICS_TYPE } })
      case '/v1/models':
        return Response.json({ object: 'list', data: served.entries })
      case '/v1/models/{id}':
        return Response.json(served.entryOf(served.find(route.id)))
      default:
        throw noRoute()
    }
  }

  async #answerBy(
    ask: (body: unknown, served: ServedModel, signal: AbortSignal) => Promise<AskedRequest>,
    request: Request,
    open: OpenRequest,
  ): Promise<Response> {
    if (this.#isClosing) throw isEnding()
    if (this.#open.size > this.#settings.maxRequests)
      throw tooManyRequests(`The server answers ${this.#settings.maxRequests} requests already; ask again later.`)
    const { signal } = open.stop
    const body = await readJson(request, this.#settings, signal)
    const { asked, isStream, writer } = await ask(body, this.#served, signal)
    signal.throwIfAborted()
    const { entry } = open
    entry.model = asked.model.id
    entry.stream = isStream
    const answers = new Answers(this.#served, asked, signal)
    open.answers = answers
    if (isStream) return this.#stream(open, this.#events(open, answers, writer))
    const whole = await collect(answers.events(), answers.count)
    return this.#finish(open, Response.json(writer.whole(whole, answers.usage)))
  }

  async #administer(
    change: (body: unknown, served: ServedModel) => Promise<object>,
    request: Request,
    open: OpenRequest,
  ): Promise<Response> {
    if (!this.#settings.admin) {
      const message =
        'This server loads no adapters while it runs; it does where it is started with admin: true (--admin).'
      throw new ApiError(404, 'invalid_request_error', message, { code: 'unknown_url' })
    }
    if (this.#isClosing) throw isEnding()
    const body = await readJson(request, this.#settings, open.stop.signal)
    return this.#finish(open, Response.json(await change(body, this.#served)))
  }

  #stream(open: OpenRequest, events: AsyncGenerator<ServerEvent, void, undefined>): Response {
    const { entry, stop } = open
    entry.status = 200
    const body = eventStream(events, {
      stallTimeout: this.#settings.stallTimeout,
      onEnd: (how) => {
        if (how !== 'read') {
          entry.status = 499
          entry.error ??= how === 'gone' ? 'client_closed_request' : 'client_stalled'
          stop.abort(new DOMException('the reader is gone', 'AbortError'))
        }
        this.#end(open)
      },
    })
    return new Response(body, { headers: this.#headers(open, EVENT_STREAM_HEADERS) })
  }

  async *#events(
    open: OpenRequest,
    answers: Answers,
    writer: AskedRequest['writer'],
  ): AsyncGenerator<ServerEvent, void, undefined> {
    const { entry, stop } = open
    try {
      yield* writer.begin()
      for await (const event of answers.events()) yield* eventsOf(event, writer)
      yield* writer.finish(answers.usage)
    } catch (thrown) {
      const error = toApiError(stop.signal.aborted ? stop.signal.reason : thrown)
      this.#note(entry, error)
      yield* writer.failure(error.body)
    }
  }

  #refuse(open: OpenRequest, thrown: unknown): Response {
    const error = toApiError(thrown)
    this.#note(open.entry, error)
    const headers = { 'content-type': 'application/json', ...error.headers }
    const body = open.entry.method === 'HEAD' ? null : JSON.stringify(error.body)
    // No client hears of 499, and Response takes it.
    return this.#finish(open, new Response(body, { status: error.status, headers }))
  }

  #note(entry: OpenLogEntry, { status, code, type, cause }: ApiError): void {
    entry.status = status
    entry.error = code ?? type
    // What is the request's fault may quote it.
    if (status === 500)
      entry.reason = cause instanceof LowrankError ? `${cause.code}: ${cause.message}` : toError(cause).message
  }

  #headers({ entry, cors }: OpenRequest, more: Readonly<Record<string, string>> = {}): Headers {
    return new Headers({ 'x-request-id': entry.id, 'x-content-type-options': 'nosniff', ...cors, ...more })
  }

  /** A response whose body is there. */
  #finish(open: OpenRequest, response: Response): Response {
    open.entry.status = response.status
    this.#end(open)
    const headers = this.#headers(open, Object.fromEntries(response.headers))
    return new Response(response.body, { status: response.status, headers })
  }

  #end(open: OpenRequest): void {
    if (open.isOver) return
    open.isOver = true
    this.#open.delete(open)
    this.#metrics.open = this.#open.size
    const { entry, answers, began, stop } = open
    // Frees its timer and what listens to it.
    stop.abort()
    answers?.stop()
    const now = performance.now()
    entry.milliseconds = Math.round(now - began)
    if (answers) {
      const { promptTokens, cachedTokens, completionTokens } = answers.usage
      Object.assign(entry, { promptTokens, cachedTokens, completionTokens })
      const { firstTokenAt } = answers
      if (firstTokenAt !== undefined) {
        entry.firstTokenMilliseconds = Math.round(firstTokenAt - began)
        this.#metrics.countAnswer((firstTokenAt - began) / 1000, (now - firstTokenAt) / 1000, completionTokens)
      }
    }
    this.#metrics.count(entry.route, entry.status, (now - began) / 1000)
    try {
      this.#settings.onLog?.({ ...entry })
    } catch (error) {
      // What is wrong with the log is no reason to lose an answer.
      process.emitWarning(`[serve] onLog failed: ${toError(error).message}`)
    }
    if (this.#open.size === 0) this.#onIdle?.()
  }

  async close(signal?: AbortSignal): Promise<void> {
    this.#isClosing = true
    const endAll = (): void => {
      for (const { stop } of this.#open) stop.abort(isEnding())
    }
    if (signal?.aborted) endAll()
    signal?.addEventListener('abort', endAll, { once: true })
    this.#closing ??= this.#untilIdle().then(() => this.#served.engine.close(signal))
    try {
      await this.#closing
    } finally {
      signal?.removeEventListener('abort', endAll)
    }
  }

  async #untilIdle(): Promise<void> {
    if (this.#open.size > 0)
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
  }
}

function noRoute(): ApiError {
  return new ApiError(404, 'invalid_request_error', 'This server does not have this route.', { code: 'unknown_url' })
}

function timeOver(seconds: number): ApiError {
  const message = `The answer took more than ${seconds} seconds, which is the most that this server allows.`
  return new ApiError(504, 'server_error', message, { code: 'answer_timeout' })
}

function eventsOf(event: AnswerEvent, writer: AskedRequest['writer']): readonly ServerEvent[] {
  return 'piece' in event ? writer.piece(event.choice, event.piece) : writer.end(event.choice, event.end)
}

/** A method that is none is not repeated in the log. */
function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].includes(method) ? method : 'other'
}

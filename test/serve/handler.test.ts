/** @file The handler round its routes: keys, paths, bodies, limits, the log, metrics and the end. */

import { describe, expect, it } from 'vitest'
import { createServeHandler } from '../../src/serve/handler.js'
import type { RequestLogEntry } from '../../src/serve/request-log.js'
import { configuredModel, errorOf, eventsOf, serveScripted, tokenizer } from './served.js'

const CHAT = '/v1/chat/completions'
const ASKED = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }] }

/** A promise and what settles it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

describe('createServeHandler', () => {
  it('refuses options that do not exist, and keys that are short', () => {
    const engine = serveScripted('x').engine
    const make = (options: object) => () => createServeHandler(configuredModel(), tokenizer, { engine, ...options })
    expect(make({ apikeys: [] })).toThrow('[serve] unknown option "apikeys"; did you mean "apiKeys"?')
    expect(make({ apiKeys: ['short'] })).toThrow(
      /expected a list of texts of at least 8 characters .* for apiKeys, got a list/,
    )
    expect(make({ engine: {} })).toThrow('[serve] expected an engine of createInferenceEngine() for engine, got {}')
    expect(make({ allowedOrigins: ['example.com'] })).toThrow(
      'expected origins, as https://example.com for allowedOrigins',
    )
  })
})

describe('paths and methods', () => {
  it('answer 404 and 405 in the form of OpenAI', async () => {
    const { get, post } = serveScripted('x')
    expect(await errorOf(await get('/v2'))).toMatchObject({ status: 404, code: 'unknown_url', param: null })
    const embeddings = await errorOf(await post('/v1/embeddings', { input: 'x' }))
    expect([embeddings.status, embeddings.message]).toEqual([404, expect.stringContaining('has no embeddings')])
    const wrong = await get(CHAT)
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await post('/v1/load_lora_adapter', {})).status).toBe(404)
  })

  it('say that the server lives and is ready', async () => {
    const { get, handler } = serveScripted('x')
    expect(await (await get('/health')).json()).toEqual({ status: 'ok' })
    expect(await (await get('/ready')).json()).toEqual({ status: 'ready' })
    await handler.close()
    expect((await get('/health')).status).toBe(200)
    expect((await get('/ready')).status).toBe(503)
  })
})

describe('API keys', () => {
  const KEYS = ['first-secret-key', 'second-secret-key']

  it('open what is not open', async () => {
    const { get, post } = serveScripted('x', { apiKeys: KEYS })
    for (const path of ['/health', '/ready']) expect((await get(path)).status).toBe(200)
    for (const path of ['/v1/models', '/metrics', '/v1/models/tiny']) {
      const refused = await get(path)
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      for (const key of KEYS) expect((await get(path, { authorization: `Bearer ${key}` })).status).toBe(200)
    }
    for (const authorization of [
      'Bearer first-secret-ke',
      'Bearer first-secret-key2',
      'Basic first-secret-key',
      'first-secret-key',
      'Bearer',
    ])
      expect(await errorOf(await post(CHAT, ASKED, { authorization }))).toMatchObject({
        status: 401,
        code: 'invalid_api_key',
      })
  })
})

describe('bodies', () => {
  it.each<[string, string, Record<string, string>, number, string | null]>([
    ['no JSON', '{"a":', {}, 400, 'invalid_json'],
    ['nothing', '', {}, 400, 'invalid_json'],
    ['a list', '[]', {}, 400, null],
    ['deep JSON', `{"model":${'['.repeat(100)}${']'.repeat(100)}}`, {}, 400, 'json_too_deep'],
    ['a form', 'model=tiny', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
    ['plain text, which any page may send', '{}', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['a large one', `{"model":"${'x'.repeat(3000)}"}`, {}, 413, 'request_too_large'],
  ])('are refused: %s', async (_, body, headers, status, code) => {
    const { post } = serveScripted('x', { maxBodyBytes: 2000 })
    expect(await errorOf(await post(CHAT, body, headers))).toMatchObject({
      status,
      code,
      type: 'invalid_request_error',
    })
  })

  it('are refused where they are large and do not say so, and where they are no UTF-8', async () => {
    const { handler } = serveScripted('x', { maxBodyBytes: 2000 })
    const ask = (pieces: Uint8Array[]): Promise<Response> => {
      const body = new ReadableStream({
        pull(controller) {
          const piece = pieces.shift()
          if (piece) controller.enqueue(piece)
          else controller.close()
        },
      })
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' }
      return handler.fetch(new Request(`http://server${CHAT}`, init as RequestInit))
    }
    expect((await ask(Array.from({ length: 9 }, () => new Uint8Array(300).fill(32)))).status).toBe(413)
    expect((await ask([Uint8Array.of(0x22, 0xff, 0x22)])).status).toBe(400)
  })

  it('are refused where they take too long', async () => {
    const { handler } = serveScripted('x', { bodyTimeout: 0.05 })
    const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([123])) })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' }
    const error = await errorOf(await handler.fetch(new Request(`http://server${CHAT}`, init as RequestInit)))
    expect(error).toMatchObject({ status: 408, code: 'request_timeout' })
  })
})

describe('a full server', () => {
  it('says 429 and when to ask again, where the engine or the handler has no place', async () => {
    const { opened, open } = gate()
    const busy = serveScripted('one two', { engine: { most: 1, beforeToken: () => opened } })
    const first = busy.post(CHAT, ASKED)
    await expect.poll(() => busy.engine.requests.length).toBe(1)
    const second = await busy.post(CHAT, ASKED)
    expect([second.status, second.headers.get('retry-after')]).toEqual([429, '1'])
    expect(await errorOf(second)).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
    open()
    expect((await first).status).toBe(200)
    const narrow = serveScripted('one', { maxRequests: 1, engine: { beforeToken: () => opened } })
    const statuses = await Promise.all(
      [narrow.post(CHAT, ASKED), narrow.post(CHAT, ASKED)].map(async (answer) => (await answer).status),
    )
    expect(statuses.sort()).toEqual([200, 429])
  })

  it('submits all answers of a request or none', async () => {
    const { post, engine } = serveScripted('one', { engine: { most: 2 } })
    expect((await post(CHAT, { ...ASKED, n: 3 })).status).toBe(429)
    expect(engine.running.size).toBe(0)
  })
})

describe('a client that goes away', () => {
  it('ends its answer, in the middle of a stream and before a whole one', async () => {
    for (const stream of [true, false]) {
      const { opened } = gate()
      const logged: RequestLogEntry[] = []
      const { handler, engine } = serveScripted('one two three', {
        onLog: (entry) => logged.push(entry),
        engine: { beforeToken: (at) => (at === 0 ? undefined : opened) },
      })
      const controller = new AbortController()
      const init = {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...ASKED, stream }),
      }
      const response = handler.fetch(new Request(`http://server${CHAT}`, { ...init, signal: controller.signal }))
      await expect.poll(() => engine.requests.length).toBe(1)
      if (stream) {
        const reader = ((await response).body as ReadableStream<Uint8Array>).getReader()
        await reader.read()
        await reader.cancel()
      } else controller.abort()
      await expect.poll(() => logged.length).toBe(1)
      expect(logged[0]).toMatchObject({ status: 499, stream, model: 'tiny' })
    }
  })
})

describe('a reader who stops reading', () => {
  it('loses the stream, and its answer ends', async () => {
    const logged: RequestLogEntry[] = []
    const { post, engine } = serveScripted('one two three four five', {
      stallTimeout: 0.05,
      onLog: (entry) => logged.push(entry),
    })
    const response = await post(CHAT, { ...ASKED, stream: true })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await expect.poll(() => logged.length).toBe(1)
    expect(logged[0]).toMatchObject({ status: 499, error: 'client_stalled' })
    await expect(reader.read()).rejects.toThrow('took nothing for too long')
    await expect.poll(() => engine.running.size).toBe(0)
  })
})

describe('an answer that takes too long', () => {
  it('ends with an error, whole and in pieces', async () => {
    const { opened } = gate()
    const { post } = serveScripted('one two', {
      answerTimeout: 0.05,
      engine: { beforeToken: (at) => (at === 0 ? undefined : opened) },
    })
    expect(await errorOf(await post(CHAT, ASKED))).toMatchObject({ status: 504, code: 'answer_timeout' })
    const events = await eventsOf(await post(CHAT, { ...ASKED, stream: true }))
    expect(events.at(-1)).toMatchObject({ error: { code: 'answer_timeout' } })
  })
})

describe('an engine that fails', () => {
  it('is told in the log, and to the client without what it said', async () => {
    const logged: RequestLogEntry[] = []
    const { post } = serveScripted('one two', {
      onLog: (entry) => logged.push(entry),
      engine: {
        beforeToken: (at) => {
          if (at === 1) throw new Error('/secret/path is broken')
        },
      },
    })
    const error = await errorOf(await post(CHAT, ASKED))
    expect(error).toMatchObject({ status: 500, type: 'server_error' })
    expect(error.message).not.toContain('secret')
    const events = await eventsOf(await post(CHAT, { ...ASKED, stream: true }))
    expect(events.at(-1)).toMatchObject({ error: { type: 'server_error' } })
    expect(events).not.toContain('[DONE]')
    expect(logged.map(({ status, reason }) => [status, reason])).toEqual([
      [500, '/secret/path is broken'],
      [500, '/secret/path is broken'],
    ])
  })
})

describe('the log', () => {
  it('has figures, and nothing that a prompt, an answer, a key or a path says', async () => {
    const logged: RequestLogEntry[] = []
    const { post, get } = serveScripted('planted-answer', {
      apiKeys: ['planted-key-1'],
      onLog: (entry) => logged.push(entry),
    })
    const authorization = 'Bearer planted-key-1'
    const messages = [{ role: 'user', content: 'planted-prompt' }]
    await (await post(CHAT, { model: 'tiny', messages, user: 'planted-user', stream: true }, { authorization })).text()
    await post(CHAT, { model: 'planted-model', messages }, { authorization })
    await post(CHAT, { model: 'tiny', messages, stop: ['planted-stop', 5] }, { authorization })
    await post('/planted-path?key=planted-query', {}, { authorization: 'Bearer planted-wrong' })
    await get('/v1/models/planted-name', { authorization: 'Bearer planted-wrong' })
    await post(CHAT, '{"planted-json', { authorization })
    expect(JSON.stringify(logged)).not.toContain('planted')
    expect(logged[0]).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      id: expect.stringMatching(/^req_[0-9a-f]{24}$/),
      method: 'POST',
      route: CHAT,
      status: 200,
      milliseconds: expect.any(Number),
      model: 'tiny',
      stream: true,
      promptTokens: expect.any(Number),
      cachedTokens: 0,
      completionTokens: expect.any(Number),
      firstTokenMilliseconds: expect.any(Number),
    })
    expect(logged.map(({ status, route, error }) => [status, route, error])).toEqual([
      [200, CHAT, undefined],
      [404, CHAT, 'model_not_found'],
      [400, CHAT, 'invalid_value'],
      [404, 'unknown', 'unknown_url'],
      [401, '/v1/models/{id}', 'invalid_api_key'],
      [400, CHAT, 'invalid_json'],
    ])
  })
})

describe('metrics', () => {
  it('count requests and tokens in the format of Prometheus', async () => {
    const { post, get } = serveScripted('one two three')
    await post(CHAT, ASKED)
    await post(CHAT, { ...ASKED, n: 0 })
    const response = await get('/metrics')
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await response.text()
    expect(text).toContain('lowrank_requests_total{route="/v1/chat/completions",status="200"} 1\n')
    expect(text).toContain('lowrank_requests_total{route="/v1/chat/completions",status="400"} 1\n')
    expect(text).toMatch(/^lowrank_first_token_seconds_count 1$/m)
    expect(text).toMatch(/^lowrank_generated_tokens_total [1-9]/m)
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(/^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{[^}]+\})? [-\d.e+]+)$/)
  })
})

describe('pages of other sites', () => {
  it('are let in where their origin is allowed, and nowhere else', async () => {
    const { handler, get } = serveScripted('x', { allowedOrigins: ['https://good.example'] })
    const preflight = (origin: string): Promise<Response> =>
      handler.fetch(
        new Request(`http://server${CHAT}`, {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-method': 'POST' },
        }),
      )
    const good = await preflight('https://good.example')
    expect([good.status, good.headers.get('access-control-allow-origin')]).toEqual([204, 'https://good.example'])
    const bad = await preflight('https://bad.example')
    expect([bad.status, bad.headers.get('access-control-allow-origin')]).toEqual([204, null])
    const answer = await get('/v1/models', { origin: 'https://good.example' })
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://good.example')
    const none = await serveScripted('x').get('/v1/models', { origin: 'https://good.example' })
    expect(none.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('the end of a handler', () => {
  it('waits for the answers there are, refuses new ones, and closes the engine', async () => {
    const { opened, open } = gate()
    const { post, handler, engine } = serveScripted('one two', { engine: { beforeToken: () => opened } })
    const answer = post(CHAT, ASKED)
    await expect.poll(() => engine.requests.length).toBe(1)
    const closing = handler.close()
    const late = await post(CHAT, ASKED)
    expect([late.status, late.headers.get('connection')]).toEqual([503, 'close'])
    expect(engine.closed).toBe(false)
    open()
    expect((await answer).status).toBe(200)
    await closing
    expect(engine.closed).toBe(true)
  })

  it('ends the answers at once by its signal', async () => {
    const { post, handler, engine } = serveScripted('one two', {
      engine: { beforeToken: (at) => (at === 0 ? undefined : gate().opened) },
    })
    const endless = post(CHAT, ASKED)
    await expect.poll(() => engine.requests.length).toBe(1)
    await handler.close(AbortSignal.abort())
    expect((await endless).status).toBe(503)
  })
})

/** @file The client of endpoints with OpenAI's interface, against a scripted one. */

import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Clock } from '../../src/http/retry.js'
import { Allowance } from '../../src/openai/allowance.js'
import { EndpointError } from '../../src/openai/endpoint-error.js'
import { ENDPOINT_OPTIONS, type EndpointOptions } from '../../src/openai/endpoint-options.js'
import { type ChatRequest, OpenAIClient } from '../../src/openai/openai-client.js'
import { readOptions } from '../../src/options/table.js'
import { type ChatServer, startChatServer } from '../support/chat-server.js'

const KEY = 'key-4f1c8a2b9d7e'
const REQUEST: ChatRequest = { model: 'm', messages: [{ role: 'user', content: 'Hello' }], maxTokens: 50 }

let server: ChatServer
beforeEach(async () => {
  vi.stubEnv('OPENAI_API_KEY', '')
  vi.stubEnv('OPENAI_BASE_URL', '')
  server = await startChatServer(() => ({ content: 'Hi' }))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
})

/** Time that passes only by waiting. */
function fakeClock(): Clock & { readonly pauses: number[] } {
  let now = 1000
  const pauses: number[] = []
  return {
    pauses,
    now: () => now,
    pause: async (milliseconds, signal) => {
      pauses.push(milliseconds)
      now += milliseconds
      await new Promise((resolve) => setImmediate(resolve))
      signal?.throwIfAborted()
    },
  }
}

const NOTHING = { promptTokens: 0, completionTokens: 0 }

const limitsOf = (options: EndpointOptions) => readOptions('endpoint', options, ENDPOINT_OPTIONS)

const client = (options: EndpointOptions = {}, clock: Clock = fakeClock(), before = NOTHING): OpenAIClient =>
  new OpenAIClient(limitsOf({ baseUrl: server.baseUrl, ...options }), before, clock)

async function failureOf(work: Promise<unknown>): Promise<EndpointError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(EndpointError)
  return error as EndpointError
}

describe('a chat completion', () => {
  it('a request sends model, messages and limits, and gives content, reasoning and tokens', async () => {
    server.answer = () => ({
      content: [
        { type: 'text', text: 'Hi ' },
        { type: 'text', text: 'you' },
      ],
      message: { reasoning_content: 'hm' },
    })
    const asked = { ...REQUEST, temperature: 0.5, seed: 7, extraBody: { reasoning_effort: 'low' } }
    const reply = await client({ apiKey: KEY }).chat(asked)
    expect(reply).toEqual({
      model: 'm',
      content: 'Hi you',
      reasoning: 'hm',
      refusal: undefined,
      finishReason: 'stop',
      tokens: { promptTokens: 100, completionTokens: 20 },
    })
    const [{ path, headers, body } = {}] = server.requests
    expect(path).toBe('/v1/chat/completions')
    expect(headers?.authorization).toBe(`Bearer ${KEY}`)
    expect(body).toEqual({
      model: 'm',
      messages: [{ role: 'user', content: 'Hello' }],
      max_tokens: 50,
      temperature: 0.5,
      seed: 7,
      reasoning_effort: 'low',
    })
  })

  it('the client takes address and key from the environment where options do not say them', async () => {
    vi.stubEnv('OPENAI_BASE_URL', `${server.baseUrl}/`)
    vi.stubEnv('OPENAI_API_KEY', ` ${KEY}\n`)
    await new OpenAIClient(limitsOf({})).chat(REQUEST)
    expect(server.requests[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${KEY}` },
    })
  })

  it('the client asks for JSON less strictly, and names the limit otherwise, where the endpoint takes it only so', async () => {
    server.answer = ({ body }) => {
      const { type } = body.response_format ?? {}
      if (type !== undefined && type !== 'json_object')
        return { status: 400, body: { error: { message: `response_format ${type} is not supported` } } }
      if (body.temperature !== undefined)
        return { status: 400, body: { error: { message: "'temperature' must be 1" } } }
      if (body.max_tokens !== undefined)
        return { status: 400, body: { error: { message: "use 'max_completion_tokens' in place of 'max_tokens'" } } }
      return { content: '{}' }
    }
    const asking = client()
    const schema = { name: 'answer', schema: { type: 'object' } }
    await asking.chat({ ...REQUEST, schema, temperature: 0 })
    await asking.chat({ ...REQUEST, schema, temperature: 0 })
    expect(
      server.requests.map(({ body }) => [
        body.response_format?.type,
        body.max_tokens,
        body.max_completion_tokens,
        body.temperature,
      ]),
    ).toEqual([
      ['json_schema', 50, undefined, 0],
      ['json_object', 50, undefined, 0],
      ['json_object', 50, undefined, undefined],
      ['json_object', undefined, 50, undefined],
      ['json_object', undefined, 50, undefined],
    ])
  })
})

describe('an endpoint that fails', () => {
  it.each([408, 409, 429, 500, 502, 503, 529])('an endpoint is asked again after HTTP %d', async (status) => {
    server.answer = ({ number }) => (number < 2 ? { status } : { content: 'Hi' })
    const clock = fakeClock()
    const asking = client({}, clock)
    expect((await asking.chat(REQUEST)).content).toBe('Hi')
    expect(asking.usage).toEqual({
      requests: 3,
      retries: 2,
      promptTokens: 100,
      completionTokens: 20,
      estimated: 0,
      cost: 0,
    })
    // Half of the wait is drawn, so that those who failed together do not come back together.
    const [first = 0, second = 0] = clock.pauses
    expect(first).toBeGreaterThanOrEqual(250)
    expect(first).toBeLessThanOrEqual(500)
    expect(second).toBeGreaterThanOrEqual(500)
    expect(second).toBeLessThanOrEqual(1000)
  })

  it.each([
    [400, { error: { message: 'no such field' } }, '"no such field"; correct what it says'],
    [401, { error: 'who are you' }, '"who are you"; set OPENAI_API_KEY to a key of this endpoint'],
    [
      404,
      { detail: 'no model m' },
      '"no model m"; check the address, which mostly ends in /v1, and the name of the model',
    ],
    [422, 'plain words', '"plain words"; correct what it says'],
    [429, { error: { message: 'pay', code: 'insufficient_quota' } }, '"pay"; the account has no money left for this'],
    [302, '', '; it answers elsewhere: give the address that it names ("http://x.invalid/v1")'],
  ])('an endpoint is not asked again after HTTP %d', async (status, body, said) => {
    server.answer = () => ({ status, body, headers: { location: 'http://x.invalid/v1' } })
    const { message, failure, code, status: seen } = await failureOf(client().chat(REQUEST))
    expect(message).toBe(
      `[endpoint] expected a reply from ${server.baseUrl}, got HTTP ${status}${body === '' ? '' : ', '}${said}`,
    )
    expect({ failure, code, seen }).toEqual({ failure: 'status', code: 'ENDPOINT', seen: status })
    expect(server.requests).toHaveLength(1)
  })

  it('an endpoint is asked again so many times, and then what it said last is the error', async () => {
    server.answer = () => ({ status: 503, body: 'busy' })
    const { message } = await failureOf(client({ maxRetries: 2 }).chat(REQUEST))
    expect(message).toContain('got HTTP 503, "busy"; try again later')
    expect(server.requests).toHaveLength(3)
  })

  it.each([
    ['retry-after', '7', 7000],
    ['retry-after-ms', '1234', 1234],
  ])('an endpoint is given the time that it asks for by %s', async (header, value, wait) => {
    server.answer = ({ number }) => (number < 1 ? { status: 429, headers: { [header]: value } } : { content: 'Hi' })
    const clock = fakeClock()
    await client({}, clock).chat(REQUEST)
    expect(clock.pauses[0]).toBe(wait)
  })

  it('an endpoint is not waited for when it asks for more than ten minutes', async () => {
    server.answer = () => ({ status: 429, headers: { 'retry-after': '601' } })
    const clock = fakeClock()
    expect((await failureOf(client({}, clock).chat(REQUEST))).status).toBe(429)
    expect(clock.pauses).toEqual([])
  })

  it('one that never answers is a failure after the timeout', async () => {
    server.answer = () => 'never'
    const asking = client({ timeout: 0.05, maxRetries: 1 })
    const { message, failure } = await failureOf(asking.chat(REQUEST))
    expect(message).toBe(
      `[endpoint] expected a reply from ${server.baseUrl} within 0.05 s, got none; raise timeout, or lower concurrency`,
    )
    expect(failure).toBe('connection')
    // Nobody knows whether they were served: the most that they can have taken counts.
    expect(asking.usage).toMatchObject({ requests: 2, retries: 1, estimated: 2, completionTokens: 100 })
  })

  it('one that cuts the connection, or is not there, is a failure of the connection', async () => {
    server.answer = () => 'cut'
    expect((await failureOf(client({ maxRetries: 0 }).chat(REQUEST))).message).toContain(
      `cannot reach ${server.baseUrl}: `,
    )
    await server.close()
    const asking = client({ maxRetries: 1 })
    const { message, failure } = await failureOf(asking.chat(REQUEST))
    expect(message).toContain(`[endpoint] cannot reach ${server.baseUrl}: connect ECONNREFUSED`)
    expect(failure).toBe('connection')
    expect(asking.usage).toMatchObject({ requests: 2, estimated: 0, promptTokens: 0 })
  })

  it.each([
    ['<html>', 'expected JSON as reply, got "<html>"'],
    [{ choices: [] }, 'expected choices with a message as reply, got {choices}'],
    [[1], 'expected choices with a message as reply, got [1]'],
    [{ choices: [{ text: 'old' }] }, 'expected choices with a message as reply'],
  ])('one with the reply %j is asked again, and then the error says what it is', async (body, expected) => {
    server.answer = () => ({ status: 200, body })
    const { message, failure } = await failureOf(client({ maxRetries: 1 }).chat(REQUEST))
    expect(message).toContain(expected)
    expect(failure).toBe('reply')
    expect(server.requests).toHaveLength(2)
  })

  it('no error shows the key, even where the endpoint sends it back', async () => {
    for (const answer of [
      { status: 401, body: { error: { message: `bad key ${KEY}` } } },
      { status: 200, body: `not JSON: ${KEY}` },
      { status: 400, body: `${encodeURIComponent(KEY)} is wrong` },
    ]) {
      server.answer = () => answer
      const error = await failureOf(client({ apiKey: KEY, maxRetries: 0 }).chat(REQUEST))
      expect(inspect(error, { depth: 9 })).not.toContain(KEY)
      expect(error.message).toContain('***')
    }
  })

  it.each([
    `Incorrect API key provided: ${KEY.slice(0, 8)}*****${KEY.slice(-4)}.`,
    `Incorrect API key provided: ${KEY.slice(0, 3)}...${KEY.slice(-2)}.`,
    `Incorrect API key provided: ${KEY.slice(0, 5)}\u2026${KEY.slice(-3)}.`,
    `Incorrect API key provided: it begins with ${KEY.slice(0, 10)}`,
    `Incorrect API key provided: it ends in "${KEY.slice(-4)}"`,
  ])('no error shows what is left of a key that is masked: %s', async (message) => {
    server.answer = () => ({ status: 401, body: { error: { message } } })
    const error = await failureOf(client({ apiKey: KEY, maxRetries: 0 }).chat(REQUEST))
    expect(error.message).toMatch(/"Incorrect API key provided:( it (begins with|ends in \\"))? ?\*\*\*(\.|\\"|)"/)
  })

  it('a request ends at once by a signal, with its reason', async () => {
    const controller = new AbortController()
    server.answer = () => {
      controller.abort(new RangeError('enough'))
      return 'never'
    }
    await expect(client().chat(REQUEST, controller.signal)).rejects.toThrow(new RangeError('enough'))
  })
})

describe('limits', () => {
  it('the client never has more requests open than concurrency says, and goes on as they end', async () => {
    const waiting: (() => void)[] = []
    server.answer = () => new Promise((resolve) => waiting.push(() => resolve({ content: 'Hi' })))
    const asking = client({ concurrency: 3 })
    const all = Array.from({ length: 8 }, () => asking.chat(REQUEST))
    for (let done = 0; done < 8; done++) {
      await vi.waitFor(() => expect(waiting.length).toBeGreaterThan(0))
      waiting.shift()?.()
      await Promise.race(all)
    }
    await Promise.all(all)
    expect(server.mostOpen).toBe(3)
    expect(server.requests).toHaveLength(8)
  })

  it('the client sends no more requests, and no more tokens, than a minute may have', async () => {
    const clock = fakeClock()
    const limits = limitsOf({ requestsPerMinute: 3, concurrency: 100 })
    const sentAt = async (allowance: Allowance, likely: number, count: number): Promise<number[]> => {
      const times: number[] = []
      for (let i = 0; i < count; i++) {
        const permit = await allowance.admit({ promptTokens: 10, completionTokens: 10 }, likely, false, undefined)
        times.push(clock.now() - 1000)
        permit.settle({ promptTokens: likely, completionTokens: 0 })
      }
      return times
    }
    expect(await sentAt(new Allowance(limits, NOTHING, clock), 5, 8)).toEqual([
      0, 0, 0, 60_000, 60_000, 60_000, 120_000, 120_000,
    ])
    const start = clock.now() - 1000
    const byTokens = new Allowance(limitsOf({ tokensPerMinute: 100 }), NOTHING, clock)
    const times = (await sentAt(byTokens, 40, 5)).map((time) => time - start)
    expect(times).toEqual([0, 0, 60_000, 60_000, 120_000])
    // One that is larger than the limit goes alone.
    expect((await sentAt(byTokens, 500, 1))[0]).toBe(start + 180_000)
  })

  it('all requests wait when one is told to', async () => {
    const clock = fakeClock()
    const allowance = new Allowance(limitsOf({}), NOTHING, clock)
    allowance.holdBack(5000)
    await allowance.admit({ promptTokens: 1, completionTokens: 1 }, 1, false, undefined)
    expect(clock.pauses).toEqual([5000])
  })
})

describe('cost', () => {
  const PRICES = { inputPrice: 10, outputPrice: 100 }
  /** What a reply of the server costs: 100 tokens there, 20 back. */
  const COST = (100 * 10 + 20 * 100) / 1e6

  it('cost is counted from the tokens that replies say', async () => {
    const asking = client(PRICES)
    for (let i = 0; i < 3; i++) await asking.chat(REQUEST)
    expect(asking.usage.cost).toBeCloseTo(3 * COST, 12)
  })

  it('cost counts the most that a reply can have taken where it does not say its tokens', async () => {
    server.answer = () => ({ content: 'Hi', usage: null })
    const asking = client(PRICES)
    await asking.chat(REQUEST)
    const { estimated, promptTokens, completionTokens } = asking.usage
    expect({ estimated, completionTokens }).toEqual({ estimated: 1, completionTokens: 50 })
    expect(promptTokens).toBeGreaterThan(256)
  })

  it.each([1, 5])(
    'never passes its cap with %d open requests, and no request is sent that might',
    async (concurrency) => {
      const asking = client({ ...PRICES, concurrency, maxCost: 10 * COST })
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => asking.chat(REQUEST)))
      const refused = outcomes.filter(({ status }) => status === 'rejected')
      expect(asking.usage.cost).toBeLessThanOrEqual(10 * COST)
      expect(server.requests).toHaveLength(20 - refused.length)
      // The last ones are left since each reserves the most that it can cost, which is more than it does.
      expect(server.requests.length).toBeGreaterThanOrEqual(6)
      const [{ reason } = { reason: undefined }] = refused as PromiseRejectedResult[]
      expect((reason as EndpointError).failure).toBe('cost')
      expect((reason as EndpointError).message).toMatch(
        /^\[endpoint\] expected the next request within maxCost \(0\.03\), but 0\.0\d+ is spent and it may cost 0\.0\d+; it was not sent: raise maxCost$/,
      )
    },
  )

  it('cost counts what earlier runs spent, and requests that nobody answered', async () => {
    expect(
      (
        await failureOf(
          client({ ...PRICES, maxCost: 0.03 }, fakeClock(), { promptTokens: 2500, completionTokens: 0 }).chat(REQUEST),
        )
      ).failure,
    ).toBe('cost')
    expect(server.requests).toHaveLength(0)
    server.answer = () => 'cut'
    const asking = client({ ...PRICES, maxCost: 0.02, maxRetries: 100 })
    expect((await failureOf(asking.chat(REQUEST))).failure).toBe('cost')
    expect(server.requests.length).toBe(2)
    expect(asking.usage.cost).toBeLessThanOrEqual(0.02)
  })
})

describe('options of an endpoint', () => {
  it.each([
    ['http://me:secret@x/v1', 'expected an address without name and password for baseUrl'],
    ['ftp://x/v1', 'expected an http or https address without ? and # for baseUrl, got "ftp://x/v1"'],
    ['http://x/v1?key=1', 'expected an http or https address without ? and #'],
  ])('an address such as %s is refused', (baseUrl, expected) => {
    expect(() => client({ baseUrl })).toThrow(expected)
  })

  it('a key that cannot be sent is refused and not shown', () => {
    expect(() => client({ apiKey: 'two words\u00e9' })).toThrow(
      '[endpoint] expected a key for apiKey, got text that cannot be sent as one; correct it',
    )
  })
})

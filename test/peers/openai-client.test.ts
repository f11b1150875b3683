/**
 * @file The official client of OpenAI asks our server: chat, streams, tools, JSON schemas, log probabilities, responses
 * and errors, on the real engine with a small random model.
 */

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import { createServeHandler } from '../../src/serve/handler.js'
import { type RunningServer, serve } from '../../src/serve/node-server.js'
import { HERMES_TOKENIZER } from '../serve/hermes.js'
import { tinyModel } from '../support/tiny-model.js'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes.txt, got nothing',
  )
}

const KEY = 'a-key-of-the-test'
const messages = [{ role: 'user', content: 'hello' }]
const SCHEMA = {
  type: 'object',
  properties: { city: { enum: ['Paris', 'Rome'] }, warm: { type: 'boolean' } },
  required: ['city', 'warm'],
  additionalProperties: false,
}
const SAID = {
  type: 'object',
  properties: { said: { enum: [1, 2, 3] } },
  required: ['said'],
  additionalProperties: false,
}
const WEATHER = { type: 'function', function: { name: 'weather', parameters: SCHEMA, strict: true } }

/** What is used of the client; its types are those of its package, which only some machines have. */
interface Client {
  // biome-ignore lint/suspicious/noExplicitAny: see above
  [part: string]: any
}

describe.skipIf(runtimes === undefined)("OpenAI's client", () => {
  let server: RunningServer
  let client: Client
  let other: Client
  let model: Awaited<ReturnType<typeof tinyModel>>

  beforeAll(async () => {
    model = await tinyModel()
    const engine = await createInferenceEngine(model, { maxSequences: 4 })
    const handler = createServeHandler(model, HERMES_TOKENIZER, { engine, modelName: 'tiny', apiKeys: [KEY] })
    server = await serve(handler, { port: 0 })
    const { OpenAI } = createRequire(join(runtimes as string, 'x.js'))('openai') as {
      OpenAI: new (options: object) => Client
    }
    const baseURL = `${server.url}/v1`
    client = new OpenAI({ baseURL, apiKey: KEY, maxRetries: 0 })
    other = new OpenAI({ baseURL, apiKey: 'another-key', maxRetries: 0 })
  })

  afterAll(async () => {
    await server.close()
    model.dispose()
  })

  it('lists models, and is refused with another key', async () => {
    const ids: string[] = []
    for await (const { id } of client.models.list()) ids.push(id)
    expect(ids).toEqual(['tiny'])
    await expect(other.models.list()).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' })
    await expect(client.models.retrieve('other')).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
  })

  it('gets the same answer whole and in pieces, with its usage', async () => {
    const asked = { model: 'tiny', messages, temperature: 1, seed: 3, max_tokens: 12 }
    const whole = await client.chat.completions.create(asked)
    expect(whole.choices[0].message.content.length).toBeGreaterThan(0)
    const stream = await client.chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let usage: unknown
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    expect(text).toBe(whole.choices[0].message.content)
    expect(usage).toMatchObject({ completion_tokens: whole.usage.completion_tokens })
    const collected = await client.chat.completions.stream(asked).finalChatCompletion()
    expect(collected.choices[0].message.content).toBe(text)
  })

  it('gets log probabilities that are some of a distribution', async () => {
    const asked = { model: 'tiny', messages, temperature: 0, max_tokens: 5, logprobs: true, top_logprobs: 3 }
    const { choices } = await client.chat.completions.create(asked)
    const { content } = choices[0].logprobs
    expect(content.length).toBeGreaterThan(0)
    // The text of tokens that are parts of characters comes with the bytes, as in a stream.
    const bytes = Buffer.from(content.flatMap((entry: { bytes: number[] }) => entry.bytes))
    expect(bytes.toString()).toBe(choices[0].message.content)
    const streamed = []
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []))
    expect(streamed).toEqual(content)
    for (const { logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(3)
      expect(top[0].logprob).toBe(logprob)
      const share = top.reduce((sum: number, entry: { logprob: number }) => sum + Math.exp(entry.logprob), 0)
      expect(share).toBeLessThanOrEqual(1 + 1e-6)
    }
  })

  it('gets JSON that meets a schema, and calls with arguments that do', async () => {
    const format = { type: 'json_schema', json_schema: { name: 'weather', schema: SCHEMA, strict: true } }
    for (const seed of [1, 2, 3]) {
      const asked = { model: 'tiny', messages, temperature: 1, seed, max_tokens: 100 }
      const answer = await client.chat.completions.create({ ...asked, response_format: format })
      const parsed = JSON.parse(answer.choices[0].message.content)
      expect(['Paris', 'Rome']).toContain(parsed.city)
      expect(typeof parsed.warm).toBe('boolean')
      const called = await client.chat.completions
        .stream({ ...asked, tools: [WEATHER], tool_choice: 'required', parallel_tool_calls: false })
        .finalChatCompletion()
      expect(called.choices[0].finish_reason).toBe('tool_calls')
      const [call] = called.choices[0].message.tool_calls
      expect(call.function.name).toBe('weather')
      expect(['Paris', 'Rome']).toContain(JSON.parse(call.function.arguments).city)
    }
  })

  it('gets either a call or JSON where a request has tools and a schema', async () => {
    const format = { type: 'json_schema', json_schema: { name: 'said', schema: SAID, strict: true } }
    const seen = { calls: 0, answers: 0 }
    for (let seed = 0; seed < 12; seed++) {
      const asked = { model: 'tiny', messages, temperature: 1, seed, max_tokens: 120, parallel_tool_calls: false }
      const answer = await client.chat.completions
        .stream({ ...asked, tools: [WEATHER], response_format: format })
        .finalChatCompletion()
      const [{ message, finish_reason: reason }] = answer.choices
      if (reason === 'tool_calls') {
        expect(message.content).toBeNull()
        expect(['Paris', 'Rome']).toContain(JSON.parse(message.tool_calls[0].function.arguments).city)
        seen.calls++
      } else {
        expect(message.tool_calls ?? []).toEqual([])
        expect([1, 2, 3]).toContain(JSON.parse(message.content).said)
        seen.answers++
      }
    }
    expect(seen.calls).toBeGreaterThan(0)
    expect(seen.answers).toBeGreaterThan(0)
  })

  it('gets other tokens with penalties and biases', async () => {
    const asked = { model: 'tiny', messages, temperature: 0, max_tokens: 6, logprobs: true }
    const textOf = async (more: object): Promise<string[]> => {
      const { choices } = await client.chat.completions.create({ ...asked, ...more })
      return choices[0].logprobs.content.map(({ token }: { token: string }) => token)
    }
    const repeated = await textOf({ frequency_penalty: -2, presence_penalty: -2 })
    expect(new Set(repeated).size).toBe(1)
    expect(await textOf({ logit_bias: { 64: 100 } })).toEqual(Array(6).fill(HERMES_TOKENIZER.decode([64])))
    const varied = await textOf({ frequency_penalty: 2, presence_penalty: 2 })
    expect(new Set(varied).size).toBe(6)
  })

  it('gets responses and their events', async () => {
    const asked = { model: 'tiny', input: 'hello', temperature: 1, max_output_tokens: 9 }
    const whole = await client.responses.create(asked)
    expect(whole.output_text).toBe(whole.output[0].content[0].text)
    const stream = client.responses.stream(asked)
    let text = ''
    stream.on('response.output_text.delta', ({ delta }: { delta: string }) => {
      text += delta
    })
    const last = await stream.finalResponse()
    expect(last.output_text).toBe(text)
  })

  it('gets completions, and errors by the names of fields', async () => {
    const { choices } = await client.completions.create({ model: 'tiny', prompt: ['one', 'two'], max_tokens: 3 })
    expect(choices.map(({ index }: { index: number }) => index)).toEqual([0, 1])
    const wrong = { model: 'tiny', prompt: 'one', best_of: 2 }
    await expect(client.completions.create(wrong)).rejects.toMatchObject({ status: 400, param: 'best_of' })
    await expect(client.embeddings.create({ model: 'tiny', input: 'x' })).rejects.toMatchObject({ status: 404 })
  })
})

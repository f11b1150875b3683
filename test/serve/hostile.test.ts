/**
 * @file Many clients of a real engine on the model that the package ships, of which every second one means harm: each
 * attack gets its error, and every honest request the answer that it gets alone. Thousands of requests leave no memory
 * behind.
 */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { createInferenceEngine } from '../../src/inference/create-engine.js'
import type { InferenceEngine } from '../../src/inference/inference-request.js'
import { createServeHandler } from '../../src/serve/handler.js'
import { type RunningServer, serve } from '../../src/serve/node-server.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { cases, isLong } from '../support/long.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const CHAT = '/v1/chat/completions'
const HEAD = `host: localhost\r\ncontent-type: application/json\r\n`
const MESSAGES = [{ role: 'user', content: 'What is the capital of France?' }]
const ASKED = { model: 'mine', messages: MESSAGES, max_tokens: 9 }

/** What honest clients ask; the answers are the same each time. */
const HONEST: readonly (readonly [string, object])[] = [
  [CHAT, { ...ASKED, temperature: 0 }],
  [CHAT, { ...ASKED, temperature: 1, seed: 4, logprobs: true, top_logprobs: 2 }],
  [CHAT, { ...ASKED, stream: true, seed: 5, frequency_penalty: 1 }],
  [CHAT, { ...ASKED, seed: 6, response_format: { type: 'json_object' } }],
  ['/v1/completions', { model: 'mine', prompt: ['Once', 'One day'], max_tokens: 7, seed: 7, logit_bias: { 300: 4 } }],
  ['/v1/responses', { model: 'mine', input: 'Hello', max_output_tokens: 5, temperature: 0 }],
]

let model: CausalLM
let engine: InferenceEngine
let server: RunningServer
let alone: readonly string[]

beforeAll(async () => {
  model = await loadModel(MODEL)
  engine = await createInferenceEngine(model, { maxSequences: 8, maxWaiting: 2000, kvCacheMemory: 40 * 2 ** 20 })
  const handler = createServeHandler(model, await loadTokenizer(MODEL), {
    ...{ engine, modelName: 'mine', bodyTimeout: 600, maxRequests: 2000, maxBodyBytes: 3_000_000 },
  })
  server = await serve(handler, { port: 0, headersTimeout: 600, maxConnections: 2000 })
  const answers: string[] = []
  for (const [path, body] of HONEST) answers.push(await told(path, body))
  alone = answers
}, 60_000)
afterAll(async () => {
  await server.close(AbortSignal.abort())
  model.dispose()
})

function post(path: string, body: object | string): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return fetch(server.url + path, { method: 'POST', headers, body: text })
}

/** An answer without what is new each time. */
async function told(path: string, body: object): Promise<string> {
  const response = await post(path, body)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`[test] expected an answer, got ${response.status}: ${text}`)
  return text.replace(/"(?:id|item_id)":"[^"]*"|"(?:created|created_at|completed_at|cached_tokens)":\d+/g, '')
}

/** A server may answer and close while its client still writes: `once` would throw the error of that. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

/** A connection that sends bytes as they are. */
async function connected(text: string): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(text)
  return socket
}

async function received(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (piece) => {
    text += piece
  })
  await closed(socket)
  return text
}

function raw(body: string, path = CHAT): string {
  return `POST ${path} HTTP/1.1\r\n${HEAD}connection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

const STREAMED = JSON.stringify({ ...ASKED, stream: true, max_tokens: 90, temperature: 1 })

const schemaOf = (schema: object): object => ({
  ...{ ...ASKED, max_tokens: 4 },
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
})

function nested(depth: number): object {
  return depth === 0 ? { type: 'integer' } : { properties: { a: nested(depth - 1) }, required: ['a'] }
}

const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `name_${at}`)

/** Schemas that are made to be hard, and what becomes of them. */
const SCHEMAS: readonly (readonly [object, number])[] = [
  [nested(28), 200],
  [{ properties: Object.fromEntries(many(1000).map((name) => [name, {}])) }, 200],
  [{ type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } } }, 200],
  [{ enum: many(160_000) }, 400],
  [{ type: 'array', minItems: 1e9 }, 400],
  [{ allOf: Array(9).fill({ anyOf: [{ minimum: 1 }, { maximum: 2 }] }) }, 400],
  [{ pattern: '^(a|b)*a(a|b){9}$', minLength: 900, maxLength: 1000 }, 400],
  [{ type: 'array', minItems: 1, items: { $ref: '#' } }, 400],
  [{ type: 'string', pattern: '(?=a)b' }, 400],
]

/** Connections that are held open as long as others are answered; node-server.test.ts shows how they end. */
const unended: Socket[] = []

/** Each does harm and checks what it gets for it. */
const ATTACKS: Readonly<Record<string, (n: number) => Promise<void>>> = {
  async 'a head that does not end'() {
    unended.push(await connected('GET /health HTTP/1.1\r\nhost: local'))
  },
  async 'a body that does not end'() {
    unended.push(await connected(raw('x'.repeat(500)).slice(0, -400)))
  },
  async 'a client that vanishes before the answer'() {
    const socket = await connected(raw(STREAMED))
    socket.resetAndDestroy()
  },
  async 'a client that vanishes in the middle'() {
    const socket = await connected(raw(STREAMED))
    await once(socket, 'data')
    socket.resetAndDestroy()
  },
  async 'a reader who takes one piece, and the rest when all others are done'() {
    const socket = await connected(raw(STREAMED))
    const [first] = await once(socket, 'data')
    socket.pause()
    await expect.poll(() => engine.figures().waiting, { timeout: 600_000 }).toBe(0)
    const rest = received(socket)
    socket.resume()
    expect(`${first}${await rest}`).toContain('data: [DONE]')
  },
  async 'a body that is too large and says so'() {
    expect(await received(await connected(raw('x'.repeat(3_100_000)).slice(0, 500)))).toMatch(/^HTTP\/1\.1 413 /)
  },
  async 'a body that is too large and does not say so'() {
    const socket = await connected(`POST ${CHAT} HTTP/1.1\r\n${HEAD}transfer-encoding: chunked\r\n\r\n`)
    const answer = received(socket)
    const chunk = `100000\r\n${'x'.repeat(0x100000)}\r\n`
    for (let sent = 0; sent < 6 && socket.writable; sent++) if (!socket.write(chunk)) await drained(socket)
    expect(await answer).toMatch(/^(?:HTTP\/1\.1 413 |$)/)
  },
  async 'what is no HTTP'() {
    expect(await received(await connected('\x16\x03\x01 hello\r\n\r\n'))).toMatch(/^HTTP\/1\.1 400 /)
  },
  async 'what is no JSON'(n) {
    const wrong = ['{"model": [[[[', '', '{"model": "mine", "messages": NaN}', '\ufeff\ufeff{}', '[]'][n % 5] as string
    expect((await post(CHAT, wrong)).status).toBe(400)
  },
  async 'JSON without an end of brackets'() {
    const response = await post(CHAT, `{"model": "mine", "messages": ${'['.repeat(1_000_000)}`)
    expect(await response.json()).toMatchObject({ error: { code: 'json_too_deep' } })
  },
  async 'a schema that is made to be hard'(n) {
    const [schema, status] = SCHEMAS[n % SCHEMAS.length] as (typeof SCHEMAS)[number]
    const response = await post(CHAT, schemaOf(schema))
    expect([n % SCHEMAS.length, response.status, await response.text()]).toEqual([
      ...[n % SCHEMAS.length, status, expect.any(String)],
    ])
  },
  async 'a prompt without an end'(n) {
    const prompt = (['word ', 'a', '\u00e9\u4e2d', '   '][n % 4] as string).repeat(500_000)
    const response = await post('/v1/completions', { model: 'mine', prompt })
    expect(await response.json()).toMatchObject({ error: { code: 'context_length_exceeded' } })
  },
  async 'as many answers as there can be, and more'(n) {
    const response = await post(CHAT, { ...ASKED, n: n % 2 === 0 ? 128 : 16, max_tokens: 2 })
    expect(response.status).toBe(n % 2 === 0 ? 400 : 200)
    await response.text()
  },
}

function drained(socket: Socket): Promise<void> {
  return Promise.race([new Promise<void>((resolve) => socket.once('drain', () => resolve())), closed(socket)])
}

describe('a server among clients of whom every second one means harm', () => {
  it('answers the others as if they were alone, and lives on', { timeout: 600_000 }, async () => {
    const attacks = Object.entries(ATTACKS)
    const failures: string[] = []
    const work = Array.from({ length: cases(52, 500) }, async (_, n) => {
      const turn = n >> 1
      if (n % 2 === 0) {
        const [path, body] = HONEST[turn % HONEST.length] as (typeof HONEST)[number]
        expect(await told(path, body)).toBe(alone[turn % HONEST.length])
        return
      }
      const [name, attack] = attacks[turn % attacks.length] as (typeof attacks)[number]
      await attack(Math.floor(turn / attacks.length)).catch((error: Error) =>
        failures.push(`${name}: ${error.message}`),
      )
    })
    await Promise.all(work)
    expect(failures).toEqual([])
    for (const socket of unended.splice(0)) socket.destroy()
    await expect.poll(() => engine.figures()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } })
    for (const [i, [path, body]] of HONEST.entries()) expect(await told(path, body)).toBe(alone[i])
  })

  it('every schema that is made to be hard gets its answer', async () => {
    for (const n of SCHEMAS.keys()) await ATTACKS['a schema that is made to be hard']?.(n)
  })
})

/** Bytes of memory of the process, once what nobody uses is collected. */
function resident(): number {
  setFlagsFromString('--expose_gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().rss
}

it('thousands of requests, of which many are refused or left, leave no memory behind', {
  timeout: 3_600_000,
}, async () => {
  const round = 200
  const rounds = cases(200, 20_000) / round
  const looks: number[] = []
  for (let at = 0; at < rounds; at++) {
    const one = async (n: number): Promise<void> => {
      const [path, body] = HONEST[n % HONEST.length] as (typeof HONEST)[number]
      if (n % 10 === 7) await (await post(path, { ...body, best_of: 2 })).text()
      else if (n % 10 === 8) {
        const controller = new AbortController()
        const response = await fetch(server.url + CHAT, {
          ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: STREAMED },
          signal: controller.signal,
        })
        controller.abort()
        await response.text().catch(() => undefined)
      } else await told(path, { ...body, ...('max_output_tokens' in body ? {} : { max_tokens: 1 + (n % 3), seed: n }) })
    }
    // A few at a time, as many as the engine answers together.
    for (let n = 0; n < round; n += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => one(at * round + n + i)))
    looks.push(resident())
    await expect.poll(() => engine.figures()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } })
  }
  // The first tenth warms up: code is compiled, and recorded steps and masks are kept.
  const warm = looks[Math.floor(rounds / 10)] as number
  const last = looks.at(-1) as number
  if (isLong)
    console.log(
      `RSS after ${looks.length} rounds of ${round}: ${looks.map((bytes) => Math.round(bytes / 2 ** 20)).join(' ')} MiB`,
    )
  // A kilobyte for each of 18,000 requests would be 18 MiB.
  if (isLong) expect(last - warm).toBeLessThan(12 * 2 ** 20)
})

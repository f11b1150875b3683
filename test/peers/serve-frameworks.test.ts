/**
 * @file The handler under servers of others: Hono, Express, the form of Next's route handlers, Deno and Bun. They give
 * what our own server gives, whole and in pieces, and tell the handler when a client goes away.
 */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { type ServeHandler, toNodeListener } from '../../src/index.js'
import { eventsOf, serveScripted } from '../serve/served.js'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes.txt, got nothing',
  )
}

const PROGRAM = fileURLToPath(new URL('serve-runtime.mjs', import.meta.url))
const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const ASKED = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }] }

type Fetch = (request: Request) => Response | Promise<Response>

/** What is used of the frameworks; their types are those of packages that only some machines have. */
interface Framework {
  // biome-ignore lint/suspicious/noExplicitAny: see above
  [part: string]: any
}

const running: Server[] = []
afterEach(() => {
  for (const server of running.splice(0)) server.close().closeAllConnections()
})

async function listening(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  running.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function post(address: string, body: object, signal?: AbortSignal): Request {
  const headers = { 'content-type': 'application/json' }
  return new Request(address, { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) })
}

/** The answer whole and in pieces, an error, and the end of an answer whose client goes away. */
async function expectServed(base: string, ask: Fetch, { engine, open }: Waiting): Promise<void> {
  const address = `${base}/v1/chat/completions`
  open()
  expect(await (await ask(post(address, ASKED))).json()).toMatchObject({
    choices: [{ message: { content: 'one two' } }],
  })
  const streamed = await ask(post(address, { ...ASKED, stream: true }))
  expect(streamed.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  const events = await eventsOf(streamed)
  expect(events.pop()).toBe('[DONE]')
  const deltas = events as { choices: { delta: { content?: string } }[] }[]
  expect(deltas.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('one two')
  const wrong = await ask(post(address, { ...ASKED, best_of: 2 }))
  expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: { param: 'best_of' } }])
  expect((await ask(new Request(`${base}/v1/models`))).status).toBe(200)
  const controller = new AbortController()
  engine.close()
  const leaving = await ask(post(address, { ...ASKED, stream: true }, controller.signal))
  expect(engine.running).toBe(1)
  controller.abort()
  await leaving.text().catch(() => undefined)
  await expect.poll(() => engine.running).toBe(0)
}

/** A handler whose answers wait behind their first token, once they are to. */
interface Waiting {
  readonly handler: ServeHandler
  readonly engine: { readonly running: number; close(): void }
  open(): void
}

function waitingHandler(): Waiting {
  let gate = Promise.resolve()
  const test = serveScripted('one two', { engine: { beforeToken: (at) => (at === 0 ? undefined : gate) } })
  return {
    handler: test.handler,
    engine: {
      get running() {
        return test.engine.running.size
      },
      close: () => {
        gate = new Promise(() => undefined)
      },
    },
    open: () => {
      gate = Promise.resolve()
    },
  }
}

it("a listener of Node's own requests answers", async () => {
  const waiting = waitingHandler()
  await expectServed(await listening(toNodeListener(waiting.handler)), fetch, waiting)
})

it("route handlers in Next's form answer", async () => {
  const waiting = waitingHandler()
  // app/v1/[...path]/route.ts exports these two; Next hands them its requests, which are those of the web.
  const { GET, POST } = { GET: waiting.handler.fetch, POST: waiting.handler.fetch }
  const route: Fetch = (request) => (request.method === 'GET' ? GET(request) : POST(request))
  await expectServed('http://localhost:3000', route, waiting)
})

describe.skipIf(runtimes === undefined)('under other servers', () => {
  it('Hono answers, beside routes of its own', async () => {
    const path = createRequire(join(runtimes as string, 'x.js')).resolve('hono')
    const { Hono } = (await import(pathToFileURL(path).href)) as Framework
    const waiting = waitingHandler()
    const app = new Hono()
    app.get('/own', (context: Framework) => context.text('own'))
    app.all('/v1/*', (context: Framework) => waiting.handler.fetch(context.req.raw))
    await expectServed('http://localhost', (request) => app.fetch(request), waiting)
    expect(await (await app.request('/own')).text()).toBe('own')
    const below = new Hono().mount('/llm', waiting.handler.fetch)
    expect((await below.request('/llm/v1/models')).status).toBe(200)
  })

  it.each([false, true])(
    'Express answers, beside routes of its own; with express.json() before: %s',
    async (parses) => {
      const express = createRequire(join(runtimes as string, 'x.js'))('express') as Framework & (() => Framework)
      const waiting = waitingHandler()
      const app = express()
      if (parses) app.use(express.json())
      app.get('/own', (_request: unknown, response: Framework) => response.send('own'))
      app.use('/llm', toNodeListener(waiting.handler))
      const address = await listening(app as unknown as RequestListener)
      await expectServed(`${address}/llm`, fetch, waiting)
      const own = await fetch(`${address}/own`)
      expect([own.status, await own.text()]).toEqual([200, 'own'])
    },
  )

  it('Deno and Bun answer as Node does, with a real engine', async () => {
    const answers = []
    for (const [command, ...args] of [
      [process.execPath],
      [join(runtimes as string, '.bin', 'deno'), 'run', '-A', '--no-lock'],
      [join(runtimes as string, '.bin', 'bun')],
    ] as [string, ...string[]][]) {
      const { stdout } = await promisify(execFile)(command, [...args, PROGRAM, MODEL])
      answers.push(JSON.parse(stdout))
    }
    const [node] = answers
    expect(node).toMatchObject({ streamed: node.whole, ended: true, wrong: 400 })
    expect(node.pieces).toBeGreaterThan(5)
    expect(answers).toEqual([node, node, node])
  })
})

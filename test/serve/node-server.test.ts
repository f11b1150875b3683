/** @file serve: real connections, clients that break them, names of hosts, and the end of a server. */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type RunningServer, serve } from '../../src/serve/node-server.js'
import type { ServeOptions } from '../../src/serve/serve-options.js'
import { cases } from '../support/long.js'
import { serveScripted, type TestServer } from './served.js'

const CHAT = '/v1/chat/completions'
const ASKED = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }] })
const STREAMED = JSON.stringify({ ...JSON.parse(ASKED), stream: true })

const running: RunningServer[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close(AbortSignal.abort())))
})

async function listening(test: TestServer, options: ServeOptions = {}): Promise<RunningServer> {
  const server = await serve(test.handler, { port: 0, ...options })
  running.push(server)
  return server
}

function ask(server: RunningServer, body: string, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(server.url + CHAT, { method: 'POST', headers, body, ...(signal && { signal }) })
}

/** A connection that sends bytes as they are. */
async function rawConnection(
  server: RunningServer,
  text: string,
): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect(server.port, '127.0.0.1')
  await once(socket, 'connect')
  let received = ''
  socket.on('data', (piece) => {
    received += piece
  })
  socket.on('error', () => undefined)
  const answer = once(socket, 'close').then(() => received)
  socket.write(text)
  return { socket, answer }
}

const HEAD = 'host: localhost\r\ncontent-type: application/json\r\n'

describe('serve', () => {
  it('answers over HTTP, whole and in pieces, on one connection', async () => {
    const server = await listening(serveScripted('one two'))
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
    expect(await (await ask(server, ASKED)).json()).toMatchObject({ choices: [{ message: { content: 'one two' } }] })
    const streamed = await ask(server, STREAMED)
    expect(streamed.headers.get('content-type')).toContain('text/event-stream')
    expect((await streamed.text()).trimEnd().endsWith('data: [DONE]')).toBe(true)
    const two = `GET /health HTTP/1.1\r\n${HEAD}\r\nGET /ready HTTP/1.1\r\n${HEAD}connection: close\r\n\r\n`
    const text = await (await rawConnection(server, two)).answer
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2)
  })

  it('says which port is taken', async () => {
    const server = await listening(serveScripted('x'))
    await expect(serve(serveScripted('x').handler, { port: server.port })).rejects.toThrow(
      `[serve] expected to listen at 127.0.0.1 port ${server.port}, but another program listens there; choose another port`,
    )
    await expect(serve(serveScripted('x').handler, { prot: 1 } as ServeOptions)).rejects.toThrow('did you mean "port"?')
  })

  it('a server at a loopback address is called by no other name, so that no page of another site reaches it by its own', async () => {
    const server = await listening(serveScripted('x'), { allowedHosts: ['model.example'] })
    const status = async (host: string): Promise<string | undefined> => {
      const { answer } = await rawConnection(
        server,
        `GET /v1/models HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
      )
      return /HTTP\/1\.1 (\d+)/.exec(await answer)?.[1]
    }
    for (const host of ['localhost', 'localhost:8000', '127.0.0.1:1', '[::1]:80', 'model.example'])
      expect([host, await status(host)]).toEqual([host, '200'])
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '128.0.0.1'])
      expect([host, await status(host)]).toEqual([host, '403'])
  })

  it.each([
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a header that is too long', `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
    ['a method that the web does not have', `TRACE / HTTP/1.1\r\n${HEAD}\r\n`, 405],
    ['a body longer than allowed', `POST ${CHAT} HTTP/1.1\r\n${HEAD}content-length: 99999999\r\n\r\n{`, 413],
    ['a body that ends early', `POST ${CHAT} HTTP/1.1\r\n${HEAD}content-length: 100\r\n\r\n{`, 408],
  ])('answers %s with an error and closes the connection', async (_, text, status) => {
    const server = await listening(serveScripted('x', { bodyTimeout: 0.1 }))
    const { answer } = await rawConnection(server, text)
    expect(await answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect((await ask(server, ASKED)).status).toBe(200)
  })

  it('closes connections whose headers do not come', async () => {
    const server = await listening(serveScripted('x'), { headersTimeout: 0.2 })
    const { answer } = await rawConnection(server, 'GET /health HTTP/1.1\r\nhost: local')
    expect(await answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('ends the answers of clients that vanish, and gives the others theirs', async () => {
    let open: () => void = () => undefined
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    const test = serveScripted('one two three', { engine: { beforeToken: (at) => (at === 0 ? undefined : opened) } })
    const server = await listening(test)
    const controller = new AbortController()
    const gone = [ASKED, STREAMED].map((body) =>
      ask(server, body, controller.signal).then((response) => response.text()),
    )
    const staying = ask(server, STREAMED)
    await expect.poll(() => test.engine.requests.length).toBe(3)
    controller.abort()
    await Promise.allSettled(gone)
    await expect.poll(() => test.engine.running.size).toBe(1)
    open()
    expect(await (await staying).text()).toContain('[DONE]')
  })

  it('a reader who is slow is waited for, and one who takes nothing loses the connection', async () => {
    // More than the system's buffers of a connection hold.
    const many = Array.from({ length: 60_000 }, (_, at) => 40 + (at % 30))
    const test = serveScripted(() => many, {
      stallTimeout: 0.3,
      maxNewTokens: 60_000,
      engine: { maxModelLen: 100_000 },
    })
    const server = await listening(test)
    const body = JSON.stringify({ ...JSON.parse(STREAMED), max_tokens: 60_000 })
    const text = `POST ${CHAT} HTTP/1.1\r\n${HEAD}content-length: ${body.length}\r\n\r\n${body}`
    const { socket } = await rawConnection(server, text)
    await once(socket, 'data')
    socket.pause()
    await expect.poll(() => test.engine.running.size, { timeout: 10_000 }).toBe(0)
    expect((await fetch(`${server.url}/health`)).status).toBe(200)
    socket.destroy()
  })

  it('answers the requests there are before it ends, and no others', async () => {
    let open: () => void = () => undefined
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    const test = serveScripted('one two', { engine: { beforeToken: (at) => (at === 0 ? undefined : opened) } })
    const server = await listening(test)
    const answer = ask(server, STREAMED)
    await expect.poll(() => test.engine.requests.length).toBe(1)
    const closing = server.close()
    await expect(fetch(`${server.url}/health`)).rejects.toThrow('fetch failed')
    open()
    expect(await (await answer).text()).toContain('[DONE]')
    await closing
    expect(test.engine.closed).toBe(true)
  })

  it('many connections at once, of which many misbehave, harm no answer', async () => {
    const test = serveScripted('one two three', { maxRequests: 1000, bodyTimeout: 0.5 })
    const server = await listening(test, { headersTimeout: 1 })
    const good: Promise<string>[] = []
    const sockets: Socket[] = []
    for (let n = 0; n < cases(60, 500); n++) {
      const kind = n % 5
      if (kind === 0) good.push(ask(server, STREAMED).then((response) => response.text()))
      else if (kind === 1) {
        const { socket } = await rawConnection(
          server,
          `POST ${CHAT} HTTP/1.1\r\n${HEAD}content-length: 500\r\n\r\n{"mo`,
        )
        sockets.push(socket)
      } else if (kind === 2) {
        const text = `POST ${CHAT} HTTP/1.1\r\n${HEAD}content-length: ${STREAMED.length}\r\n\r\n${STREAMED}`
        const { socket } = await rawConnection(server, text)
        socket.resetAndDestroy()
      } else if (kind === 3) sockets.push((await rawConnection(server, 'GET /hea')).socket)
      else good.push(ask(server, '{"model": [[[[').then((response) => response.text()))
    }
    for (const text of await Promise.all(good)) expect(text).toMatch(/\[DONE\]|invalid_json/)
    await expect.poll(() => test.engine.running.size).toBe(0)
    for (const socket of sockets) socket.destroy()
    expect((await ask(server, ASKED)).status).toBe(200)
  })
})

/** @file Short texts that are sent many times a second, against a server of its own. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { createRest, type RestClient } from '../../src/http/rest.js'
import { ServiceError } from '../../src/http/service-error.js'
import { shortExchange } from '../../src/http/short-exchange.js'

interface Served {
  readonly url: string
  readonly bodies: string[]
  readonly headers: IncomingMessage['headers'][]
  readonly connections: Set<Socket>
}

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
  vi.unstubAllEnvs()
})

async function serve(answer: (response: ServerResponse, count: number) => void): Promise<Served> {
  const served = { bodies: [] as string[], headers: [] as IncomingMessage['headers'][], connections: new Set<Socket>() }
  const server = createServer(async (request, response) => {
    served.connections.add(request.socket)
    served.headers.push(request.headers)
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    served.bodies.push(Buffer.concat(pieces).toString())
    answer(response, served.bodies.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { ...served, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function rest(server: string, timeout?: number): RestClient {
  return createRest({
    server,
    where: 'test',
    setting: '',
    authorize: async () => ({ authorization: 'Bearer planted-token-0123456789' }),
    errorOf: ({ status }) => new ServiceError(`HTTP ${status}`, { status }),
    ...(timeout !== undefined && { timeout }),
  })
}

const TEXT = '{"step":"größer"}'
const CALL = { method: 'POST', path: '/points', what: 'that points are taken', jsonBytes: Buffer.from(TEXT) } as const

it('a text arrives as JSON with its length in bytes, and its answer is parsed', async () => {
  const { url, bodies, headers } = await serve((response) => response.end('{"taken":1}'))
  expect(await rest(url).json(CALL)).toEqual({ taken: 1 })
  expect(bodies).toEqual([TEXT])
  expect(headers[0]).toMatchObject({
    'content-type': 'application/json',
    'content-length': String(CALL.jsonBytes.length),
    authorization: 'Bearer planted-token-0123456789',
  })
})

it('texts one after the other share a connection', async () => {
  const { url, connections } = await serve((response) => response.end())
  for (let i = 0; i < 5; i++) expect(await rest(url).json(CALL)).toEqual({})
  expect(connections.size).toBe(1)
})

it('a text that the server was too busy for is sent again', async () => {
  const { url, bodies } = await serve((response, count) => {
    response.writeHead(count === 1 ? 503 : 200, { 'retry-after': '0' }).end('{}')
  })
  expect(await rest(url).json(CALL)).toEqual({})
  expect(bodies).toEqual([TEXT, TEXT])
})

it('a server that says nothing ends a text with the seconds that were waited', async () => {
  const { url } = await serve(() => {})
  const failure = await rest(url, 60)
    .json(CALL)
    .catch((error: Error) => error)
  expect((failure as Error).message).toContain('nothing came for 0.06 s')
})

it('an answer that breaks off is an error that does not say that nothing was done', async () => {
  const { url } = await serve((response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('{"taken":', () => response.destroy())
  })
  const failure = await rest(url)
    .json(CALL)
    .catch((error: Error) => error)
  expect((failure as Error).message).toMatch(/cannot reach .* Nobody knows whether it was done/s)
})

it('an answer without an end is left', async () => {
  const piece = Buffer.alloc(2 ** 18, 32)
  const { url } = await serve((response) => {
    const more = (): void => {
      if (!response.destroyed) response.write(piece, more)
    }
    more()
  })
  const failure = await rest(url)
    .json(CALL)
    .catch((error: Error) => error)
  expect((failure as Error).message).toContain('longer than 1048576 bytes')
})

it('a text that is aborted rejects with the reason', async () => {
  const { url } = await serve(() => controller.abort(new Error('enough')))
  const controller = new AbortController()
  await expect(rest(url).json({ ...CALL, signal: controller.signal })).rejects.toThrow('enough')
})

it('a server that is not there says so, as fetch does', async () => {
  const { url } = await serve(() => {})
  for (const close of closers.splice(0)) close()
  const request = { method: 'POST', headers: {}, body: Buffer.from('{}'), signal: undefined }
  const failure = await shortExchange(url, request, { answerTimeout: 1000, pieceTimeout: 1000 }).catch(
    (error: Error) => error,
  )
  expect((failure as Error).cause).toMatchObject({ code: 'ECONNREFUSED' })
})

it('a text goes through the proxy of the environment', async () => {
  const proxy = await serve((response) => response.end('{"proxied":true}'))
  vi.stubEnv('HTTP_PROXY', proxy.url)
  vi.stubEnv('NO_PROXY', '')
  expect(await rest('http://tracker.example').json(CALL)).toEqual({ proxied: true })
})

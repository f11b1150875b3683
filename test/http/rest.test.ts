/** @file A client of a service with a REST interface, against a server of its own. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { createRest, type RestClient, type RestTarget } from '../../src/http/rest.js'
import type { Clock } from '../../src/http/retry.js'
import { ServiceError } from '../../src/http/service-error.js'

const TOKEN = 'planted-token-0123456789'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Handler = (seen: Seen, response: ServerResponse, count: number) => void

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server that answers as `handle` says, and what it saw. */
async function serve(handle: Handler): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    const { method = '', url = '', headers } = request
    const one = { method, url, headers, body: Buffer.concat(pieces).toString() }
    seen.push(one)
    handle(one, response, seen.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

/** Time that passes in waits alone. */
function fakeClock(): Clock & { readonly waits: number[] } {
  let now = 0
  const waits: number[] = []
  return {
    waits,
    now: () => now,
    async pause(milliseconds, signal) {
      signal?.throwIfAborted()
      waits.push(milliseconds)
      now += milliseconds
    },
  }
}

function client(server: string, more: Partial<RestTarget> = {}): RestClient {
  return createRest({
    server,
    where: 'service',
    setting: '',
    authorize: async () => ({ authorization: `Bearer ${TOKEN}` }),
    errorOf: ({ status, text }, { what }) => new ServiceError(`[service] ${what}: ${status} ${text}`, { status }),
    clock: fakeClock(),
    ...more,
  })
}

async function failure(action: Promise<unknown>): Promise<ServiceError> {
  const error = await action.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ServiceError)
  return error as ServiceError
}

const json = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

it('a call sends its query, its JSON and who asks, and gives the parsed answer', async () => {
  const { url, seen } = await serve((_, response) => json(response, { a: 1 }))
  const query = { x: 'ä b', none: undefined, yes: true }
  expect(await client(url).json({ method: 'POST', path: '/p', query, json: { n: [1] }, what: 'x' })).toEqual({ a: 1 })
  expect(seen[0]).toMatchObject({
    method: 'POST',
    url: '/p?x=%C3%A4+b&yes=true',
    body: '{"n":[1]}',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
  })
})

it('an empty answer of success is an empty object', async () => {
  const { url } = await serve((_, response) => response.writeHead(204).end())
  expect(await client(url).json({ method: 'DELETE', path: '/p', what: 'x' })).toEqual({})
})

it.each([0, 5, 3 * 2 ** 20 + 1])(
  'a body of %i bytes is sent with its length, whole or as a stream, and again after HTTP 503',
  async (size) => {
    const bytes = new Uint8Array(size).fill(97)
    const stream = () => new Blob([bytes]).stream() as ReadableStream<Uint8Array>
    for (const open of [() => bytes, stream]) {
      const { url, seen } = await serve((_, response, count) => response.writeHead(count === 1 ? 503 : 200).end())
      const answer = await client(url).send({ method: 'PUT', path: '/f', body: { size, open }, what: 'x' })
      await answer.body?.cancel()
      expect(seen.map(({ headers, body }) => [headers['content-length'], body.length])).toEqual([
        [String(size), size],
        [String(size), size],
      ])
    }
  },
)

it.each(['GET', 'POST'] as const)(
  'a %s that is refused with HTTP 429 comes again when the server says',
  async (method) => {
    const clock = fakeClock()
    const { url, seen } = await serve((_, response, count) => {
      if (count === 1) response.writeHead(429, { 'retry-after': '7' }).end()
      else json(response, {})
    })
    await client(url, { clock }).json({ method, path: '/p', what: 'x' })
    expect([seen.length, clock.waits]).toEqual([2, [7000]])
  },
)

it('tries end where the wait that is asked for would pass the budget', async () => {
  const clock = fakeClock()
  const { url, seen } = await serve((_, response) => response.writeHead(503, { 'retry-after': '40' }).end())
  const { status } = await failure(client(url, { clock }).json({ path: '/p', what: 'x' }))
  expect([status, seen.length, clock.waits.length]).toEqual([503, 8, 7])
})

it.each([
  ['GET', undefined, 2],
  ['PUT', undefined, 2],
  ['POST', undefined, 1],
  ['PATCH', undefined, 1],
  ['POST', true, 2],
  ['PUT', false, 1],
] as const)(
  'a %s whose connection breaks comes again only where it may (isRepeatable %s)',
  async (method, isRepeatable, sent) => {
    const { url, seen } = await serve((_, response, count) => {
      if (count === 1) response.destroy()
      else json(response, {})
    })
    const call = client(url).json({
      method,
      path: '/p',
      what: 'the thing',
      ...(isRepeatable !== undefined && { isRepeatable }),
    })
    if (sent === 2) expect(await call).toEqual({})
    else
      expect((await failure(call)).message).toContain(
        'for the thing: other side closed; check the connection. Nobody knows',
      )
    expect(seen.length).toBe(sent)
  },
)

it.each([500, 400, 404, 308])('HTTP %i is not asked for again', async (status) => {
  const { url, seen } = await serve((_, response) => response.writeHead(status, { location: '/login.html' }).end('no'))
  expect((await failure(client(url).json({ path: '/p', what: 'x' }))).status).toBe(status)
  expect(seen.length).toBe(1)
})

it('HTTP 401 renews who asks once, and again only where there is something better', async () => {
  const { url, seen } = await serve(({ headers }, response) => {
    response.writeHead(headers.authorization === 'Bearer second-token' ? 200 : 401).end('{}')
  })
  let token = 'first-token'
  const authorize: RestTarget['authorize'] = async (_, rejected) => {
    if (rejected?.authorization === 'Bearer first-token') token = 'second-token'
    return { authorization: `Bearer ${token}` }
  }
  expect(await client(url, { authorize }).json({ method: 'POST', path: '/p', what: 'x' })).toEqual({})
  expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer first-token', 'Bearer second-token'])
  expect((await failure(client(url).json({ path: '/p', what: 'x' }))).status).toBe(401)
  expect(seen.length).toBe(3)
})

it('pages are asked for one after the other as they are needed, empty ones among them', async () => {
  const { url, seen } = await serve((_, response, count) => {
    json(response, [{ items: [1, 2], next_page_token: 'b' }, { next_page_token: 'c' }, { items: [3] }][count - 1])
  })
  const found: number[] = []
  const call = { path: '/p', query: { max: 2 }, what: 'x' }
  for await (const item of client(url).pages<number>(call, (page) => (page.items as number[]) ?? [])) {
    found.push(item)
    if (item === 2) expect(seen.length).toBe(1)
  }
  expect(found).toEqual([1, 2, 3])
  expect(seen.map((one) => one.url)).toEqual(['/p?max=2', '/p?max=2&page_token=b', '/p?max=2&page_token=c'])
})

it('a page that names itself as the next is an error, not an endless list', async () => {
  const { url } = await serve((_, response) => json(response, { next_page_token: 'same' }))
  const list = async (): Promise<void> => {
    for await (const _ of client(url).pages({ path: '/p', what: 'x' }, () => [])) expect(_).toBe('nothing')
  }
  expect((await failure(list())).message).toContain('names itself or an earlier one as the next')
})

it('pages that lead in a circle are an error, not an endless list', async () => {
  const { url } = await serve((_, response, count) => json(response, { next_page_token: count % 2 ? 'a' : 'b' }))
  const list = async (): Promise<void> => {
    for await (const _ of client(url).pages({ path: '/p', what: 'x' }, () => [])) expect(_).toBe('nothing')
  }
  expect((await failure(list())).message).toContain('names itself or an earlier one as the next')
})

it('a presigned address gets no authorization, and its refusal shows nothing of it', async () => {
  const signature = 'c2lnbmF0dXJlLW9mLWEtdGVzdA'
  const { url, seen } = await serve(({ url: asked }, response) => {
    response
      .writeHead(403)
      .end(
        `<Error><Code>AccessDenied</Code><Message>Request has expired ${asked}</Message><RequestId>R1</RequestId></Error>`,
      )
  })
  const presigned = `${url}/bucket/f?X-Amz-Signature=${signature}&sig=${signature}`
  const error = await failure(client(url).sendTo(presigned, { what: 'a part of /Volumes/a' }))
  expect(seen[0]?.headers.authorization).toBeUndefined()
  expect(error).toMatchObject({ status: 403, errorCode: 'AccessDenied', requestId: 'R1' })
  expect(error.message).toContain('Request has expired')
  expect(`${error.message} ${error.stack}`).not.toContain(signature)
})

it('storage is asked three times where it is busy', async () => {
  const { url, seen } = await serve((_, response) => response.writeHead(504).end())
  expect((await failure(client(url).sendTo(`${url}/f?sig=x`, { method: 'PUT', what: 'x' }))).status).toBe(504)
  expect(seen.length).toBe(3)
})

it('what a server says of a token comes without it', async () => {
  const { url } = await serve(({ headers }, response) => response.writeHead(400).end(`bad ${headers.authorization}`))
  expect((await failure(client(url).json({ path: '/p', what: 'x' }))).message).toBe('[service] x: 400 bad Bearer ***')
})

it('a page of HTML in place of JSON is an error that names it', async () => {
  const { url } = await serve((_, response) => response.end('<html><title>Sign in</title></html>'))
  expect((await failure(client(url).json({ path: '/p', what: 'x' }))).message).toContain('got a page of HTML')
})

it.each(['null', '3', '"x"', 'true'])('JSON that is no object is refused by name: %s', async (text) => {
  const { url } = await serve((_, response) => response.end(text))
  expect((await failure(client(url).json({ path: '/p', what: 'x' }))).message).toContain('expected JSON from')
})

it('a server that says nothing for too long is given up', async () => {
  const { url } = await serve(() => {})
  const silent = client(url, { timeout: 20 }).json({ method: 'POST', path: '/p', what: 'x' })
  expect((await failure(silent)).message).toContain('nothing came for 0.02 s')
})

it('a body that stops in its middle fails its reader', async () => {
  const { url } = await serve((_, response) => response.writeHead(200, { 'content-length': '10' }).write('12345'))
  const { body } = await client(url, { timeout: 30 }).send({ path: '/p', what: 'x' })
  const error = await failure(new Response(body).text())
  expect(error.message).toContain(`cannot reach ${url} for x: nothing came for 0.03 s`)
})

it.each(['before it', 'while it waits for an answer', 'in the middle of a body'])(
  'a signal that is aborted %s ends a call with its reason',
  async (when) => {
    const stop = new AbortController()
    const reason = new Error('enough')
    const { url } = await serve((_, response) => {
      if (when.includes('body')) response.writeHead(200).write('{"a":')
      stop.abort(reason)
    })
    if (when === 'before it') stop.abort(reason)
    await expect(client(url).json({ path: '/p', what: 'x', signal: stop.signal })).rejects.toBe(reason)
  },
)

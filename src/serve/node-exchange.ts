/** @file Node's requests and responses as those of the web, and back. */

import type { IncomingMessage, ServerResponse } from 'node:http'

/** A request of Node; undefined where the web has no such request, as with the method TRACE. */
export function toRequest(request: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { method = 'GET', url = '/' } = request
  try {
    // The handler looks at the path alone.
    const address = new URL(url.startsWith('/') ? `http://localhost${url}` : url)
    const headers = new Headers()
    for (const [name, value] of Object.entries(request.headers)) {
      // An HTTP/2 name of a pseudo header is no name.
      if (value !== undefined && !name.startsWith(':'))
        headers.set(name, Array.isArray(value) ? value.join(', ') : value)
    }
    const hasBody = method !== 'GET' && method !== 'HEAD'
    const init: RequestInit & { duplex: 'half' } = { method, headers, signal, duplex: 'half' }
    if (hasBody) init.body = parsedBody(request) ?? bodyOf(request)
    return new Request(address, init)
  } catch {
    return undefined
  }
}

/** A body that a framework has read already, as `express.json()` does. */
function parsedBody(request: IncomingMessage): string | Uint8Array<ArrayBuffer> | undefined {
  const { body } = request as { body?: unknown }
  if (!request.readableEnded || body === undefined) return undefined
  if (typeof body === 'string') return body
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body)
}

/** The body as it comes. Nothing is read before it is wanted. */
function bodyOf(request: IncomingMessage): ReadableStream<Uint8Array> {
  let pieces: AsyncIterator<Uint8Array> | undefined
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        pieces ??= (request as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
        const { done, value } = await pieces.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel() {
        // Leaving the iteration would destroy the connection, on which the answer is to go out.
        pieces = undefined
      },
    },
    { highWaterMark: 0 },
  )
}

/** Sends a response of the web, as fast as the client takes it. */
export async function respond(response: ServerResponse, { status, headers, body }: Response): Promise<void> {
  if (response.destroyed) {
    await body?.cancel()
    return
  }
  response.writeHead(status, Object.fromEntries(headers))
  if (body === null) {
    response.end()
    return
  }
  const reader = body.getReader()
  let isGone = false
  const leave = (): void => {
    isGone = true
    reader.cancel().catch(() => undefined)
  }
  response.once('close', leave)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done || isGone) break
      if (!response.write(value)) await drained(response)
    }
    if (!isGone) {
      response.off('close', leave)
      response.end()
    }
  } catch {
    // The body broke off: the client must not take what it has for the whole.
    response.destroy()
  }
}

/** Until the client has taken what was written, or is gone. */
async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
    if (response.destroyed) done()
  })
}

/** @file serve: a handler under Node's http server, with what a server on a network needs: limits, timeouts, an end. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LowrankError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import type { ServeHandler } from './handler.js'
import { isLoopback, isNamedHost } from './host-names.js'
import { respond, toRequest } from './node-exchange.js'
import { SERVE_OPTIONS, type ServeOptions } from './serve-options.js'

/** A server that listens. */
export interface RunningServer {
  /** As `http://127.0.0.1:8000`. */
  readonly url: string
  readonly port: number
  /**
   * Takes no further connections, waits for the answers there are, closes the handler and its engine. `signal` ends all
   * of it at once.
   */
  readonly close: (signal?: AbortSignal) => Promise<void>
}

/** Methods that some route takes. */
const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST']

/** Headers of more bytes are of no client of this interface. */
const LARGEST_HEADERS = 16 * 1024

/**
 * Serves a handler over HTTP.
 * @throws OptionError on unknown options; LowrankError `INVALID_CALL` where the address or the port cannot be had
 */
export async function serve(handler: ServeHandler, options: ServeOptions = {}): Promise<RunningServer> {
  const settings = readOptions('serve', options, SERVE_OPTIONS)
  const { host, port, allowedHosts = [], maxConnections, headersTimeout, keepAliveTimeout } = settings
  const isGuarded = isLoopback(host)
  const isCalledRight = (name: string | undefined): boolean => !isGuarded || isNamedHost(name, allowedHosts)
  const server = createServer(
    {
      maxHeaderSize: LARGEST_HEADERS,
      headersTimeout: 1000 * headersTimeout,
      keepAliveTimeout: 1000 * keepAliveTimeout,
      // The handler has a limit for bodies, and says so in the answer.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.max(100, Math.min(5000, 250 * headersTimeout)),
    },
    (request, response) => void exchange(handler, request, response, isCalledRight(request.headers.host)),
  )
  server.maxConnections = maxConnections
  server.on('clientError', refuse)
  await listen(server, host, port)
  const bound = (server.address() as AddressInfo).port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    close: (signal) => end(server, handler, signal),
  }
}

/**
 * A handler as a listener for requests of Node, such as Express and `http.createServer` take. Limits of connections and
 * names of hosts are for whoever listens; `serve` has them.
 */
export function toNodeListener(handler: ServeHandler): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => void exchange(handler, request, response, true)
}

async function exchange(
  handler: ServeHandler,
  request: IncomingMessage,
  response: ServerResponse,
  isCalledRight: boolean,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new DOMException('the client went away', 'AbortError')))
  // What breaks off while it is read or written ends in close as well.
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  const asked = isCalledRight ? toRequest(request, gone.signal) : undefined
  if (asked === undefined) {
    refuseUnread(request, response, isCalledRight)
    return
  }
  await respond(response, await handler.fetch(asked))
  // A body that nobody wants is read to its end, or the connection could not be used again.
  if (!request.complete) request.resume()
}

/** A request by a wrong host name, or one that the web has not, as with the method TRACE. */
function refuseUnread({ method }: IncomingMessage, response: ServerResponse, isCalledRight: boolean): void {
  const isOtherMethod = isCalledRight && !METHODS.includes(method ?? '')
  const [status, message, code] = !isCalledRight
    ? [403, 'The server is not known by this host name.', 'unknown_host']
    : isOtherMethod
      ? [405, `No route takes the method ${method}.`, null]
      : [400, 'The request cannot be read.', null]
  const error = { message, type: 'invalid_request_error', param: null, code }
  response.writeHead(status, {
    ...{ 'content-type': 'application/json', connection: 'close' },
    ...(isOtherMethod && { allow: METHODS.join(', ') }),
  })
  response.end(JSON.stringify({ error }))
}

/** What is no HTTP gets an answer where there is still somebody to read it. */
function refuse(error: NodeJS.ErrnoException, socket: import('node:stream').Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another program listens there; choose another port' : cause.message
      reject(
        new LowrankError('INVALID_CALL', `[serve] expected to listen at ${host} port ${port}, but ${why}`, { cause }),
      )
    })
    server.listen(port, host, resolve)
  })
}

async function end(server: Server, handler: ServeHandler, signal: AbortSignal | undefined): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  await handler.close(signal)
  // Answers are out of the handler, and maybe still on their way.
  const rest = setInterval(() => server.closeIdleConnections(), 50)
  const last = setTimeout(() => server.closeAllConnections(), LAST_BYTES_MS)
  const atOnce = (): void => server.closeAllConnections()
  if (signal?.aborted) atOnce()
  signal?.addEventListener('abort', atOnce, { once: true })
  await closed
  clearInterval(rest)
  clearTimeout(last)
  signal?.removeEventListener('abort', atOnce)
}

/** Milliseconds in which the last bytes of answers must have left. */
const LAST_BYTES_MS = 5000

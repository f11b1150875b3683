/** @file A server of files on the loopback interface, with ETags, conditional answers and parts. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sha256 } from './hub-answers.js'

export interface SeenFileRequest {
  readonly path: string
  readonly headers: IncomingMessage['headers']
}

export interface FileServer {
  readonly address: string
  /** Content by path: `/rows.jsonl`. */
  readonly files: Map<string, Uint8Array>
  readonly requests: SeenFileRequest[]
  /** Answers in place of the server when it returns true. */
  intercept: ((request: SeenFileRequest, response: ServerResponse) => boolean | undefined) | undefined
  close(): Promise<void>
}

export async function startFileServer(): Promise<FileServer> {
  const http = createServer((request, response) => {
    const seen = { path: request.url ?? '', headers: request.headers }
    server.requests.push(seen)
    if (server.intercept?.(seen, response)) return
    const content = server.files.get(new URL(seen.path, server.address).pathname)
    if (content === undefined) response.writeHead(404).end('nothing')
    else sendFile(response, seen, content)
  })
  const address = await new Promise<string>((resolve) => {
    http.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(http.address() as AddressInfo).port}`))
  })
  const server: FileServer = {
    address,
    files: new Map(),
    requests: [],
    intercept: undefined,
    async close() {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
  return server
}

/** Answers as servers of files do. @param most Bytes after which the connection is cut. */
export function sendFile(
  response: ServerResponse,
  { headers }: SeenFileRequest,
  content: Uint8Array,
  most = Number.POSITIVE_INFINITY,
): void {
  const etag = `"${sha256(content).slice(0, 16)}"`
  if (headers['if-none-match'] === etag) {
    response.writeHead(304, { etag }).end()
    return
  }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  const isPart = from !== undefined && (headers['if-range'] === undefined || headers['if-range'] === etag)
  const start = isPart ? Number(from) : 0
  const end = isPart && to ? Math.min(Number(to) + 1, content.length) : content.length
  response.writeHead(isPart ? 206 : 200, {
    etag,
    'content-length': end - start,
    ...(isPart && { 'content-range': `bytes ${start}-${end - 1}/${content.length}` }),
  })
  if (end - start <= most) response.end(content.subarray(start, end))
  else response.write(content.subarray(start, start + most), () => response.destroy())
}

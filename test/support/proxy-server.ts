/** @file An HTTP proxy for tests: tunnels by CONNECT, plain requests by their whole address; all names are loopback. */

import { createServer, type IncomingMessage, request as send } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { Duplex } from 'node:stream'

/** What the proxy was asked, and how it answers. */
export interface ProxyServer {
  readonly port: number
  /** `CONNECT name:443`, `GET http://name/path`; each with what `proxy-authorization` said behind it. */
  readonly seen: string[]
  /** Statuses of the next answers, in place of what was asked for. */
  readonly refusals: number[]
  close(): Promise<void>
}

/** @param ports Where a server listens, by the name and port that it is asked by: `{ 'name:443': 40123 }` */
export async function startProxy(ports: Readonly<Record<string, number>>): Promise<ProxyServer> {
  const seen: string[] = []
  const refusals: number[] = []
  const sockets = new Set<Duplex>()
  const note = ({ method, url, headers }: IncomingMessage): number | undefined => {
    seen.push([method, url, headers['proxy-authorization']].filter(Boolean).join(' '))
    return refusals.shift()
  }
  const server = createServer((request, response) => {
    const refusal = note(request)
    const { host, pathname, search } = new URL(request.url ?? '')
    const port = ports[host]
    if (refusal !== undefined || port === undefined)
      return response.writeHead(refusal ?? 502).end('<html>no way there</html>')
    const { 'proxy-authorization': _, ...headers } = request.headers
    const onward = send(
      { host: '127.0.0.1', port, method: request.method, path: pathname + search, headers },
      (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.headers)),
    )
    request.pipe(onward)
  })
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    const refusal = note(request)
    sockets.add(socket)
    socket.on('error', () => {})
    const port = ports[request.url ?? '']
    if (refusal !== undefined || port === undefined) {
      socket.end(`HTTP/1.1 ${refusal ?? 502} No\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const onward = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    refusals,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

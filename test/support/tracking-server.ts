/** @file A slow tracking server on the loopback interface: keeps what is posted, and answers after a while. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TrackingServer {
  readonly url: string
  /** The events that were posted in lists and accepted, in order. */
  readonly received: unknown[]
  close(): Promise<void>
}

interface TrackingServerOptions {
  /** How long an answer takes. */
  readonly delayMs: number
  /** The status of the next answer; default 204. */
  readonly answer?: (() => number) | undefined
}

export async function startTrackingServer({
  delayMs,
  answer = () => 204,
}: TrackingServerOptions): Promise<TrackingServer> {
  const received: unknown[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      setTimeout(() => {
        const status = answer()
        if (status < 300) received.push(...JSON.parse(body))
        response.writeHead(status).end()
      }, delayMs)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/events`,
    received,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

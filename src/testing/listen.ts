/** @file Servers on the loopback interface: where they listen, and how they end. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** @returns the origin at which the server listens, on a port that was free */
export async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve())
  })
  // Uploads of gigabytes may take longer than the five minutes that Node gives a request.
  server.requestTimeout = 0
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Ends the server with all of its connections. */
export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

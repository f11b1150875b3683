/** @file A tracker as a user would write it, against the public types alone: posts every event of a run to a server. */

import { Agent, request } from 'node:http'
import type { TrainCallback } from '../../src/index.js'

/** @param timeoutMs time limit of a request */
export function createTracker(url: string, timeoutMs = 10_000): TrainCallback {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    name: 'tracker',
    async onEvent(event) {
      await post(url, agent, JSON.stringify(event), timeoutMs)
      if (event.type === 'end' || event.type === 'fail') agent.destroy()
    },
  }
}

function post(url: string, agent: Agent, body: string, timeout: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const sent = request(url, { agent, method: 'POST', headers, timeout }, (response) => {
      response.resume()
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0 } = response
        if (statusCode < 300) resolve()
        else reject(new Error(`the tracking server answered ${statusCode}`))
      })
    })
    sent.on('error', reject)
    sent.on('timeout', () => sent.destroy(new Error('the tracking server does not answer')))
    sent.end(body)
  })
}

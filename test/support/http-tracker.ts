/**
 * @file A tracker as a user would write it, against the public types alone: posts every event of a run to a server,
 * those between two boundaries in one request.
 */

import { Agent, request } from 'node:http'
import type { TrainCallback, TrainEvent } from '../../src/index.js'

const BOUNDARIES: ReadonlySet<TrainEvent['type']> = new Set(['start', 'log', 'evaluate', 'save', 'end', 'fail'])

/** @param timeoutMs time limit of a request */
export function createTracker(url: string, timeoutMs = 10_000): TrainCallback {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const waiting: TrainEvent[] = []
  let isOver = false
  return {
    name: 'tracker',
    async onEvent(event) {
      waiting.push(event)
      isOver ||= event.type === 'end' || event.type === 'fail'
      if (!isOver && !BOUNDARIES.has(event.type)) return
      // Events that the server refuses go with the next ones.
      await post(url, agent, JSON.stringify(waiting), timeoutMs)
      waiting.length = 0
      if (isOver) agent.destroy()
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

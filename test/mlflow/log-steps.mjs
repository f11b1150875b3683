// @ts-check
/**
 * @file A run that nobody trains, in a process of its own: logs steps at a pace with 20 figures each, and tells what
 * processor time that took. Arguments: directory, first and last step, steps per second (0: as fast as it can).
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { mlflowCallback } from '../../dist/mlflow.js'

const [directory = '', first = '', last = '', pace = '0', mode = 'track'] = process.argv.slice(2)
const callback = mlflowCallback({ logSystemMetrics: false })
const figures = Object.fromEntries(Array.from({ length: 14 }, (_, index) => [`figure${index}`, index]))
const progress = { totalSteps: Number(last), epoch: 0 }
/** @param {any} event */
const tell = async (event) => {
  // What a callback throws is a warning to a run, and changes nothing of it.
  if (mode === 'track') await (async () => await callback.onEvent(event))().catch(() => {})
}
await tell({
  type: 'start',
  runId: 'many',
  startedAt: '2026-01-31T12:00:00.000Z',
  outputDir: directory,
  step: Number(first) - 1,
  ...progress,
  options: { model: 'org/name' },
  versions: { lowrank: null, node: process.versions.node },
  quantization: null,
  device: 'cpu',
})
const begin = performance.now()
const usage = process.cpuUsage()
for (let step = Number(first); step <= Number(last); step++) {
  const due = begin + (1000 * (step - Number(first))) / Number(pace)
  if (Number(pace) > 0 && performance.now() < due) await sleep(Math.max(1, due - performance.now()))
  else if (step % 50 === 0) await sleep(0)
  const loss = Math.sin(step)
  await tell({
    type: 'log',
    step,
    ...progress,
    epoch: step / 1000,
    loss,
    learningRate: 1e-4,
    gradNorm: 1,
    tokensPerSecond: 1000,
    numInputTokensSeen: step,
    figures,
  })
  if (step % 100 === 0) {
    // As training does it: a checkpoint has all points before it.
    await tell({ type: 'save', kind: 'checkpoint', path: directory, step, ...progress })
    process.stdout.write(`${step}\n`)
  }
}
const { user, system } = process.cpuUsage(usage)
const seconds = (performance.now() - begin) / 1000
await tell({ type: 'end', reason: 'completed', step: Number(last), ...progress, loss: 0, seconds })
process.stdout.write(`${JSON.stringify({ seconds, processor: (user + system) / 1e6 })}\n`)

// @ts-check
/**
 * @file A run that nobody trains, in a process of its own: logs steps for trackers of files, evaluates, and makes
 * checkpoints, each with the log as training has it. Goes on from its last checkpoint where one is there. Tells what
 * processor time that took. Arguments: directory, last step, steps per second (0: as fast as it can), trackers.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { csvCallback, jsonlCallback } from '../../dist/trackers/row-trackers.js'
import { tensorboardCallback } from '../../dist/trackers/tensorboard.js'
import { RunLog } from '../../dist/train/run-log.js'

const [directory = '', last = '', pace = '0', trackers = 'tensorboard,csv,jsonl'] = process.argv.slice(2)
const make = { tensorboard: tensorboardCallback, csv: csvCallback, jsonl: jsonlCallback }
const names = /** @type {(keyof typeof make)[]} */ (trackers.split(',').filter((name) => name in make))
const callbacks = names.map((name) => make[name]({}, directory))
const EVALUATE = 50
const SAVE = 70

const checkpoint = join(directory, 'checkpoint')
let begun = 0
try {
  begun = Number(readFileSync(checkpoint, 'utf8'))
} catch {
  // The run begins.
}
const progress = { totalSteps: Number(last), epoch: 0 }
/** @param {any} event */
const tell = async (event) => {
  for (const callback of callbacks) await callback.onEvent(event, { stop: () => {} })
}
const path = join(directory, 'log.jsonl')
const log = await RunLog.open(path, { from: begun === 0 ? undefined : path, step: begun }, (message) => {
  throw new Error(message)
})
await tell({
  type: 'start',
  runId: 'many',
  startedAt: '2026-01-31T12:00:00.000Z',
  outputDir: directory,
  step: begun,
  ...progress,
  options: { model: 'org/name' },
  versions: { lowrank: null, node: process.versions.node },
  device: 'cpu',
})
const begin = performance.now()
const usage = process.cpuUsage()
for (let step = begun + 1; step <= Number(last); step++) {
  const due = begin + (1000 * (step - begun - 1)) / Number(pace)
  if (Number(pace) > 0 && performance.now() < due) await sleep(Math.max(1, due - performance.now()))
  else if (step % 50 === 0) await sleep(0)
  const rest = { learningRate: 1e-4, gradNorm: 1, tokensPerSecond: 1000, numInputTokensSeen: step }
  const event = { type: 'log', step, ...progress, epoch: step / 1000, loss: Math.sin(step), ...rest, etaSeconds: 1 }
  // As training does it: its own log comes first.
  if (trackers !== 'none') log.append(/** @type {any} */ (event))
  await tell(event)
  if (step % EVALUATE === 0) {
    const evaluation = { type: 'evaluate', step, ...progress, loss: Math.cos(step), tokens: 7, seconds: 1 }
    log.append(/** @type {any} */ (evaluation))
    await tell(evaluation)
  }
  if (step % SAVE === 0) {
    // As training does it: a checkpoint has all lines before it.
    log.flush()
    writeFileSync(checkpoint, String(step))
    await tell({ type: 'save', kind: 'checkpoint', path: checkpoint, step, ...progress })
  }
  if (step % 10 === 0) process.stdout.write(`${step}\n`)
}
const { user, system } = process.cpuUsage(usage)
const seconds = (performance.now() - begin) / 1000
await tell({ type: 'end', reason: 'completed', step: Number(last), ...progress, loss: 0, seconds })
process.stdout.write(`${JSON.stringify({ seconds, processor: (user + system) / 1e6 })}\n`)

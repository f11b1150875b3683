/** @file A run that is killed again and again: trackers of files have every value once, whatever was on its way. */

import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { readEvent } from '../../src/trackers/event-messages.js'
import { readTfRecords } from '../../src/trackers/tf-record.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const script = fileURLToPath(new URL('log-steps.mjs', import.meta.url))
const KILLS = isLong ? 40 : 3
const STEPS = isLong ? 4000 : 400

/** Logs steps in a process, which is killed behind a step if one is given. @returns how it ended */
async function logSteps(directory: string, killedAt?: number): Promise<string | null> {
  const child = spawn(process.execPath, [script, directory, `${STEPS}`, '1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (killedAt !== undefined && text.split('\n').some((line) => Number(line) >= killedAt)) child.kill('SIGKILL')
  })
  return await new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)))
}

/** Steps of a tag as TensorBoard shows them: a restart takes back what is not before its step. */
function shownSteps(path: string, tag: string): number[] {
  let steps: number[] = []
  for (const name of readdirSync(path).sort())
    for (const record of readTfRecords(join(path, name))) {
      const { step, isRestart, tags } = readEvent(record)
      if (isRestart) steps = steps.filter((other) => other < step)
      if (tags.includes(tag)) steps.push(step)
    }
  return steps
}

it(`${STEPS} steps at 1,000 a second with ${KILLS} kills are in every file, each once and in order`, async () => {
  const directory = temporaryDirectory()
  const random = seededRandom(7)
  let killed = 0
  for (let index = 1; index <= KILLS; index++) {
    const at = Math.floor((STEPS * (index - random() / 2)) / (KILLS + 1))
    if ((await logSteps(directory, at)) === 'SIGKILL') killed++
  }
  expect(killed).toBeGreaterThan(KILLS / 2)
  expect(await logSteps(directory)).toBe(null)
  const every = (distance: number): number[] =>
    Array.from({ length: STEPS / distance }, (_, index) => distance * (index + 1))
  const runs = readdirSync(join(directory, 'runs'))
  // Where a kill came before the first checkpoint, the run began once more, in a folder of its own.
  const events = join(directory, 'runs', runs.sort().at(-1) as string)
  expect(shownSteps(events, 'train/loss')).toEqual(every(1))
  expect(shownSteps(events, 'eval/loss')).toEqual(every(50))
  const csv = readFileSync(join(directory, 'metrics.csv'), 'utf8')
  const rows = csv.split('\n').slice(1, -1)
  expect(rows.filter((row) => row.startsWith('log,')).map((row) => row.split(',').slice(1, 4).map(Number))).toEqual(
    every(1).map((step) => [step, step / 1000, Math.sin(step)]),
  )
  expect(rows.filter((row) => row.startsWith('evaluate,'))).toHaveLength(STEPS / 50)
  const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { event: string; step: number; loss?: number; eval_loss?: number })
  expect(lines.filter(({ event }) => event === 'log').map(({ step, loss }) => [step, loss])).toEqual(
    every(1).map((step) => [step, Math.sin(step)]),
  )
  expect(lines.filter(({ event }) => event === 'evaluate').map(({ step, eval_loss }) => [step, eval_loss])).toEqual(
    every(50).map((step) => [step, Math.cos(step)]),
  )
  expect(lines.at(-1)).toMatchObject({ event: 'end', step: STEPS })
})

/** @file A run on rows as they come whose process is killed: what goes on from its checkpoints has the same bytes. */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { cases } from '../support/long.js'
import { temporaryDirectory, tinyRows, trainedBytes, writeTinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const CHILD = fileURLToPath(new URL('streaming-child.mjs', import.meta.url))
const STEPS = 24
const directory = temporaryDirectory()

/** @param killedAt Step after which the process is killed. Default: it is not */
function run(options: object, killedAt?: number): Promise<number | null> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (killedAt !== undefined && text.split('\n').some((line) => Number(line) >= killedAt)) child.kill('SIGKILL')
  })
  return new Promise((resolve) => child.on('close', resolve))
}

test('a run on rows as they come that is killed at any step goes on to the bytes of one that was not', async () => {
  const model = await writeTinyModel(join(directory, 'model'))
  const rows = tinyRows(50)
  const whole = join(directory, 'whole')
  expect(await run({ model, rows, outputDir: whole, resume: false })).toBe(0)
  const expected = await trainedBytes(join(whole, 'adapter'))
  const random = seededRandom(11)
  for (let round = 0; round < cases(1, 20); round++) {
    const outputDir = join(directory, `killed-${round}`)
    // Some rounds are killed twice: a run that goes on may be killed, too.
    for (let kills = 0; kills <= round % 2; kills++) {
      const killedAt = 2 + Math.floor(((random() + 1) / 2) * (STEPS - 4))
      expect([null, 0]).toContain(await run({ model, rows, outputDir, resume: true }, killedAt))
    }
    expect(await run({ model, rows, outputDir, resume: true })).toBe(0)
    expect((await trainedBytes(join(outputDir, 'adapter'))) === expected, `round ${round}`).toBe(true)
  }
})

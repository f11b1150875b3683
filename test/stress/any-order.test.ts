/** @file No use of the public API, in whatever order, ends the process or leaves a rejection without an owner. */

import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { cases } from '../support/long.js'
import { TINY_CONFIG, temporaryDirectory, tinyModel, writeTinyModel } from '../support/tiny-model.js'

const CHILD = fileURLToPath(new URL('./any-order-child.mjs', import.meta.url))
const folder = temporaryDirectory()

test('calls of the public API in random orders end with a result or an error that says why', async () => {
  const model = await writeTinyModel(join(folder, 'model'))
  const adapter = join(folder, 'adapter')
  const base = await tinyModel()
  await LoraAdapter.create(base, { r: 2 }).save(adapter)
  base.device.close()
  const calls = { result: 0, error: 0 }
  for (let part = 0; part < cases(1, 50); part++) {
    const output = join(folder, `out-${part}`)
    await mkdir(output)
    const work = { seed: 1000 + part, sequences: cases(60, 100), model, adapter, config: TINY_CONFIG, output }
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', CHILD, JSON.stringify(work)], {
      maxBuffer: 2 ** 26,
    })
    const { outcomes, wrong } = JSON.parse(stdout)
    expect(wrong).toEqual([])
    for (const { result, error } of Object.values<{ result: number; error: number }>(outcomes)) {
      calls.result += result
      calls.error += error
    }
  }
  // Both kinds of ends were seen, many times.
  expect(calls.result).toBeGreaterThan(500)
  expect(calls.error).toBeGreaterThan(100)
})

/** @file A data set larger than memory trains in the memory that a small one takes. */

import { execFile } from 'node:child_process'
import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { isLong } from '../support/long.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const MIB = 2 ** 20
const folder = temporaryDirectory()
const child = fileURLToPath(new URL('./large-data-child.mjs', import.meta.url))

/** Rows of some 480 characters, up to so many bytes. */
function writeRows(name: string, bytes: number): string {
  const path = join(folder, name)
  const file = openSync(path, 'w')
  const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']
  for (let row = 0, size = 0; size < bytes; ) {
    let lines = ''
    for (const end = row + 1000; row < end; row++) {
      const text = Array.from({ length: 60 }, (_, at) => words[(row * (at + 3)) % 7]).join(' ')
      lines += `${JSON.stringify({ prompt: `Row ${row % 50}: ${text.slice(0, 90)}`, completion: ` ${text}` })}\n`
    }
    size += writeSync(file, lines)
  }
  closeSync(file)
  return path
}

// In full 2 GB with the default budget. Reduced, rows that stayed in memory as arrays would take more than the bound.
const [large, dataMemory, bound] = isLong ? [2e9, undefined, 400] : [40e6, MIB, 50]

it(`${large / 1e6} MB of rows train five steps in at most ${bound} MiB more than 2 MB of rows`, async () => {
  const model = await writeTinyModel(join(folder, 'model'))
  const train = async (name: string, bytes: number) => {
    const dataset = writeRows(name, bytes)
    const work = JSON.stringify({ model, dataset, dataMemory, outputDir: join(folder, `out-${name}`) })
    const { stdout } = await promisify(execFile)(process.execPath, [child, work], {
      env: { ...process.env, LOWRANK_CACHE: join(folder, 'cache') },
    })
    const size = statSync(dataset).size
    rmSync(dataset)
    return { size, ...(JSON.parse(stdout) as { resident: number; rows: number; tokens: number }) }
  }
  const small = await train('small.jsonl', 2e6)
  const whole = await train('large.jsonl', large)
  expect(whole.rows / small.rows).toBeGreaterThan(0.9 * (whole.size / small.size))
  // Two arrays of 32-bit words for each row.
  if (!isLong) expect((8 * (whole.tokens - small.tokens)) / MIB).toBeGreaterThan(bound)
  expect(whole.resident - small.resident).toBeLessThan(bound)
}, 7_200_000)

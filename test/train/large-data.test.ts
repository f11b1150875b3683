/** @file A data set larger than memory trains in the memory that a small one takes. */

import { execFile } from 'node:child_process'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

const MIB = 2 ** 20
const folder = temporaryDirectory()
const child = fileURLToPath(new URL('./large-data-child.mjs', import.meta.url))

const WORDS = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']

/** Conversations; in full beside a text that Snappy leaves as it is, and that training passes over. */
function* conversations(count: number) {
  const random = seededRandom(5)
  const times = <T>(length: number, make: () => T): T[] => Array.from({ length }, make)
  const text = (words: number): string => times(words, () => WORDS[Math.floor((random() + 1) * 3.5)]).join(' ')
  for (let row = 0; row < count; row++) {
    yield {
      source: times(isLong ? 50 : 0, () => Math.floor((random() + 1) * 2 ** 30).toString(36)).join(''),
      messages: [
        { role: 'user', content: `Row ${row}: ${text(12)}` },
        { role: 'assistant', content: text(48) },
      ],
    }
  }
}

const ROW_BYTES = { jsonl: isLong ? 685 : 395, parquet: 413 }
// In full 2 GB with the default budget. Reduced, rows that stayed in memory as arrays would take more than the bound.
const [large, dataMemory, bound] = isLong ? [2e9, undefined, 400] : [40e6, MIB, 60]

it.each(isLong ? (['jsonl', 'parquet'] as const) : (['jsonl'] as const))(
  `${large / 1e6} MB of conversations in %s train five steps in at most ${bound} MiB more than 2 MB of them`,
  async (format) => {
    const model = await writeTinyModel(join(folder, 'model'))
    const train = async (bytes: number) => {
      const dataset = join(folder, `${bytes}.${format}`)
      await writeRows(conversations(bytes / ROW_BYTES[format]), dataset)
      const work = JSON.stringify({ model, dataset, dataMemory, outputDir: join(folder, `out-${bytes}-${format}`) })
      const { stdout } = await promisify(execFile)(process.execPath, [child, work], {
        env: { ...process.env, LOWRANK_CACHE: join(folder, 'cache') },
      })
      const { size } = statSync(dataset)
      rmSync(dataset)
      return { size, ...(JSON.parse(stdout) as { resident: number; rows: number; tokens: number }) }
    }
    const small = await train(2e6)
    const whole = await train(large)
    expect(whole.size).toBeGreaterThan(0.95 * large)
    expect(whole.rows / small.rows).toBeGreaterThan(0.9 * (whole.size / small.size))
    // Two arrays of 32-bit words for each row.
    if (!isLong) expect((8 * (whole.tokens - small.tokens)) / MIB).toBeGreaterThan(bound)
    expect(whole.resident - small.resident).toBeLessThan(bound)
  },
  7_200_000,
)

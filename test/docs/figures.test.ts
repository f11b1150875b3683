/**
 * @file Figures that README and docs/memory.md give: what fits in which memory. `npm test` plans the smallest shape, CI
 * and `npm run test:long` all four.
 */

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { planTraining } from '../../src/train/plan.js'
import { isThorough } from '../support/long.js'
import { ROOT, readPage } from './pages.js'

const GIB = 2 ** 30
const shapes = JSON.parse(readFileSync(join(ROOT, 'bench/model-shapes.json'), 'utf8'))
const directory = mkdtempSync(join(tmpdir(), 'lowrank-figures-'))
afterAll(() => rm(directory, { recursive: true, force: true }))

/** The peak of a process in GiB with one digit, as `lowrank plan` computes it. */
async function peak(shape: string, settings: object, maxLength: number): Promise<number> {
  writeFileSync(join(directory, 'config.json'), JSON.stringify(shapes[shape.toLowerCase()]))
  const training = { maxLength, perDeviceTrainBatchSize: 1 }
  const { peakResident } = await planTraining({ model: directory, ...settings, training }, { memory: 200 * GIB })
  return peakResident / GIB
}

test('README and docs/memory.md say what fits in which memory as the plans do', async () => {
  const [readme, page] = ['README.md', 'docs/memory.md'].map((name) =>
    readPage(name)
      .split('\n')
      .filter((line) => /^\| (SmolLM2|Qwen2\.5|Llama-3)\S* \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$/.test(line))
      .map((line) => line.split('|').map((cell) => cell.trim())),
  )
  expect(page).toEqual(readme)
  expect(readme?.map(([, shape]) => shape)).toEqual(['SmolLM2-135M', 'Qwen2.5-0.5B', 'Llama-3.2-1B', 'Llama-3-8B'])
  const planned = isThorough ? readme : readme?.slice(0, 1)
  for (const [, shape = '', ...cells] of planned ?? []) {
    const lora = await peak(shape, { dtype: 'bfloat16' }, 512)
    const qlora = await peak(shape, { quantization: 'nf4' }, 512)
    const long = await peak(shape, { quantization: 'nf4' }, 2048)
    // The last digit may be the next one: kernels of one instruction set take more space to work in than another's.
    for (const [i, planned] of [lora, qlora, long].entries())
      expect(Math.abs(Number(cells[i]) - planned), `${shape}: ${cells[i]} and ${planned}`).toBeLessThan(0.1)
  }
})

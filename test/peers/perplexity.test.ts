/** @file Perplexity of long texts in windows, against the recipe of transformers' documentation. */

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { runTasks } from '../../src/evaluate/run-tasks.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const folder = temporaryDirectory()
const SCRIPT = fileURLToPath(new URL('perplexity.py', import.meta.url))
const TEXT = tinyRows(60)
  .map(({ prompt, completion }) => prompt + completion)
  .join('. ')
const CASES = [
  { maxLength: 512, stride: 512 },
  { maxLength: 512, stride: 100 },
  { maxLength: 64, stride: 64 },
  { maxLength: 64, stride: 32 },
  { maxLength: 61, stride: 17 },
  { maxLength: 9, stride: 5 },
  { maxLength: 33, stride: 11 },
]

describeWithPython('perplexity in windows', { timeout: 600_000 }, () => {
  it('equals the recipe of transformers, of long and short texts', async () => {
    const path = await writeTinyModel(join(folder, 'model'))
    const cases = ['hello', TEXT.slice(0, 90), TEXT].flatMap((text) => CASES.map((one) => ({ ...one, text })))
    const { code, stdout, stderr } = await runPython([SCRIPT, path], JSON.stringify(cases))
    expect(code, stderr).toBe(0)
    const expected = JSON.parse(stdout) as number[]
    const model = await loadModel(path, { dtype: 'float32' })
    const tokenizer = await loadTokenizer(path)
    let compared = 0
    for (const [index, { text, maxLength, stride }] of cases.entries()) {
      // One token alone has no loss: the recipe divides by 0 there.
      if (!Number.isFinite(expected[index])) continue
      const tasks = [{ type: 'perplexity', dataset: [{ text }], maxLength, stride }] as const
      const [report] = await runTasks(model, tokenizer, tasks, { bootstrapSamples: 0 })
      const value = report?.metrics[0]?.scores.model?.value as number
      // Both compute in float32, with products in another order.
      expect(Math.abs(value / (expected[index] as number) - 1), JSON.stringify({ maxLength, stride })).toBeLessThan(
        1e-6,
      )
      compared++
    }
    model.dispose()
    expect(compared).toBeGreaterThan(13)
  })
})

/** @file `npm run bench -- serve`: clients that stream from a server of its own, and how long first tokens take. */

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createModel } from '../../src/causal-lm/create-model.js'
import { saveModel } from '../../src/checkpoint/save-model.js'
import { TINY_CONFIG } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const results = resultsFolder()

test('one stream and several: tokens per second, times to the first token, memory', async () => {
  const directory = join(results, 'model')
  const model = createModel(TINY_CONFIG, { device: 'cpu', dtype: 'float32' })
  await saveModel(model, directory)
  model.dispose()
  await writeTinyTokenizer(directory, tinyByteLevelTokenizer())
  const work = ['--prompt', '9', '--tokens', '5', '--answers', '2', '--rounds', '2', '--streams', '1,3']
  const { code, lines, stderr } = await runBench('serve', '--model', directory, ...work, '--results', results)
  expect(code, stderr).toBe(0)
  expect(lines.map((line) => line.streams)).toEqual([1, 3])
  for (const line of lines) {
    expect(line).toMatchObject({ bench: 'serve', dtype: 'bfloat16', prompt: 9, tokens: 5, device: 'cpu' })
    expect(isSummary(line.tokens_per_s)).toBe(true)
    const [half, nearly] = [Number(line.first_token_p50_ms), Number(line.first_token_p99_ms)]
    expect(half).toBeGreaterThan(0)
    expect(nearly).toBeGreaterThanOrEqual(half)
    expect(line.peak_rss_mib).toBeGreaterThan(50)
  }
  expect(readRows(results, 'serve').map((row) => row.streams)).toEqual(['1', '3'])
}, 60_000)

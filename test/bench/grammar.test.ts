/** @file `npm run bench -- grammar`: pairs with and without masks, of one answer and of several. */

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { isSummary, runBench } from './run-bench.js'

const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))

test('each schema and number of answers has tokens/s with and without masks, and how much slower that is', async () => {
  const quick = ['--tokens', '6', '--rounds', '1', '--streams', '1,3', '--no-save']
  const what = ['--model', MODEL, '--vocabulary', 'model', '--schema', 'strings,mixed']
  const { code, lines, stderr } = await runBench('grammar', ...what, ...quick)
  expect(code, stderr).toBe(0)
  expect(lines.map(({ schema, streams }) => [schema, streams])).toEqual([
    ['strings', 1],
    ['strings', 3],
    ['mixed', 3],
  ])
  for (const line of lines) {
    for (const name of ['plain_tokens_per_s', 'tokens_per_s']) expect(isSummary(line[name]), name).toBe(true)
    const [plain, masked] = ['plain_tokens_per_s', 'tokens_per_s'].map(
      (name) => (line[name] as { median: number }).median,
    )
    expect((line.slower_percent as { median: number }).median).toBeCloseTo(100 * (plain! / masked! - 1), 0)
    expect(line.mask_p99_ms).toBeGreaterThan(0)
  }
}, 60_000)

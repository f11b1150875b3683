/** @file `npm run bench -- generate`: both phases, and how many bytes a token reads. */

import { describe, expect, test } from 'vitest'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const QUICK = ['generate', '--model-shape', 'tiny', '--prompt', '21', '--tokens', '6', '--rounds', '2']

describe('bench generate', () => {
  const results = resultsFolder()

  test.each([
    [['--dtype', 'float32'], 'float32', false],
    [['--dtype', 'bfloat16', '--adapter'], 'bfloat16', true],
    [['--dtype', 'nf4'], 'nf4', false],
  ])('%j: prefill, decode, and the share of the read bandwidth', async (args, dtype, adapter) => {
    const { code, lines, stderr } = await runBench(...QUICK, ...args, '--results', results)
    expect(code, stderr).toBe(0)
    expect(lines).toHaveLength(1)
    const [line] = lines as [Record<string, unknown>]
    expect(line).toMatchObject({ bench: 'generate', dtype, adapter, prompt: 21, tokens: 6 })
    for (const name of ['prefill_tokens_per_s', 'decode_tokens_per_s', 'read_gb_per_s', 'of_bandwidth'])
      expect(isSummary(line[name]), name).toBe(true)
    // By hand, of the tiny shape: head 512 x 64; per layer q and o 64 x 64, k and v 32 x 64, gate, up and down 64 x
    // 128; five norms; the cache of 2 x 32 per layer and 24 tokens; with LoRA 16 x (in + out) of each projection.
    const projections = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128)
    const dense = 512 * 64 + 5 * 64 + 2 * 2 * 32 * 24 + (adapter ? 2 * 16 * (2 * 128 + 2 * 96 + 3 * 192) : 0)
    // NF4: half a byte each, a byte per 64 of them, and per projection 16 codes, 256 codes of scales, a scale of scales
    // and an offset.
    const nf4 = projections / 2 + projections / 64 + 14 * (16 + 256 + 1 + 1) * 4
    const size = dtype === 'float32' ? 4 : 2
    expect(line.bytes_per_token).toBe(dense * size + (dtype === 'nf4' ? nf4 : projections * size))
    expect(readRows(results, 'generate').at(-1)).toMatchObject({ dtype, adapter: String(adapter) })
  })
})

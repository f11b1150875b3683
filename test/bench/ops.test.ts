/** @file `npm run bench -- ops`: a case for every op of the engine, and the bytes and operations that it counts. */

import { describe, expect, test } from 'vitest'
import { loadAddon } from '../../src/tensor/addon.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

describe('bench ops', () => {
  const results = resultsFolder()

  test('measures every op that the engine has, in either dtype', async () => {
    const known = Object.keys(loadAddon().ops).sort()
    for (const dtype of ['float32', 'bfloat16']) {
      const quick = ['ops', '--at', 'tiny:2x17', '--rounds', '1', '--seconds', '0.001', '--dtype', dtype]
      const { code, lines, stderr } = await runBench(...quick, '--results', results)
      expect(code, stderr).toBe(0)
      expect(lines.map((line) => line.op).sort()).toEqual(known)
      for (const line of lines) {
        const rate = line.roof === 'read' ? line.gb_per_s : line.gflops
        expect(isSummary(rate) && isSummary(line.of_roof) && isSummary(line.microseconds), `${line.op}`).toBe(true)
      }
      const bytes = new Map(lines.map((line) => [line.op, line.bytes]))
      const size = dtype === 'float32' ? 4 : 2
      // 34 tokens of 64: two in, one out; and 7 projections of two layers with r 16, each value read, moments and
      // master written too.
      expect(bytes.get('add')).toBe(3 * 34 * 64 * size)
      const values = 2 * 16 * (2 * 128 + 2 * 96 + 3 * 192)
      expect(bytes.get('adamw')).toBe(values * (4 + 3 * 8 + 2 * size) + 4 * 29)
    }
    expect(readRows(results, 'ops')).toHaveLength(2 * known.length)
  })

  test.each([
    ['tiny:1x0', 'expected SHAPE:BxT such as smollm2-135m:1x512 for --at, got tiny:1x0'],
    ['huge:1x1', 'got huge:1x1; shapes are smollm2-135m'],
  ])('refuses --at %s', async (at, message) => {
    const { code, stderr } = await runBench('ops', '--at', at)
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })
})

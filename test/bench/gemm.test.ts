/** @file `npm run bench -- gemm`: each product once per dtype and direction, with the ceilings beside it. */

import { describe, expect, test } from 'vitest'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const QUICK = ['gemm', '--model-shape', 'tiny', '--rounds', '2', '--seconds', '0.002']

describe('bench gemm', () => {
  const results = resultsFolder()

  test('measures forward and dX in float32, bfloat16 and NF4, with sizes from the model', async () => {
    const { code, lines, stderr } = await runBench(...QUICK, '--product', 'qkv,down', '--m', '33', '--results', results)
    expect(code, stderr).toBe(0)
    // Two products, two directions, three dtypes.
    expect(
      lines.map((line) => `${line.product} ${line.direction} ${line.m} ${line.k} ${line.n} ${line.dtype}`),
    ).toEqual(
      ['qkv forward 33 64 128', 'qkv dx 33 64 128', 'down forward 33 128 64', 'down dx 33 128 64'].flatMap((work) =>
        ['float32', 'bfloat16', 'nf4'].map((dtype) => `${work} ${dtype}`),
      ),
    )
    for (const line of lines) {
      for (const name of ['gflops', 'of_fma', 'fma_gflops']) expect(isSummary(line[name]), name).toBe(true)
      expect('of_bfloat16' in line).toBe(line.dtype === 'nf4')
    }
    expect(readRows(results, 'gemm').map((row) => row.dtype)).toEqual(lines.map((line) => line.dtype))
    expect(stderr).toMatch(/tiny qkv forward +33 +nf4 /)
  })

  test('bench gemm measures in the CPU time of one thread', async () => {
    const { lines } = await runBench(
      ...QUICK,
      '--product',
      'o',
      '--m',
      '5',
      '--dtype',
      'float32',
      '--threads',
      '1',
      '--clock',
      'cpu',
      '--no-save',
    )
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatchObject({ clock: 'cpu', threads: 1 })
    expect(isSummary(lines[0]?.gflops)).toBe(true)
    const refused = await runBench(...QUICK, '--clock', 'cpu', '--threads', '2')
    expect(refused.stderr).toContain('expected --threads 1 with --clock cpu')
    expect(refused.code).toBe(2)
  })
})

/** @file `npm run bench -- step`: what it measures and writes. How fast anything is, no test can say. */

import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const TINY = ['step', '--model-shape', 'tiny', '--seq', '33', '--warmup', '1', '--steps', '3']

describe('bench step', () => {
  const results = resultsFolder()

  test('prints a JSON line, a table, and appends a row with commit and machine', async () => {
    const { code, lines, stderr } = await runBench(
      ...TINY,
      '--dtype',
      'float32',
      '--threads',
      '1',
      '--results',
      results,
    )
    expect(code, stderr).toBe(0)
    expect(lines).toHaveLength(1)
    const [line] = lines as [Record<string, number>]
    expect(line).toMatchObject({
      bench: 'step',
      model_shape: 'tiny',
      method: 'lora',
      dtype: 'float32',
      batch: 1,
      seq: 33,
    })
    for (const name of ['tokens_per_s', 'forward_s', 'backward_s', 'optimizer_s'])
      expect(isSummary(line[name]), name).toBe(true)
    // Fresh weights know nothing: the loss of the first step is that of guessing among 512 ids, give or take the noise
    // of small logits.
    const losses = line.losses as unknown as number[]
    expect(losses).toHaveLength(4)
    expect(Math.abs((losses[0] as number) - Math.log(512))).toBeLessThan(0.2)
    expect(line.trainable_params).toBe(32768)
    expect(line.peak_rss_mib).toBeGreaterThan(30)
    expect(stderr).toContain('tiny lora float32 1 x 33')

    const [row] = readRows(results, 'step')
    expect(row).toMatchObject({ model_shape: 'tiny', dtype: 'float32', threads: '1', seq: '33' })
    expect(row?.date).toMatch(/^\d{4}-\d\d-\d\d$/)
    expect(row?.machine).toMatch(/^\d+ x .+; (generic|avx2|avx512|avx512bf16|amx); \d+ GiB$/)
    expect(row?.versions).toMatch(/^lowrank \d+\.\d+\.\d+; node \d+/)
    expect(Number(row?.tokens_per_s_median)).toBe((line.tokens_per_s as unknown as { median: number }).median)
  })

  test('QLoRA holds the base in NF4', async () => {
    const { lines, code } = await runBench(...TINY, '--method', 'qlora', '--no-save', '--quiet')
    expect(code).toBe(0)
    const [line] = lines as [Record<string, number>]
    expect(line).toMatchObject({ method: 'qlora', dtype: 'bfloat16', trainable_params: 32768 })
    expect(Math.abs((line.losses as unknown as number[])[0]! - Math.log(512))).toBeLessThan(0.2)
  })

  test('--profile tells the seconds of each op per step, longest first, outside of the CSV file', async () => {
    const folder = join(results, 'profile')
    const { lines, stderr, code } = await runBench(...TINY, '--profile', '--results', folder)
    expect(code).toBe(0)
    const seconds = lines[0]?.op_seconds as unknown as Record<string, number>
    expect(Object.keys(seconds)).toEqual(
      expect.arrayContaining(['linear', 'linearBackward', 'attention', 'linearCrossEntropy', 'adamw']),
    )
    const values = Object.values(seconds)
    expect(values).toEqual([...values].sort((a, b) => b - a))
    const step = lines[0]?.tokens_per_s as unknown as { min: number }
    expect(values.reduce((sum, value) => sum + value, 0)).toBeLessThan(33 / step.min)
    expect(stderr).toContain('seconds of ops')
    expect(Object.keys(readRows(folder, 'step')[0] as object).filter((name) => name.startsWith('op_'))).toEqual([])
  })

  test('the second run appends to the same file; a share of labels changes the work, not the shape of the line', async () => {
    const { lines, code } = await runBench(
      ...TINY,
      '--labelled',
      '0.25',
      '--batch',
      '2',
      '--results',
      results,
      '--quiet',
    )
    expect(code).toBe(0)
    expect(lines[0]).toMatchObject({ labelled: 0.25, batch: 2, dtype: 'bfloat16' })
    const rows = readRows(results, 'step')
    expect(rows.map((row) => row.labelled)).toEqual(['1', '0.25'])
    expect(Object.keys(rows[1] as object)).toEqual(Object.keys(rows[0] as object))
  })
})

/** @file `--device` of the measurements, on the emulated GPU: what the lines hold there. */

import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const results = resultsFolder()
const ON_GPU = ['--device', 'cuda-emulator', '--results', results]

beforeAll(() => {
  vi.stubEnv('LOWRANK_ADDON', fileURLToPath(new URL('../../build/Release/lowrank-emulator.node', import.meta.url)))
})
afterAll(() => void vi.unstubAllEnvs())

test('step trains there, and the row says so', async () => {
  const work = '--model-shape tiny --method qlora --gradient-checkpointing --seq 9 --warmup 1 --steps 1'.split(' ')
  const { code, lines, stderr } = await runBench('step', ...work, ...ON_GPU)
  expect(code, stderr).toBe(0)
  expect(lines).toMatchObject([
    { device: 'cuda-emulator', gpu: 'cuda-emulator', method: 'qlora', gradient_checkpointing: true },
  ])
  // A fresh model guesses among 512 ids, give or take the noise of small logits.
  const [loss] = (lines[0] as { losses: [number] }).losses
  expect(Math.abs(loss - Math.log(512))).toBeLessThan(0.2)
  expect(lines[0]?.peak_tensor_mib).toBeGreaterThanOrEqual(0)
  expect(lines[0]).not.toHaveProperty('isa')
  expect(readRows(results, 'step')).toMatchObject([{ device: 'cuda-emulator', gpu: 'cuda-emulator' }])
})

test('gemm leaves out the ceilings of the CPU', async () => {
  const work = '--model-shape tiny --product o --m 5 --rounds 1 --seconds 0.001'.split(' ')
  const { code, lines, stderr } = await runBench('gemm', ...work, ...ON_GPU)
  expect(code, stderr).toBe(0)
  expect(lines.map(({ direction, dtype }) => `${direction} ${dtype}`)).toEqual(
    ['forward', 'dx'].flatMap((direction) => ['float32', 'bfloat16', 'nf4'].map((dtype) => `${direction} ${dtype}`)),
  )
  for (const line of lines) {
    expect(isSummary(line.gflops)).toBe(true)
    for (const name of ['of_fma', 'fma_gflops', 'of_vdpbf16ps']) expect(line).not.toHaveProperty(name)
  }
  const refused = await runBench('gemm', '--device', 'cuda-emulator', '--clock', 'cpu', '--threads', '1')
  expect(refused.stderr).toContain('expected --clock wall on a GPU')
  expect(refused.code).toBe(2)
})

test('generate decodes there', async () => {
  const work = '--model-shape tiny --prompt 5 --tokens 2 --rounds 1'.split(' ')
  const { code, lines, stderr } = await runBench('generate', ...work, ...ON_GPU)
  expect(code, stderr).toBe(0)
  expect(lines).toMatchObject([{ device: 'cuda-emulator', dtype: 'bfloat16' }])
  for (const name of ['prefill_tokens_per_s', 'decode_tokens_per_s'])
    expect(isSummary(lines[0]?.[name]), name).toBe(true)
  expect(lines[0]).not.toHaveProperty('of_bandwidth')
})

test('a name that is none is refused', async () => {
  const { code, stderr } = await runBench('step', '--device', 'gpu')
  expect(stderr).toContain("expected 'cpu', 'cuda', 'cuda:N' or 'auto' for --device, got gpu")
  expect(code).toBe(2)
})

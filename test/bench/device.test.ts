/** @file `--device` of the measurements, on the emulated GPU: what the lines hold there. */

import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

const results = resultsFolder()
const ON_GPU = ['--device', 'cuda-emulator', '--results', results]

beforeEach(() => {
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

test('step --profile lets the device time its ops, and nothing else does', async () => {
  vi.stubEnv('LOWRANK_ADDON', fileURLToPath(new URL('cuda-addon.cjs', import.meta.url)))
  const work = '--model-shape tiny --seq 9 --warmup 1 --steps 1 --device cuda:1 --no-save'.split(' ')
  const { code, lines, stderr } = await runBench('step', ...work, '--profile')
  expect(code, stderr).toBe(0)
  expect(stderr).toContain('timeOps')
  const seconds = lines[0]?.op_seconds as Record<string, number>
  for (const op of ['linear', 'linearBackward', 'attention', 'linearCrossEntropy', 'adamw'])
    expect(seconds[op], op).toBeGreaterThan(0)
  const plain = await runBench('step', ...work)
  expect(plain.code, plain.stderr).toBe(0)
  expect(plain.stderr).not.toContain('timeOps')
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
  expect(stderr).not.toContain('cuBLASLt')
  const refused = await runBench('gemm', '--device', 'cuda-emulator', '--clock', 'cpu', '--threads', '1')
  expect(refused.stderr).toContain('expected --clock wall on a GPU')
  expect(refused.code).toBe(2)
})

test('gemm on CUDA measures cuBLASLt beside, and says once why not', async () => {
  vi.stubEnv('LOWRANK_ADDON', fileURLToPath(new URL('cuda-addon.cjs', import.meta.url)))
  const work = '--model-shape tiny --product qkv --m 5 --rounds 2 --seconds 0.001'.split(' ')
  const { code, lines, stderr } = await runBench('gemm', ...work, '--device', 'cuda:1', '--cublaslt', 'x', '--no-save')
  expect(code, stderr).toBe(0)
  for (const line of lines) {
    const has = line.dtype !== 'float32'
    expect(['cublaslt_gflops', 'of_cublaslt', 'cublaslt_version'].map((name) => name in line)).toEqual([has, has, has])
    if (!has) continue
    // 2 x 5 x 64 x 128 operations in a microsecond.
    expect(line).toMatchObject({ cublaslt_version: '13.1.2', cublaslt_gflops: { min: 81.92, max: 81.92 } })
    const [ours, share] = [line.gflops, line.of_cublaslt].map((figure) => (figure as { median: number }).median)
    expect(Math.abs(Number(share) / (Number(ours) / 81.92) - 1)).toBeLessThan(1e-3)
  }
  // q, k and v are one product to it; NF4 shares that of bfloat16.
  const made = (direction: string) =>
    `made {"dtype":"bfloat16","direction":"${direction}","m":5,"k":64,"n":128,"ordinal":1,"library":"x"}`
  const said = stderr.split('\n').filter((line) => /^made|^closed|no memory/.test(line))
  expect(said).toEqual([
    'bench gemm: without cuBLASLt: [cublaslt] no memory',
    ...[made('forward'), 'closed', made('dx'), 'closed'],
  ])
  expect(stderr).toMatch(/of cuBLASLt\n/)
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

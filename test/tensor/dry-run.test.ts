/** @file Dry runs: the memory of a real run to the byte, without its work. */

import { describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { RawConfig } from '../../src/architecture/config.js'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad } from '../../src/autograd/tape.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { collate } from '../../src/data/batches.js'
import { attention } from '../../src/ops/attention.js'
import { linear } from '../../src/ops/linear.js'
import { sampleRows_, writeSamplingRow } from '../../src/ops/sample.js'
import { withSumOrder } from '../../src/ops/sum-order.js'
import { topLogProbs } from '../../src/ops/top-log-probs.js'
import type { MemoryInfo } from '../../src/tensor/addon.js'
import { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { AdamW } from '../../src/train/adamw.js'
import { GAP_BYTES } from '../native/raw.js'
import { randomExamples, TINY_CONFIG, TINY_GPT2_CONFIG } from '../support/tiny-model.js'

/** Memory after loading, after the forward pass of a second step, and at its end. */
async function trainTwoSteps(
  config: RawConfig,
  dtype: 'float32' | 'bfloat16',
  gradientCheckpointing: boolean,
  dryRun: boolean,
): Promise<MemoryInfo[]> {
  const device = Device.open('cpu', { dryRun, memoryBudget: 2 ** 30, threads: 2 })
  const model = createModel(config, { device, dtype }).train()
  const adapter = LoraAdapter.create(model, { r: 3, loraDropout: 0.1 })
  const optimizer = new AdamW(adapter.parameters())
  model.gradientCheckpointing = gradientCheckpointing
  const stages: MemoryInfo[] = []
  const look = async () => {
    await device.sync()
    stages.push(device.memory())
  }
  await look()
  for (let step = 0; step < 2; step++) {
    const { loss } = model.forwardRagged(collate(randomExamples([33, 1, 70], 512)))
    await look()
    loss.backward()
    loss.dispose()
    optimizer.step({ maxGradNorm: 1 })
    optimizer.zeroGrad()
    await look()
  }
  device.close()
  return stages
}

describe.each([
  ['llama', TINY_CONFIG],
  ['gpt2', TINY_GPT2_CONFIG],
] as const)('%s', (_name, config) => {
  test.each([
    ['float32', false],
    ['float32', true],
    ['bfloat16', false],
    ['bfloat16', true],
  ] as const)(
    'a dry run in %s with gradient checkpointing %s takes the same bytes at every stage',
    async (dtype, checkpointing) => {
      const real = await trainTwoSteps(config, dtype, checkpointing, false)
      expect(await trainTwoSteps(config, dtype, checkpointing, true)).toEqual(real)
      expect(real[4]?.peak).toBeGreaterThan(real[0]?.live as number)
    },
  )
})

test('a dry run takes more than the budget and than the machine, and hardly any memory', async () => {
  const device = Device.open('cpu', { dryRun: true, memoryBudget: 1000 })
  const before = process.memoryUsage().rss
  const TERABYTE = 2 ** 40
  const tensor = Tensor.full(device, [2 ** 20, 2 ** 20], 'uint8', 3)
  await device.sync()
  expect(device.memory()).toEqual({
    live: TERABYTE,
    peak: TERABYTE,
    touched: TERABYTE,
    reserved: TERABYTE + (GAP_BYTES > 0 ? 2 ** 21 : 0),
    budget: 1000,
    hostLive: 0,
  })
  expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 26)
  tensor.dispose()
  device.close()
})

test('a dry run has the integers that kernels look at, and refuses those that are wrong', async () => {
  const device = Device.open('cpu', { dryRun: true })
  const ids = Tensor.from(device, Int32Array.of(4, 0, 7), [3])
  expect(await ids.readInt32()).toEqual(Int32Array.of(4, 0, 7))
  const y = Tensor.empty(device, [3, 5], 'float32')
  device.enqueue('embedding', { ids, weight: Tensor.full(device, [7, 5], 'float32', 0), y })
  await expect(device.sync()).rejects.toThrow(
    '[embedding] expected ids in [0, 7), the rows of weight, got 7 at position 2',
  )
  device.close()
})

test('a dry run reads no file', async () => {
  const device = Device.open('cpu', { dryRun: true })
  const weight = Tensor.empty(device, [64, 33], 'bfloat16')
  device.loadFile(weight, '/nowhere/model.safetensors', 0, 'float32')
  await device.sync()
  // The weight and, for the time of the conversion, what is read; 64-byte blocks.
  expect(device.memory()).toMatchObject({ live: 64 * 33 * 2, peak: 64 * 33 * (2 + 4) })
  device.close()
})

test('a step of serving takes the same bytes in a dry run', async () => {
  const step = async (dryRun: boolean): Promise<MemoryInfo> => {
    const device = Device.open('cpu', { dryRun, memoryBudget: 2 ** 28, threads: 2 })
    const random = (rows: number, cols: number) => Tensor.full(device, [rows, cols], 'float32', 0.5)
    const integers = (values: readonly number[], shape: readonly number[] = [values.length]) =>
      Tensor.from(device, values, shape, 'int32')
    const y = noGrad(() =>
      attention(random(73, 64), random(384, 32), random(384, 32), {
        headDim: 16,
        cuSeqlensQ: integers([0, 1, 71, 73]),
        blockTable: integers([5, 2, 0, 3, 1, 4], [3, 2]),
        blockSize: 64,
        seqUsedK: integers([128, 70, 99]),
      }),
    )
    const parameter = (rows: number, cols: number) => {
      const made = new Parameter('w', [rows, cols], device, 'float32')
      device.enqueue('fill', { y: made.value, value: 0.1 })
      return made
    }
    const pair = { a: parameter(4, 64), b: parameter(501, 4), scale: 1, dropout: 0, dropoutStream: 0 }
    const pairs = [0, 1].map((i) => ({ ...pair, rows: integers([i, 40 * i + 1]) }))
    const part = { weight: parameter(501, 64), inOut: false, pairs }
    const logits = withSumOrder('few', () => noGrad(() => linear(y, [part])))
    const ids = Tensor.empty(device, [73], 'int32')
    const [options, numbers] = [new Float32Array(4 * 73), new Int32Array(4 * 73)]
    for (let row = 0; row < 73; row++) writeSamplingRow(options, numbers, row, undefined, false)
    sampleRows_({
      logits,
      steps: integers(Array(73).fill(0)),
      options: Tensor.from(device, options, [73, 4]),
      integers: Tensor.from(device, numbers, [73, 4]),
      ids,
    })
    topLogProbs(logits, integers(Array(73).fill(0)), 20)
    await device.sync()
    const memory = device.memory()
    device.close()
    return memory
  }
  expect(await step(true)).toEqual(await step(false))
})

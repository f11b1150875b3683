/** @file Dry runs: the memory of a real run to the byte, without its work. */

import { describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { RawConfig } from '../../src/architecture/config.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { collate } from '../../src/data/batches.js'
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

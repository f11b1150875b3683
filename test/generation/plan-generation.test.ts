/** @file planGeneration: the memory of real answers, to the byte. */

import { describe, expect, test } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { planGeneration } from '../../src/generation/plan-generation.js'
import type { GenerationPlanOptions } from '../../src/generation/plan-options.js'
import { Device } from '../../src/tensor/device.js'
import { rejection, TINY_CONFIG, TINY_GPT2_CONFIG } from '../support/tiny-model.js'

describe('planGeneration', () => {
  test.each<[string, GenerationPlanOptions]>([
    ['one prompt', { model: TINY_CONFIG, dtype: 'float32', promptTokens: 70, maxNewTokens: 30 }],
    ['a cache that grows', { model: TINY_CONFIG, dtype: 'bfloat16', promptTokens: 200, maxNewTokens: 120 }],
    ['float16', { model: TINY_CONFIG, dtype: 'float16', promptTokens: 40, maxNewTokens: 12 }],
    [
      'several prompts on NF4',
      { model: TINY_CONFIG, quantization: 'nf4', batchSize: 3, promptTokens: 33, maxNewTokens: 9 },
    ],
    ['gpt2', { model: TINY_GPT2_CONFIG, dtype: 'float32', batchSize: 2, promptTokens: 17, maxNewTokens: 5 }],
  ])('%s takes what was planned', async (_, options) => {
    const plan = await planGeneration(options)
    const device = Device.open()
    const { batchSize, promptTokens, maxNewTokens, dtype, quantization } = plan
    const model = createModel(options.model as RawConfig, { device, dtype, quantization })
    await device.sync()
    expect(device.memory().live).toBe(plan.tensors.weights)
    device.resetPeak()
    const prompts = Array.from({ length: batchSize }, () => new Array<number>(promptTokens).fill(1))
    await model.generate(prompts, { maxNewTokens, eosTokenId: [], temperature: 1 })
    await device.sync()
    expect(device.memory().peak).toBe(plan.peakTensors)
    const { weights, kvCache, activations } = plan.tensors
    expect(weights + kvCache + activations).toBe(plan.peakTensors)
    expect(activations).toBeGreaterThan(0)
    device.close()
  })

  test('keys and values are counted for all tokens of all sequences', async () => {
    const plan = await planGeneration({
      model: TINY_CONFIG,
      dtype: 'float32',
      batchSize: 3,
      promptTokens: 20,
      maxNewTokens: 5,
    })
    // 2 layers, k and v, 2 key heads of 12, 25 tokens of 3 sequences, 4 bytes.
    expect(plan.tensors.kvCache).toBe(2 * 2 * 24 * 75 * 4)
    expect(plan.fits).toBe(true)
    expect((await planGeneration({ model: TINY_CONFIG }, { memory: 10 * 2 ** 20 })).fits).toBe(false)
  })

  test.each<[Partial<GenerationPlanOptions>, string]>([
    [{ batchSize: 0 }, '[planGeneration] expected a whole number of at least 1 for batchSize, got 0'],
    [
      { dtype: 'int8' as 'float16' },
      "[planGeneration] expected 'float32', 'bfloat16' or 'float16' for dtype, got \"int8\"",
    ],
    [{ maxNewTokens: 1.5 }, '[planGeneration] expected a whole number of at least 1 for maxNewTokens, got 1.5'],
    [{ promptToken: 3 } as object, '[planGeneration] unknown option "promptToken"; did you mean "promptTokens"?'],
  ])('%o is an error', async (options, message) => {
    expect(await rejection(planGeneration({ model: TINY_CONFIG, ...options }))).toContain(message)
  })

  test('more positions than gpt2 has are an error', async () => {
    expect(await rejection(planGeneration({ model: TINY_GPT2_CONFIG, promptTokens: 500, maxNewTokens: 50 }))).toContain(
      '[gpt2] expected at most 512 tokens in a sequence',
    )
  })
})

/** @file Gradient checkpointing: the same bits, dropout included, for less memory. */

import { describe, expect, it } from 'vitest'
import type { RawConfig } from '../../src/architecture/config.js'
import type { GradientCheckpointing } from '../../src/autograd/gradient-checkpointing.js'
import type { TrainingBatch } from '../../src/data/batches.js'
import { collate } from '../../src/data/batches.js'
import { AdamW } from '../../src/train/adamw.js'
import {
  randomExamples,
  TINY_CONFIG,
  TINY_GPT2_CONFIG,
  TINY_QWEN3_CONFIG,
  tinyAdapter,
  tinyModel,
} from '../support/tiny-model.js'

/** Trains some steps with dropout; the bytes of losses and weights, and the peak of memory over what stays. */
async function train(
  config: RawConfig,
  batch: TrainingBatch,
  steps: number,
  gradientCheckpointing: GradientCheckpointing,
) {
  const model = await tinyModel({ config })
  const adapter = tinyAdapter(model, { loraDropout: 0.05, targetModules: 'all-linear' })
  const optimizer = new AdamW(adapter.parameters(), { lr: 1e-2 })
  model.train()
  model.gradientCheckpointing = gradientCheckpointing
  await model.device.sync()
  const { live } = model.device.memory()
  model.device.resetPeak()
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const { loss } = model.forwardRagged(batch)
    loss.backward()
    losses.push((await loss.read())[0] as number)
    optimizer.step({ maxGradNorm: 1 })
    optimizer.zeroGrad()
    loss.dispose()
  }
  const weights: string[] = []
  for (const parameter of adapter.parameters().values()) {
    weights.push(Buffer.from((await parameter.read()).buffer).toString('hex'))
  }
  const { peak } = model.device.memory()
  model.device.close()
  return { losses, weights, peak, activations: peak - live }
}

describe.each([
  ['llama', TINY_CONFIG],
  ['gpt2', TINY_GPT2_CONFIG],
  ['qwen3', TINY_QWEN3_CONFIG],
  ['dynamic rope', { ...TINY_CONFIG, max_position_embeddings: 32, rope_scaling: { type: 'dynamic', factor: 2 } }],
])('%s', (_name, config) => {
  it('trains the same bits with dropout, whether layers are kept or computed again', async () => {
    const batch = collate(randomExamples([31, 2, 17, 64, 5], 512))
    const kept = await train(config, batch, 3, false)
    for (const gradientCheckpointing of [true, 'full'] as const) {
      const again = await train(config, batch, 3, gradientCheckpointing)
      expect(again.losses).toEqual(kept.losses)
      expect(again.weights).toEqual(kept.weights)
    }
    expect(new Set(kept.losses).size).toBe(3)
  })
})

it.each([true, 'full'] as const)(
  'recomputes with %s what it says, and never the last projection or sum of a layer',
  async (how) => {
    const model = await tinyModel()
    const adapter = tinyAdapter(model)
    model.gradientCheckpointing = how
    const calls = new Map<string, number>()
    const enqueue = model.device.enqueue.bind(model.device)
    model.device.enqueue = (op, args) => {
      calls.set(op, (calls.get(op) ?? 0) + 1)
      enqueue(op, args)
    }
    const { loss } = model.train().forwardRagged(collate(randomExamples([5, 9], 512)))
    const forward = new Map(calls)
    calls.clear()
    loss.backward()
    expect([...forward].filter(([op]) => ['attention', 'linear', 'swiglu'].includes(op))).toEqual([
      ['linear', 2 * 4],
      ['attention', 2],
      ['swiglu', 2],
    ])
    // The second run repeats q/k/v, o and gate/up; swiglu once, kept until the block's own backward is done.
    expect(calls.get('attention')).toBe(how === 'full' ? 2 : undefined)
    expect(calls.get('linear')).toBe(2 * 3)
    expect(calls.get('swiglu')).toBe(2)
    // The two gradients that meet at the second layer's input; the first layer's needs none.
    expect(calls.get('add')).toBe(1)
    adapter.dispose()
    model.device.close()
  },
)

it('lowers the peak of memory at batch 4 x 512 by at least 30 %', async () => {
  const config = {
    ...TINY_CONFIG,
    hidden_size: 256,
    intermediate_size: 688,
    num_hidden_layers: 6,
    num_attention_heads: 4,
    vocab_size: 512,
  }
  const batch = collate(randomExamples([512, 512, 512, 512], 512))
  const kept = await train(config, batch, 1, false)
  const again = await train(config, batch, 1, true)
  expect(again.losses).toEqual(kept.losses)
  // The peak counts everything that is live, weights and optimizer included.
  expect(again.peak / kept.peak).toBeLessThan(0.7)
  const full = await train(config, batch, 1, 'full')
  expect(full.losses).toEqual(kept.losses)
  // At the peak attention's results of all layers but the one that runs are no longer there: 2048 tokens of 256 floats
  // and 4 sums each.
  const attended = 2048 * (256 + 4) * 4
  expect(again.peak - full.peak).toBeGreaterThan(4.9 * attended)
  expect(again.peak - full.peak).toBeLessThan(6.1 * attended)
})

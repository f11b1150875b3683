/** @file How rows are put into batches changes no result: packed or not, accumulated or in one batch. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import type { BatchOptions } from '../../src/data/batches.js'
import { withWeights } from '../../src/data/token-weights.js'
import { AdamW } from '../../src/train/adamw.js'
import { batchPlan } from '../support/batch-plan.js'
import { relativeDifference } from '../support/golden.js'
import { randomExamples, readGradients, TINY_CONFIG, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { windowsOf } from '../support/windows.js'

// Sums of the same float32 terms in another order.
const SAME_SUM = 1e-6

let model: CausalLM
let adapter: LoraAdapter

beforeAll(async () => {
  model = await tinyModel()
  adapter = tinyAdapter(model)
})

afterAll(() => model.device.close())

const examples = (count: number, longest: number) =>
  randomExamples(
    Array.from({ length: count }, (_, row) => 2 + ((row * 7) % (longest - 1))),
    Number(TINY_CONFIG.vocab_size),
  )

/** The same, every token of two rows in three with a weight of its own. */
const weightedExamples = (count: number, longest: number) =>
  examples(count, longest).map((example, row) =>
    row % 3 === 0
      ? example
      : withWeights(example, {
          ranges: [{ start: 0, end: longest }],
          tokens: Array.from(example.inputIds, (_, at) => ((3 * row + at) % 7) / 4),
        }),
  )

/** Loss and gradients of the first window of a plan. */
async function firstWindow(rows: ReturnType<typeof examples>, options: Partial<BatchOptions>) {
  const window = batchPlan(rows, options).window({ epoch: 0, index: 0 })
  for (const parameter of adapter.parameters().values()) parameter.zeroGrad()
  let sum = 0
  for (const batch of window.batches()) {
    const { loss } = model.forwardRagged(batch, window.weight)
    loss.backward()
    sum += (await loss.read())[0] as number
  }
  return { loss: sum, gradients: await readGradients(adapter), window }
}

function expectSame(
  actual: Awaited<ReturnType<typeof firstWindow>>,
  expected: Awaited<ReturnType<typeof firstWindow>>,
) {
  expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(SAME_SUM)
  expect(actual.gradients.size).toBe(28)
  for (const [name, gradient] of actual.gradients) {
    const other = expected.gradients.get(name) as Float32Array
    expect(
      other.some((value) => value !== 0),
      name,
    ).toBe(true)
    expect(relativeDifference(gradient, other), name).toBeLessThan(SAME_SUM)
  }
}

describe('packing', () => {
  it.each(['bfd', 'sequential'] as const)(
    '%s gives the loss and the gradients of separate rows',
    async (packingStrategy) => {
      const rows = examples(23, 31)
      const separate = await firstWindow(rows, { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 23 })
      const packed = await firstWindow(rows, {
        perDeviceTrainBatchSize: 1,
        gradientAccumulationSteps: 23,
        packing: true,
        packingStrategy,
        maxLength: 64,
      })
      expect(separate.window.numBatches).toBe(23)
      expect(packed.window.numBatches).toBeLessThan(9)
      expect(packed.window.numItems).toBe(23)
      expectSame(packed, separate)
    },
  )

  it('puts 64 short rows into at most a quarter of the tokens that padding takes, and computes no padding', () => {
    const rows = examples(64, 29)
    const maxLength = 64
    const plan = batchPlan(rows, { packing: true, maxLength, gradientAccumulationSteps: 64 })
    expect(plan.numBatches() * maxLength).toBeLessThanOrEqual((64 * maxLength) / 4)
    const batches = [...plan.window({ epoch: 0, index: 0 }).batches()]
    const computed = batches.reduce((sum, batch) => sum + batch.inputIds.length, 0)
    expect(computed).toBe(rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0))
  })
})

it.each(['bfd', 'sequential'] as const)('%s packing of weighted rows gives their loss and gradients', async (name) => {
  const rows = weightedExamples(23, 31)
  const size = { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 23 }
  const separate = await firstWindow(rows, size)
  const packed = await firstWindow(rows, { ...size, packing: true, packingStrategy: name, maxLength: 64 })
  expect(separate.window.weight).not.toBe(rows.reduce((sum, { numSupervised }) => sum + numSupervised, 0))
  expect(packed.window.weight).toBeCloseTo(separate.window.weight, 9)
  expectSame(packed, separate)
})

it('4 batches of 4 weighted rows give the loss and the gradients of one of 16', async () => {
  const rows = weightedExamples(16, 17)
  expectSame(
    await firstWindow(rows, { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 4 }),
    await firstWindow(rows, { perDeviceTrainBatchSize: 16, gradientAccumulationSteps: 1 }),
  )
})

it('rows of which each token weighs 2 give the loss and the gradients of rows without weights', async () => {
  const rows = examples(7, 17)
  const twice = rows.map((row) => withWeights(row, { row: 2, ranges: [{ start: 0, end: 17 }] }))
  const size = { perDeviceTrainBatchSize: 7 }
  const [plain, doubled] = [await firstWindow(rows, size), await firstWindow(twice, size)]
  expect(doubled.window.weight).toBe(2 * plain.window.weight)
  expectSame(doubled, plain)
})

describe('batches by length', () => {
  it.each<[string, Partial<BatchOptions>]>([
    ['rows grouped by length', { groupByLength: true, perDeviceTrainBatchSize: 4 }],
    ['batches of 64 tokens', { maxTokensPerBatch: 64 }],
  ])('%s give the loss and the gradients of separate rows', async (_, options) => {
    const rows = examples(23, 31)
    const separate = await firstWindow(rows, { perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 23 })
    const together = await firstWindow(rows, { ...options, gradientAccumulationSteps: 23 })
    expect(together.window.numBatches).toBeLessThan(9)
    expect(together.window.numItems).toBe(23)
    expectSame(together, separate)
  })
})

describe('accumulation', () => {
  it('accumulation of 4 batches gives the loss and the gradients of one that is 4 times the size', async () => {
    const rows = examples(20, 17)
    expectSame(
      await firstWindow(rows, { perDeviceTrainBatchSize: 5, gradientAccumulationSteps: 4 }),
      await firstWindow(rows, { perDeviceTrainBatchSize: 20, gradientAccumulationSteps: 1 }),
    )
  })

  it('divides by the supervised tokens of the window where the last batch is small', async () => {
    const rows = examples(13, 17)
    const accumulated = await firstWindow(rows, { perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 5 })
    expect([...accumulated.window.batches()].map((batch) => batch.cuSeqlens.length - 1)).toEqual([4, 4, 4, 1])
    expectSame(accumulated, await firstWindow(rows, { perDeviceTrainBatchSize: 13 }))
  })

  it('trains the weights that large batches train, over epochs whose last window is small', async () => {
    const rows = examples(11, 17)
    const train = async (options: Partial<BatchOptions>) => {
      const fresh = await tinyModel()
      const trained = tinyAdapter(fresh)
      const optimizer = new AdamW(trained.parameters(), { lr: 1e-2, eps: 1e-3 })
      const losses: number[] = []
      for (const window of windowsOf(batchPlan(rows, options), undefined, 2)) {
        let sum = 0
        for (const batch of window.batches()) {
          const { loss } = fresh.forwardRagged(batch, window.weight)
          loss.backward()
          sum += (await loss.read())[0] as number
        }
        optimizer.step({ maxGradNorm: 1 })
        optimizer.zeroGrad()
        losses.push(sum)
      }
      const weights = new Map<string, Float32Array>()
      for (const [name, parameter] of trained.parameters()) weights.set(name, await parameter.read())
      fresh.device.close()
      return { losses, weights }
    }
    const accumulated = await train({ perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 4 })
    const large = await train({ perDeviceTrainBatchSize: 8 })
    expect(accumulated.losses).toHaveLength(4)
    accumulated.losses.forEach((loss, i) => {
      expect(Math.abs(loss / (large.losses[i] as number) - 1)).toBeLessThan(1e-5)
    })
    // Four steps apart: each step divides a difference of 1e-6 by a second moment that may be small.
    for (const [name, values] of accumulated.weights) {
      expect(relativeDifference(values, large.weights.get(name) as Float32Array), name).toBeLessThan(1e-5)
    }
  })
})

/** @file Numbers that fresh weights, views and plans are made from: what is out of range is refused by name. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { planGeneration } from '../../src/generation/plan-generation.js'
import { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { rejection, TINY_CONFIG } from '../support/tiny-model.js'

let device: Device
beforeAll(() => {
  device = Device.open()
})
afterAll(() => device.close())

describe.each<[unknown, string]>([
  [Number.NaN, 'NaN'],
  [-1, '-1'],
  [1.5, '1.5'],
  [2 ** 53, '9007199254740992'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  ['3', '"3"'],
  [5n, '5n'],
])('%s', (value, shown) => {
  test('is no seed', () => {
    expect(() => createModel(TINY_CONFIG, { device, seed: value as number })).toThrow(
      `[createModel] expected a whole number of at least 0 for seed, got ${shown}`,
    )
    const model = createModel(TINY_CONFIG, { device })
    expect(() => LoraAdapter.create(model, { r: 1 }, { seed: value as number })).toThrow(
      `[lora] expected a whole number of at least 0 for seed, got ${shown}`,
    )
    model.dispose()
  })

  test('is no end of a view', () => {
    const tensor = Tensor.full(device, [4, 6], 'float32', 0)
    expect(() => tensor.slice(0, value as number)).toThrow('[slice] expected a matrix and whole numbers 0 <= start')
    expect(() => tensor.columns(0, value as number)).toThrow('[columns] expected whole numbers 0 <= start <= end <= 6')
    tensor.dispose()
  })
})

test.each([Number.NaN, -1, 0, Number.POSITIVE_INFINITY, '8'])('%s is no limit of memory', async (memory) => {
  const plan = planGeneration({ model: TINY_CONFIG, promptTokens: 2, maxNewTokens: 1 }, { memory: memory as number })
  expect(await rejection(plan)).toContain('[planGeneration] expected a number above 0 for memory, got ')
})

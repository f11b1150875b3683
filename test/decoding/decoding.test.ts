/** @file Decoding of several sequences at a time: each as it would be alone, in caches that have to grow. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import type { Decoding } from '../../src/decoding/decoding.js'
import { argmax } from '../../src/ops/argmax.js'
import type { Device } from '../../src/tensor/device.js'
import { testDevices } from '../support/devices.js'
import { TINY_CONFIG, TINY_GPT2_CONFIG, TINY_QWEN3_CONFIG, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

/** Sequences grow beyond what rope leaves as it is; no prompt is that long. */
const DYNAMIC_CONFIG = {
  ...TINY_CONFIG,
  max_position_embeddings: 192,
  rope_scaling: { type: 'dynamic', factor: 4 },
}

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  const random = seededRandom(8)
  const ids = (count: number): number[] => Array.from({ length: count }, () => Math.floor((random() + 1) * 256))

  function start(model: CausalLM, prompts: readonly number[][], steps: number): Decoding {
    const longest = Math.max(...prompts.map(({ length }) => length))
    return model.decoding(
      prompts.map((prompt) => Int32Array.from(prompt)),
      longest + steps,
      argmax,
    )
  }

  /** The ids of `steps` steps, all queued at once. */
  async function run(decoding: Decoding, steps: number): Promise<number[][]> {
    const rows = await Promise.all(Array.from({ length: steps }, () => decoding.next()))
    decoding.dispose()
    return Array.from(rows[0] as Int32Array, (_, s) => rows.map((row) => row[s] as number))
  }

  test.each([
    ['llama', TINY_CONFIG],
    ['gpt2', TINY_GPT2_CONFIG],
    ['qwen3', TINY_QWEN3_CONFIG],
    ['dynamic rope', DYNAMIC_CONFIG],
  ])('%s: sequences of any lengths get the ids that they get alone, beyond the first cache', async (_, config) => {
    const model = await tinyModel({ config, device })
    const prompts = [ids(3), ids(190), ids(1), ids(64)]
    const steps = 150
    const together = await run(start(model, prompts, steps), steps)
    for (const [s, prompt] of prompts.entries()) {
      const [alone] = await run(start(model, [prompt], steps), steps)
      expect(together[s], `sequence ${s}`).toEqual(alone)
    }
    expect(new Set(together[0]).size).toBeGreaterThan(2)
    model.dispose()
  })

  test.each([170, 200])(
    'dynamic rope looks at the length of a sequence, not at the room in its cache: prompt of %d',
    async (length) => {
      const model = await tinyModel({ config: DYNAMIC_CONFIG, device })
      const prompt = ids(length)
      const steps = 60
      const exact = await run(start(model, [prompt], steps), steps)
      expect(await run(start(model, [prompt], 2000), steps)).toEqual(exact)
      expect(new Set(exact[0]).size).toBeGreaterThan(2)
      model.dispose()
    },
  )

  test('gives back all memory, with steps still queued', async () => {
    const model = await tinyModel({ device })
    await run(start(model, [ids(5)], 300), 300) // the table of rope for 305 positions stays
    await device.sync()
    const before = device.memory().live
    const decoding = start(model, [ids(5), ids(9)], 290)
    for (let step = 0; step < 280; step++) void decoding.next()
    decoding.dispose()
    await device.sync()
    expect(device.memory().live).toBe(before)
    model.dispose()
  })
})

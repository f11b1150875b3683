/**
 * @file The end of models and devices: what dispose() and close() give back, and who hears of what was still under way.
 */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { createModel } from '../../src/causal-lm/create-model.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { Device } from '../../src/tensor/device.js'
import { rejection, TINY_CONFIG, temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const directory = join(folder, 'model')
const unhandled: unknown[] = []
const note = (reason: unknown): void => void unhandled.push(reason)

beforeAll(async () => {
  process.on('unhandledRejection', note)
  await writeTinyModel(directory)
})
afterAll(() => process.off('unhandledRejection', note))

/** Long enough for a rejection that nobody owns to be told. */
async function expectAllOwned(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
}

describe('a device that is closed behind an answer', () => {
  const CLOSED = /expected an open device, got one that was closed/

  test('ends the answer with an error that says so', async () => {
    const model = createModel(TINY_CONFIG)
    const answer = rejection(model.generate([1, 2, 3], { maxNewTokens: 50 }))
    await new Promise((resolve) => setImmediate(resolve))
    model.device.close()
    expect(await answer).toMatch(CLOSED)
    await expectAllOwned()
  })

  test('a device that is closed behind an answer that failed for want of memory leaves no rejection without an owner', async () => {
    for (let turns = 0; turns < 6; turns++) {
      const device = Device.open('cpu', { memoryBudget: 800_000 })
      const model = createModel(TINY_CONFIG, { device })
      const prompts = Array.from({ length: 40 }, () => [1, 2, 3])
      const answer = rejection(model.generate(prompts, { maxNewTokens: 50 }))
      // Before the failure, behind it, and between.
      if (turns < 5) for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      else await answer
      device.close()
      expect(await answer).toMatch(/memory budget of 781.2 KiB|expected an open device/)
      await expectAllOwned()
    }
  })

  test('ends a stream that is left and one that is read on', async () => {
    const model = createModel(TINY_CONFIG)
    const left = model.stream([1], { maxNewTokens: 50 })
    const read = model.stream([2], { maxNewTokens: 50 })
    await left.next()
    await read.next()
    model.dispose()
    await left.return()
    // The step that was queued ahead still comes.
    const rest = async () => {
      for await (const id of read) expect(id).toBeLessThan(512)
    }
    expect(await rejection(rest())).toMatch(/expected an open device|expected a live model/)
    await expectAllOwned()
  })

  test('makes sync() and read() reject, not throw', async () => {
    const model = createModel(TINY_CONFIG)
    const [parameter] = model.parameters().values()
    const value = parameter?.value
    await model.device.sync()
    model.device.close()
    expect(await rejection(model.device.sync())).toMatch(CLOSED)
    expect(await rejection(value?.read() as Promise<unknown>)).toMatch(CLOSED)
    expect(await rejection(model.device.readBytes(value as never))).toMatch(CLOSED)
  })
})

describe('dispose', () => {
  test('closes the device that loadModel or createModel opened, at once, and twice does no harm', async () => {
    for (const make of [() => loadModel(directory), async () => createModel(TINY_CONFIG)]) {
      const model = await make()
      await model.device.sync()
      expect(model.device.memory().live).toBeGreaterThan(0)
      model.dispose()
      expect(model.device.memory()).toMatchObject({ live: 0, reserved: 0 })
      expect(await rejection(model.device.sync())).toMatch('expected an open device')
      model.dispose()
      model.device.close()
    }
  })

  test('leaves a device open that was given, with all that others have there', async () => {
    const device = Device.open('cpu')
    const models = [await loadModel(directory, { device }), createModel(TINY_CONFIG, { device })]
    const adapter = LoraAdapter.create(models[0] as never, { r: 2 })
    for (const model of models) model.dispose()
    await device.sync()
    expect(device.holders().own).toMatch(/^adapters \d+\.\d KiB$/)
    adapter.dispose()
    await device.sync()
    expect(device.memory().live).toBe(0)
    device.close()
  })

  test('makes the model refuse by name whatever it is asked for then', async () => {
    const device = Device.open('cpu')
    const model = await loadModel(directory, { device })
    model.dispose()
    expect(() => model.forward({ inputIds: [[1, 2]] })).toThrow(
      `[forward] expected a live model, got ${directory}, which was disposed; load it again`,
    )
    expect(await rejection(model.generate([1]))).toMatch('[generate] expected a live model')
    expect(await rejection(model.stream([1]).next())).toMatch('[generate] expected a live model')
    device.close()
  })

  test('dispose of what failed to load leaves no device behind', async () => {
    const device = Device.open('cpu', { memoryBudget: 100_000 })
    expect(await rejection(loadModel(directory, { device }))).toMatch('the weights of')
    expect(() => createModel({ ...TINY_CONFIG, vocab_size: -1 })).toThrow('vocab_size')
    await device.sync()
    expect(device.memory().live).toBe(0)
    device.close()
  })
})

test('the error of a full budget says which models, adapters and caches hold it', async () => {
  const device = Device.open('cpu', { memoryBudget: 1_300_000 })
  const model = await loadModel(directory, { device })
  LoraAdapter.create(model, { r: 8 })
  const [text] = await Promise.all([
    rejection(
      model.generate(
        Array.from({ length: 64 }, () => [1, 2, 3]),
        { maxNewTokens: 60 },
      ),
    ),
  ])
  expect(text).toMatch(/are live \(/)
  expect(text).toContain(`weights of ${directory} `)
  expect(text).toMatch(/adapters \d/)
  expect(text).toMatch(/key\/value cache \d/)
  device.close()
})

/** @file Handles that nobody disposes: collected, their memory comes back, and V8 knows of it early enough. */

import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { add } from '../../src/ops/add.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { testDevices } from '../support/devices.js'

const MIB = 2 ** 20

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  test('a plain loop that never disposes stays small while 1.5 GiB pass through it', async () => {
    const device = open()
    let largest = 0
    const bytes = 16 * MIB
    for (let i = 0; i < 96; i++) {
      const tensor = Tensor.full(device, [bytes / 4], 'float32', i)
      const [first] = await tensor.columns(0, 1).read()
      expect(first).toBe(i)
      largest = Math.max(largest, device.memory().live)
    }
    // V8 collects when external memory has grown by some tens of MiB; a leak would be three times as much.
    expect(largest).toBeLessThan(512 * MIB)
    device.close()
  })

  test('collected tensors, views and graphs free all that they held', async () => {
    const device = open()
    await fillAndForget(device)
    const collect = exposedGc()
    // Finalizers run in turns of the event loop after a collection, and one may keep another alive for a round.
    for (let round = 0; round < 50 && device.memory().live > 0; round++) {
      collect()
      await wait(10)
      await device.sync()
    }
    expect(device.memory().live).toBe(0)
    device.close()
  })
})

/** In a function of its own, so that nothing stays on the stack. */
async function fillAndForget(device: Device): Promise<void> {
  const x = Tensor.full(device, [64, 64], 'float32', 1)
  x.requiresGrad = true
  let y = add(x, x)
  for (let i = 0; i < 10; i++) y = add(y, x)
  x.columns(3, 9).slice(1, 4)
  expect((await y.read())[0]).toBe(12)
  expect(device.memory().live).toBeGreaterThan(0)
}

function exposedGc(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

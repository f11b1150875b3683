/** @file The check that results do not depend on the number of threads. */

import { expect } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import type { Tensor } from '../../src/tensor/tensor.js'
import type { TestDevice } from './devices.js'

/** `run` gives the same bytes with 1, 2 and 3 threads. */
export async function expectSameBitsOnAnyThreads(
  device: TestDevice,
  run: (device: Device) => readonly Tensor[],
): Promise<void> {
  let first: string[] | undefined
  for (const threads of [1, 2, 3]) {
    const stream = device.open({ threads })
    try {
      const bytes = await Promise.all(run(stream).map((tensor) => stream.readBytes(tensor)))
      const hex = bytes.map((part) => Buffer.from(part).toString('hex'))
      first ??= hex
      hex.forEach((part, i) => {
        expect(part === first?.[i], `output ${i} with ${threads} threads`).toBe(true)
      })
    } finally {
      stream.close()
    }
  }
}

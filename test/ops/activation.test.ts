/** @file swiglu and both forms of gelu, forward and backward, on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runBackward } from '../../src/autograd/tape.js'
import { add } from '../../src/ops/add.js'
import { swiglu as recordedSwiglu } from '../../src/ops/swiglu.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { gelu, geluSlope, swiglu, swigluBackward } from '../reference/activation.js'
import { at, map } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import {
  COMPUTE_DTYPES,
  expectClose,
  expectGapsUntouched,
  ONE_ROUNDING,
  operandMaker,
  output,
  readMatrix,
} from '../support/values.js'

/**
 * Rows, columns, and what gaps are multiplied by: 8 lets rows begin at multiples of 16 bytes, which GPU kernels read
 * whole.
 */
const SIZES = [
  [1, 1, 1],
  [5, 31, 1],
  [3, 32, 1],
  [7, 33, 1],
  [2, 1000, 1],
  [1, 20_001, 1],
  [5, 40, 8],
  [9, 1000, 8],
] as const

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  it.each(COMPUTE_DTYPES)('swiglu and its gradient hold in %s, also over the input', async (dtype) => {
    const make = operandMaker(device, dtype, 41)
    for (const [rows, width, step] of SIZES) {
      const x = make(rows, 2 * width, { gap: step, scale: 8 })
      const dy = make(rows, width, { gap: 2 * step })
      const y = output(device, rows, width, dtype, 3 * step)
      const dx = output(device, rows, 2 * width, dtype, step)
      device.enqueue('swiglu', { x: x.tensor, y })
      expectClose(await readMatrix(y), swiglu(x), ONE_ROUNDING[dtype])
      const gradient = swigluBackward(dy, x)
      device.enqueue('swigluBackward', { dy: dy.tensor, x: x.tensor, dx })
      expectClose(await readMatrix(dx), gradient, ONE_ROUNDING[dtype])
      await expectGapsUntouched(y)
      await expectGapsUntouched(dx)
      device.enqueue('swigluBackward', { dy: dy.tensor, x: x.tensor, dx: x.tensor })
      expectClose(await readMatrix(x.tensor), gradient, ONE_ROUNDING[dtype])
    }
  })

  it('the gradient takes the place of an input that nobody else holds, and of no other', async () => {
    // The test opens its own device: the collector may find tensors of other tests at any time.
    const device = open()
    const [rows, width] = [64, 500]
    const values = Float32Array.from({ length: rows * 2 * width }, (_, i) => Math.sin(i))
    const gradients: Float32Array[] = []
    const peaks: number[] = []
    for (const held of [true, false]) {
      const leaf = Tensor.from(device, values, [rows, 2 * width])
      leaf.requiresGrad = true
      const x = add(leaf, leaf)
      const y = recordedSwiglu(x)
      const z = add(y, y)
      // Its recipe would hold x.
      y.dispose()
      if (!held) x.dispose()
      await device.sync()
      const before = device.memory().live
      device.resetPeak()
      runBackward([{ tensor: z, grad: Tensor.full(device, [rows, width], 'float32', 1) }])
      gradients.push(await (leaf.grad as Tensor).read())
      peaks.push(device.memory().peak - before)
      if (held) expect(await x.read()).toEqual(values.map((value) => 2 * value))
      for (const tensor of [leaf, leaf.grad, x, z]) tensor?.dispose()
    }
    expect(gradients[1]).toEqual(gradients[0])
    expect((peaks[0] as number) - (peaks[1] as number)).toBe(rows * 2 * width * 4)
    device.close()
  })

  it('swiglu stays finite for huge gates', async () => {
    const x = Tensor.from(device, [-1e30, -200, 200, 1e30, 2, 2, 2, 2], [1, 8])
    const y = Tensor.empty(device, [1, 4], 'float32')
    device.enqueue('swiglu', { x, y })
    expect([...(await y.read())].map(Math.fround)).toEqual([-0, expect.closeTo(0, 30), 400, Math.fround(2e30)])
    const dx = Tensor.empty(device, [1, 8], 'float32')
    device.enqueue('swigluBackward', { dy: Tensor.full(device, [1, 4], 'float32', 1), x, dx })
    expect((await dx.read()).every(Number.isFinite)).toBe(true)
  })

  it.each(COMPUTE_DTYPES.flatMap((dtype) => [true, false].map((tanh) => ({ dtype, tanh }))))(
    'gelu and its gradient hold in $dtype (tanh form: $tanh), also in place',
    async ({ dtype, tanh }) => {
      const make = operandMaker(device, dtype, 42)
      for (const [rows, width, step] of SIZES) {
        const x = make(rows, width, { gap: step, scale: 6 })
        const dy = make(rows, width)
        const y = output(device, rows, width, dtype, 2 * step)
        device.enqueue('gelu', { x: x.tensor, y, tanh })
        expectClose(
          await readMatrix(y),
          map(x, (value) => gelu(value, tanh)),
          ONE_ROUNDING[dtype],
        )
        const gradient = map(dy, (value, row, col) => value * geluSlope(at(x, row, col), tanh))
        device.enqueue('geluBackward', { dy: dy.tensor, x: x.tensor, dx: y, tanh })
        expectClose(await readMatrix(y), gradient, ONE_ROUNDING[dtype])
        await expectGapsUntouched(y)
        device.enqueue('copy', { x: x.tensor, y })
        device.enqueue('geluBackward', { dy: dy.tensor, x: y, dx: y, tanh })
        expectClose(await readMatrix(y), gradient, ONE_ROUNDING[dtype])
        device.enqueue('geluBackward', { dy: dy.tensor, x: x.tensor, dx: dy.tensor, tanh })
        expectClose(await readMatrix(dy.tensor), gradient, ONE_ROUNDING[dtype])
      }
    },
  )

  it.each([true, false])('gelu has the right limits (tanh form: %s)', async (tanh) => {
    const x = Tensor.from(device, [-1e20, -30, 0, 30, 1e20], [1, 5])
    const y = Tensor.empty(device, [1, 5], 'float32')
    device.enqueue('gelu', { x, y, tanh })
    expect([...(await y.read())].map((value) => value + 0)).toEqual([0, 0, 0, 30, Math.fround(1e20)])
    device.enqueue('geluBackward', { dy: Tensor.full(device, [1, 5], 'float32', 1), x, dx: y, tanh })
    expect([...(await y.read())].map((value) => value + 0)).toEqual([0, 0, 0.5, 1, 1])
  })
})

/** @file rmsNorm and layerNorm, forward and backward, on every device. */

import { afterAll, beforeAll, describe, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { at, type Matrix, map } from '../reference/matrix.js'
import { norm, normBackward } from '../reference/norm.js'
import { testDevices } from '../support/devices.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  expectClose,
  expectGapsUntouched,
  ONE_ROUNDING,
  operandMaker,
  output,
  readMatrix,
} from '../support/values.js'

const EPS = 1e-5
/**
 * Rows, columns, and what gaps are multiplied by: 8 lets rows begin at multiples of 16 bytes, which GPU kernels read
 * whole.
 */
const SIZES = [
  [1, 33, 1],
  [5, 31, 1],
  [9, 32, 1],
  [37, 65, 1],
  [150, 7, 1],
  [3, 576, 1],
  [9, 72, 8],
  [10, 1064, 8],
] as const
const CASES = (['rmsNorm', 'layerNorm'] as const).flatMap((op) => COMPUTE_DTYPES.map((dtype) => ({ op, dtype })))

const plus = (a: Matrix, b: Matrix): Matrix => map(a, (value, row, col) => value + at(b, row, col))

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  it.each(CASES)('$op normalises the rounded sum in $dtype, with and without a residual', async ({ op, dtype }) => {
    const make = operandMaker(device, dtype, 11)
    for (const [rows, cols, step] of SIZES) {
      const [x, residual] = [make(rows, cols, { gap: 3 * step, scale: 2 }), make(rows, cols)]
      const [weight, bias] = [make(1, cols), op === 'layerNorm' ? make(1, cols) : undefined]
      const parameters = bias ? { weight: weight.tensor, bias: bias.tensor } : { weight: weight.tensor }
      const [sum, y] = [output(device, rows, cols, dtype, step), output(device, rows, cols, dtype, 2 * step)]
      device.enqueue(op, { x: x.tensor, residual: residual.tensor, ...parameters, sum, y, eps: EPS })
      const rounded = await readMatrix(sum)
      expectClose(rounded, plus(x, residual), ONE_ROUNDING[dtype])
      expectClose(await readMatrix(y), norm(rounded, weight, bias, EPS), ONE_ROUNDING[dtype])
      await expectGapsUntouched(sum)
      await expectGapsUntouched(y)
      device.enqueue(op, { x: x.tensor, ...parameters, y, eps: EPS })
      expectClose(await readMatrix(y), norm(x, weight, bias, EPS), ONE_ROUNDING[dtype])
    }
  })

  it.each(CASES)('$op backward gives dx, dWeight and dBias in $dtype', async ({ op, dtype }) => {
    const make = operandMaker(device, dtype, 12)
    const centred = op === 'layerNorm'
    // dx is a difference of terms larger than itself: cancellation leaves a few float32 ulps of the largest.
    const tolerance = { relative: ONE_ROUNDING[dtype].relative, ofLargest: 1e-5 }
    for (const [rows, cols, step] of SIZES) {
      const [dy, dSum, x, weight] = [
        make(rows, cols, { gap: step }),
        make(rows, cols),
        make(rows, cols, { scale: 2 }),
        make(1, cols),
      ]
      const reference = normBackward(dy, x, weight, EPS, centred)
      const dx = output(device, rows, cols, dtype, 2 * step)
      const start = () => Tensor.full(device, [1, cols], 'float32', 0.25)
      const [dWeight, dBias] = [start(), start()]
      const sums = centred ? { dWeight, dBias } : { dWeight }
      device.enqueue(`${op}Backward`, {
        dy: dy.tensor,
        dSum: dSum.tensor,
        x: x.tensor,
        weight: weight.tensor,
        dx,
        ...sums,
        eps: EPS,
      })
      expectClose(await readMatrix(dx), plus(reference.dx, dSum), tolerance)
      expectClose(
        await readMatrix(dWeight),
        map(reference.dWeight, (value) => value + 0.25),
        { relative: 0, ofLargest: 1e-5 },
      )
      if (centred)
        expectClose(
          await readMatrix(dBias),
          map(reference.dBias, (value) => value + 0.25),
          { relative: 0, ofLargest: 1e-5 },
        )
      await expectGapsUntouched(dx)
      // Without the optional arguments, and into the upstream gradient's own memory.
      device.enqueue(`${op}Backward`, { dy: dy.tensor, x: x.tensor, weight: weight.tensor, dx: dy.tensor, eps: EPS })
      expectClose(await readMatrix(dy.tensor), reference.dx, tolerance)
    }
  })

  it.each(COMPUTE_DTYPES)('rmsNorm normalises every head by itself in %s, and adds their dWeight up', async (dtype) => {
    const make = operandMaker(device, dtype, 16)
    for (const [rows, heads, width] of [
      [1, 3, 33],
      [9, 2, 31],
      [37, 5, 32],
      [150, 3, 7],
      [4, 8, 128],
    ] as const) {
      const cols = heads * width
      const byHead = (m: Matrix): Matrix => ({ rows: rows * heads, cols: width, values: m.values })
      const [x, dy] = [make(rows, cols, { gap: 3, scale: 2 }), make(rows, cols, { gap: 1 })]
      const [residual, dSum, weight] = [make(rows, cols), make(rows, cols), make(1, width)]
      const [sum, y] = [output(device, rows, cols, dtype, 1), output(device, rows, cols, dtype, 2)]
      device.enqueue('rmsNorm', {
        x: x.tensor,
        residual: residual.tensor,
        weight: weight.tensor,
        sum,
        y,
        eps: EPS,
      })
      const rounded = await readMatrix(sum)
      expectClose(rounded, plus(x, residual), ONE_ROUNDING[dtype])
      expectClose(byHead(await readMatrix(y)), norm(byHead(rounded), weight, undefined, EPS), ONE_ROUNDING[dtype])
      await expectGapsUntouched(y)

      const dx = output(device, rows, cols, dtype, 2)
      const dWeight = Tensor.full(device, [1, width], 'float32', 0.25)
      device.enqueue('rmsNormBackward', {
        dy: dy.tensor,
        dSum: dSum.tensor,
        x: x.tensor,
        weight: weight.tensor,
        dx,
        dWeight,
        eps: EPS,
      })
      const reference = normBackward(byHead(dy), byHead(x), weight, EPS, false)
      const tolerance = { relative: ONE_ROUNDING[dtype].relative, ofLargest: 1e-5 }
      expectClose(byHead(await readMatrix(dx)), plus(reference.dx, byHead(dSum)), tolerance)
      const sums = map(reference.dWeight, (value) => value + 0.25)
      expectClose(await readMatrix(dWeight), sums, { relative: 0, ofLargest: 1e-5 })
      await expectGapsUntouched(dx)
    }
  })

  it.each(CASES)('$op backward may write over the residual gradient in $dtype', async ({ op, dtype }) => {
    const make = operandMaker(device, dtype, 13)
    const [dy, dSum, x, weight] = [make(9, 65), make(9, 65), make(9, 65), make(1, 65)]
    const { dx } = normBackward(dy, x, weight, EPS, op === 'layerNorm')
    const gradients = { dy: dy.tensor, dSum: dSum.tensor, dx: dSum.tensor }
    device.enqueue(`${op}Backward`, { ...gradients, x: x.tensor, weight: weight.tensor, eps: EPS })
    expectClose(await readMatrix(dSum.tensor), plus(dx, dSum), {
      relative: ONE_ROUNDING[dtype].relative,
      ofLargest: 1e-5,
    })
  })

  it.each(CASES)('$op backward does not depend on the threads in $dtype', async ({ op, dtype }) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const make = operandMaker(stream, dtype, 14)
      const [dy, x, weight] = [make(333, 65), make(333, 65), make(1, 65)]
      const dx = output(stream, 333, 65, dtype)
      const dWeight = Tensor.full(stream, [1, 65], 'float32', 0)
      stream.enqueue(`${op}Backward`, { dy: dy.tensor, x: x.tensor, weight: weight.tensor, dx, dWeight, eps: EPS })
      return [dx, dWeight]
    })
  })
})

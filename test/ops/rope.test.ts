/** @file rope, both ways round, on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { type Matrix, map, matrix, product } from '../reference/matrix.js'
import { rope } from '../reference/rope.js'
import { testDevices } from '../support/devices.js'
import {
  COMPUTE_DTYPES,
  expectClose,
  expectExact,
  expectGapsUntouched,
  ONE_ROUNDING,
  operandMaker,
  output,
  readMatrix,
  upload,
} from '../support/values.js'

const POSITIONS = [0, 1, 2, 8, 0, 5, 8, 3, 3]

/** Angles of theta = 100, float32 as the engine has them. */
function table(headDim: number): Matrix {
  const half = headDim / 2
  return matrix(9, headDim, (position, col) => {
    const angle = position / 100 ** ((2 * (col % half)) / headDim)
    return Math.fround(col < half ? Math.cos(angle) : Math.sin(angle))
  })
}

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  it.each(COMPUTE_DTYPES)(
    'rope rotates every head by its position in %s, and inverse is its transpose',
    async (dtype) => {
      const make = operandMaker(device, dtype, 31)
      const positions = Tensor.from(device, POSITIONS, [POSITIONS.length], 'int32')
      for (const [heads, headDim] of [
        [1, 2],
        [3, 14],
        [2, 32],
        [2, 66],
        [5, 64],
      ] as const) {
        const angles = table(headDim)
        const cosSin = upload(device, angles, 'float32')
        const x = make(POSITIONS.length, heads * headDim, { gap: 2 })
        const dy = make(POSITIONS.length, heads * headDim)
        const y = output(device, POSITIONS.length, heads * headDim, dtype, 3)
        device.enqueue('rope', { x: x.tensor, cosSin, positions, y, headDim, inverse: false })
        const expected = rope(x, angles, POSITIONS)
        expectClose(await readMatrix(y), expected, ONE_ROUNDING[dtype])
        await expectGapsUntouched(y)
        device.enqueue('rope', { x: dy.tensor, cosSin, positions, y: dy.tensor, headDim, inverse: true })
        const dx = rope(dy, angles, POSITIONS, true)
        expectClose(await readMatrix(dy.tensor), dx, ONE_ROUNDING[dtype])
        // The reference's own backward: dy.y = dx.x for a linear map. The table is float32: angles have no exact unit
        // length.
        expect(product(dy, expected)).toBeCloseTo(product(dx, x), 4)
      }
    },
  )

  it('rope may write over its input and leaves the columns beside it', async () => {
    const angles = table(14)
    const values = map(matrix(9, 42), (_value, row, col) => Math.fround(Math.sin(row * 42 + col)))
    const whole = upload(device, values, 'float32')
    const heads = whole.columns(0, 28)
    const positions = Tensor.from(device, POSITIONS, [9], 'int32')
    device.enqueue('rope', {
      x: heads,
      cosSin: upload(device, angles, 'float32'),
      positions,
      y: heads,
      headDim: 14,
      inverse: false,
    })
    const left = matrix(9, 28, (row, col) => values.values[row * 42 + col] as number)
    expectClose(await readMatrix(heads), rope(left, angles, POSITIONS), ONE_ROUNDING.float32)
    const right = matrix(9, 14, (row, col) => values.values[row * 42 + 28 + col] as number)
    expectExact(await readMatrix(whole.columns(28, 42)), right)
  })

  it('a position outside the table is named', async () => {
    const stream = open()
    const x = upload(stream, matrix(2, 4), 'float32')
    const cosSin = upload(stream, matrix(9, 4), 'float32')
    for (const bad of [9, -1]) {
      const positions = Tensor.from(stream, [3, bad], [2], 'int32')
      const y = Tensor.empty(stream, [2, 4], 'float32')
      stream.enqueue('rope', { x, cosSin, positions, y, headDim: 4, inverse: false })
      await expect(stream.sync()).rejects.toThrow(
        `expected positions in [0, 9), the rows of cosSin, got ${bad} at position 1`,
      )
    }
    stream.close()
  })
})

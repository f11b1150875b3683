/** @file argmax on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { testDevices } from '../support/devices.js'
import { COMPUTE_DTYPES, operandMaker } from '../support/values.js'

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  const argmax = async (x: Tensor): Promise<number[]> => {
    const ids = Tensor.empty(device, [x.rows], 'int32')
    device.enqueue('argmax', { x, ids })
    return [...(await ids.readInt32())]
  }

  it.each(COMPUTE_DTYPES)('argmax finds the first of the largest values of %s', async (dtype) => {
    const make = operandMaker(device, dtype, 51)
    for (const cols of [1, 2, 31, 32, 33, 257, 50_001]) {
      const x = make(5, cols, { gap: 3 })
      const expected = Array.from({ length: 5 }, (_, row) => {
        const values = [...x.values.subarray(row * cols, (row + 1) * cols)]
        return values.indexOf(values.reduce((a, b) => Math.max(a, b)))
      })
      expect(await argmax(x.tensor)).toEqual(expected)
    }
  })

  it('ties go to the first, NaN never wins, a row of nothing else gives 0', async () => {
    const { NaN: nan, NEGATIVE_INFINITY: low } = Number
    const rows = [
      [1, 3, 3, 2, ...new Array<number>(40).fill(3)],
      [nan, -5, nan, -4, ...new Array<number>(40).fill(-6)],
      new Array<number>(44).fill(nan),
      new Array<number>(44).fill(low),
      [...new Array<number>(43).fill(low), -1e38],
    ]
    expect(await argmax(Tensor.from(device, rows.flat(), [5, 44]))).toEqual([1, 3, 0, 0, 43])
  })
})

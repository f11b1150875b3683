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

  const { NaN: nan, NEGATIVE_INFINITY: low, POSITIVE_INFINITY: high } = Number

  it('ties go to the first, and infinity wins', async () => {
    const rows = [
      [1, 3, 3, 2, ...new Array<number>(40).fill(3)],
      [...new Array<number>(43).fill(low), -1e38],
      [1, 2, high, 3, ...new Array<number>(39).fill(high), low],
    ]
    expect(await argmax(Tensor.from(device, rows.flat(), [3, 44]))).toEqual([1, 43, 2])
  })

  it.each<[string, (width: number) => number[], string]>([
    ['one NaN in front', (width) => [nan, ...new Array<number>(width - 1).fill(1)], 'logits that are numbers'],
    ['one NaN behind', (width) => [...new Array<number>(width - 1).fill(1), nan], 'logits that are numbers'],
    [
      'one NaN beside infinity',
      (width) => [high, nan, ...new Array<number>(width - 2).fill(1)],
      'logits that are numbers',
    ],
    ['NaN alone', (width) => new Array<number>(width).fill(nan), 'a logit above -infinity'],
    ['-infinity alone', (width) => new Array<number>(width).fill(low), 'a logit above -infinity'],
  ])('a row of %s is a fault that names it', async (_, row, message) => {
    for (const width of [2, 44, 257, 2048]) {
      const rows = [new Array<number>(width).fill(2), row(width), new Array<number>(width).fill(3)]
      await expect(argmax(Tensor.from(device, rows.flat(), [3, width]))).rejects.toThrow(
        `[argmax] expected ${message} for sequence 1, got ${message.startsWith('a') ? 'none' : 'NaN'}`,
      )
      await device.sync().catch(() => undefined)
    }
  })
})

/** @file embedding, its backward, and scatterRows on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { accumulate, at, matrix } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  expectClose,
  expectExact,
  expectGapsUntouched,
  operandMaker,
  output,
  readMatrix,
  upload,
} from '../support/values.js'

const WIDTHS = [1, 31, 32, 33, 65, 576]
const IDS = [4, 0, 10, 4, 4, 9, 0]

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  it.each(COMPUTE_DTYPES)('embedding copies rows of %s', async (dtype) => {
    const make = operandMaker(device, dtype, 3)
    const ids = Tensor.from(device, IDS, [IDS.length], 'int32')
    for (const width of WIDTHS) {
      const weight = make(11, width, { gap: 1 })
      const y = output(device, IDS.length, width, dtype, 2)
      device.enqueue('embedding', { ids, weight: weight.tensor, y })
      const expected = matrix(IDS.length, width, (row, col) => at(weight, IDS[row] as number, col))
      expectExact(await readMatrix(y), expected)
      await expectGapsUntouched(y)
    }
  })

  it.each(COMPUTE_DTYPES)('its backward adds the rows of a repeated id onto what is there, from %s', async (dtype) => {
    const ids = Tensor.from(device, IDS, [IDS.length], 'int32')
    for (const width of WIDTHS) {
      const dy = operandMaker(device, dtype, 4)(IDS.length, width, { gap: 1 })
      const before = operandMaker(device, 'float32', 5)(11, width)
      const expected = matrix(11, width, (row, col) => at(before, row, col))
      IDS.forEach((id, i) => {
        for (let col = 0; col < width; col++) accumulate(expected, id, col, at(dy, i, col))
      })
      device.enqueue('embeddingBackward', { ids, dy: dy.tensor, dWeight: before.tensor })
      // At most four float32 additions per element.
      expectClose(await readMatrix(before.tensor), expected, { relative: 3e-7, ofLargest: 3e-7 })
    }
  })

  it.each(COMPUTE_DTYPES)('its backward adds up many rows of few ids, some far apart, from %s', async (dtype) => {
    const [count, width] = [601, 1037]
    const list = Array.from({ length: count }, (_, i) => (i % 300 === 7 ? 10 : (i * i) % 10))
    const dy = operandMaker(device, dtype, 8)(count, width, { gap: 1 })
    const dWeight = Tensor.full(device, [11, width], 'float32', 0.5)
    const expected = matrix(11, width, () => 0.5)
    list.forEach((id, i) => {
      for (let col = 0; col < width; col++) accumulate(expected, id, col, at(dy, i, col))
    })
    device.enqueue('embeddingBackward', { ids: Tensor.from(device, list, [count], 'int32'), dy: dy.tensor, dWeight })
    // Up to 120 float32 additions of values around 1: their errors are random and add up to a few units of the last
    // place.
    expectClose(await readMatrix(dWeight), expected, { relative: 0, ofLargest: 2e-6 })
  })

  it('its backward does not depend on the threads', async () => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const ids = Tensor.from(stream, IDS, [IDS.length], 'int32')
      const dWeight = Tensor.full(stream, [11, 200], 'float32', 0.1)
      stream.enqueue('embeddingBackward', {
        ids,
        dy: operandMaker(stream, 'float32', 6)(IDS.length, 200).tensor,
        dWeight,
      })
      return [dWeight]
    })
  })

  it.each([33, 40])('scatterRows writes the named rows of %i columns and leaves the others', async (width) => {
    const x = operandMaker(device, 'bfloat16', 7)(3, width, { gap: 8 })
    const y = Tensor.full(device, [5, width], 'bfloat16', 2)
    device.enqueue('scatterRows', { x: x.tensor, rows: Tensor.from(device, [4, 0, 2], [3], 'int32'), y })
    const source = [1, -1, 2, -1, 0]
    const expected = matrix(5, width, (row, col) => {
      const from = source[row] as number
      return from < 0 ? 2 : at(x, from, col)
    })
    expectExact(await readMatrix(y), expected)
  })

  it('scatterRows moves bytes too', async () => {
    const x = Tensor.empty(device, [2, 3], 'uint8')
    device.upload(x, Uint8Array.from([1, 2, 3, 4, 5, 6]), 'uint8')
    const y = Tensor.full(device, [3, 3], 'uint8', 9)
    device.enqueue('scatterRows', { x, rows: Tensor.from(device, [2, 0], [2], 'int32'), y })
    expect([...(await device.readBytes(y))]).toEqual([4, 5, 6, 9, 9, 9, 1, 2, 3])
  })

  it.each([
    [[1, 2, 11], 11, 2],
    [[-100], -100, 0],
  ])('an id outside the table names the id and its place: %j', async (ids, wrong, position) => {
    const message = (op: string, table: string) =>
      `[${op}] expected ids in [0, 11), the rows of ${table}, got ${wrong} at position ${position}`
    const stream = testDevice.open()
    const weight = upload(stream, matrix(11, 4), 'float32')
    const idTensor = Tensor.from(stream, ids, [ids.length], 'int32')
    stream.enqueue('embedding', { ids: idTensor, weight, y: Tensor.empty(stream, [ids.length, 4], 'float32') })
    await expect(stream.sync()).rejects.toThrow(message('embedding', 'weight'))
    stream.enqueue('embeddingBackward', {
      ids: idTensor,
      dy: Tensor.full(stream, [ids.length, 4], 'float32', 1),
      dWeight: weight,
    })
    await expect(stream.sync()).rejects.toThrow(message('embeddingBackward', 'dWeight'))
    stream.close()
  })

  it('a row outside the target of scatterRows is named', async () => {
    const stream = testDevice.open()
    const rows = Tensor.from(stream, [0, 5], [2], 'int32')
    stream.enqueue('scatterRows', {
      x: upload(stream, matrix(2, 3), 'float32'),
      rows,
      y: upload(stream, matrix(5, 3), 'float32'),
    })
    await expect(stream.sync()).rejects.toThrow(/expected rows in \[0, 5\).*got 5 at position 1/)
    stream.close()
  })
})

/** @file fill, copy and add on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { at, map } from '../reference/matrix.js'
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
  roundTo,
  upload,
} from '../support/values.js'

const SIZES = [
  [1, 1],
  [3, 31],
  [5, 32],
  [2, 33],
  [7, 65],
  [3, 20_001],
] as const

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  it.each(COMPUTE_DTYPES)('add gives the rounded sum in %s, into memory of its own or of an input', async (dtype) => {
    const make = operandMaker(device, dtype, 1)
    for (const [rows, cols] of SIZES) {
      const a = make(rows, cols, { gap: 3 })
      const b = make(rows, cols)
      const y = output(device, rows, cols, dtype, 2)
      // One addition and one rounding: exact.
      const sum = map(a, (value, row, col) => roundTo(dtype, value + at(b, row, col)))
      device.enqueue('add', { a: a.tensor, b: b.tensor, y })
      expectExact(await readMatrix(y), sum)
      await expectGapsUntouched(y)
      device.enqueue('add', { a: a.tensor, b: b.tensor, y: a.tensor })
      expectExact(await readMatrix(a.tensor), sum)
    }
  })

  it('copy rounds float32 to bfloat16, ties to even, and keeps infinities, NaN and signs', async () => {
    const values = [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -(1 + 2 ** -8) - 2 ** -20, 3.4e38, -3.4e38, -0, 1e-40, Infinity]
    const exact = [1, 1, 1 + 2 ** -6, -(1 + 2 ** -7), Infinity, -Infinity, -0, 1e-40, Infinity]
    const padded = [...values, ...new Array<number>(20).fill(Number.NaN)]
    const x = Tensor.from(device, padded, [1, padded.length])
    const y = Tensor.empty(device, x.shape, 'bfloat16')
    device.enqueue('copy', { x, y })
    const got = [...(await y.read())]
    exact.forEach((want, i) => {
      // 1e-40 is subnormal: its nearest bfloat16 is a multiple of 2^-133.
      if (want === 1e-40) expect(got[i]).toBe(Math.round(1e-40 / 2 ** -133) * 2 ** -133)
      else expect(Object.is(got[i], want), `${values[i]} -> ${got[i]}`).toBe(true)
    })
    expect(got.slice(values.length).every(Number.isNaN)).toBe(true)
  })

  it('copy rounds to float16 and back, subnormals and overflow included', async () => {
    const values = [
      1,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      65504,
      65519,
      65520,
      -1e9,
      2 ** -24,
      2 ** -25,
      3 * 2 ** -25,
      -0,
      2 ** -14,
    ]
    const exact = [1, 1, 1 + 2 ** -9, 65504, 65504, Infinity, -Infinity, 2 ** -24, 0, 2 ** -23, -0, 2 ** -14]
    const x = Tensor.from(device, values, [1, values.length])
    const half = Tensor.empty(device, x.shape, 'float16')
    device.enqueue('copy', { x, y: half })
    expect([...(await half.read())]).toEqual(exact)
    const y = Tensor.empty(device, x.shape, 'bfloat16')
    device.enqueue('copy', { x: half, y })
    expect([...(await y.read())]).toEqual(exact.map((value) => roundTo('bfloat16', value)))
  })

  it('add in float16 has subnormal sums, and infinite ones from 65520 on', async () => {
    const terms = [
      [65_504, 8, 65_504],
      [65_504, 16, Infinity],
      [-65_504, -65_504, -Infinity],
      [2 ** -24, 2 ** -23, 3 * 2 ** -24],
      [2 ** -14, -(2 ** -24), 2 ** -14 - 2 ** -24],
      [1, 2 ** -11, 1],
      [1 + 2 ** -10, 2 ** -11, 1 + 2 ** -9],
      [-(2 ** -24), 2 ** -24, 0],
    ]
    // Whole vectors and a tail.
    const rows = Array.from({ length: 29 }, (_, i) => terms[i % terms.length] as number[])
    const column = (at: number): number[] => rows.map((row) => row[at] as number)
    const a = Tensor.from(device, column(0), [1, rows.length], 'float16')
    const b = Tensor.from(device, column(1), [1, rows.length], 'float16')
    const y = Tensor.empty(device, a.shape, 'float16')
    device.enqueue('add', { a, b, y })
    expect([...(await y.read())]).toEqual(column(2))
  })

  it('copy moves strided bytes', async () => {
    const x = Tensor.empty(device, [3, 7], 'uint8')
    device.upload(
      x,
      Uint8Array.from({ length: 21 }, (_, i) => 235 + i),
      'uint8',
    )
    const y = Tensor.empty(device, [3, 5], 'uint8')
    device.enqueue('copy', { x: x.columns(1, 6), y })
    const wanted = [236, 237, 238, 239, 240, 243, 244, 245, 246, 247, 250, 251, 252, 253, 254]
    expect([...(await device.readBytes(y))]).toEqual(wanted)
  })

  it('copy moves strided int32 and refuses to convert it', async () => {
    const x = Tensor.from(
      device,
      Int32Array.from({ length: 21 }, (_, i) => i - 7),
      [3, 7],
    ).columns(1, 6)
    const y = Tensor.empty(device, [3, 5], 'int32')
    device.enqueue('copy', { x, y })
    expect([...(await y.readInt32())]).toEqual([-6, -5, -4, -3, -2, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12])
    const stream = open()
    const source = Tensor.from(stream, [1], [1], 'int32')
    const target = Tensor.empty(stream, [1], 'float32')
    const refused = (async () => {
      stream.enqueue('copy', { x: source, y: target })
      await stream.sync()
    })()
    await expect(refused).rejects.toThrow(/int32|dtype/)
    stream.close()
  })

  it.each(['float32', 'bfloat16', 'float16', 'int32'] as const)('fill writes %s between gaps', async (dtype) => {
    for (const [rows, cols] of SIZES) {
      const whole = Tensor.full(device, [rows, cols + 2], dtype, 3)
      device.enqueue('fill', { y: whole.columns(1, cols + 1), value: -5 })
      const values = await whole.read()
      const right = values.every((value, i) => value === (i % (cols + 2) === 0 || i % (cols + 2) === cols + 1 ? 3 : -5))
      expect(right).toBe(true)
    }
  })

  it('copy converts float32 within one rounding at every size', async () => {
    const make = operandMaker(device, 'float32', 2)
    for (const [rows, cols] of SIZES) {
      const x = make(rows, cols, { gap: 1 })
      const y = output(device, rows, cols, 'bfloat16', 3)
      device.enqueue('copy', { x: x.tensor, y })
      expectClose(await readMatrix(y), x, ONE_ROUNDING.bfloat16)
      await expectGapsUntouched(y)
    }
  })

  it('add of no rows is nothing', async () => {
    const empty = upload(device, { rows: 0, cols: 5, values: new Float64Array(0) }, 'float32')
    const y = Tensor.empty(device, [0, 5], 'float32')
    device.enqueue('add', { a: empty, b: empty, y })
    expect((await y.read()).length).toBe(0)
  })
})

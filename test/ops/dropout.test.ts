/** @file dropout: the Philox mask that LoRA's dropout uses, on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { at, map } from '../reference/matrix.js'
import { type DropoutKey, dropoutFactor } from '../reference/philox.js'
import { testDevices } from '../support/devices.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  expectClose,
  expectExact,
  expectGapsUntouched,
  ONE_ROUNDING,
  operandMaker,
  output,
  readMatrix,
} from '../support/values.js'

const KEYS: DropoutKey[] = [
  { p: 0.05, seed: 42, microStep: 0, dropoutStream: 0 },
  { p: 0.5, seed: 2 ** 40 + 12_345, microStep: 7, dropoutStream: 209 },
  { p: 0.9, seed: 0, microStep: 2 ** 31, dropoutStream: 1 },
]

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  it.each(COMPUTE_DTYPES)(
    'dropout applies the mask of the Philox reference element by element in %s',
    async (dtype) => {
      const make = operandMaker(device, dtype, 21)
      for (const key of KEYS) {
        // Gaps times 8 let rows begin at multiples of 16 bytes, which GPU kernels read whole.
        for (const [rows, cols, step] of [
          [1, 1, 1],
          [3, 31, 1],
          [5, 33, 1],
          [2, 64, 1],
          [4, 600, 1],
          [5, 72, 8],
        ] as const) {
          const x = make(rows, cols, { gap: step })
          const y = output(device, rows, cols, dtype, 2 * step)
          device.enqueue('dropout', { x: x.tensor, y, dropout: { ...key } })
          const expected = map(x, (value, row, col) => value * dropoutFactor(key, row * cols + col))
          expectClose(await readMatrix(y), expected, ONE_ROUNDING[dtype])
          await expectGapsUntouched(y)
        }
      }
    },
  )

  it('a column slice of a matrix is masked by its own rows and columns, in place', async () => {
    const key = KEYS[1] as DropoutKey
    const x = operandMaker(device, 'float32', 22)(5, 37, { gap: 27 })
    device.enqueue('dropout', { x: x.tensor, y: x.tensor, dropout: { ...key } })
    const expected = map(x, (_value, row, col) => at(x, row, col) * dropoutFactor(key, row * 37 + col))
    expectClose(await readMatrix(x.tensor), expected, ONE_ROUNDING.float32)
  })

  it('the mask has the statistics of independent draws', async () => {
    const [rows, cols, p] = [401, 1000, 0.05]
    const masks: Float32Array[] = []
    for (const dropoutStream of [0, 1]) {
      const ones = Tensor.full(device, [rows, cols], 'float32', 1)
      device.enqueue('dropout', { x: ones, y: ones, dropout: { p, seed: 42, microStep: 3, dropoutStream } })
      masks.push(await ones.read())
    }
    const [first, second] = masks as [Float32Array, Float32Array]
    const n = rows * cols
    const scale = Math.fround(1 / (1 - Math.fround(p)))
    expect(first.every((value) => value === 0 || value === scale)).toBe(true)
    const droppedBy = (count: (i: number) => boolean) => first.reduce((total, _value, i) => total + Number(count(i)), 0)
    const dropped = droppedBy((i) => first[i] === 0)
    // Five standard deviations of a binomial; a right generator fails this for fewer than one seed in a million, and
    // the seed is fixed.
    const within = (count: number, chance: number) => {
      expect(Math.abs(count - n * chance)).toBeLessThan(5 * Math.sqrt(n * chance * (1 - chance)))
    }
    within(dropped, p)
    within(
      droppedBy((i) => first[i] === 0 && second[i] === 0),
      p * p,
    )
    within(
      droppedBy((i) => first[i] === 0 && first[i + 1] === 0),
      p * p,
    )
    within(
      droppedBy((i) => first[i] === 0 && first[i + cols] === 0),
      p * p,
    )
  })

  it('another micro-step, dropout stream or seed gives another mask; the same ones give the same', async () => {
    const base = { p: 0.5, seed: 1, microStep: 2, dropoutStream: 3 }
    const mask = async (key: DropoutKey) => {
      const ones = Tensor.full(device, [1, 256], 'float32', 1)
      device.enqueue('dropout', { x: ones, y: ones, dropout: { ...key } })
      return (await ones.read()).join()
    }
    const first = await mask(base)
    expect(await mask(base)).toBe(first)
    expect(await mask({ ...base, seed: 2 })).not.toBe(first)
    expect(await mask({ ...base, seed: 1 + 2 ** 32 })).not.toBe(first)
    expect(await mask({ ...base, microStep: 3 })).not.toBe(first)
    expect(await mask({ ...base, dropoutStream: 2 })).not.toBe(first)
  })

  it('p = 0 copies, and dropped values stay dropped even where they were infinite', async () => {
    const x = operandMaker(device, 'bfloat16', 23)(3, 33)
    const y = output(device, 3, 33, 'bfloat16')
    device.enqueue('dropout', { x: x.tensor, y, dropout: { p: 0, seed: 1, microStep: 0, dropoutStream: 0 } })
    expectExact(await readMatrix(y), x)
    const infinite = Tensor.full(device, [1, 500], 'float32', Infinity)
    device.enqueue('dropout', {
      x: infinite,
      y: infinite,
      dropout: { p: 0.5, seed: 1, microStep: 0, dropoutStream: 0 },
    })
    const values = await infinite.read()
    expect(values.every((value) => value === 0 || value === Infinity)).toBe(true)
    expect(values.includes(0)).toBe(true)
  })

  it('the mask does not depend on the threads', async () => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const x = operandMaker(stream, 'float32', 24)(77, 999)
      const y = output(stream, 77, 999, 'float32')
      stream.enqueue('dropout', { x: x.tensor, y, dropout: { p: 0.3, seed: 9, microStep: 1, dropoutStream: 4 } })
      return [y]
    })
  })
})

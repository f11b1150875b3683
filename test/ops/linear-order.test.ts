/** @file linear where bits may not depend on the other rows: orders of sums, and LoRA pairs of some rows. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad } from '../../src/autograd/tape.js'
import { type LoraPair, linear, type Projection } from '../../src/ops/linear.js'
import { quantizeNf4 } from '../../src/ops/nf4.js'
import { type SumOrder, withSumOrder } from '../../src/ops/sum-order.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { linear as reference } from '../reference/linear.js'
import { testDevices } from '../support/devices.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  expectClose,
  operandMaker,
  readMatrix,
  roundTo,
  seededRandom,
  type Tolerance,
} from '../support/values.js'

const ORDERS = ['few', 'many'] as const satisfies SumOrder[]
const CASES = COMPUTE_DTYPES.flatMap((dtype) => ORDERS.map((order) => ({ dtype, order })))

/** As of linear.test.ts: sums of float32, which the compute dtype rounds twice. */
const TOLERANCE: Record<Compute, Tolerance> = {
  float32: { relative: 1e-6, ofLargest: 1e-5 },
  bfloat16: { relative: 2 ** -8, ofLargest: 2 ** -9 },
  float16: { relative: 2 ** -11, ofLargest: 2 ** -12, absolute: 2 ** -24 },
}

/** Elements i and i + 1 of a vector. */
const vectorOf = (vector: Tensor, i: number): Tensor =>
  vector
    .reshape([vector.size, 1])
    .slice(i, i + 2)
    .reshape([2])

/** [inputs, outputs, rank]: whole tiles and pieces, and none. */
const SIZES = [
  [192, 130, 8],
  [70, 33, 3],
  [1100, 66, 16],
] as const

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  /** A frozen parameter of these values. */
  const fixed = ({ tensor }: { tensor: Tensor }): Parameter => {
    const parameter = new Parameter('w', tensor.shape, device, tensor.dtype as Compute)
    device.enqueue('copy', { x: tensor, y: parameter.value })
    return parameter
  }

  const biasOf = ({ tensor }: { tensor: Tensor }): Parameter => fixed({ tensor: tensor.reshape([tensor.cols]) })

  const quantised = ({ tensor }: { tensor: Tensor }): Parameter => {
    const parameter = new Parameter('q', tensor.shape, device, tensor.dtype as Compute)
    parameter.quantize(quantizeNf4(tensor))
    return parameter
  }

  function pairOf(make: ReturnType<typeof operandMaker>, inputs: number, outputs: number, rank: number): LoraPair {
    return {
      a: fixed(make(rank, inputs)),
      b: fixed(make(outputs, rank)),
      scale: 0.5,
      dropout: 0,
      dropoutStream: 0,
    }
  }

  /** Dense, NF4, in the other layout with a bias. */
  function partsOf(make: ReturnType<typeof operandMaker>, inputs: number, outputs: number): Projection[] {
    const weight = make(outputs, inputs)
    return [
      { weight: fixed(weight), inOut: false, pairs: [] },
      { weight: quantised(make(outputs, inputs)), inOut: false, pairs: [] },
      { weight: fixed(make(inputs, outputs)), inOut: true, bias: biasOf(make(1, outputs)), pairs: [] },
    ]
  }

  async function rowBytes(y: Tensor): Promise<string[]> {
    const all = Buffer.from(await device.readBytes(y)).toString('hex')
    const width = all.length / y.rows
    return Array.from({ length: y.rows }, (_, row) => all.slice(row * width, (row + 1) * width))
  }

  /** The bytes of each row of the result. */
  async function rowsOf(x: Tensor, parts: readonly Projection[], order: SumOrder): Promise<string[]> {
    return rowBytes(withSumOrder(order, () => noGrad(() => linear(x, parts))))
  }

  it.each(CASES)('a row has its bits alone and among any others: $order, $dtype', async ({ dtype, order }) => {
    for (const [inputs, outputs, rank] of SIZES) {
      const make = operandMaker(device, dtype, inputs)
      const parts = partsOf(make, inputs, outputs).map((part) => ({
        ...part,
        pairs: [pairOf(make, inputs, outputs, rank)],
      }))
      const x = make(150, inputs)
      const all = await rowsOf(x.tensor, parts, order)
      const random = seededRandom(outputs)
      const whole = (most: number): number => Math.floor(((random() + 1) / 2) * most)
      for (const count of [1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 65, 130].filter((_, i) => i % 3 === inputs % 3 || i < 2)) {
        const first = whole(150 - count)
        const some = await rowsOf(x.tensor.slice(first, first + count), parts, order)
        expect(
          some.every((row, i) => row === all[first + i]),
          `${count} rows of ${inputs}`,
        ).toBe(true)
      }
    }
  })

  it.each(COMPUTE_DTYPES)('every order gives the reference’s sums in %s', async (dtype) => {
    const make = operandMaker(device, dtype, 8)
    const [x, weight, a, b] = [make(11, 200), make(90, 200), make(4, 200), make(90, 4)]
    const pair = { a: fixed(a), b: fixed(b), scale: 0.5, dropout: 0, dropoutStream: 0 }
    const part = { weight: fixed(weight), inOut: false, pairs: [pair] }
    const want = reference(x, [{ weight, pairs: [{ a, b, scale: 0.5 }] }], { round: (value) => roundTo(dtype, value) })
    for (const order of ['by-rows', ...ORDERS] as const) {
      const y = withSumOrder(order, () => noGrad(() => linear(x.tensor, [part])))
      expectClose(await readMatrix(y), want.y, TOLERANCE[dtype])
    }
  })

  it.each(CASES)(
    'each adapter of a mixed batch gives the bits that it gives alone: $order, $dtype',
    async ({ dtype, order }) => {
      const [inputs, outputs] = [192, 130]
      const make = operandMaker(device, dtype, 5)
      const pairs = [8, 3, 16, 8].map((rank) => pairOf(make, inputs, outputs, rank))
      const base = partsOf(make, inputs, outputs)
      const x = make(75, inputs)
      // The third adapter has no rows here; the last rows have no adapter.
      const bounds = Tensor.from(device, [0, 5, 6, 6, 71], [5], 'int32')
      const mixed = base.map((part) => ({
        ...part,
        pairs: pairs.map((pair, p) => ({ ...pair, rows: vectorOf(bounds, p) })),
      }))
      // The first pass prepares what later ones share.
      await rowsOf(x.tensor, mixed, order)
      const y = Tensor.empty(device, [75, 3 * outputs], dtype)
      const step = device.record(() =>
        withSumOrder(order, () => noGrad(() => device.enqueue('copy', { x: linear(x.tensor, mixed), y }))),
      )
      for (const edges of [
        [0, 5, 6, 6, 71],
        [1, 1, 40, 74, 74],
      ]) {
        bounds.write_(Int32Array.from(edges))
        step.replay()
        const all = await rowBytes(y)
        for (const [p, pair] of [...pairs, undefined].entries()) {
          const alone = base.map((part) => ({ ...part, pairs: pair ? [pair] : [] }))
          const want = await rowsOf(x.tensor, alone, order)
          const [begin, end] = pair ? [edges[p] as number, edges[p + 1] as number] : [edges[4] as number, 75]
          expect(all.slice(begin, end), `adapter ${p}`).toEqual(want.slice(begin, end))
        }
      }
      step.dispose()
    },
  )

  it.each([
    [-1, 2],
    [3, 2],
    [0, 8],
  ])('rows from %i to %i of seven are a fault', async (begin, end) => {
    const make = operandMaker(device, 'float32', 5)
    const pair = { ...pairOf(make, 16, 8, 2), rows: Tensor.from(device, [begin, end], [2], 'int32') }
    noGrad(() => linear(make(7, 16).tensor, [{ weight: fixed(make(8, 16)), inOut: false, pairs: [pair] }]))
    await expect(device.sync()).rejects.toThrow(
      `[linear] expected rows of a pair to ascend in [0, 7], got ${begin} and ${end}`,
    )
  })

  it('rows of pairs are refused where gradients are wanted', () => {
    const make = operandMaker(device, 'float32', 5)
    const pair = { ...pairOf(make, 16, 8, 2), rows: Tensor.from(device, [0, 1], [2], 'int32') }
    const a = fixed(make(2, 16))
    a.unfreeze()
    const part = { weight: fixed(make(8, 16)), inOut: false, pairs: [{ ...pair, a }] }
    expect(() => linear(make(7, 16).tensor, [part])).toThrow(
      '[linear] expected no rows of LoRA pairs where gradients are wanted; give each adapter a batch of its own',
    )
  })
})

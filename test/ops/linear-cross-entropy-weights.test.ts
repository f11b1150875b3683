/** @file linearCrossEntropy with a weight for each row, on every device: loss, gradients, chunks, what is refused. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import type { Projection } from '../../src/ops/linear.js'
import { linearCrossEntropy } from '../../src/ops/linear-cross-entropy.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { linearCrossEntropy as reference } from '../reference/linear-cross-entropy.js'
import { type Matrix, matrix } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import {
  HEAD_CASES,
  HEAD_TOLERANCE,
  headArguments,
  labelsFor,
  makeParts,
  type PartShape,
  readGradient,
} from '../support/linear-case.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  expectClose,
  expectGapsUntouched,
  operandMaker,
  output,
  readMatrix,
  roundTo,
} from '../support/values.js'

/** As for the loss without weights; see linear-cross-entropy.test.ts. */
const LOSS_TOLERANCE: Record<Compute, number> = { float32: 2e-6, bfloat16: 1e-4, float16: 1e-5 }

const SIZES = [
  [5, 31, 17],
  [23, 65, 33],
] as const

/** Exact in float32: fractions, a weight above 1, and every fifth row 0. */
const weightsFor = (rows: number): number[] =>
  Array.from({ length: rows }, (_, i) => (i % 5 === 3 ? 0 : ((i * 5) % 11) / 4 + 0.125))

interface Options {
  softcap?: number
  divisor?: number
  lossScale?: number
  labels?: readonly number[]
  weights?: readonly number[]
}

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  function operands(stream: Device, dtype: Compute, [tokens, width, vocabulary]: readonly number[], shape: object) {
    const make = operandMaker(stream, dtype, 41 + (tokens as number))
    const h = make(tokens as number, width as number, { gap: 1 })
    const shapes = [{ ...shape, outputs: vocabulary as number }]
    const [head] = makeParts(make, dtype, tokens as number, width as number, shapes)
    return { h, head: head as NonNullable<typeof head> }
  }

  async function check(
    dtype: Compute,
    size: readonly [tokens: number, width: number, vocabulary: number],
    shape: Omit<PartShape, 'outputs'>,
    options: Options = {},
  ): Promise<void> {
    const [tokens, width, vocabulary] = size
    const { softcap = 0, divisor = 0, lossScale = 1 } = options
    const { labels = labelsFor(tokens, vocabulary), weights = weightsFor(tokens) } = options
    const { h, head } = operands(device, dtype, size, shape)
    const loss = Tensor.empty(device, [1], 'float32')
    const dh = output(device, tokens, width, dtype, 2)
    const given = {
      labels: Tensor.from(device, labels, [tokens], 'int32'),
      weights: Tensor.from(device, weights, [tokens], 'float32'),
    }
    const common = { h: h.tensor, ...given, loss, softcap, divisor, lossScale }
    device.enqueue('linearCrossEntropy', { ...common, dh, head: headArguments(head, true) })
    const expected = reference(
      h,
      head,
      { labels, weights, softcap, divisor, lossScale },
      { round: (value) => roundTo(dtype, value) },
    )
    const [value] = await loss.read()
    expect(Math.abs((value as number) - expected.loss)).toBeLessThanOrEqual(
      LOSS_TOLERANCE[dtype] * Math.max(1, Math.abs(expected.loss)),
    )
    expectClose(await readMatrix(dh), expected.dh, HEAD_TOLERANCE[dtype])
    await expectGapsUntouched(dh)
    const started = { ...HEAD_TOLERANCE[dtype], absolute: 2 ** -24 }
    expectClose(await readGradient(head.dWeight), expected.head.dWeight, started)
    for (const [i, pair] of head.pairs.entries()) {
      expectClose(await readGradient(pair.da), expected.head.pairs[i]?.da ?? matrix(0, 0), started)
      expectClose(await readGradient(pair.db), expected.head.pairs[i]?.db ?? matrix(0, 0), started)
    }
    device.enqueue('linearCrossEntropy', { ...common, head: headArguments(head, false) })
    expect((await loss.read())[0]).toBe(value)
  }

  it.each(HEAD_CASES)('weights rows of the loss, of dh and of the gradients of $name in $dtype', async (one) => {
    await check(one.dtype, SIZES[0], one.head)
    await check(one.dtype, SIZES[1], one.head, { softcap: 2.5, divisor: 24.5, lossScale: 48 })
  })

  it.each(COMPUTE_DTYPES)('weights more rows than a chunk holds in %s', async (dtype) => {
    // A block collects 1024 rows at a time, a warp sums 32: the last ones are fewer.
    await check(dtype, [1061, 3, 7], {})
  })

  /** The bytes of everything that a pass with gradients writes. */
  async function bytesOf(stream: Device, dtype: Compute, options: Options, head: object) {
    const size = [61, 33, 29] as const
    const { labels = labelsFor(61, 29), weights } = options
    const made = operands(stream, dtype, size, head)
    const [loss, dh] = [Tensor.empty(stream, [1], 'float32'), output(stream, 61, 33, dtype)]
    stream.enqueue('linearCrossEntropy', {
      h: made.h.tensor,
      labels: Tensor.from(stream, labels, [61], 'int32'),
      weights: weights && Tensor.from(stream, weights, [61], 'float32'),
      loss,
      dh,
      head: headArguments(made.head, true),
      softcap: 3,
      divisor: 0,
      lossScale: 16,
    })
    const written = [loss, dh, made.head.dWeight, ...made.head.pairs.flatMap(({ da, db }) => [da, db])]
    return await Promise.all(written.map(async (tensor) => Buffer.from(await stream.readBytes(tensor)).toString('hex')))
  }

  it.each(HEAD_CASES)('weights of 1 give the bytes that no weights give: $name in $dtype', async ({ head, dtype }) => {
    const ones = new Array<number>(61).fill(1)
    expect(await bytesOf(device, dtype, { weights: ones }, head)).toEqual(await bytesOf(device, dtype, {}, head))
  })

  it.each(HEAD_CASES)('a weight of 0 gives the bytes of a label of -100: $name in $dtype', async ({ head, dtype }) => {
    const weights = weightsFor(61)
    const labels = labelsFor(61, 29).map((label, row) => (weights[row] === 0 ? -100 : label))
    expect(await bytesOf(device, dtype, { weights }, head)).toEqual(
      await bytesOf(device, dtype, { weights: weights.map((weight) => weight || 7), labels }, head),
    )
  })

  it('the weights of rows without a label count for nothing, whatever they are', async () => {
    const weights = weightsFor(61)
    const wild = [Number.NaN, -1, Number.POSITIVE_INFINITY]
    const others = weights.map((weight, row) => (labelsFor(61, 29)[row] === -100 ? (wild[row % 3] as number) : weight))
    expect(await bytesOf(device, 'float32', { weights: others }, {})).toEqual(
      await bytesOf(device, 'float32', { weights }, {}),
    )
  })

  it('a pass whose weights are all 0 gives a loss of 0 with gradients of 0', async () => {
    const make = operandMaker(device, 'bfloat16', 44)
    const [h, weight] = [make(5, 33), make(17, 33)]
    const [loss, dh] = [Tensor.full(device, [1], 'float32', 9), output(device, 5, 33, 'bfloat16', 1)]
    const given = {
      labels: Tensor.from(device, [1, 2, 3, -100, 5], [5], 'int32'),
      weights: Tensor.full(device, [5], 'float32', 0),
    }
    const head = [{ weight: weight.tensor, pairs: [] }]
    device.enqueue('linearCrossEntropy', {
      h: h.tensor,
      ...given,
      loss,
      dh,
      head,
      softcap: 0,
      divisor: 0,
      lossScale: 1,
    })
    expect((await loss.read())[0]).toBe(0)
    expect((await dh.read()).every((value) => value === 0)).toBe(true)
    await expectGapsUntouched(dh)
  })

  it.each([
    [-0.5, 0, '-0.5'],
    [Number.POSITIVE_INFINITY, 2, 'inf'],
    [Number.NaN, 2, 'nan'],
  ])('the weight %f of row %i is refused with both', async (wrong, row, text) => {
    const stream = testDevice.open()
    const make = operandMaker(stream, 'float32', 45)
    const [h, weight] = [make(3, 33), make(17, 33)]
    const weights = [1, 1, 1]
    weights[row] = wrong
    stream.enqueue('linearCrossEntropy', {
      h: h.tensor,
      labels: Tensor.from(stream, [0, -100, 16], [3], 'int32'),
      weights: Tensor.from(stream, weights, [3], 'float32'),
      loss: Tensor.empty(stream, [1], 'float32'),
      head: [{ weight: weight.tensor, pairs: [] }],
      softcap: 0,
      divisor: 0,
      lossScale: 1,
    })
    await expect(stream.sync()).rejects.toThrow(
      `expected finite weights that are not below 0, got ${text} at row ${row}`,
    )
    stream.close()
  })

  it.each(COMPUTE_DTYPES)('the bits of a weighted pass do not depend on the threads in %s', async (dtype) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const { h, head } = operands(stream, dtype, [301, 33, 65], { ranks: [5] })
      const [loss, dh] = [Tensor.empty(stream, [1], 'float32'), output(stream, 301, 33, dtype)]
      stream.enqueue('linearCrossEntropy', {
        h: h.tensor,
        labels: Tensor.from(stream, labelsFor(301, 65), [301], 'int32'),
        weights: Tensor.from(stream, weightsFor(301), [301], 'float32'),
        loss,
        dh,
        head: headArguments(head, true),
        softcap: 0,
        divisor: 0,
        lossScale: 1,
      })
      return [loss, dh, head.dWeight, ...head.pairs.flatMap((pair) => [pair.da, pair.db])]
    })
  })
})

describe.each(testDevices({ everyLevel: false }))('as models call it on $name', ({ open }) => {
  let device: Device
  let make: ReturnType<typeof operandMaker>
  beforeAll(() => {
    device = open()
    make = operandMaker(device, 'float32', 93)
  })
  afterAll(() => device.close())

  const parameter = (name: string, values: Matrix): Parameter => {
    const result = new Parameter(name, [values.rows, values.cols], device, 'float32')
    result.unfreeze()
    result.set(Float32Array.from(values.values))
    return result
  }

  it('linearCrossEntropy with weights hands on the gradients of sum(w l) / sum(w)', async () => {
    const [h, weight, a, b] = [make(9, 33), make(21, 33), make(3, 33), make(21, 3)]
    h.tensor.requiresGrad = true
    const pair = { a: parameter('a', a), b: parameter('b', b), scale: 0.5, dropout: 0, dropoutStream: 6 }
    const part: Projection = { weight: parameter('weight', weight), inOut: false, pairs: [pair] }
    const labels = [0, 20, -100, 3, 3, -100, 7, 8, 9]
    const weights = [1, 0.5, 3, 0, 2, 0, 0.25, 1, 4]
    const ids = Tensor.from(device, labels, [9], 'int32')
    const ofRows = Tensor.from(device, weights, [9], 'float32')
    const expected = reference(h, { weight, pairs: [{ a, b, scale: 0.5 }] }, { labels, weights, softcap: 3 })
    const loss = linearCrossEntropy(h.tensor, ids, part, { weights: ofRows, softcap: 3 })
    loss.backward()
    expect((await loss.read())[0]).toBeCloseTo(expected.loss, 5)
    expectClose(await readMatrix(h.tensor.grad as Tensor), expected.dh, HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(part.weight.grad), expected.head.dWeight, HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(pair.a.grad), expected.head.pairs[0]?.da ?? matrix(0, 0), HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(pair.b.grad), expected.head.pairs[0]?.db ?? matrix(0, 0), HEAD_TOLERANCE.float32)
  })

  it('linearCrossEntropy refuses weights of another shape or dtype, and ones that would want a gradient', () => {
    const part: Projection = { weight: parameter('head', make(19, 33)), inOut: false, pairs: [] }
    const h = make(2, 33).tensor
    const labels = Tensor.from(device, [1, 2], [2], 'int32')
    const run = (weights: Tensor) => () => linearCrossEntropy(h, labels, part, { weights })
    expect(run(Tensor.full(device, [3], 'float32', 1))).toThrow(
      '[linearCrossEntropy] expected shape [2] ([N]) for weights, got [3]',
    )
    expect(run(Tensor.full(device, [2], 'bfloat16', 1))).toThrow(
      '[linearCrossEntropy] expected float32 for weights, got bfloat16',
    )
    const weights = Tensor.full(device, [2], 'float32', 1)
    weights.requiresGrad = true
    expect(run(weights)).toThrow(
      '[linearCrossEntropy] expected weights without gradients, got a tensor with requiresGrad; they are constants of the loss',
    )
  })
})

/** @file linear and its backward on every device: groups, biases, stacked LoRA pairs, dropout, strides, odd sizes. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device, OpArguments } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { linear, linearBackward } from '../reference/linear.js'
import { map, matrix } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import {
  amongNaNs,
  backwardArguments,
  forwardArguments,
  makeParts,
  type PartShape,
  readGradient,
} from '../support/linear-case.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import {
  COMPUTE_DTYPES,
  type Compute,
  expectClose,
  expectExact,
  expectGapsUntouched,
  operandMaker,
  output,
  readMatrix,
  roundTo,
  type Tolerance,
  upload,
} from '../support/values.js'

/**
 * Sums of up to some thousand float32 products lose about sqrt(K) ulps of the largest. In bfloat16 the result is
 * rounded once (2^-9 of itself, doubled), and an s or ds that falls to the other side of a tie than in float64 moves
 * sums by 2^-9 of a term. In float16 both are 2^-12, and a result below 2^-14 has steps of 2^-24.
 */
const TOLERANCE: Record<Compute, Tolerance> = {
  float32: { relative: 1e-6, ofLargest: 1e-5 },
  bfloat16: { relative: 2 ** -8, ofLargest: 2 ** -9 },
  float16: { relative: 2 ** -11, ofLargest: 2 ** -12, absolute: 2 ** -24 },
}

/**
 * [tokens, inputs]: on both sides of tile, vector and pair boundaries, of the path for a few rows, and of where LoRA
 * pairs share a product.
 */
const SIZES = [
  [1, 1],
  [1, 33],
  [3, 70],
  [4, 31],
  [5, 32],
  [12, 37],
  [13, 64],
  [37, 65],
  [63, 33],
  [67, 65],
] as const

const GROUP: PartShape[] = [
  { outputs: 35, bias: true, ranks: [3] },
  { outputs: 1, inOut: true },
  { outputs: 66, inOut: true, bias: true, ranks: [1, 17] },
  { outputs: 16, ranks: [8] },
]
const MASKED: PartShape[] = [
  { outputs: 19, bias: true, ranks: [3, 5], dropout: { p: 0.3, seed: 77, microStep: 5 } },
  { outputs: 8, inOut: true, ranks: [2] },
  { outputs: 5 },
  { outputs: 21, ranks: [4] },
]
const GROUPS = [
  { name: 'parts with biases, stacked LoRA pairs and both layouts', shapes: GROUP },
  { name: 'LoRA pairs with dropout beside LoRA pairs without', shapes: MASKED },
]
const CASES = GROUPS.flatMap((group) => COMPUTE_DTYPES.map((dtype) => ({ ...group, dtype })))
const widthOf = (shapes: readonly PartShape[]): number => shapes.reduce((total, { outputs }) => total + outputs, 0)

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  async function checkForward(dtype: Compute, tokens: number, inputs: number, shapes: PartShape[]): Promise<void> {
    const make = operandMaker(device, dtype, 31 + tokens)
    const x = make(tokens, inputs, { gap: 3 })
    const parts = makeParts(make, dtype, tokens, inputs, shapes)
    const y = output(device, tokens, widthOf(shapes), dtype, 2)
    device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: forwardArguments(parts) })
    const expected = linear(x, parts, { round: (value) => roundTo(dtype, value) })
    expectClose(await readMatrix(y), expected.y, TOLERANCE[dtype])
    await expectGapsUntouched(y)
    for (const [p, part] of parts.entries()) {
      for (const [i, pair] of part.pairs.entries()) {
        expectClose(await readMatrix(pair.s), expected.s[p]?.[i] ?? matrix(0, 0), TOLERANCE[dtype])
        await expectGapsUntouched(pair.s)
      }
    }
  }

  async function checkBackward(dtype: Compute, tokens: number, inputs: number, shapes: PartShape[]): Promise<void> {
    const make = operandMaker(device, dtype, 32 + tokens)
    const [x, dy] = [make(tokens, inputs, { gap: 1 }), make(tokens, widthOf(shapes), { gap: 3 })]
    const parts = makeParts(make, dtype, tokens, inputs, shapes)
    const y = output(device, tokens, dy.cols, dtype)
    device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: forwardArguments(parts) })
    const dx = output(device, tokens, inputs, dtype, 2)
    device.enqueue('linearBackward', { dy: dy.tensor, x: x.tensor, dx, parts: backwardArguments(parts) })
    const s = await Promise.all(parts.map((part) => Promise.all(part.pairs.map((pair) => readMatrix(pair.s)))))
    const expected = linearBackward(dy, x, parts, s, { round: (value) => roundTo(dtype, value) })
    expectClose(await readMatrix(dx), expected.dx, TOLERANCE[dtype])
    await expectGapsUntouched(dx)
    for (const [p, part] of parts.entries()) {
      const want = expected.parts[p]
      if (!want) throw new Error('a part without a reference')
      // Gradients of parameters are float32 sums of products of compute values: nothing is rounded to bfloat16.
      expectClose(await readGradient(part.dWeight), want.dWeight, TOLERANCE.float32)
      expectClose(await readGradient(part.dBias), want.dBias, TOLERANCE.float32)
      for (const [i, pair] of part.pairs.entries()) {
        expectClose(await readGradient(pair.da), want.pairs[i]?.da ?? matrix(0, 0), TOLERANCE[dtype])
        expectClose(await readGradient(pair.db), want.pairs[i]?.db ?? matrix(0, 0), TOLERANCE.float32)
      }
    }
  }

  it.each(CASES)('gives y and s for $name in $dtype', async ({ shapes, dtype }) => {
    for (const [tokens, inputs] of SIZES) await checkForward(dtype, tokens, inputs, shapes)
  })

  it.each(CASES)('adds to every gradient and writes dx for $name in $dtype', async ({ shapes, dtype }) => {
    for (const [tokens, inputs] of SIZES) await checkBackward(dtype, tokens, inputs, shapes)
  })

  it.each(COMPUTE_DTYPES)('is right beyond one block of rows, of depth and of masked rows in %s', async (dtype) => {
    await checkForward(dtype, 541, 21, MASKED)
    await checkBackward(dtype, 541, 21, MASKED)
    // One of the two ways to multiply a few rows takes 1024 elements of k at a time, the other 16384.
    await checkForward(dtype, 2, 16451, [{ outputs: 5 }])
    for (const inputs of [1024, 2051]) {
      await checkForward(dtype, 3, inputs, [{ outputs: 33, ranks: [2] }])
      await checkForward(dtype, 15, inputs, [{ outputs: 33, ranks: [2] }])
      await checkBackward(dtype, 15, inputs, [{ outputs: 33, ranks: [2] }])
    }
  })

  it.each(COMPUTE_DTYPES)('is right where a product has many large tiles in %s', async (dtype) => {
    // On a GPU 2 x 3 of 128 x 128: y, dx and dWeight, one after the other.
    await checkForward(dtype, 203, 40, [{ outputs: 264 }])
    await checkBackward(dtype, 203, 264, [{ outputs: 24, ranks: [8] }])
    await checkBackward(dtype, 24, 264, [{ outputs: 205 }])
  })

  it.each(COMPUTE_DTYPES)('takes more LoRA pairs than a launch has terms in %s', async (dtype) => {
    const shapes = [{ outputs: 19, bias: true, ranks: new Array(55).fill(1) as number[] }]
    await checkForward(dtype, 11, 21, shapes)
    await checkBackward(dtype, 11, 21, shapes)
  })

  it('rounds the dense and the low-rank product once, together', async () => {
    // Whole numbers: every sum is exact in float32, so that y must be the bfloat16 next to the exact value.
    for (const tokens of [2, 29]) {
      const make = operandMaker(device, 'float32', 33)
      const whole = (rows: number, cols: number) => {
        const values = map(make(rows, cols, { scale: 31 }), (value) => Math.round(value) + 0)
        return { ...values, tensor: upload(device, values, 'bfloat16') }
      }
      const [x, weight, b] = [whole(tokens, 37), whole(41, 37), whole(41, 2)]
      // One input per rank keeps s within the 8 bits of bfloat16.
      const picks = matrix(2, 37, (row, col) => Number(col === 5 + row))
      const a = { ...picks, tensor: upload(device, picks, 'bfloat16') }
      const y = output(device, tokens, 41, 'bfloat16')
      const s = output(device, tokens, 2, 'bfloat16')
      const dropout = { p: 0, seed: 0, microStep: 0, dropoutStream: 0 }
      const pairs = [{ a: a.tensor, b: b.tensor, s, scale: 1, dropout }]
      device.enqueue('linear', {
        sumOrder: 0,
        x: x.tensor,
        y,
        parts: [{ weight: weight.tensor, nf4: [], inOut: false, pairs }],
      })
      const exact = linear(x, [{ weight, pairs: [{ a, b, scale: 1 }] }]).y
      expect(exact.values.some((value) => roundTo('bfloat16', value) !== value)).toBe(true)
      expectExact(
        await readMatrix(y),
        map(exact, (value) => roundTo('bfloat16', value)),
      )
    }
  })

  it('writes float32 outputs of bfloat16 operands unrounded', async () => {
    const make = operandMaker(device, 'bfloat16', 34)
    for (const tokens of [3, 17]) {
      const [x, weight, bias] = [make(tokens, 65), make(35, 65), make(1, 35)]
      const y = output(device, tokens, 35, 'float32', 1)
      const parts = [{ weight: weight.tensor, nf4: [], bias: bias.tensor, inOut: false, pairs: [] }]
      device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts })
      expectClose(await readMatrix(y), linear(x, [{ weight, bias, pairs: [] }]).y, TOLERANCE.float32)
    }
  })

  it.each(COMPUTE_DTYPES)('reads nothing beside its operands in %s', async (dtype) => {
    for (const tokens of [3, 13]) {
      const make = operandMaker(device, dtype, 35)
      const [x, weight, a, b] = [make(tokens, 33), make(19, 33), make(3, 33), make(19, 3)]
      const [y, s] = [output(device, tokens, 19, dtype), output(device, tokens, 3, dtype)]
      const pair = { a: amongNaNs(a, dtype), b: amongNaNs(b, dtype), s, scale: 0.5 }
      const dropout = { p: 0, seed: 0, microStep: 0, dropoutStream: 0 }
      const xView = amongNaNs(x, dtype)
      const part = { weight: amongNaNs(weight, dtype), nf4: [], inOut: false }
      device.enqueue('linear', { sumOrder: 0, x: xView, y, parts: [{ ...part, pairs: [{ ...pair, dropout }] }] })
      const cases = [{ weight, pairs: [{ a, b, scale: 0.5 }] }]
      const round = (value: number) => roundTo(dtype, value)
      expectClose(await readMatrix(y), linear(x, cases, { round }).y, TOLERANCE[dtype])
      const dy = make(tokens, 19)
      const dx = output(device, tokens, 33, dtype)
      const [da, db] = [Tensor.full(device, [3, 33], 'float32', 0), Tensor.full(device, [19, 3], 'float32', 0)]
      const pairs = [{ ...pair, da, db, dropout }]
      device.enqueue('linearBackward', { dy: amongNaNs(dy, dtype), x: xView, dx, parts: [{ ...part, pairs }] })
      const expected = linearBackward(dy, x, cases, [[await readMatrix(s)]], { round })
      expectClose(await readMatrix(dx), expected.dx, TOLERANCE[dtype])
      expectClose(await readMatrix(da), expected.parts[0]?.pairs[0]?.da ?? matrix(0, 0), TOLERANCE[dtype])
    }
  })

  it('leaves out what is not asked for: dx, x, and the gradients of frozen parameters', async () => {
    const make = operandMaker(device, 'float32', 36)
    const parts = makeParts(make, 'float32', 9, 33, [
      { outputs: 35, ranks: [3], dropout: { p: 0.5, seed: 1, microStep: 1 } },
    ])
    const [x, dy] = [make(9, 33), make(9, 35)]
    const y = output(device, 9, 35, 'float32')
    device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: forwardArguments(parts) })
    const frozen = backwardArguments(parts).map((part) => ({
      ...part,
      dWeight: undefined,
      dBias: undefined,
      pairs: (part.pairs as object[]).map((pair) => ({ ...pair, da: undefined, db: undefined })),
    }))
    const dx = output(device, 9, 33, 'float32')
    device.enqueue('linearBackward', { dy: dy.tensor, dx, parts: frozen })
    const s = [[await readMatrix(parts[0]?.pairs[0]?.s as Tensor)]]
    const expected = linearBackward(dy, x, parts, s)
    expectClose(await readMatrix(dx), expected.dx, TOLERANCE.float32)
    device.enqueue('linearBackward', { dy: dy.tensor, x: x.tensor, parts: backwardArguments(parts) })
    const da = parts[0]?.pairs[0]?.da as Tensor
    expectClose(await readGradient(da), expected.parts[0]?.pairs[0]?.da ?? matrix(0, 0), TOLERANCE.float32)
  })

  it('leaves a frozen LoRA pair alone beside one that is trained', async () => {
    const make = operandMaker(device, 'float32', 37)
    const parts = makeParts(make, 'float32', 67, 33, [
      { outputs: 35, ranks: [3] },
      { outputs: 17, ranks: [5] },
    ])
    const [x, dy] = [make(67, 33), make(67, 52)]
    const y = output(device, 67, 52, 'float32')
    device.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: forwardArguments(parts) })
    const [trained, frozen] = backwardArguments(parts) as [OpArguments, OpArguments]
    const pairs = (frozen.pairs as object[]).map((pair) => ({ ...pair, da: undefined, db: undefined }))
    const dx = output(device, 67, 33, 'float32')
    device.enqueue('linearBackward', { dy: dy.tensor, x: x.tensor, dx, parts: [trained, { ...frozen, pairs }] })
    const s = await Promise.all(parts.map((part) => Promise.all(part.pairs.map((pair) => readMatrix(pair.s)))))
    const expected = linearBackward(dy, x, parts, s)
    expectClose(await readMatrix(dx), expected.dx, TOLERANCE.float32)
    const [first, second] = parts.map((part) => part.pairs[0])
    if (!first || !second) throw new Error('a part without a LoRA pair')
    expectClose(await readGradient(first.da), expected.parts[0]?.pairs[0]?.da ?? matrix(0, 0), TOLERANCE.float32)
    expectExact(await readGradient(second.da), matrix(5, 33))
    expectExact(await readGradient(second.db), matrix(17, 5))
  })

  it.each(CASES)('the result does not depend on the threads: $name in $dtype', async ({ shapes, dtype }) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const make = operandMaker(stream, dtype, 38)
      const [x, dy] = [make(601, 131), make(601, widthOf(shapes))]
      const parts = makeParts(make, dtype, 601, 131, shapes)
      const y = output(stream, 601, widthOf(shapes), dtype)
      const dx = output(stream, 601, 131, dtype)
      stream.enqueue('linear', { sumOrder: 0, x: x.tensor, y, parts: forwardArguments(parts) })
      stream.enqueue('linearBackward', { dy: dy.tensor, x: x.tensor, dx, parts: backwardArguments(parts) })
      const gradients = parts.flatMap((part) => [part.dWeight, part.dBias, ...part.pairs.flatMap((s) => [s.da, s.db])])
      return [y, dx, ...gradients]
    })
  })
})

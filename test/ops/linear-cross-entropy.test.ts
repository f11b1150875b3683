/** @file linearCrossEntropy on every device: loss, gradients, chunks, labels that are ignored or wrong. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { linearCrossEntropy } from '../reference/linear-cross-entropy.js'
import { at, type Matrix, map, matrix } from '../reference/matrix.js'
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
import { isThorough } from '../support/long.js'
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
  upload,
} from '../support/values.js'

/** The loss is float32 from float64 sums; in the others the rounding of s shifts logits. */
const LOSS_TOLERANCE: Record<Compute, number> = { float32: 2e-6, bfloat16: 1e-4, float16: 1e-5 }

/** [tokens, width, vocabulary] */
const ALL_SIZES = [
  [2, 33, 2],
  [37, 65, 131],
  [1, 1, 1],
  [5, 31, 17],
  [13, 64, 33],
] as const
const SIZES = ALL_SIZES.slice(0, isThorough ? undefined : 2)

interface Options {
  softcap?: number
  divisor?: number
  lossScale?: number
  labels?: readonly number[]
  scale?: number
}

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  async function check(
    dtype: Compute,
    [tokens, width, vocabulary]: readonly [number, number, number],
    shape: Omit<PartShape, 'outputs'>,
    { softcap = 0, divisor = 0, lossScale = 1, labels = labelsFor(tokens, vocabulary), scale = 1 }: Options = {},
  ): Promise<void> {
    const make = operandMaker(device, dtype, 41 + tokens)
    const h = make(tokens, width, { gap: 1, scale })
    const parts = makeParts(make, dtype, tokens, width, [{ ...shape, outputs: vocabulary }])
    const [head] = parts as [(typeof parts)[number]]
    const ids = Tensor.from(device, labels, [tokens], 'int32')
    const loss = Tensor.empty(device, [1], 'float32')
    const dh = output(device, tokens, width, dtype, 2)
    const common = { h: h.tensor, labels: ids, loss, softcap, divisor, lossScale }
    device.enqueue('linearCrossEntropy', { ...common, dh, head: headArguments(head, true) })
    const expected = linearCrossEntropy(
      h,
      head,
      { labels, softcap, divisor, lossScale },
      { round: (v) => roundTo(dtype, v) },
    )
    const [value] = await loss.read()
    expect(Math.abs((value as number) - expected.loss)).toBeLessThanOrEqual(
      LOSS_TOLERANCE[dtype] * Math.max(1, Math.abs(expected.loss)),
    )
    expectClose(await readMatrix(dh), expected.dh, HEAD_TOLERANCE[dtype])
    await expectGapsUntouched(dh)
    // The gradients start from 0.25, whose ulp is the least that the sums can resolve.
    const started = { ...HEAD_TOLERANCE[dtype], absolute: 2 ** -24 }
    expectClose(await readGradient(head.dWeight), expected.head.dWeight, started)
    for (const [i, pair] of head.pairs.entries()) {
      expectClose(await readGradient(pair.da), expected.head.pairs[i]?.da ?? matrix(0, 0), started)
      expectClose(await readGradient(pair.db), expected.head.pairs[i]?.db ?? matrix(0, 0), started)
    }
    device.enqueue('linearCrossEntropy', { ...common, head: headArguments(head, false) })
    expect((await loss.read())[0]).toBe(value)
  }

  it.each(HEAD_CASES)('gives the loss, dh and the gradients of $name in $dtype', async ({ head, dtype }) => {
    for (const size of SIZES) {
      await check(dtype, size, head)
      await check(dtype, size, head, { softcap: 2.5, divisor: 64, lossScale: 48 })
    }
  })

  it.each(COMPUTE_DTYPES)('passes more labelled rows than a chunk holds in %s', async (dtype) => {
    await check(dtype, [613, 9, 35], { ranks: [2], dropout: { p: 0.5, seed: 1, microStep: 0 } })
    await check(dtype, [2085, 3, 7], {})
    await check(dtype, [257, 9, 35], {}, { labels: Array.from({ length: 257 }, (_, i) => i % 35) })
  })

  it('a loss scale multiplies every gradient and not the loss, and saves those that float16 would lose', async () => {
    const make = operandMaker(device, 'float16', 48)
    const [h, weight] = [make(7, 33), make(19, 33)]
    const labels = Tensor.from(device, labelsFor(7, 19), [7], 'int32')
    const run = async (lossScale: number) => {
      const [loss, dh] = [Tensor.empty(device, [1], 'float32'), output(device, 7, 33, 'float16')]
      const head = [{ weight: weight.tensor, pairs: [] }]
      device.enqueue('linearCrossEntropy', { h: h.tensor, labels, loss, dh, head, softcap: 0, divisor: 1e9, lossScale })
      return { loss: (await loss.read())[0], dh: await readMatrix(dh) }
    }
    // Gradients of 1e-9 are below half of the smallest float16, 6e-8.
    const [lost, kept] = [await run(1), await run(1e8)]
    expect(lost.loss).toBe(kept.loss)
    expect(lost.dh.values.every((value) => value === 0)).toBe(true)
    const expected = linearCrossEntropy(
      h,
      { weight, pairs: [] },
      { labels: labelsFor(7, 19), divisor: 1e9, lossScale: 1e8 },
      { round: (value) => roundTo('float16', value) },
    )
    expectClose(kept.dh, expected.dh, HEAD_TOLERANCE.float16)
  })

  it('a loss scale that is a power of two multiplies float32 gradients exactly', async () => {
    const run = async (lossScale: number) => {
      const make = operandMaker(device, 'float32', 49)
      const h = make(13, 31)
      const parts = makeParts(make, 'float32', 13, 31, [{ ranks: [3], outputs: 21 }])
      const [part] = parts as [(typeof parts)[number]]
      for (const tensor of [part.dWeight, ...part.pairs.flatMap(({ da, db }) => [da, db])]) {
        device.enqueue('fill', { y: tensor, value: 0 })
      }
      const [loss, dh] = [Tensor.empty(device, [1], 'float32'), output(device, 13, 31, 'float32')]
      const labels = Tensor.from(device, labelsFor(13, 21), [13], 'int32')
      const args = { h: h.tensor, labels, loss, dh, head: headArguments(part, true), softcap: 3, divisor: 0, lossScale }
      device.enqueue('linearCrossEntropy', args)
      const gradients = [dh, part.dWeight, ...part.pairs.flatMap(({ da, db }) => [da, db])]
      return { loss: (await loss.read())[0], gradients: await Promise.all(gradients.map(readMatrix)) }
    }
    const [plain, scaled] = [await run(1), await run(1024)]
    expect(scaled.loss).toBe(plain.loss)
    for (const [i, gradient] of plain.gradients.entries()) {
      expectExact(
        scaled.gradients[i] as Matrix,
        map(gradient, (value) => 1024 * value),
      )
    }
  })

  it('passes a vocabulary that calls for smaller chunks', async () => {
    // Logits are 1 for entry 7 and 0 for all others; labels take turns between 7 and the last.
    const [tokens, vocabulary] = [301, 66_001]
    const weight = upload(
      device,
      matrix(vocabulary, 1, (row) => Number(row === 7)),
      'float32',
    )
    const h = Tensor.full(device, [tokens, 1], 'float32', 1)
    const labels = Int32Array.from({ length: tokens }, (_, i) => (i % 2 ? vocabulary - 1 : 7))
    const [loss, dh] = [Tensor.empty(device, [1], 'float32'), Tensor.empty(device, [tokens, 1], 'float32')]
    device.enqueue('linearCrossEntropy', {
      h,
      labels: Tensor.from(device, labels, [tokens]),
      loss,
      dh,
      head: [{ weight, pairs: [] }],
      softcap: 0,
      divisor: 1,
      lossScale: 1,
    })
    const total = vocabulary - 1 + Math.E
    expect((await loss.read())[0] as number).toBeCloseTo(tokens * Math.log(total) - 151, 3)
    // dh = dlogits of entry 7: a few float32 roundings, whatever the number of terms.
    const expected = matrix(tokens, 1, (row) => Math.E / total - Number(row % 2 === 0))
    expectClose(await readMatrix(dh), expected, { relative: 1e-6, ofLargest: 0 })
  })

  it('gives nothing for a row without a label, however wild', async () => {
    const make = operandMaker(device, 'float32', 43)
    const [h, weight] = [make(3, 33), make(17, 33)]
    for (let col = 0; col < 33; col++) h.values[33 + col] = Number.NaN
    const labels = [2, -100, 16]
    const tensors = { h: upload(device, h, 'float32'), labels: Tensor.from(device, labels, [3], 'int32') }
    const [loss, dh] = [Tensor.empty(device, [1], 'float32'), output(device, 3, 33, 'float32')]
    const head = [{ weight: weight.tensor, pairs: [] }]
    device.enqueue('linearCrossEntropy', { ...tensors, loss, dh, head, softcap: 0, divisor: 0, lossScale: 1 })
    const expected = linearCrossEntropy(h, { weight, pairs: [] }, { labels })
    expect((await loss.read())[0]).toBeCloseTo(expected.loss, 5)
    const gradient = await readMatrix(dh)
    expect(at(gradient, 1, 5)).toBe(0)
    expectClose(gradient, expected.dh, HEAD_TOLERANCE.float32)
  })

  it('is 0 with gradients of 0 when no row has a label', async () => {
    const make = operandMaker(device, 'bfloat16', 44)
    const [h, weight] = [make(5, 33), make(17, 33)]
    const labels = Tensor.from(device, [-100, -100, -100, -100, -100], [5], 'int32')
    const [loss, dh] = [Tensor.full(device, [1], 'float32', 9), output(device, 5, 33, 'bfloat16', 1)]
    const head = [{ weight: weight.tensor, pairs: [] }]
    device.enqueue('linearCrossEntropy', { h: h.tensor, labels, loss, dh, head, softcap: 0, divisor: 0, lossScale: 1 })
    expect((await loss.read())[0]).toBe(0)
    expect((await dh.read()).every((value) => value === 0)).toBe(true)
    await expectGapsUntouched(dh)
  })

  it('stays finite where exponentials of the logits are not', async () => {
    const h = upload(
      device,
      matrix(2, 1, (row) => (row ? -3000 : 3000)),
      'float32',
    )
    const weight = upload(
      device,
      matrix(4, 1, (row) => row - 1),
      'float32',
    )
    const labels = Tensor.from(device, [3, 3], [2], 'int32')
    const [loss, dh] = [Tensor.empty(device, [1], 'float32'), output(device, 2, 1, 'float32')]
    device.enqueue('linearCrossEntropy', {
      h,
      labels,
      loss,
      dh,
      head: [{ weight, pairs: [] }],
      softcap: 0,
      divisor: 1,
      lossScale: 1,
    })
    // Logits -3000, 0, 3000, 6000 and their negatives: probabilities of 0 and 1, and a loss of 6000 + 3000 for the
    // second row.
    expect([...(await loss.read())]).toEqual([9000])
    expect([...(await dh.read())]).toEqual([0, -3])
  })

  it.each([
    [17, 2],
    [-1, 0],
    [-101, 1],
  ])('the label %i of row %i is refused with both', async (label, row) => {
    const stream = testDevice.open()
    const make = operandMaker(stream, 'float32', 45)
    const [h, weight] = [make(3, 33), make(17, 33)]
    const labels = [0, -100, 16]
    labels[row] = label
    stream.enqueue('linearCrossEntropy', {
      h: h.tensor,
      labels: Tensor.from(stream, labels, [3], 'int32'),
      loss: Tensor.empty(stream, [1], 'float32'),
      head: [{ weight: weight.tensor, pairs: [] }],
      softcap: 0,
      divisor: 0,
      lossScale: 1,
    })
    const message = `expected labels in [0, 17) or -100, got ${label} at row ${row}`
    await expect(stream.sync()).rejects.toThrow(message)
    stream.close()
  })

  it('holds the logits of one chunk, never of all rows', async () => {
    const stream = testDevice.open({ threads: 1 })
    const [tokens, width, vocabulary] = [2048, 8, 4096]
    const make = operandMaker(stream, 'float32', 46)
    const [h, weight] = [make(tokens, width), make(vocabulary, width)]
    const [loss, dh] = [Tensor.empty(stream, [1], 'float32'), Tensor.empty(stream, [tokens, width], 'float32')]
    const labels = Tensor.from(stream, new Int32Array(tokens).fill(7), [tokens])
    const head = [{ weight: weight.tensor, pairs: [] }]
    await stream.sync()
    stream.resetPeak()
    const before = stream.memory().peak
    stream.enqueue('linearCrossEntropy', { h: h.tensor, labels, loss, dh, head, softcap: 0, divisor: 0, lossScale: 1 })
    await stream.sync()
    // 256 rows of float32 logits take 4 MB, the panels of a thread under 1 MB; all 2048 rows would take 32 MB.
    expect(stream.memory().peak - before).toBeLessThan(6 * 2 ** 20)
    stream.close()
  })

  it.each(HEAD_CASES)('the result does not depend on the threads: $name in $dtype', async ({ head, dtype }) => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const [tokens, width, vocabulary] = [411, 65, 301]
      const make = operandMaker(stream, dtype, 47)
      const h = make(tokens, width)
      const parts = makeParts(make, dtype, tokens, width, [{ ...head, outputs: vocabulary }])
      const [part] = parts as [(typeof parts)[number]]
      const [loss, dh] = [Tensor.empty(stream, [1], 'float32'), output(stream, tokens, width, dtype)]
      const labels = Tensor.from(stream, labelsFor(tokens, vocabulary), [tokens], 'int32')
      const args = {
        h: h.tensor,
        labels,
        loss,
        dh,
        head: headArguments(part, true),
        softcap: 0,
        divisor: 0,
        lossScale: 1,
      }
      stream.enqueue('linearCrossEntropy', args)
      return [loss, dh, part.dWeight, ...part.pairs.flatMap((pair) => [pair.da, pair.db])]
    })
  })
})

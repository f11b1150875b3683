/**
 * @file linearLogProbs on every device: values, gradients, chunks, labels that are ignored or wrong, and what it
 * records.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad, runBackward } from '../../src/autograd/tape.js'
import type { Projection } from '../../src/ops/linear.js'
import { linearLogProbs } from '../../src/ops/linear-log-probs.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { linearLogProbs as reference } from '../reference/linear-log-probs.js'
import { at, type Matrix, matrix } from '../reference/matrix.js'
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
  expectGapsUntouched,
  operandMaker,
  output,
  readMatrix,
  roundTo,
  type Tolerance,
  upload,
} from '../support/values.js'

/**
 * A log probability is a difference of float32 logits; in the others the rounding of s shifts these by some of its
 * ulps.
 */
const VALUE_TOLERANCE: Record<Compute, Tolerance> = {
  float32: { relative: 2e-6, ofLargest: 2e-6 },
  bfloat16: { relative: 2 ** -8, ofLargest: 2 ** -8 },
  float16: { relative: 2 ** -11, ofLargest: 2 ** -11 },
}

/** [tokens, width, vocabulary] */
const ALL_SIZES = [
  [2, 33, 2],
  [37, 65, 131],
  [1, 1, 1],
  [13, 64, 33],
] as const
const SIZES = ALL_SIZES.slice(0, isThorough ? undefined : 2)

/** Gradients of both signs, one of them 0; every third row, which is ignored, gets one that must not count. */
const gradientsFor = (tokens: number): number[] =>
  Array.from({ length: tokens }, (_, i) => (i % 3 === 1 ? 1e6 : ((i % 5) - 2) / 4))

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
    softcap = 0,
  ): Promise<void> {
    const make = operandMaker(device, dtype, 51 + tokens)
    const h = make(tokens, width, { gap: 1 })
    const parts = makeParts(make, dtype, tokens, width, [{ ...shape, outputs: vocabulary }])
    const [head] = parts as [(typeof parts)[number]]
    const [labels, dLogProbs] = [labelsFor(tokens, vocabulary), gradientsFor(tokens)]
    const ids = Tensor.from(device, labels, [tokens], 'int32')
    const logProbs = Tensor.full(device, [tokens], 'float32', 9)
    const dh = output(device, tokens, width, dtype, 2)
    const common = { h: h.tensor, labels: ids, softcap }
    const pairs = headArguments(head, false)
    device.enqueue('linearLogProbs', { ...common, logProbs, head: withoutGradients(pairs) })
    device.enqueue('linearLogProbsBackward', {
      ...common,
      dLogProbs: Tensor.from(device, dLogProbs, [tokens]),
      dh,
      head: headArguments(head, true),
    })
    const expected = reference(h, head, { labels, softcap, dLogProbs }, { round: (v) => roundTo(dtype, v) })
    const values = await readMatrix(logProbs.reshape([1, tokens]))
    expectClose(values, row(expected.logProbs), VALUE_TOLERANCE[dtype])
    labels.forEach((label, i) => {
      if (label === -100) expect(values.values[i]).toBe(0)
    })
    expectClose(await readMatrix(dh), expected.dh, HEAD_TOLERANCE[dtype])
    await expectGapsUntouched(dh)
    // The gradients start from 0.25, whose ulp is the least that the sums can resolve.
    const started = { ...HEAD_TOLERANCE[dtype], absolute: 2 ** -24 }
    expectClose(await readGradient(head.dWeight), expected.head.dWeight, started)
    for (const [i, pair] of head.pairs.entries()) {
      expectClose(await readGradient(pair.da), expected.head.pairs[i]?.da ?? matrix(0, 0), started)
      expectClose(await readGradient(pair.db), expected.head.pairs[i]?.db ?? matrix(0, 0), started)
    }
  }

  it.each(HEAD_CASES)(
    'linearLogProbs gives the values, dh and the gradients of $name in $dtype',
    async ({ head, dtype }) => {
      for (const size of SIZES) {
        await check(dtype, size, head)
        await check(dtype, size, head, 2.5)
      }
    },
  )

  it.each(COMPUTE_DTYPES)('linearLogProbs passes more labelled rows than a chunk holds in %s', async (dtype) => {
    await check(dtype, [613, 9, 35], { ranks: [2], dropout: { p: 0.5, seed: 1, microStep: 0 } })
    await check(dtype, [2085, 3, 7], {})
  })

  it('linearLogProbs gives 0 for a row without a label, however wild', async () => {
    const make = operandMaker(device, 'float32', 43)
    const [h, weight] = [make(3, 33), make(17, 33)]
    for (let col = 0; col < 33; col++) h.values[33 + col] = Number.NaN
    const labels = [2, -100, 16]
    const common = { h: upload(device, h, 'float32'), labels: Tensor.from(device, labels, [3], 'int32'), softcap: 0 }
    const [logProbs, dh] = [Tensor.empty(device, [3], 'float32'), output(device, 3, 33, 'float32')]
    const dLogProbs = Tensor.from(device, [1, Number.NaN, -1], [3])
    const head = [{ weight: weight.tensor, pairs: [] }]
    device.enqueue('linearLogProbs', { ...common, logProbs, head })
    device.enqueue('linearLogProbsBackward', { ...common, dLogProbs, dh, head })
    const expected = reference(h, { weight, pairs: [] }, { labels, dLogProbs: [1, 0, -1] })
    expectClose(await readMatrix(logProbs.reshape([1, 3])), row(expected.logProbs), VALUE_TOLERANCE.float32)
    const gradient = await readMatrix(dh)
    expect(at(gradient, 1, 5)).toBe(0)
    expectClose(gradient, expected.dh, HEAD_TOLERANCE.float32)
  })

  it('linearLogProbs of rows that all have no label is 0, with gradients of 0', async () => {
    const make = operandMaker(device, 'bfloat16', 44)
    const [h, weight] = [make(5, 33), make(17, 33)]
    const labels = Tensor.from(device, [-100, -100, -100, -100, -100], [5], 'int32')
    const [logProbs, dh] = [Tensor.full(device, [5], 'float32', 9), output(device, 5, 33, 'bfloat16', 1)]
    const common = { h: h.tensor, labels, head: [{ weight: weight.tensor, pairs: [] }], softcap: 0 }
    device.enqueue('linearLogProbs', { ...common, logProbs })
    device.enqueue('linearLogProbsBackward', { ...common, dLogProbs: Tensor.full(device, [5], 'float32', 1), dh })
    expect([...(await logProbs.read())]).toEqual([0, 0, 0, 0, 0])
    expect((await dh.read()).every((value) => value === 0)).toBe(true)
    await expectGapsUntouched(dh)
  })

  it('linearLogProbs and its backward refuse a label outside the vocabulary, naming it and its row', async () => {
    const stream = testDevice.open()
    const make = operandMaker(stream, 'float32', 45)
    const [h, weight] = [make(3, 33), make(17, 33)]
    const common = {
      h: h.tensor,
      labels: Tensor.from(stream, [0, -100, 17], [3], 'int32'),
      head: [{ weight: weight.tensor, pairs: [] }],
      softcap: 0,
    }
    const message = 'expected labels in [0, 17) or -100, got 17 at row 2'
    stream.enqueue('linearLogProbs', { ...common, logProbs: Tensor.empty(stream, [3], 'float32') })
    await expect(stream.sync()).rejects.toThrow(message)
    const [dLogProbs, dh] = [Tensor.full(stream, [3], 'float32', 1), output(stream, 3, 33, 'float32')]
    stream.enqueue('linearLogProbsBackward', { ...common, dLogProbs, dh })
    await expect(stream.sync()).rejects.toThrow(message)
    stream.close()
  })

  it.each(COMPUTE_DTYPES)('the bits of linearLogProbs do not depend on the threads in %s', async (dtype) => {
    const head: Omit<PartShape, 'outputs'> = { ranks: [5], dropout: { p: 0.3, seed: 4, microStep: 2 } }
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const [tokens, width, vocabulary] = [411, 65, 301]
      const make = operandMaker(stream, dtype, 47)
      const h = make(tokens, width)
      const parts = makeParts(make, dtype, tokens, width, [{ ...head, outputs: vocabulary }])
      const [part] = parts as [(typeof parts)[number]]
      const [logProbs, dh] = [Tensor.empty(stream, [tokens], 'float32'), output(stream, tokens, width, dtype)]
      const labels = Tensor.from(stream, labelsFor(tokens, vocabulary), [tokens], 'int32')
      const common = { h: h.tensor, labels, softcap: 0 }
      const dLogProbs = Tensor.from(stream, gradientsFor(tokens), [tokens])
      stream.enqueue('linearLogProbs', { ...common, logProbs, head: withoutGradients(headArguments(part, false)) })
      stream.enqueue('linearLogProbsBackward', { ...common, dLogProbs, dh, head: headArguments(part, true) })
      return [logProbs, dh, part.dWeight, ...part.pairs.flatMap((pair) => [pair.da, pair.db])]
    })
  })
})

describe.each(testDevices({ everyLevel: false }))('as models call it on $name', ({ open }) => {
  let device: Device
  let make: ReturnType<typeof operandMaker>
  beforeAll(() => {
    device = open()
    make = operandMaker(device, 'float32', 92)
  })
  afterAll(() => device.close())

  const parameter = (name: string, values: Matrix): Parameter => {
    const result = new Parameter(name, [values.rows, values.cols], device, 'float32')
    result.unfreeze()
    result.set(Float32Array.from(values.values))
    return result
  }

  it('linearLogProbs hands any gradient of its rows on to h, the head and its LoRA pairs, and records nothing under noGrad', async () => {
    const [h, weight, a, b] = [make(9, 33), make(21, 33), make(3, 33), make(21, 3)]
    h.tensor.requiresGrad = true
    const pair = { a: parameter('a', a), b: parameter('b', b), scale: 0.5, dropout: 0.25, dropoutStream: 6 }
    const part: Projection = { weight: parameter('weight', weight), inOut: false, pairs: [pair] }
    const state = { seed: 11, microStep: 2 }
    const labels = [0, 20, -100, 3, 3, -100, 7, 8, 9]
    const dLogProbs = gradientsFor(9)
    const ids = Tensor.from(device, labels, [9], 'int32')
    const values = { weight, pairs: [{ a, b, scale: 0.5, dropout: { p: 0.25, ...state, dropoutStream: 6 } }] }
    const expected = reference(h, values, { labels, softcap: 3, dLogProbs })
    const run = () => linearLogProbs(h.tensor, ids, part, { softcap: 3, dropout: state })
    const unrecorded = noGrad(run)
    expect(unrecorded.requiresGrad).toBe(false)
    const logProbs = run()
    expect(await logProbs.read()).toEqual(await unrecorded.read())
    runBackward([{ tensor: logProbs, grad: Tensor.from(device, dLogProbs, [9]) }])
    expectClose(await readMatrix(h.tensor.grad as Tensor), expected.dh, HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(part.weight.grad), expected.head.dWeight, HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(pair.a.grad), expected.head.pairs[0]?.da ?? matrix(0, 0), HEAD_TOLERANCE.float32)
    expectClose(await readMatrix(pair.b.grad), expected.head.pairs[0]?.db ?? matrix(0, 0), HEAD_TOLERANCE.float32)
  })

  it('linearLogProbs refuses operands that do not fit and weights that changed before backward', () => {
    const part: Projection = { weight: parameter('head', make(19, 33)), inOut: false, pairs: [] }
    const labels = Tensor.from(device, [1, 2], [2], 'int32')
    expect(() => linearLogProbs(make(5, 33).tensor, labels, part)).toThrow(
      '[linearLogProbs] expected shape [5] ([N]) for labels, got [2]',
    )
    expect(() => linearLogProbs(make(2, 33).tensor, labels, { ...part, bias: part.weight })).toThrow(
      '[linearLogProbs] expected a head of shape [V, D] without bias',
    )
    const logProbs = linearLogProbs(make(2, 33).tensor, labels, part)
    part.weight.set(new Float32Array(19 * 33))
    expect(() => runBackward([{ tensor: logProbs, grad: Tensor.full(device, [2], 'float32', 1) }])).toThrow(
      'expected head unchanged until backward()',
    )
  })
})

function row(values: readonly number[]): Matrix {
  return matrix(1, values.length, (_, col) => values[col] as number)
}

/** The forward op knows no gradients. */
function withoutGradients(head: ReturnType<typeof headArguments>): ReturnType<typeof headArguments> {
  return head.map(({ weight, pairs }) => ({
    weight,
    pairs: (pairs as Record<string, unknown>[]).map(({ da: _, db: __, ...pair }) => pair),
  })) as ReturnType<typeof headArguments>
}

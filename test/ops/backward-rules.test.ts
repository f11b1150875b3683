/**
 * @file The ops as models call them: the backward rule that each records, and the errors of its checks. The kernels
 * have tests of their own.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad, runBackward } from '../../src/autograd/tape.js'
import { add } from '../../src/ops/add.js'
import { attention } from '../../src/ops/attention.js'
import { cast } from '../../src/ops/cast.js'
import { embedding } from '../../src/ops/embedding.js'
import { gelu } from '../../src/ops/gelu.js'
import { layerNorm } from '../../src/ops/layer-norm.js'
import { rmsNorm } from '../../src/ops/rms-norm.js'
import { rope_ } from '../../src/ops/rope.js'
import { splitColumns } from '../../src/ops/split-columns.js'
import { swiglu } from '../../src/ops/swiglu.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { geluSlope, swigluBackward } from '../reference/activation.js'
import { attentionBackward } from '../reference/attention.js'
import { accumulate, at, type Matrix, map, matrix } from '../reference/matrix.js'
import { norm, normBackward } from '../reference/norm.js'
import { rope } from '../reference/rope.js'
import { testDevices } from '../support/devices.js'
import { expectClose, type Operand, operandMaker, readMatrix, upload } from '../support/values.js'

const EPS = 1e-5
/** Float32 kernels, one after the other; see the kernels' own tests for tight bounds. */
const TOLERANCE = { relative: 2e-6, ofLargest: 1e-5 }

const plus = (a: Matrix, b: Matrix): Matrix => map(a, (value, row, col) => value + at(b, row, col))

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let make: ReturnType<typeof operandMaker>
  beforeAll(() => {
    device = open()
    make = operandMaker(device, 'float32', 81)
  })
  afterAll(() => device.close())

  const leaf = (rows: number, cols: number): Operand => {
    const operand = make(rows, cols)
    operand.tensor.requiresGrad = true
    return operand
  }
  const trainable = (values: Matrix, shape: readonly number[]): Parameter => {
    const parameter = new Parameter('weight', shape, device, 'float32')
    parameter.unfreeze()
    parameter.set(Float32Array.from(values.values))
    return parameter
  }
  // The tape consumes what it is given, so that it gets a copy.
  const gradientOf = (m: Matrix): Tensor => upload(device, m, 'float32')
  const gradient = (operand: Operand): Promise<Matrix> => readMatrix(operand.tensor.grad as Tensor)
  /** The ops that `run` queues, in order. */
  const opsOf = (run: () => void): string[] => {
    const ops: string[] = []
    const { enqueue } = device
    device.enqueue = (op, args) => {
      ops.push(op)
      enqueue.call(device, op, args)
    }
    try {
      run()
    } finally {
      device.enqueue = enqueue
    }
    return ops
  }

  it.each(['rmsNorm', 'layerNorm'] as const)(
    '%s sends one gradient to x and the residual, and adds the sum`s',
    async (op) => {
      const centred = op === 'layerNorm'
      const [x, residual, weight, dy, dSum] = [leaf(7, 33), leaf(7, 33), make(1, 33), make(7, 33), make(7, 33)]
      const scale = trainable(weight, [33])
      const shift = trainable(make(1, 33), [33])
      const options = { eps: EPS, residual: residual.tensor }
      const { y, sum } = centred ? layerNorm(x.tensor, scale, shift, options) : rmsNorm(x.tensor, scale, options)
      runBackward([
        { tensor: y, grad: gradientOf(dy) },
        { tensor: sum, grad: gradientOf(dSum) },
      ])
      const { dx, dWeight, dBias } = normBackward(dy, plus(x, residual), weight, EPS, centred)
      expectClose(await gradient(x), plus(dx, dSum), TOLERANCE)
      expectClose(await gradient(residual), plus(dx, dSum), TOLERANCE)
      expectClose(await readMatrix(scale.grad), dWeight, TOLERANCE)
      if (centred) expectClose(await readMatrix(shift.grad), dBias, TOLERANCE)
    },
  )

  it('swiglu, gelu and cast differentiate', async () => {
    const [x, dy] = [leaf(5, 66), make(5, 33)]
    runBackward([{ tensor: swiglu(x.tensor), grad: gradientOf(dy) }])
    expectClose(await gradient(x), swigluBackward(dy, x), TOLERANCE)
    for (const tanh of [true, false]) {
      const z = leaf(5, 33)
      runBackward([{ tensor: gelu(z.tensor, { tanh }), grad: gradientOf(dy) }])
      expectClose(
        await gradient(z),
        map(dy, (value, row, col) => value * geluSlope(at(z, row, col), tanh)),
        TOLERANCE,
      )
    }
    const z = leaf(5, 33)
    runBackward([{ tensor: cast(cast(z.tensor, 'bfloat16'), 'float32'), grad: gradientOf(map(dy, Math.round)) }])
    // Whole numbers pass through bfloat16 unchanged.
    expectClose(await gradient(z), map(dy, Math.round), { relative: 0, ofLargest: 0 })
  })

  it('add sends the gradient to both sides, and to one tensor twice', async () => {
    const [a, b, dy] = [leaf(3, 31), leaf(3, 31), make(3, 31)]
    runBackward([{ tensor: add(add(a.tensor, b.tensor), a.tensor), grad: gradientOf(dy) }])
    expectClose(
      await gradient(a),
      map(dy, (value) => 2 * value),
      TOLERANCE,
    )
    expectClose(await gradient(b), dy, TOLERANCE)
  })

  it('embedding accumulates into the table`s gradient over two calls', async () => {
    const [table, dy] = [make(9, 33), make(4, 33)]
    const weight = trainable(table, [9, 33])
    const ids = [8, 2, 8, 0]
    for (let call = 0; call < 2; call++) {
      const y = embedding(Tensor.from(device, ids, [4], 'int32'), weight)
      runBackward([{ tensor: y, grad: gradientOf(dy) }])
    }
    const expected = matrix(9, 33)
    ids.forEach((id, i) => {
      for (let col = 0; col < 33; col++) accumulate(expected, id, col, 2 * at(dy, i, col))
    })
    expectClose(await readMatrix(weight.grad), expected, TOLERANCE)
  })

  it.each([
    ['rope', false],
    ['norms of heads, rope', true],
  ])(
    '%s and attention on slices of one projection differentiate into one gradient, without a copy',
    async (_, normalised) => {
      const [tokens, heads, kvHeads, headDim] = [33, 4, 2, 16]
      const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim] as const
      const rotated = widths[0] + widths[1]
      const [x, dy] = [leaf(tokens, rotated + widths[2]), make(tokens, widths[0])]
      const weights = [make(1, headDim), make(1, headDim)] as const
      const scales = weights.map((weight) => trainable(weight, [headDim])) as [Parameter, Parameter]
      const angles = matrix(tokens, headDim, (position, col) =>
        Math.fround(col < headDim / 2 ? Math.cos(position / (col + 1)) : Math.sin(position / (col - headDim / 2 + 1))),
      )
      const positions = Array.from({ length: tokens }, (_, i) => i)
      const cosSin = upload(device, angles, 'float32')
      const cu = Tensor.from(device, [0, 20, tokens], [3], 'int32')

      const where = Tensor.from(device, positions, [tokens], 'int32')
      const turn = (t: Tensor, columns: number): Tensor => rope_(t, cosSin, where, { headDim, columns })
      const split = (t: Tensor) => splitColumns(t, widths) as [Tensor, Tensor, Tensor]
      const [q, k, v] = split(normalised ? x.tensor : turn(x.tensor, rotated))
      const side = (t: Tensor, i: 0 | 1): Tensor =>
        normalised ? turn(rmsNorm(t, scales[i], { eps: EPS, heads: t.cols / headDim }).y, t.cols) : t
      const y = attention(side(q, 0), side(k, 1), v, { headDim, cuSeqlensQ: cu, cuSeqlensK: cu })
      const ops = opsOf(() => runBackward([{ tensor: y, grad: gradientOf(dy) }]))
      // 'fill' makes room for the gradients of the weights.
      expect(ops.filter((op) => op !== 'fill')).toEqual([
        'attentionBackward',
        ...(normalised ? ['rope', 'rmsNormBackward', 'rope', 'rmsNormBackward'] : ['rope']),
      ])

      const columns = (m: Matrix, start: number, end: number) =>
        matrix(tokens, end - start, (row, col) => at(m, row, start + col))
      const byHead = (m: Matrix): Matrix => ({ rows: m.values.length / headDim, cols: headDim, values: m.values })
      const whole = (m: Matrix): Matrix => ({ rows: tokens, cols: m.values.length / tokens, values: m.values })
      const given = [columns(x, 0, widths[0]), columns(x, widths[0], rotated)] as const
      const front = given.map((m, i) => {
        const input = normalised ? whole(norm(byHead(m), weights[i] as Matrix, undefined, EPS)) : m
        return rope(input, angles, positions)
      }) as [Matrix, Matrix]
      const options = { headDim, causal: true, window: 0, softcap: 0, scale: 1 / 4, queries: [20, 13], keys: [20, 13] }
      const { dq, dk, dv } = attentionBackward(dy, ...front, columns(x, rotated, x.cols), options)
      const back = await Promise.all(
        [dq, dk].map(async (d, i) => {
          const turnedBack = rope(d, angles, positions, true)
          if (!normalised) return turnedBack
          const { dx, dWeight } = normBackward(
            byHead(turnedBack),
            byHead(given[i] as Matrix),
            weights[i] as Matrix,
            EPS,
            false,
          )
          expectClose(await readMatrix((scales[i] as Parameter).grad), dWeight, TOLERANCE)
          return whole(dx)
        }),
      )
      const joined = [...back, dv] as [Matrix, Matrix, Matrix]
      const expected = matrix(tokens, x.cols, (row, col) => {
        if (col < widths[0]) return at(joined[0], row, col)
        return col < rotated ? at(joined[1], row, col - widths[0]) : at(joined[2], row, col - rotated)
      })
      expectClose(await gradient(x), expected, TOLERANCE)
    },
  )

  it('nothing is recorded without a tensor that needs a gradient, or inside noGrad', () => {
    const frozen = make(3, 4)
    expect(swiglu(frozen.tensor).requiresGrad).toBe(false)
    const x = leaf(3, 4)
    expect(noGrad(() => swiglu(x.tensor)).requiresGrad).toBe(false)
    expect(swiglu(x.tensor).requiresGrad).toBe(true)
  })

  it('mistakes in shapes and dtypes name op, argument and both shapes, before anything runs', () => {
    const [x, y] = [make(3, 33).tensor, make(3, 32).tensor]
    const weight = trainable(make(1, 32), [32])
    const ids = Tensor.from(device, [0, 1, 2], [3], 'int32')
    const cu = Tensor.from(device, [0, 3], [2], 'int32')
    expect(() => add(x, y)).toThrow('[add] expected shape [3, 33] ([like a]) for b, got [3, 32]')
    expect(() => rmsNorm(x, weight, { eps: EPS })).toThrow(
      '[rmsNorm] expected shape [*, 32] ([N, D]) for x, got [3, 33]',
    )
    expect(() => rmsNorm(x, weight, { eps: EPS, heads: 2 })).toThrow(
      '[rmsNorm] expected shape [*, 64] ([N, 2 * D]) for x, got [3, 33]',
    )
    expect(() => layerNorm(y, weight, weight, { eps: EPS, residual: x })).toThrow(
      '[layerNorm] expected shape [3, 32] ([like x]) for residual, got [3, 33]',
    )
    expect(() => swiglu(x)).toThrow('[swiglu] expected an even number of columns (gate | up), got [3,33]')
    expect(() => gelu(ids, { tanh: true })).toThrow(
      '[gelu] expected float32, bfloat16 or float16 for x, got int32; convert it with cast()',
    )
    expect(() => embedding(y, weight)).toThrow('[embedding] expected shape [*] ([N]) for ids, got [3, 32]')
    expect(() => attention(y, y, x, { headDim: 16, cuSeqlensQ: cu, cuSeqlensK: cu })).toThrow(
      '[attention] expected shape [3, 32] ([like k]) for v, got [3, 33]',
    )
    expect(() => attention(x, x, x, { headDim: 16, cuSeqlensQ: cu, cuSeqlensK: cu })).toThrow(
      '[attention] expected whole heads of headDim 16',
    )
    expect(() => rope_(y, make(9, 16).tensor, ids, { headDim: 16, columns: 24 })).toThrow(
      '[rope_] expected columns to be whole heads of 16 within [3,32], got 24',
    )
  })
})

/** @file adamw on every device: updates, norms, clipping, and that a step without a finite norm changes nothing. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { type AdamwRates, type AdamwState, adamw, gradientNorms } from '../reference/adamw.js'
import { testDevices } from '../support/devices.js'
import { expectSameBitsOnAnyThreads } from '../support/threads.js'
import { COMPUTE_DTYPES, type Compute, expectClose, ONE_ROUNDING, seededRandom } from '../support/values.js'

const RATES: AdamwRates = { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, step: 3, maxGradNorm: 1, lossScale: 1 }
const SIZES = [1, 33, 20_000, 7, 16_385]

interface Held {
  parameter: Tensor
  grad: Tensor
  m: Tensor
  v: Tensor
  copy: Tensor
  weightDecay: number
}

function makeStates(seed: number, lossScale = 1): AdamwState[] {
  const random = seededRandom(seed)
  return SIZES.map((size, i) => {
    const draw = (scale: number) => Float64Array.from({ length: size }, () => Math.fround(random() * scale))
    // A second moment is never negative, nor far below the square of the first.
    const m = draw(0.1)
    return {
      parameter: draw(1),
      grad: draw(lossScale),
      m,
      v: m.map((value) => Math.fround(value * value + 1e-4)),
      weightDecay: i % 2 ? 0.1 : 0,
    }
  })
}

function hold(device: Device, states: readonly AdamwState[], dtype: Compute): Held[] {
  return states.map(({ parameter, grad, m, v, weightDecay }) => {
    const put = (values: Float64Array) => Tensor.from(device, Float32Array.from(values), [1, values.length])
    const copy = Tensor.full(device, [1, parameter.length], dtype, 7)
    return { parameter: put(parameter), grad: put(grad), m: put(m), v: put(v), copy, weightDecay }
  })
}

function step(device: Device, held: readonly Held[], rates: AdamwRates): Tensor {
  const norms = Tensor.empty(device, [held.length + 1], 'float32')
  device.enqueue('adamw', { parameters: held.map((item) => ({ ...item })), norms, ...rates })
  return norms
}

const row = (values: Float64Array | number[]) => ({ rows: 1, cols: values.length, values: Float64Array.from(values) })
const read = async (tensor: Tensor) => row(Float64Array.from(await tensor.read()))

describe.each(testDevices())('on $name', (testDevice) => {
  let device: Device
  beforeAll(() => {
    device = testDevice.open()
  })
  afterAll(() => device.close())

  it.each([
    [0, 1],
    [1, 1],
    [1e6, 1],
    [0, 48],
    [1, 65_536],
  ])(
    'adamw updates parameters, moments and copies with maxGradNorm %s and lossScale %s',
    async (maxGradNorm, lossScale) => {
      for (const dtype of COMPUTE_DTYPES) {
        const states = makeStates(61, lossScale)
        const held = hold(device, states, dtype)
        const rates = { ...RATES, maxGradNorm, lossScale }
        const norms = step(device, held, rates)
        // Squares are summed in float64; the norm is rounded once.
        expectClose(await read(norms), row(gradientNorms(states, lossScale)), { relative: 1.2e-7, ofLargest: 0 })
        for (const [i, expected] of adamw(states, rates).entries()) {
          const { parameter, m, v, copy } = held[i] as Held
          expectClose(await read(m), row(expected.m), ONE_ROUNDING.float32)
          expectClose(await read(v), row(expected.v), ONE_ROUNDING.float32)
          expectClose(await read(parameter), row(expected.parameter), ONE_ROUNDING.float32)
          expectClose(await read(copy), await read(parameter), ONE_ROUNDING[dtype])
        }
      }
    },
  )

  it.each([Number.NaN, Infinity, 1e38])(
    'a gradient of %s that makes the norm infinite leaves every bit as it was',
    async (bad) => {
      const states = makeStates(62)
      const last = (states.at(-1) as AdamwState).grad
      last[3] = bad
      if (bad === 1e38) last.fill(bad)
      const held = hold(device, states, 'bfloat16')
      const norms = await step(device, held, RATES).read()
      expect(Number.isFinite(norms.at(-1))).toBe(false)
      expect(norms[0]).toBeCloseTo(gradientNorms(states, 1)[0] as number, 6)
      for (const [i, state] of states.entries()) {
        const { parameter, m, v, copy } = held[i] as Held
        expect(await read(parameter)).toEqual(row(state.parameter))
        expect(await read(m)).toEqual(row(state.m))
        expect(await read(v)).toEqual(row(state.v))
        expect((await copy.read()).every((value) => value === 7)).toBe(true)
      }
    },
  )

  it('the first step from zero moments moves every parameter by the learning rate, against its gradient', async () => {
    const grad = Tensor.from(device, [0.5, -2, 1e-3, 0], [1, 4])
    const zeros = () => Tensor.full(device, [1, 4], 'float32', 0)
    const parameter = zeros()
    const item = { parameter, grad, m: zeros(), v: zeros(), copy: undefined, weightDecay: 0.5 }
    const norms = Tensor.empty(device, [2], 'float32')
    device.enqueue('adamw', { parameters: [item], norms, ...RATES, step: 1, maxGradNorm: 0 })
    const moved = [...(await parameter.read())]
    expect(moved[0]).toBeCloseTo(-0.01, 7)
    expect(moved[1]).toBeCloseTo(0.01, 7)
    expect(moved[2]).toBeCloseTo(-0.01, 6)
    expect(moved[3]).toBe(0)
  })

  it('no bit depends on the threads', async () => {
    await expectSameBitsOnAnyThreads(testDevice, (stream) => {
      const held = hold(stream, makeStates(63), 'bfloat16')
      const norms = step(stream, held, RATES)
      return [norms, ...held.flatMap(({ parameter, m, v, copy }) => [parameter, m, v, copy])]
    })
  })

  it.each(['parameter', 'grad', 'm', 'v', 'copy'])('rows of %s with gaps are refused at once', async (name) => {
    const plain = () => Tensor.full(device, [3, 3], 'float32', 1)
    const item = { parameter: plain(), grad: plain(), m: plain(), v: plain(), copy: plain(), weightDecay: 0 }
    const gapped = { ...item, [name]: Tensor.full(device, [3, 4], 'float32', 1).columns(0, 3) }
    expect(() => step(device, [gapped], RATES)).toThrow(
      `[adamw] expected rows without gaps for parameters[0].${name}, got [3, 3] with a row stride of 4; ` +
        'copy it into a tensor of its own first',
    )
    // The stream has no fault.
    expect((await step(device, [item], RATES).read())[0]).toBeCloseTo(3, 6)
  })

  it('a single row may be part of a wider one', async () => {
    const wide = Tensor.full(device, [1, 9], 'float32', 1)
    const plain = () => Tensor.full(device, [1, 4], 'float32', 1)
    const item = { parameter: wide.columns(2, 6), grad: plain(), m: plain(), v: plain(), copy: plain(), weightDecay: 0 }
    step(device, [item], RATES)
    const changed = [...(await wide.read())].map((value) => value !== 1)
    expect(changed).toEqual([false, false, true, true, true, true, false, false, false])
  })
})

/** @file AdamW as one's own loop uses it: against float64 over several steps, and what it answers to wrong use. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { Device } from '../../src/tensor/device.js'
import { COMPUTE_DTYPES, type ComputeDType } from '../../src/tensor/dtype.js'
import { AdamW, type AdamWOptions } from '../../src/train/adamw.js'
import { type AdamwState, adamw, gradientNorms } from '../reference/adamw.js'
import { relativeDifference } from '../support/golden.js'
import { randomExamples, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { seededRandom } from '../support/values.js'

let device: Device

beforeEach(() => {
  device = Device.open()
})

afterEach(() => device.close())

const SHAPES = { 'a.weight': [3, 7], 'a.norm': [33], 'b.weight': [65, 5] }

function makeParameters(dtype: ComputeDType = 'float32'): Map<string, Parameter> {
  const random = seededRandom(4)
  return new Map(
    Object.entries(SHAPES).map(([name, shape]) => {
      const parameter = new Parameter(name, shape, device, dtype)
      parameter.unfreeze()
      parameter.set(Float32Array.from({ length: parameter.size }, random))
      return [name, parameter]
    }),
  )
}

describe.each([
  ['defaults', {}, { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 }],
  [
    'other betas, decay and clipping',
    { lr: 3e-2, betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.3 },
    { lr: 3e-2, beta1: 0.8, beta2: 0.9, eps: 1e-6, weightDecay: 0.3 },
  ],
] as const)('with %s', (_name, options: AdamWOptions, expected) => {
  it.each(COMPUTE_DTYPES)('follows float64 for six steps in %s', async (dtype) => {
    const parameters = makeParameters(dtype)
    const optimizer = new AdamW(parameters, { ...options, decays: (_, { shape }) => shape.length > 1 })
    const { weightDecay, lr = 1e-3, ...rates } = expected as typeof expected & { lr?: number }
    let states: AdamwState[] = []
    for (const parameter of parameters.values()) {
      states.push({
        parameter: Float64Array.from(await parameter.read()),
        grad: new Float64Array(parameter.size),
        m: new Float64Array(parameter.size),
        v: new Float64Array(parameter.size),
        weightDecay: parameter.shape.length > 1 ? weightDecay : 0,
      })
    }
    const random = seededRandom(8)
    for (let step = 1; step <= 6; step++) {
      const maxGradNorm = step % 2 ? 0 : 2
      const lossScale = 2 ** (step - 1)
      optimizer.lr = lr / step
      for (const [i, parameter] of [...parameters.values()].entries()) {
        const grad = Float32Array.from({ length: parameter.size }, () => lossScale * random())
        ;(states[i] as AdamwState).grad = Float64Array.from(grad)
        device.upload(parameter.gradBuffer(), grad, 'float32')
      }
      const norms = gradientNorms(states, lossScale)
      states = adamw(states, { lr: lr / step, ...rates, step, maxGradNorm, lossScale })
      optimizer.step({ maxGradNorm, lossScale })
      const { total, byName } = await optimizer.gradNorms()
      expect(relativeDifference([...byName.values(), total], [...norms])).toBeLessThan(1e-6)
    }
    expect(optimizer.stepCount).toBe(6)
    for (const [i, [name, parameter]] of [...parameters].entries()) {
      const state = states[i] as AdamwState
      // Six roundings to float32.
      expect(relativeDifference(await parameter.read(), state.parameter), name).toBeLessThan(2e-6)
      const moments = optimizer.state().get(name)
      expect(relativeDifference((await moments?.m.read()) as Float32Array, state.m), name).toBeLessThan(2e-6)
      expect(relativeDifference((await moments?.v.read()) as Float32Array, state.v), name).toBeLessThan(2e-6)
      // What forward reads is the master rounded once.
      const copy = await parameter.value.read()
      expect(relativeDifference(copy, await parameter.read()), name).toBeLessThan(
        { float32: 1e-12, bfloat16: 2 ** -8, float16: 2 ** -11 }[dtype],
      )
    }
  })
})

describe('step', () => {
  it('leaves parameters without a gradient alone', async () => {
    const parameters = makeParameters()
    const [touched, other] = [...parameters.values()] as [Parameter, Parameter]
    const before = await other.read()
    device.upload(touched.gradBuffer(), new Float32Array(touched.size).fill(1), 'float32')
    const optimizer = new AdamW(parameters, { lr: 0.1, weightDecay: 1 })
    optimizer.step()
    expect(await other.read()).toEqual(before)
    expect([...(await optimizer.gradNorms()).byName.keys()]).toEqual(['a.weight'])
  })

  it('changes nothing where a gradient is not finite, and reports it', async () => {
    const parameters = makeParameters()
    const [first] = [...parameters.values()] as [Parameter]
    const before = await first.read()
    const grad = new Float32Array(first.size)
    grad[4] = Number.POSITIVE_INFINITY
    device.upload(first.gradBuffer(), grad, 'float32')
    const optimizer = new AdamW(parameters)
    optimizer.step()
    expect(await first.read()).toEqual(before)
    expect((await optimizer.gradNorms()).byName.get('a.weight')).toBe(Number.POSITIVE_INFINITY)
  })

  it('step without a backward() before it, or after gradients were dropped, says so', () => {
    const optimizer = new AdamW(makeParameters())
    expect(() => optimizer.step()).toThrow('[AdamW] expected gradients, got none; call loss.backward() before step()')
    expect(optimizer.stepCount).toBe(0)
  })

  it('step between forward() and backward() makes backward() throw: the weights of the graph have changed', async () => {
    const model = await tinyModel({ device })
    const adapter = tinyAdapter(model)
    const optimizer = new AdamW(adapter.parameters())
    const [{ inputIds, labels }] = randomExamples([9], 512) as [ReturnType<typeof randomExamples>[number]]
    const batch = { inputIds: [[...inputIds]], labels: [[...labels]] }
    model.forward(batch).loss.backward()
    const { loss } = model.forward(batch)
    optimizer.step()
    expect(() => loss.backward()).toThrow(/^\[linear\S*\] expected .*unchanged.*backward\(\)/)
    const again = model.forward(batch).loss
    again.backward()
    expect(() => again.backward()).toThrow(
      /^\[backward\] expected a graph not used yet; .* was freed by an earlier backward\(\)$/,
    )
  })

  it('zeroGrad() frees gradients, and the next backward() starts at zero', async () => {
    const parameters = makeParameters()
    const [first] = [...parameters.values()] as [Parameter]
    device.upload(first.gradBuffer(), new Float32Array(first.size).fill(3), 'float32')
    new AdamW(parameters).zeroGrad()
    expect(first.hasGrad).toBe(false)
    expect([...(await first.gradBuffer().read())]).toEqual(new Array(first.size).fill(0))
  })
})

describe('options', () => {
  it.each([
    [
      { learningRate: 1 },
      /^\[AdamW\] unknown option "learningRate"; valid options: lr, betas, eps, weightDecay, decays$/,
    ],
    [{ weightdecay: 1 }, /^\[AdamW\] unknown option "weightdecay"; did you mean "weightDecay"\?/],
    [{ lr: -1 }, '[AdamW] expected a number of at least 0 for lr, got -1'],
    [{ lr: Number.NaN }, '[AdamW] expected a number of at least 0 for lr, got NaN'],
    [{ lr: Number.POSITIVE_INFINITY }, '[AdamW] expected a number of at least 0 for lr, got Infinity'],
    [{ lr: 1e39 }, '[AdamW] expected a number of at least 0 for lr, got 1e+39'],
    [{ lr: '0.1' as unknown as number }, '[AdamW] expected a number of at least 0 for lr, got "0.1"'],
    [{ betas: [0.9, '0.99'] as unknown as [number, number] }, '[AdamW] expected two numbers in [0, 1) for betas, got'],
    [{ betas: 0.9 as unknown as [number, number] }, '[AdamW] expected two numbers in [0, 1) for betas, got 0.9'],
    [{ weightDecay: Number.NaN }, '[AdamW] expected a number of at least 0 for weightDecay, got NaN'],
    [{ betas: [0.9, 1] }, '[AdamW] expected two numbers in [0, 1) for betas, got [0.9, 1]'],
    [{ eps: -1e-8 }, '[AdamW] expected a number of at least 0 for eps, got -1e-8'],
    [{ weightDecay: -0.1 }, '[AdamW] expected a number of at least 0 for weightDecay, got -0.1'],
  ])('%o is refused', (options, message) => {
    expect(() => new AdamW(makeParameters(), options as AdamWOptions)).toThrow(message)
  })

  it.each<[string, (optimizer: AdamW) => void, string]>([
    [
      'a rate',
      (optimizer) => Object.assign(optimizer, { lr: Number.NaN }).step(),
      'a number of at least 0 for lr, got NaN',
    ],
    [
      'a negative rate',
      (optimizer) => Object.assign(optimizer, { lr: -1 }).step(),
      'a number of at least 0 for lr, got -1',
    ],
    ['a step', (optimizer) => Object.assign(optimizer, { stepCount: 1.5 }).step(), 'for stepCount, got 1.5'],
    ['a step below 0', (optimizer) => Object.assign(optimizer, { stepCount: -2 }).step(), 'for stepCount, got -2'],
    [
      'a late step',
      (optimizer) => Object.assign(optimizer, { stepCount: 2 ** 32 }).step(),
      'for stepCount, got 4294967296',
    ],
    [
      'a norm',
      (optimizer) => optimizer.step({ maxGradNorm: Number.NaN }),
      'a number of at least 0 for maxGradNorm, got NaN',
    ],
    ['a loss scale', (optimizer) => optimizer.step({ lossScale: 0 }), 'a number above 0 for lossScale, got 0'],
    ['an infinite scale', (optimizer) => optimizer.step({ lossScale: 1e39 }), 'for lossScale, got 1e+39'],
    ['a name', (optimizer) => optimizer.step({ maxNorm: 1 } as object), 'unknown option "maxNorm"'],
  ])('%s out of range is refused by step(), which changes nothing', async (_, step, message) => {
    const parameters = makeParameters()
    const first = [...parameters.values()][0] as Parameter
    device.upload(first.gradBuffer(), new Float32Array(first.size).fill(3), 'float32')
    const before = await first.read()
    const optimizer = new AdamW(parameters)
    expect(() => step(optimizer)).toThrow(message)
    expect(await first.read()).toEqual(before)
  })

  it('no parameters, or frozen ones, are refused', () => {
    expect(() => new AdamW([])).toThrow('[AdamW] expected at least one parameter, got none; is the adapter attached?')
    const frozen = new Parameter('w', [2, 2], device, 'float32')
    expect(() => new AdamW([['w', frozen]])).toThrow('[AdamW] expected trainable parameters, but w is frozen')
  })

  it('gradNorms() before a step says so', async () => {
    await expect(new AdamW(makeParameters()).gradNorms()).rejects.toThrow('[AdamW] expected a step before gradNorms()')
  })
})

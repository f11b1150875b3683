/** @file The tape: the chain rule against float64 differences, sums of gradients, what is freed when, and misuse. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad, record, runBackward } from '../../src/autograd/tape.js'
import { add } from '../../src/ops/add.js'
import { copy_ } from '../../src/ops/cast.js'
import { linear, type Projection } from '../../src/ops/linear.js'
import { linearCrossEntropy } from '../../src/ops/linear-cross-entropy.js'
import { rmsNorm } from '../../src/ops/rms-norm.js'
import { rope_ } from '../../src/ops/rope.js'
import { splitColumns } from '../../src/ops/split-columns.js'
import { swiglu } from '../../src/ops/swiglu.js'
import type { Device } from '../../src/tensor/device.js'
import { scope } from '../../src/tensor/scope.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { AdamW } from '../../src/train/adamw.js'
import { testDevices } from '../support/devices.js'
import { relativeDifference } from '../support/golden.js'
import { seededRandom } from '../support/values.js'

const EPS = 1e-5
const [N, D, F, V] = [3, 6, 5, 7]
const LABELS = [4, -100, 1]

/** x -> rmsNorm -> gate|up -> swiglu -> down -> + x -> head, one block of a model; row-major, float64. */
interface Weights {
  x: number[]
  norm: number[]
  gateUp: number[] // [2F, D]
  down: number[] // [D, F]
  head: number[] // [V, D]
}

function exactLoss({ x, norm, gateUp, down, head }: Weights): number {
  let loss = 0
  for (let n = 0; n < N; n++) {
    const row = x.slice(n * D, (n + 1) * D)
    const rms = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / D + EPS)
    const h = row.map((value, d) => (value / rms) * (norm[d] as number))
    const inner = matVec(gateUp, h, 2 * F)
    const act = Array.from({ length: F }, (_, f) => {
      const gate = inner[f] as number
      return (gate / (1 + Math.exp(-gate))) * (inner[F + f] as number)
    })
    const out = matVec(down, act, D).map((value, d) => value + (row[d] as number))
    const logits = matVec(head, out, V)
    const label = LABELS[n] as number
    if (label >= 0) loss += Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)) - (logits[label] as number)
  }
  return loss / LABELS.filter((label) => label >= 0).length
}

function matVec(matrix: number[], x: number[], rows: number): number[] {
  return Array.from({ length: rows }, (_, r) =>
    x.reduce((sum, v, k) => sum + v * (matrix[r * x.length + k] as number), 0),
  )
}

/** Central differences; their own error in float64 is about 1e-10. */
function differences(weights: Weights, name: keyof Weights): number[] {
  const h = 1e-5
  return weights[name].map((value, i) => {
    const at = (moved: number): number => exactLoss({ ...weights, [name]: weights[name].with(i, moved) })
    return (at(value + h) - at(value - h)) / (2 * h)
  })
}

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let random: () => number
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(() => {
    random = seededRandom(4)
  })

  const numbers = (count: number): number[] => Array.from({ length: count }, () => Math.fround(random()))
  const leaf = (data: readonly number[], shape: readonly number[]): Tensor => {
    const tensor = Tensor.from(device, data, shape)
    tensor.requiresGrad = true
    return tensor
  }
  const trainable = (name: string, data: readonly number[], shape: readonly number[]): Parameter => {
    const parameter = new Parameter(name, shape, device, 'float32')
    parameter.unfreeze()
    parameter.set(Float32Array.from(data))
    return parameter
  }
  const part = (weight: Parameter): Projection => ({ weight, inOut: false, pairs: [] })
  const dropGrad = (tensor: Tensor): void => {
    tensor.grad?.dispose()
    tensor.grad = undefined
  }
  const gradOf = async (tensor: Tensor): Promise<number[]> => [...(await (tensor.grad as Tensor).read())]

  function network() {
    const weights: Weights = {
      x: numbers(N * D),
      norm: numbers(D),
      gateUp: numbers(2 * F * D),
      down: numbers(D * F),
      head: numbers(V * D),
    }
    const x = leaf(weights.x, [N, D])
    const parameters = {
      norm: trainable('norm', weights.norm, [D]),
      gateUp: trainable('gateUp', weights.gateUp, [2 * F, D]),
      down: trainable('down', weights.down, [D, F]),
      head: trainable('head', weights.head, [V, D]),
    }
    const forward = (): Tensor =>
      scope(() => {
        const { y } = rmsNorm(x, parameters.norm, { eps: EPS })
        const inner = swiglu(linear(y, [part(parameters.gateUp)]))
        const out = add(linear(inner, [part(parameters.down)]), x)
        return linearCrossEntropy(out, Tensor.from(device, Int32Array.from(LABELS), [N]), part(parameters.head))
      })
    return { weights, x, parameters, forward }
  }

  describe('gradients', () => {
    test('gradients of a block, input and every weight, agree with float64 differences', async () => {
      const { weights, x, parameters, forward } = network()
      const loss = forward()
      expect(Math.abs(((await loss.read())[0] as number) - exactLoss(weights))).toBeLessThan(1e-6)
      loss.backward()
      // float32 sums of a few terms, through four ops.
      expect(relativeDifference(await gradOf(x), differences(weights, 'x'))).toBeLessThan(2e-6)
      for (const [name, parameter] of Object.entries(parameters)) {
        const expected = differences(weights, name as keyof Weights)
        expect(relativeDifference(await parameter.grad.read(), expected), name).toBeLessThan(2e-6)
      }
    })

    test('gradients of a tensor used several times are summed, in whatever order its users come', async () => {
      const x = leaf([1, 2], [1, 2])
      const twice = add(x, x)
      const y = add(add(twice, x), add(x, twice)) // 6 x
      runBackward([{ tensor: y, grad: Tensor.from(device, [1, 10], [1, 2]) }])
      expect(await gradOf(x)).toEqual([6, 60])
    })

    test('gradients of an output that nobody uses count as zero', async () => {
      const x = leaf([1, 2, 3, 4, 5, 6], [2, 3])
      const [, middle] = splitColumns(x, [1, 1, 1]) as [Tensor, Tensor, Tensor]
      runBackward([{ tensor: middle, grad: Tensor.from(device, [7, 8], [2, 1]) }])
      expect(await gradOf(x)).toEqual([0, 7, 0, 0, 8, 0])
    })

    test('do not flow into branches that need none', async () => {
      const x = leaf([1, 2], [1, 2])
      const constant = Tensor.from(device, [3, 4], [1, 2])
      const side = add(constant, constant)
      expect(side.requiresGrad).toBe(false)
      const y = add(x, side)
      runBackward([{ tensor: y, grad: Tensor.from(device, [1, 1], [1, 2]) }])
      expect(await gradOf(x)).toEqual([1, 1])
      expect([constant.grad, side.grad]).toEqual([undefined, undefined])
    })

    test('gradients of several roots meet', async () => {
      const x = leaf([1, 2], [1, 2])
      const shared = add(x, x)
      const roots = [add(shared, x), add(shared, shared)]
      runBackward(roots.map((tensor, i) => ({ tensor, grad: Tensor.full(device, [1, 2], 'float32', 1 + i) })))
      expect(await gradOf(x)).toEqual([3 + 8, 3 + 8])
    })

    test('accumulate on leaves and parameters over two backward passes', async () => {
      const { x, parameters, forward } = network()
      forward().backward()
      const once = [...(await gradOf(x)), ...(await parameters.down.grad.read())]
      forward().backward()
      const twice = [...(await gradOf(x)), ...(await parameters.down.grad.read())]
      // x has two users, whose gradients are added one by one: ((a + b) + a) + b rounds otherwise than 2 (a + b).
      const doubled = once.map((value) => 2 * value)
      expect(relativeDifference(twice, doubled)).toBeLessThan(2e-7)
      parameters.down.zeroGrad()
      forward().backward()
      expect([...(await parameters.down.grad.read())]).toEqual(once.slice(x.size))
    })

    test('an in-place backward rule leaves alone a gradient that others share', async () => {
      // add hands one gradient to both inputs; rope's rule rotates in place, and must not rotate the other's.
      const [x, other] = [leaf([1, 2, 3, 4], [2, 2]), leaf([5, 6, 7, 8], [2, 2])]
      const cosSin = Tensor.from(device, [1, 0, 0, 1], [2, 2]) // position 1: a quarter turn
      const positions = Tensor.from(device, Int32Array.of(0, 1), [2])
      const rotated = rope_(add(x, x), cosSin, positions, { headDim: 2, columns: 2 })
      const y = add(rotated, other)
      runBackward([{ tensor: y, grad: Tensor.from(device, [1, 10, 100, 1000], [2, 2]) }])
      expect(await gradOf(other)).toEqual([1, 10, 100, 1000])
      expect(await gradOf(x)).toEqual([2, 20, 2000, -200])
    })

    test('a rule that returns nothing for an input leaves it without a gradient', () => {
      const x = leaf([1], [1])
      const y = Tensor.full(device, [1], 'float32', 0)
      record('custom', [x], [y], [], () => [undefined])
      y.backward()
      expect(x.grad).toBeUndefined()
    })
  })

  describe('noGrad', () => {
    test('records nothing, also after an exception inside', async () => {
      const x = leaf([1, 2], [1, 2])
      expect(noGrad(() => add(x, x)).requiresGrad).toBe(false)
      expect(() =>
        noGrad(() => {
          throw new Error('inside')
        }),
      ).toThrow('inside')
      expect(add(x, x).requiresGrad).toBe(true)
      const { parameters, forward } = network()
      const loss = noGrad(forward)
      expect(() => loss.backward()).toThrow('[backward] expected a tensor made by a recorded operation')
      expect(parameters.head.hasGrad).toBe(false)
    })
  })

  describe('memory', () => {
    test('backward frees the graph as it goes: afterwards only gradients are left', async () => {
      const { x, parameters, forward } = network()
      const warmUp = forward()
      warmUp.backward()
      warmUp.dispose()
      dropGrad(x)
      for (const parameter of Object.values(parameters)) parameter.zeroGrad()
      await device.sync()
      const before = device.memory().live
      const loss = forward()
      await device.sync()
      const held = device.memory().live
      loss.backward()
      loss.dispose()
      await device.sync()
      const after = device.memory().live
      dropGrad(x)
      for (const parameter of Object.values(parameters)) parameter.zeroGrad()
      await device.sync()
      expect(device.memory().live).toBe(before)
      // The gradients of head and h are made in forward; the rest of the graph is gone with backward.
      expect(held).toBeGreaterThan(before)
      const gradients = [N * D, D, 2 * F * D, D * F, V * D].map((count) => 4 * count)
      const atLeast = gradients.reduce((sum, bytes) => sum + bytes, 0)
      expect(after - before).toBeGreaterThanOrEqual(atLeast)
      // Buffers are rounded up to the alignment of the allocator.
      expect(after - before).toBeLessThanOrEqual(atLeast + 256 * gradients.length)
    })

    test('frozen parameters get no gradient', () => {
      const { x, parameters, forward } = network()
      parameters.down.freeze()
      forward().backward()
      expect(parameters.down.hasGrad).toBe(false)
      expect(() => parameters.down.grad).toThrow(
        '[parameter] expected a trainable parameter, but down is frozen and has no gradient',
      )
      expect(x.grad).toBeDefined()
    })
  })

  describe('misuse', () => {
    test('backward of anything but a scalar', () => {
      const x = leaf([1, 2], [1, 2])
      expect(() => add(x, x).backward()).toThrow(
        '[backward] expected a scalar, got shape [1,2]; call backward() on the loss',
      )
    })

    test('backward of a tensor without a graph', () => {
      expect(() => Tensor.full(device, [1], 'float32', 1).backward()).toThrow(
        '[backward] expected a tensor made by a recorded operation, got one without a graph',
      )
    })

    test('backward twice', () => {
      const loss = network().forward()
      loss.backward()
      expect(() => loss.backward()).toThrow(
        '[backward] expected a graph not used yet; the graph through linearCrossEntropy was freed by an earlier backward()',
      )
    })

    test('a second loss over a part of a graph that is used up', () => {
      const x = leaf([1], [1])
      const common = add(x, x)
      const [first, second] = [add(common, x), add(common, x)]
      first.backward()
      expect(() => second.backward()).toThrow('the graph through add was freed by an earlier backward()')
    })

    test('a saved tensor that was changed in place', () => {
      const x = leaf(numbers(2 * 4), [2, 4])
      const y = swiglu(x)
      copy_(x, Tensor.full(device, [2, 4], 'float32', 0))
      expect(() => runBackward([{ tensor: y, grad: Tensor.full(device, [2, 2], 'float32', 1) }])).toThrow(
        '[swiglu] expected the saved tensor [2,4] unchanged until backward(), but it was changed in place ' +
          '(an optimizer step, or an op whose name ends in _); call backward() first',
      )
    })

    test('a cheap result that is changed in place is saved as it is, not as its recipe would make it', async () => {
      const x = leaf([1, 2, 3, 4], [1, 4])
      const y = swiglu(x)
      copy_(y, Tensor.from(device, [10, 20], [1, 2]))
      const w = trainable('w', [1, 1], [1, 2])
      runBackward([{ tensor: linear(y, [part(w)]), grad: Tensor.full(device, [1, 1], 'float32', 1) }])
      expect([...(await w.grad.read())]).toEqual([10, 20])
    })

    test('an optimizer step between forward and backward', () => {
      const { parameters, forward } = network()
      forward().backward()
      const optimizer = new AdamW(Object.entries(parameters))
      const loss = forward()
      optimizer.step()
      expect(() => loss.backward()).toThrow(
        '[linear] expected down unchanged until backward(), but it was changed in place; call backward() before step()',
      )
    })

    test('gradients that were not computed yet', () => {
      expect(() => trainable('w', [1], [1]).grad).toThrow(
        '[parameter] expected a gradient for w, but backward() has not reached it yet',
      )
    })
  })
})

/** @file Gradient checkpointing: the same bits, less memory, and recorded for the sake of parameters inside. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkpoint, keep, runsAgain } from '../../src/autograd/gradient-checkpointing.js'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad, runBackward } from '../../src/autograd/tape.js'
import { add } from '../../src/ops/add.js'
import { linear } from '../../src/ops/linear.js'
import { splitColumns } from '../../src/ops/split-columns.js'
import { swiglu } from '../../src/ops/swiglu.js'
import type { Device } from '../../src/tensor/device.js'
import { scope } from '../../src/tensor/scope.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { blockBytes, testDevices } from '../support/devices.js'
import { seededRandom } from '../support/values.js'

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  const [N, D] = [33, 20]
  let device: Device
  let random: () => number
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  beforeEach(() => {
    random = seededRandom(12)
  })

  const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, () => random())
  const weight = (rows: number, cols: number): Parameter => {
    const parameter = new Parameter('w', [rows, cols], device, 'float32')
    parameter.unfreeze()
    parameter.set(numbers(rows * cols))
    return parameter
  }

  /** Three residual blocks; gradients of everything, and how much memory forward held. */
  async function run(checkpointed: boolean, inputRequiresGrad: boolean) {
    random = seededRandom(12)
    const x = Tensor.from(device, numbers(N * D), [N, D])
    x.requiresGrad = inputRequiresGrad
    const parameters = [0, 1, 2].map(() => weight(2 * D, D))
    await device.sync()
    const before = device.memory().live
    let hidden = x
    for (const parameter of parameters) {
      const block = (input: Tensor): Tensor[] => [
        add(swiglu(linear(input, [{ weight: parameter, inOut: false, pairs: [] }])), input),
      ]
      const [next] = checkpointed ? checkpoint(block, [hidden], true) : scope(() => block(hidden))
      if (hidden !== x) hidden.dispose()
      hidden = next as Tensor
    }
    await device.sync()
    const held = device.memory().live - before
    const y = await hidden.read()
    runBackward([{ tensor: hidden, grad: Tensor.from(device, numbers(N * D), [N, D]) }])
    const gradients = [x.grad && (await x.grad.read()), ...(await Promise.all(parameters.map((p) => p.grad.read())))]
    for (const tensor of [x, x.grad, hidden]) tensor?.dispose()
    for (const parameter of parameters) parameter.dispose()
    await device.sync()
    return { y, gradients, held, left: device.memory().live }
  }

  test.each([
    ['input and parameters need gradients', true],
    ['only parameters inside need gradients', false],
  ])('gives the same bits when %s, holds less, and leaves nothing behind', async (_, inputRequiresGrad) => {
    const plain = await run(false, inputRequiresGrad)
    const checkpointed = await run(true, inputRequiresGrad)
    expect(checkpointed.y).toEqual(plain.y)
    expect(checkpointed.gradients).toEqual(plain.gradients)
    expect(
      plain.gradients.every((gradient, i) => (i === 0 && !inputRequiresGrad) || gradient?.some((v) => v !== 0)),
    ).toBe(true)
    // Without: the input and the 2D wide product of each block; with: the input of each alone.
    expect(checkpointed.held).toBeLessThan(0.5 * plain.held)
    expect(checkpointed.left).toBe(plain.left)
  })

  test('records nothing when nothing needs a gradient, or under noGrad', () => {
    const x = Tensor.full(device, [1, 4], 'float32', 1)
    const block = (input: Tensor): Tensor[] => [add(input, input)]
    expect(checkpoint(block, [x], false)[0]?.requiresGrad).toBe(false)
    expect(noGrad(() => checkpoint(block, [x], true))[0]?.requiresGrad).toBe(false)
    expect(checkpoint(block, [x], true)[0]?.requiresGrad).toBe(true)
  })

  test('a checkpointed function may have several inputs and outputs, one of them unused', async () => {
    const [a, b] = [Tensor.from(device, [1, 2], [1, 2]), Tensor.from(device, [3, 4], [1, 2])]
    a.requiresGrad = true
    b.requiresGrad = true
    const [, used] = checkpoint((p, q) => splitColumns(add(add(p, q), q), [1, 1]), [a, b], false) as [Tensor, Tensor]
    expect(await used.read()).toEqual(Float32Array.of(10))
    used.backward()
    expect(await a.grad?.read()).toEqual(Float32Array.of(0, 1))
    expect(await b.grad?.read()).toEqual(Float32Array.of(0, 2))
  })

  test('what a block keeps is made once and handed out again in its order; the rest is made twice', async () => {
    const x = Tensor.from(device, [1, 2, 3, 4], [1, 4])
    x.requiresGrad = true
    const log: string[] = []
    const made = (name: string, value: number): Tensor => {
      log.push(`${name} ${runsAgain() ? 'again' : 'first'}`)
      return Tensor.full(device, [1, 4], 'float32', value)
    }
    const seen: Float32Array[] = []
    const block = (input: Tensor): Tensor[] => {
      const [a, b] = keep(() => [made('a', 10), made('b', 100)]) as [Tensor, Tensor]
      const c = made('c', 1000)
      const [d] = keep(() => [made('d', 10000)]) as [Tensor]
      for (const tensor of [a, b, c, d]) void tensor.read().then((values) => seen.push(values))
      return [add(add(add(add(input, a), b), c), d)]
    }
    await device.sync()
    const before = device.memory().live
    const [y] = checkpoint(block, [x], false) as [Tensor]
    expect(await y.read()).toEqual(Float32Array.of(11111, 11112, 11113, 11114))
    // The result and what is kept, a block each.
    expect(device.memory().live - before).toBe(4 * blockBytes(device))
    runBackward([{ tensor: y, grad: Tensor.full(device, [1, 4], 'float32', 3) }])
    y.dispose()
    expect(await x.grad?.read()).toEqual(Float32Array.of(3, 3, 3, 3))
    expect(log).toEqual(['a first', 'b first', 'c first', 'd first', 'c again'])
    expect(seen.map(([first]) => first)).toEqual([10, 100, 1000, 10000, 10, 100, 1000, 10000])
    x.grad?.dispose()
    await device.sync()
    expect(device.memory().live).toBe(before)
    x.dispose()
  })

  test('a block within a block keeps for the outer one', async () => {
    const x = Tensor.from(device, [1, 2], [1, 2])
    x.requiresGrad = true
    let count = 0
    const inner = (input: Tensor): Tensor[] => {
      const [a] = keep(() => [Tensor.full(device, [1, 2], 'float32', ++count)]) as [Tensor]
      return [add(add(input, input), a)]
    }
    const outer = (input: Tensor): Tensor[] => checkpoint(inner, checkpoint(inner, [input], false), false)
    const [y] = checkpoint(outer, [x], false) as [Tensor]
    expect(await y.read()).toEqual(Float32Array.of(8, 12))
    runBackward([{ tensor: y, grad: Tensor.full(device, [1, 2], 'float32', 1) }])
    expect(await x.grad?.read()).toEqual(Float32Array.of(4, 4))
    expect(count).toBe(2)
  })

  test('a function that keeps more in its second run is an error', () => {
    const x = Tensor.full(device, [1, 2], 'float32', 1)
    x.requiresGrad = true
    let runs = 0
    const block = (input: Tensor): Tensor[] => {
      if (runs++ > 0) keep(() => [])
      return [add(input, input)]
    }
    const [y] = checkpoint(block, [x], false) as [Tensor]
    expect(() => runBackward([{ tensor: y, grad: Tensor.full(device, [1, 2], 'float32', 1) }])).toThrow(
      '[checkpoint] expected a function that does the same again, got one that does more',
    )
  })

  test('an input that was changed before backward is an error', () => {
    const x = Tensor.full(device, [1, 2], 'float32', 1)
    x.requiresGrad = true
    const [y] = checkpoint((input) => [add(input, input)], [x], false) as [Tensor]
    device.enqueue('fill', { y: x, value: 2 })
    x.bumpVersion()
    expect(() => runBackward([{ tensor: y, grad: Tensor.full(device, [1, 2], 'float32', 1) }])).toThrow(
      '[checkpoint] expected the saved tensor [1,2] unchanged until backward()',
    )
  })
})

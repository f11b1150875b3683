/**
 * @file linear and linearCrossEntropy as models call them: what each records, which gradients arrive where, and the
 * errors of their checks.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Parameter } from '../../src/autograd/parameter.js'
import { noGrad, runBackward } from '../../src/autograd/tape.js'
import { add } from '../../src/ops/add.js'
import { type DropoutState, linear, type Projection } from '../../src/ops/linear.js'
import { linearCrossEntropy } from '../../src/ops/linear-cross-entropy.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import * as reference from '../reference/linear.js'
import { linearCrossEntropy as referenceLoss } from '../reference/linear-cross-entropy.js'
import { type Matrix, map, matrix } from '../reference/matrix.js'
import { testDevices } from '../support/devices.js'
import { expectClose, operandMaker, readMatrix, upload } from '../support/values.js'

/** Float32 kernels, one after the other; see the kernels' own tests for tight bounds. */
const TOLERANCE = { relative: 2e-6, ofLargest: 1e-5 }
const STATE: DropoutState = { seed: 11, microStep: 2 }

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  let make: ReturnType<typeof operandMaker>
  beforeAll(() => {
    device = open()
    make = operandMaker(device, 'float32', 91)
  })
  afterAll(() => device.close())

  const parameter = (
    name: string,
    values: Matrix,
    trainable: boolean,
    shape = [values.rows, values.cols],
  ): Parameter => {
    const result = new Parameter(name, shape, device, 'float32')
    if (trainable) result.unfreeze()
    result.set(Float32Array.from(values.values))
    return result
  }

  /** A frozen weight with one trainable LoRA pair, for the op and for the reference. */
  function adapted(outputs: number, inputs: number, { dropout = 0, trainable = false } = {}) {
    const [weight, a, b] = [make(outputs, inputs), make(3, inputs), make(outputs, 3)]
    const pair = { a: parameter('a', a, true), b: parameter('b', b, true), scale: 0.5, dropout, dropoutStream: 6 }
    const part: Projection = { weight: parameter('weight', weight, trainable), inOut: false, pairs: [pair] }
    const mask = dropout > 0 ? { dropout: { p: dropout, ...STATE, dropoutStream: 6 } } : {}
    const values = { weight, pairs: [{ a, b, scale: 0.5, ...mask }] }
    return { part, pair, values }
  }

  it('linear sends gradients to x and the LoRA pairs, none to a frozen weight', async () => {
    const [x, dy] = [make(7, 33), make(7, 19)]
    x.tensor.requiresGrad = true
    const { part, pair, values } = adapted(19, 33, { dropout: 0.25 })
    const y = linear(x.tensor, [part], { dropout: STATE })
    const forward = reference.linear(x, [values])
    expectClose(await readMatrix(y), forward.y, TOLERANCE)
    runBackward([{ tensor: y, grad: upload(device, dy, 'float32') }])
    const { dx, parts } = reference.linearBackward(dy, x, [values], forward.s)
    expectClose(await readMatrix(x.tensor.grad as Tensor), dx, TOLERANCE)
    expectClose(await readMatrix(pair.a.grad), parts[0]?.pairs[0]?.da ?? matrix(0, 0), TOLERANCE)
    expectClose(await readMatrix(pair.b.grad), parts[0]?.pairs[0]?.db ?? matrix(0, 0), TOLERANCE)
    expect(part.weight.hasGrad).toBe(false)
  })

  it('the LoRA pairs see all of x without a dropout state', async () => {
    const x = make(5, 33)
    const { part, values } = adapted(19, 33, { dropout: 0.9 })
    const whole = { ...values, pairs: values.pairs.map(({ a, b, scale }) => ({ a, b, scale })) }
    expectClose(await readMatrix(linear(x.tensor, [part])), reference.linear(x, [whole]).y, TOLERANCE)
  })

  it('gradients of a weight and a bias accumulate over two calls', async () => {
    const [x, dy, weight, bias] = [make(7, 33), make(7, 19), make(19, 33), make(1, 19)]
    const part: Projection = {
      weight: parameter('weight', weight, true),
      bias: parameter('bias', bias, true, [19]),
      inOut: false,
      pairs: [],
    }
    for (let call = 0; call < 2; call++) {
      runBackward([{ tensor: linear(x.tensor, [part]), grad: upload(device, dy, 'float32') }])
    }
    const [want] = reference.linearBackward(dy, x, [{ weight, bias, pairs: [] }], [[]]).parts
    const twice = (m: Matrix | undefined): Matrix => map(m ?? matrix(0, 0), (value) => 2 * value)
    expectClose(await readMatrix(part.weight.grad), twice(want?.dWeight), TOLERANCE)
    expectClose(await readMatrix((part.bias as Parameter).grad), twice(want?.dBias), TOLERANCE)
    expect(x.tensor.grad).toBeUndefined()
  })

  it('linearCrossEntropy hands on gradients only when backward() is called', async () => {
    const h = make(9, 33)
    h.tensor.requiresGrad = true
    const { part, pair, values } = adapted(21, 33, { dropout: 0.25, trainable: true })
    const labels = [0, 20, -100, 3, 3, -100, 7, 8, 9]
    const ids = Tensor.from(device, labels, [9], 'int32')
    const expected = referenceLoss(h, values, { labels, softcap: 3, divisor: 5 })
    const run = () => linearCrossEntropy(h.tensor, ids, part, { softcap: 3, numItems: 5, dropout: STATE })
    expect((await noGrad(run).read())[0]).toBeCloseTo(expected.loss, 5)
    const loss = run()
    expect([part.weight.hasGrad, pair.a.hasGrad]).toEqual([false, false])
    loss.backward()
    expect((await loss.read())[0]).toBeCloseTo(expected.loss, 5)
    expectClose(await readMatrix(h.tensor.grad as Tensor), expected.dh, TOLERANCE)
    expectClose(await readMatrix(part.weight.grad), expected.head.dWeight, TOLERANCE)
    expectClose(await readMatrix(pair.a.grad), expected.head.pairs[0]?.da ?? matrix(0, 0), TOLERANCE)
    expectClose(await readMatrix(pair.b.grad), expected.head.pairs[0]?.db ?? matrix(0, 0), TOLERANCE)
  })

  it('linearCrossEntropy takes part in a sum of losses, and refuses a factor that its gradients were not made for', async () => {
    const { part } = adapted(21, 33, { trainable: true })
    const ids = Tensor.from(device, [0, 20, -100, 3], [4], 'int32')
    const h = make(4, 33)
    h.tensor.requiresGrad = true
    const run = () => linearCrossEntropy(h.tensor, ids, part)
    const gradient = (): Promise<Float32Array> => (h.tensor.grad as Tensor).read()
    run().backward()
    const once = await gradient()
    h.tensor.grad = undefined
    add(run(), run()).backward()
    expect(await gradient()).toEqual(once.map((value) => 2 * value))
    const loss = run()
    expect(() => add(loss, loss).backward()).toThrow('its gradients were made for a factor of 1')
  })

  it('refuse operands that do not fit, naming both shapes', () => {
    const { part } = adapted(19, 33)
    const x = make(5, 32)
    expect(() => linear(x.tensor, [part])).toThrow('[linear] expected shape [*, 33] ([N, K]) for x, got [5, 32]')
    const labels = Tensor.from(device, [1, 2], [2], 'int32')
    expect(() => linearCrossEntropy(make(5, 33).tensor, labels, part)).toThrow(
      '[linearCrossEntropy] expected shape [5] ([N]) for labels, got [2]',
    )
    const withBias = { ...part, bias: part.weight }
    expect(() => linearCrossEntropy(make(2, 33).tensor, labels, withBias)).toThrow(
      '[linearCrossEntropy] expected a head of shape [V, D] without bias',
    )
  })

  it('backward after a weight was changed in place is refused, with the remedy', () => {
    const { part, pair } = adapted(19, 33)
    const y = linear(make(5, 33).tensor, [part])
    pair.b.set(new Float32Array(19 * 3))
    expect(() => runBackward([{ tensor: y, grad: Tensor.full(device, [5, 19], 'float32', 1) }])).toThrow(
      '[linear] expected b unchanged until backward(), but it was changed in place; call backward() before step()',
    )
  })
})

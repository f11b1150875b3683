/** @file Scopes: what leaves, what is freed, nesting and exceptions. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { scope } from '../../src/tensor/scope.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { testDevices } from '../support/devices.js'

describe.each(testDevices({ everyLevel: false }))('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())
  const make = (value: number): Tensor => Tensor.full(device, [3], 'float32', value)

  test('frees what was made inside, except what is returned', async () => {
    const inner: Tensor[] = []
    const result = scope(() => {
      inner.push(make(1), make(2))
      return make(3)
    })
    expect(inner.map((tensor) => tensor.isDisposed)).toEqual([true, true])
    expect(await result.read()).toEqual(Float32Array.of(3, 3, 3))
  })

  test('tensors leave in arrays and plain objects, however deep; in other objects they do not', () => {
    class Holder {
      readonly tensor = make(3)
    }
    const result = scope(() => ({
      list: [make(1), { deep: make(2) }],
      holder: new Holder(),
      text: 'x',
      nothing: null,
    }))
    expect((result.list[0] as Tensor).isDisposed).toBe(false)
    expect((result.list[1] as { deep: Tensor }).deep.isDisposed).toBe(false)
    expect(result.holder.tensor.isDisposed).toBe(true)
    expect([result.text, result.nothing]).toEqual(['x', null])
  })

  test('a returned view keeps its memory when the tensor that it views is freed', async () => {
    const view = scope(() => Tensor.from(device, [1, 2, 3, 4], [2, 2]).slice(1, 2))
    expect(await view.read()).toEqual(Float32Array.of(3, 4))
  })

  test('tensors of outside are left alone, returned or not', () => {
    const outside = make(1)
    expect(scope(() => outside)).toBe(outside)
    scope(() => undefined)
    expect(outside.isDisposed).toBe(false)
  })

  test('what leaves an inner scope belongs to the outer one', () => {
    let kept: Tensor | undefined
    let dropped: Tensor | undefined
    const result = scope(() => {
      dropped = scope(() => make(1))
      kept = scope(() => scope(() => make(2)))
      expect([dropped.isDisposed, kept.isDisposed]).toEqual([false, false])
      return kept
    })
    expect(result).toBe(kept)
    expect(dropped?.isDisposed).toBe(true)
    expect(kept?.isDisposed).toBe(false)
  })

  test('an exception frees everything and passes through; the outer scope goes on', () => {
    const inside: Tensor[] = []
    const result = scope(() => {
      const before = make(1)
      expect(() =>
        scope(() => {
          inside.push(make(2))
          throw new Error('inside')
        }),
      ).toThrow('inside')
      const after = make(3)
      return [before, after]
    })
    expect(inside.map((tensor) => tensor.isDisposed)).toEqual([true])
    expect(result.map((tensor) => tensor.isDisposed)).toEqual([false, false])
  })

  test('a tensor disposed by hand inside, even when returned, is no trouble', () => {
    const result = scope(() => {
      const tensor = make(1)
      tensor.dispose()
      return tensor
    })
    expect(result.isDisposed).toBe(true)
  })

  test('refuses asynchronous functions, whose tensors it would free too early', () => {
    expect(() => scope(async () => make(1))).toThrow(
      '[scope] expected a function that returns at once, got one that returned a promise; await outside',
    )
  })

  test('memory is free after the scope without any garbage collection', async () => {
    const stream = open()
    try {
      scope(() => {
        for (let i = 0; i < 5; i++) Tensor.full(stream, [1 << 18], 'float32', i)
      })
      await stream.sync()
      expect(stream.memory().live).toBe(0)
    } finally {
      stream.close()
    }
  })
})

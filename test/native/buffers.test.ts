/** @file Slots, lifetimes and memory counters. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NativeStream } from '../../src/tensor/addon.js'
import { isThorough } from '../support/long.js'
import {
  BF16,
  BLOCK_BYTES,
  enqueue,
  F32,
  GAP_BYTES,
  I32,
  keepBusy,
  openStream,
  readValues,
  U8,
  upload,
  view,
} from './raw.js'

let stream: NativeStream
beforeEach(() => {
  stream = openStream()
})
afterEach(() => stream.close())

describe('slots', () => {
  test('a slot number is refused after its last release, also when the slot serves another buffer', () => {
    const first = stream.allocate(4)
    stream.release(first)
    const second = stream.allocate(4)
    expect(second).not.toBe(first)
    expect(() => stream.release(first)).toThrow(`[release] expected a live buffer for slot, got ${first}`)
    expect(() => stream.retain(first)).toThrow(`[retain] expected a live buffer for slot, got ${first}`)
    expect(() => enqueue(stream, 'fill', view(first, 1, 1), 0)).toThrow(
      `[fill] expected a live buffer for y, got slot ${first}`,
    )
    expect(() => stream.read(Float64Array.from(view(first, 1, 1)), false)).toThrow(
      '[read] expected a live buffer for source',
    )
  })

  test('each retain asks for one more release', async () => {
    const values = upload(stream, [1.5, 2.5, 3.5])
    stream.retain(values[0])
    stream.release(values[0])
    expect(await readValues(stream, values)).toEqual([1.5, 2.5, 3.5])
    stream.release(values[0])
    expect(() => stream.retain(values[0])).toThrow('[retain] expected a live buffer')
  })

  test.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 47])('%d bytes are no buffer', (bytes) => {
    expect(() => stream.allocate(bytes)).toThrow('[allocate] expected a whole number of bytes from 1 to 2^46, got')
  })

  test('a tensor may be released while commands that use it wait in the queue', async () => {
    stream.release(keepBusy(stream, 5)[0])
    const a = upload(stream, [1, 2, 3])
    const b = upload(stream, [10, 20, 30])
    const sum = view(stream.allocate(12), 1, 3)
    enqueue(stream, 'add', a, b, sum)
    stream.release(a[0])
    stream.release(b[0])
    const values = readValues(stream, sum)
    stream.release(sum[0])
    expect(await values).toEqual([11, 22, 33])
    await stream.sync()
    expect(stream.memory().live).toBe(0)
  })
})

describe('memory counters', () => {
  test('count whole blocks from the first write to the release', async () => {
    const a = view(stream.allocate(BLOCK_BYTES + 4), 1, BLOCK_BYTES / 4 + 1)
    await stream.sync()
    expect(stream.memory().live).toBe(0)
    enqueue(stream, 'fill', a, 1)
    await stream.sync()
    expect(stream.memory()).toMatchObject({ live: 2 * BLOCK_BYTES, peak: 2 * BLOCK_BYTES })
    stream.release(a[0])
    await stream.sync()
    expect(stream.memory()).toMatchObject({ live: 0, peak: 2 * BLOCK_BYTES })
    stream.resetPeak()
    expect(stream.memory().peak).toBe(0)
  })

  test('a buffer that nothing writes takes no memory', async () => {
    const slots = Array.from({ length: 33 }, () => stream.allocate(2 ** 40))
    for (const slot of slots) stream.release(slot)
    await stream.sync()
    expect(stream.memory()).toMatchObject({ live: 0, peak: 0, reserved: 0 })
  })

  test('steps of the same sizes reuse their memory, whatever is kept between them', async () => {
    const kept: number[] = []
    const step = () => {
      const sizes = [300_001, 7_000_003, 1_000_033, 65, 12_345_677, 2_000_003, 999]
      const slots = sizes.map((bytes) => {
        const y = view(stream.allocate(bytes), 1, bytes, U8)
        enqueue(stream, 'fill', y, 1)
        return y[0]
      })
      for (const [i, slot] of slots.entries()) if (i % 2 === 0) stream.release(slot)
      const loss = view(stream.allocate(4), 1, 1)
      enqueue(stream, 'fill', loss, 1)
      kept.push(loss[0])
      for (const [i, slot] of slots.entries()) if (i % 2 === 1) stream.release(slot)
    }
    step()
    await stream.sync()
    const { peak, touched, reserved } = stream.memory()
    const steps = isThorough ? 50 : 9
    for (let i = 0; i < steps; i++) step()
    await stream.sync()
    expect(stream.memory()).toMatchObject({
      live: (steps + 1) * BLOCK_BYTES,
      peak: peak + steps * BLOCK_BYTES,
      reserved,
    })
    // Each step leaves one block, and nothing else was ever in use that the first step had not used.
    expect(stream.memory().touched).toBe(touched + steps * (BLOCK_BYTES + GAP_BYTES))
    expect(touched).toBeLessThanOrEqual(reserved)
    expect(reserved).toBeLessThan(1.5 * peak + 2 ** 25)
    for (const slot of kept) stream.release(slot)
    await stream.sync()
    expect(stream.memory().live).toBe(0)
  })

  test('the working memory of a kernel is in the peak, and goes with it', async () => {
    // linearCrossEntropy keeps logits of a chunk of rows.
    const rows = 33
    const labels = view(stream.allocate(4 * rows), 1, rows, I32)
    stream.upload(Float64Array.from(labels), new Int32Array(rows), I32)
    const h = view(stream.allocate(rows * 64 * 4), rows, 64)
    const weight = view(stream.allocate(1001 * 64 * 4), 1001, 64)
    const loss = view(stream.allocate(4), 1, 1)
    for (const x of [h, weight, loss]) enqueue(stream, 'fill', x, 0)
    await stream.sync()
    stream.resetPeak()
    const { live } = stream.memory()
    enqueue(
      stream,
      'linearCrossEntropy',
      h,
      labels,
      [-1, 0, 0, 0, 0, 0],
      loss,
      [-1, 0, 0, 0, 0, 0],
      1,
      weight,
      [-1, 0, 0, 0, 0, 0],
      0,
      0,
      0,
      1,
    )
    expect((await readValues(stream, loss))[0]).toBeCloseTo(Math.log(1001), 5)
    expect(stream.memory().live).toBe(live)
    expect(stream.memory().peak).toBeGreaterThan(live)
  })

  test('reading and writing go by the strides of views', async () => {
    const all = view(stream.allocate(5 * 7 * 4), 5, 7)
    enqueue(stream, 'fill', all, 0)
    const inner = view(all[0], 3, 2, F32, (7 + 4) * 4, 7)
    stream.upload(Float64Array.from(inner), Float32Array.from([1, 2, 3, 4, 5, 6]), F32)
    const rows = await readValues(stream, all)
    expect(rows.slice(7, 28)).toEqual([0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 5, 6, 0])
    expect(await readValues(stream, inner)).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('raw reads give the bytes of the tensor, others its values', async () => {
    const half = view(stream.allocate(6), 1, 3, BF16)
    stream.upload(Float64Array.from(half), Float32Array.from([1, -2, 0.5]), F32)
    expect(await stream.read(Float64Array.from(half), true)).toEqual(
      new Uint8Array([0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f]),
    )
    expect(await stream.read(Float64Array.from(half), false)).toEqual(new Float32Array([1, -2, 0.5]))
    const bytes = view(stream.allocate(3), 1, 3, U8)
    stream.upload(Float64Array.from(bytes), new Uint8Array([0, 7, 255]), U8)
    expect(await stream.read(Float64Array.from(bytes), false)).toEqual(new Uint8Array([0, 7, 255]))
    const integers = view(stream.allocate(8), 1, 2, I32)
    stream.upload(Float64Array.from(integers), new Int32Array([-100, 2 ** 31 - 1]), I32)
    expect(await stream.read(Float64Array.from(integers), false)).toEqual(new Int32Array([-100, 2 ** 31 - 1]))
  })
})

describe('upload', () => {
  test('keeps what the source held at the call', async () => {
    stream.release(keepBusy(stream, 3)[0])
    const source = Float32Array.from([1, 2, 3])
    const target = view(stream.allocate(12), 1, 3)
    stream.upload(Float64Array.from(target), source, F32)
    source.fill(9)
    expect(await readValues(stream, target)).toEqual([1, 2, 3])
  })

  test('refuses a source of another size or kind', () => {
    const target = Float64Array.from(view(stream.allocate(12), 1, 3))
    expect(() => stream.upload(target, new Float32Array(4), F32)).toThrow(
      '[upload] expected 12 bytes of float32 for target [1, 3], got 16',
    )
    expect(() => stream.upload(target, new Int32Array(3), I32)).toThrow(
      '[upload] expected a source that converts to float32, got int32',
    )
    expect(() => stream.upload(target, new Float32Array(3), 7)).toThrow(
      '[upload] expected a dtype from 0 to 4 for sourceDType, got 7',
    )
    expect(() => stream.upload(target, [1, 2, 3] as unknown as Float32Array, F32)).toThrow(
      '[upload] expected a typed array for source',
    )
    expect(() => stream.upload(target.slice(0, 5), new Float32Array(3), F32)).toThrow(
      '[upload] expected a view of six numbers for target',
    )
  })
})

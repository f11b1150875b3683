/** @file Streams: threads, options, several at once, and their end. */

import { describe, expect, test } from 'vitest'
import type { NativeStream, StreamOptions } from '../../src/tensor/addon.js'
import { addon, BLOCK_BYTES, enqueue, F32, keepBusy, openStream, readValues, upload, view } from './raw.js'

describe('options', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ device: 'gpu' }, "[device] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got 'gpu'"],
    [{ threads: 0 }, '[device] expected a whole number from 1 to 1024 for threads, got 0'],
    [{ threads: 1.5 }, '[device] expected a whole number from 1 to 1024 for threads, got 1.5'],
    [{ threads: '2' }, "[device] expected a whole number from 1 to 1024 for threads, got '2'"],
    [{ dryRun: 1 }, '[device] expected true or false for dryRun, got 1'],
    [{ timeOps: 'yes' }, "[device] expected true or false for timeOps, got 'yes'"],
    [{ isa: 'sse9' }, "[device] expected generic, avx2, avx512 or avx512bf16 for isa, got 'sse9'"],
    [
      { thread: 2 },
      "[device] expected the options device, threads, memoryBudget, isa, schedule, dryRun and timeOps, got also 'thread'",
    ],
  ])('%o is refused', (options, message) => {
    expect(() => new (addon().Stream)(options as unknown as StreamOptions)).toThrow(message)
  })

  test('a stream needs an object of options', () => {
    expect(() => new (addon().Stream)(undefined as unknown as StreamOptions)).toThrow(
      '[device] expected an object for options, got undefined',
    )
  })
})

/** A matrix product with low-rank terms: several kernels' worth of parallel blocks. */
function product(stream: NativeStream, seed: number): Promise<Float32Array | Int32Array | Uint8Array> {
  const filled = (rows: number, cols: number) =>
    upload(
      stream,
      Array.from({ length: rows * cols }, (_, i) => Math.sin(seed + i)),
      rows,
    )
  const [x, weight, a, b] = [filled(61, 129), filled(257, 129), filled(7, 129), filled(257, 7)]
  const y = view(stream.allocate(61 * 257 * 4), 61, 257)
  const s = view(stream.allocate(61 * 7 * 4), 61, 7)
  const none = [-1, 0, 0, 0, 0, 0]
  enqueue(stream, 'linear', x, y, 1, weight, 0, none, 0, 1, a, b, s, 0.5, 0.1, 3, 1, seed)
  const values = stream.read(Float64Array.from(y), false)
  for (const tensor of [x, weight, a, b, y, s]) stream.release(tensor[0])
  return values
}

describe('streams', () => {
  test('give the same bits with 1, 2, 3 and 9 threads, more than there are cores', async () => {
    const results: string[] = []
    for (const threads of [1, 2, 3, 9]) {
      const stream = openStream({ threads })
      const values = await product(stream, 1)
      results.push(Buffer.from(values.buffer).toString('hex'))
      stream.close()
    }
    expect(new Set(results).size).toBe(1)
  })

  test('run at the same time without disturbing each other', async () => {
    const alone = openStream({ threads: 1 })
    const expected = await Promise.all(Array.from({ length: 40 }, (_, seed) => product(alone, seed)))
    alone.close()
    const streams = [1, 2, 3, 2].map((threads) => openStream({ threads }))
    const results = await Promise.all(
      streams.map((stream) => Promise.all(expected.map((_, seed) => product(stream, seed)))),
    )
    for (const [i, stream] of streams.entries()) {
      expect(results[i]).toEqual(expected)
      await stream.sync()
      expect(stream.memory().live).toBe(0)
      stream.close()
    }
  })

  test('take turns: a long queue on one does not hold up the other', async () => {
    const busy = openStream()
    const queue = keepBusy(busy, 400)
    let drained = false
    const end = busy.sync().then(() => {
      drained = true
    })
    const quick = openStream()
    await product(quick, 2)
    expect(drained).toBe(false)
    quick.close()
    await end
    busy.release(queue[0])
    busy.close()
  })

  test('leave the event loop to others while they compute', async () => {
    const stream = openStream()
    const done = readValues(stream, view(keepBusy(stream, 200)[0], 1, 3))
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    expect(await done).toEqual([200, 200, 200])
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(5)
    stream.close()
  })
})

describe('close', () => {
  test('lets reads that wait in the queue come to their end', async () => {
    const stream = openStream()
    const values = readValues(stream, view(keepBusy(stream, 20)[0], 1, 2))
    const synced = stream.sync()
    stream.close()
    expect(await values).toEqual([20, 20])
    await synced
  })

  test('frees all memory, and refuses what comes after; releases stay harmless', async () => {
    const stream = openStream()
    const kept = upload(stream, [1, 2, 3])
    await stream.sync()
    expect(stream.memory().live).toBe(BLOCK_BYTES)
    stream.close()
    stream.close()
    stream.release(kept[0])
    stream.release(kept[0])
    expect(() => stream.allocate(4)).toThrow('[allocate] expected an open device, got one that was closed')
    expect(() => stream.retain(kept[0])).toThrow('[retain] expected an open device')
    expect(() => enqueue(stream, 'fill', kept, 1)).toThrow('[enqueue] expected an open device')
    expect(() => stream.upload(Float64Array.from(kept), new Float32Array(3), F32)).toThrow(
      '[upload] expected an open device',
    )
    expect(() => stream.read(Float64Array.from(kept), false)).toThrow('[read] expected an open device')
    expect(() => stream.sync()).toThrow('[sync] expected an open device')
    await expect.poll(() => stream.memory()).toMatchObject({ live: 0, reserved: 0 })
  })
})

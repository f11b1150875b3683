/** @file Streams: threads, options, several at once, and their end. */

import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { NativeStream, StreamOptions } from '../../src/tensor/addon.js'
import { isThorough } from '../support/long.js'
import { addon, BLOCK_BYTES, enqueue, F32, keepBusy, openStream, readValues, upload, uploadInt32, view } from './raw.js'

// The emulated GPU takes ten times as long for an op.
const LONG_QUEUE = process.env.LOWRANK_TEST_DEVICES === 'cuda-emulator' ? 60 : 400

describe('options', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ device: 'gpu' }, "[device] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got 'gpu'"],
    [{ threads: 0 }, '[device] expected a whole number from 1 to 1024 for threads, got 0'],
    [{ threads: 1.5 }, '[device] expected a whole number from 1 to 1024 for threads, got 1.5'],
    [{ threads: '2' }, "[device] expected a whole number from 1 to 1024 for threads, got '2'"],
    [{ dryRun: 1 }, '[device] expected true or false for dryRun, got 1'],
    [{ timeOps: 'yes' }, "[device] expected true or false for timeOps, got 'yes'"],
    [{ isa: 'sse9' }, "[device] expected generic, avx2, avx512, avx512bf16 or amx for isa, got 'sse9'"],
    [{ emulator: {} }, "[device] expected emulator with device 'cuda-emulator' only, got 'cpu'"],
    [
      { thread: 2 },
      "[device] expected the options device, threads, memoryBudget, isa, emulator, dryRun, holdBudget and timeOps, got also 'thread'",
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
  enqueue(stream, 'linear', x, y, 0, 1, weight, 0, none, 0, 1, a, b, none, s, 0.5, 0.1, 3, 1, seed)
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
    const expected = await Promise.all(Array.from({ length: isThorough ? 40 : 10 }, (_, seed) => product(alone, seed)))
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
    const queue = keepBusy(busy, LONG_QUEUE)
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
    const length = LONG_QUEUE / 2
    const done = readValues(stream, view(keepBusy(stream, length)[0], 1, 3))
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    expect(await done).toEqual([length, length, length])
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
    expect(stream.memory()).toMatchObject({ live: 0, reserved: 0 })
  })

  test('gives thread and addresses back before it returns where nothing is left to compute', async () => {
    // Those of tests before, which had work left.
    await expect.poll(streamThreads, { timeout: 60_000 }).toBe(0)
    const addresses = addressMebibytes()
    for (let i = 0; i < 30; i++) {
      const stream = openStream()
      expect(await readValues(stream, upload(stream, [1, 2, i]))).toEqual([1, 2, i])
      expect(streamThreads()).toBe(1)
      stream.close()
      expect(streamThreads()).toBe(0)
    }
    // Each had two ranges of 64 GiB.
    expect(addressMebibytes() - addresses).toBeLessThan(2 ** 14)
  })

  test('gives them back when the queue has run, whether or not the stream is collected', async () => {
    // Those of tests before, which had work left.
    await expect.poll(streamThreads, { timeout: 60_000 }).toBe(0)
    const addresses = addressMebibytes()
    const streams = Array.from({ length: 5 }, () => openStream())
    for (const stream of streams) keepBusy(stream, 10)
    for (const stream of streams) stream.close()
    // Memory first: a thread that the system has not started yet has no name to count by.
    const reserved = () => streams.map((stream) => stream.memory().reserved)
    await expect.poll(reserved, { timeout: 60_000 }).toEqual([0, 0, 0, 0, 0])
    await expect.poll(streamThreads, { timeout: 60_000 }).toBe(0)
    expect(addressMebibytes() - addresses).toBeLessThan(2 ** 14)
  })
})

describe('read', () => {
  test('refuses what no array can hold, and goes on', async () => {
    const stream = openStream({ dryRun: true })
    const side = 2 ** 20
    const huge = view(stream.allocate(side * side * 4), side, side)
    for (const raw of [false, true]) {
      expect(() => stream.read(Float64Array.from(huge), raw)).toThrow(
        `[read] expected a tensor that an array of JavaScript can hold, got one of [${side}, ${side}], which takes 4.0 TiB as `,
      )
    }
    const small = uploadInt32(stream, [4, 5])
    // A dry run on a GPU has no values at all.
    expect(await stream.read(Float64Array.from(small), false)).toHaveLength(2)
    stream.close()
  })
})

/** Worker threads of streams in this process. */
function streamThreads(): number {
  const names = readdirSync('/proc/self/task').map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim()
    } catch {
      return 'ended meanwhile'
    }
  })
  return names.filter((name) => name === 'lowrank-stream').length
}

/** Addresses that this process has mapped. */
function addressMebibytes(): number {
  return Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024
}

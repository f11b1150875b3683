/** @file What a command that fails does to the stream, to its results, and to what comes after. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NativeStream } from '../../src/tensor/addon.js'
import { enqueue, OMITTED, openStream, readValues, U8, upload, uploadInt32, type ViewWords, view } from './raw.js'

let stream: NativeStream
beforeEach(() => {
  stream = openStream()
})
afterEach(() => stream.close())

const UNWRITTEN = '[copy] expected contents for x, got a tensor that nothing has written'

/** Leaves the fault UNWRITTEN, and its result poisoned. */
function breakStream(): ViewWords {
  const nothing = view(stream.allocate(12), 1, 3)
  const result = view(stream.allocate(12), 1, 3)
  enqueue(stream, 'copy', nothing, result)
  return result
}

describe('a fault', () => {
  test('rejects the next sync, once', async () => {
    breakStream()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
    await stream.sync()
  })

  test('skips what was queued behind it, whose results reject', async () => {
    const good = upload(stream, [1, 2, 3])
    breakStream()
    const later = view(stream.allocate(12), 1, 3)
    enqueue(stream, 'add', good, good, later)
    await expect(readValues(stream, later)).rejects.toThrow(UNWRITTEN)
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
    await expect(readValues(stream, later)).rejects.toThrow(UNWRITTEN)
  })

  test('does not keep an upload from its place', async () => {
    breakStream()
    const later = upload(stream, [7, 8, 9])
    expect(await readValues(stream, later)).toEqual([7, 8, 9])
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
  })

  test('leaves what is whole readable', async () => {
    const good = upload(stream, [1, 2, 3])
    breakStream()
    expect(await readValues(stream, good)).toEqual([1, 2, 3])
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
  })

  test('is passed on by what reads its results, without sticking again', async () => {
    const broken = breakStream()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
    const sum = view(stream.allocate(12), 1, 3)
    enqueue(stream, 'add', broken, broken, sum)
    await expect(readValues(stream, sum)).rejects.toThrow(UNWRITTEN)
    await stream.sync()
  })

  test('heals when the tensor is written again as a whole, not in part', async () => {
    const broken = breakStream()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
    enqueue(stream, 'fill', view(broken[0], 1, 2), 5)
    await expect(readValues(stream, broken)).rejects.toThrow(UNWRITTEN)
    enqueue(stream, 'fill', broken, 5)
    expect(await readValues(stream, broken)).toEqual([5, 5, 5])
  })

  test('a fault of a kernel names the op and what it met', async () => {
    const weight = upload(stream, [1, 2, 3, 4], 2)
    const rows = view(stream.allocate(24), 3, 2)
    enqueue(stream, 'embedding', uploadInt32(stream, [0, 2, 1]), weight, rows)
    await expect(stream.sync()).rejects.toThrow(/^\[embedding\] .*2/)
    await expect(readValues(stream, rows)).rejects.toThrow(/^\[embedding\] /)
    expect(await readValues(stream, weight)).toEqual([1, 2, 3, 4])
  })

  test('reaches the accumulated gradient, but not the parameters that adamw was to update', async () => {
    const parameter = upload(stream, [1, 2, 3])
    const gradient = upload(stream, [1, 1, 1])
    const moments = [upload(stream, [0, 0, 0]), upload(stream, [0, 0, 0])]
    const norms = view(stream.allocate(8), 1, 2)
    const broken = view(breakStream()[0], 3, 1)
    // In place on the gradient, as a backward pass accumulates.
    enqueue(stream, 'embeddingBackward', uploadInt32(stream, [0, 0, 0]), broken, view(gradient[0], 3, 1))
    const adamw = () =>
      enqueue(stream, 'adamw', 1, parameter, gradient, ...moments, OMITTED, 0, norms, 0.5, 0.9, 0.99, 1e-8, 1, 0, 1)
    adamw()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
    expect(await readValues(stream, parameter)).toEqual([1, 2, 3])
    await expect(readValues(stream, gradient)).rejects.toThrow(UNWRITTEN)

    // Stepping on with the broken gradient is a fault of its own: the parameters would not show that it was skipped.
    adamw()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)

    enqueue(stream, 'fill', gradient, 2)
    adamw()
    await stream.sync()
    const updated = await readValues(stream, parameter)
    for (const [i, value] of [0.5, 1.5, 2.5].entries()) expect(updated[i]).toBeCloseTo(value, 5)
  })

  test('a fault of a read alone rejects that read and nothing else', async () => {
    const nothing = view(stream.allocate(12), 1, 3)
    await expect(readValues(stream, nothing)).rejects.toThrow(
      '[read] expected a tensor with contents, got one that nothing has written',
    )
    await stream.sync()
  })

  test('a fault of one stream does not reach another', async () => {
    const other = openStream()
    const good = upload(other, [4, 5])
    breakStream()
    enqueue(other, 'add', good, good, good)
    expect(await readValues(other, good)).toEqual([8, 10])
    await other.sync()
    other.close()
    await expect(stream.sync()).rejects.toThrow(UNWRITTEN)
  })
})

describe('a memory budget', () => {
  const MIB = 2 ** 20
  const allocated = (target: NativeStream, mebibytes: number): ViewWords => {
    const y = view(target.allocate(mebibytes * MIB), mebibytes, MIB, U8)
    enqueue(target, 'fill', y, 1)
    return y
  }

  test('turns overshoot into a fault with the figures and the remedy, and the stream goes on', async () => {
    const small = openStream({ memoryBudget: 32 * MIB })
    const kept = allocated(small, 20)
    allocated(small, 14)
    const error = await small.sync().then(
      () => undefined,
      (reason: Error & { code?: string; needed?: number; budget?: number }) => reason,
    )
    expect(error?.message).toBe(
      '[fill] expected 14.0 MiB for y, but 20.0 MiB of the memory budget of 32.0 MiB are live; ' +
        'use a smaller batch or maxLength, gradientCheckpointing or bfloat16, or raise memoryBudget',
    )
    expect(error).toMatchObject({ code: 'OUT_OF_MEMORY', needed: 34 * MIB, budget: 32 * MIB })
    small.release(kept[0])
    const again = allocated(small, 30)
    expect(await readValues(small, view(again[0], 1, 2, U8))).toEqual([1, 1])
    await small.sync()
    expect(small.memory().reserved).toBeLessThanOrEqual(32 * MIB)
    expect(small.memory().budget).toBe(32 * MIB)
    small.close()
  })

  test('says what the memory is used for, as far as tensors have labels', async () => {
    const small = openStream({ memoryBudget: 32 * MIB })
    const weights = [8, 4].map((mebibytes) => small.allocate(mebibytes * MIB))
    // Before the memory is there and after.
    small.label(weights[0] as number, 'weights of a model')
    for (const [i, slot] of weights.entries()) enqueue(small, 'fill', view(slot, 8 >> i, MIB, U8), 1)
    await small.sync()
    small.label(weights[1] as number, 'weights of a model')
    const cache = allocated(small, 9)
    small.label(cache[0], 'key/value cache')
    allocated(small, 3)
    allocated(small, 20)
    await expect(small.sync()).rejects.toThrow(
      '[fill] expected 20.0 MiB for y, but 24.0 MiB of the memory budget of 32.0 MiB are live (weights of a model 12.0 MiB, ' +
        'key/value cache 9.0 MiB, other tensors 3.0 MiB); use a smaller batch or maxLength',
    )
    small.release(cache[0])
    await small.sync()
    expect(small.holders()).toEqual({
      own: 'weights of a model 12.0 MiB, other tensors 3.0 MiB',
      others: '',
      otherBytes: 0,
    })
    small.close()
    expect(small.holders().own).toBe('')
  })

  test('is used to the last 64 KiB, whatever lies where', async () => {
    const small = openStream({ memoryBudget: 16 * MIB })
    const KIB_100 = 100 * 1024
    const filled = () => {
      const y = view(small.allocate(KIB_100), 100, 1024, U8)
      enqueue(small, 'fill', y, 7)
      return y
    }
    const pieces = Array.from({ length: 150 }, filled)
    await small.sync()
    // Two of three go: 10 MiB are free, in gaps of 200 KiB.
    for (const [i, piece] of pieces.entries()) if (i % 3 !== 0) small.release(piece[0])
    const large = allocated(small, 7)
    await small.sync()
    expect(await readValues(small, view(large[0], 1, 2, U8, 7 * MIB - 2))).toEqual([1, 1])
    for (const [i, piece] of pieces.entries()) {
      if (i % 3 === 0) expect(await readValues(small, view(piece[0], 1, 2, U8, KIB_100 - 2))).toEqual([7, 7])
    }
    expect(small.memory().reserved).toBeLessThanOrEqual(16 * MIB)
    small.close()
  })

  test('a memory budget of a dry run holds where it is asked to, in the same place as that of a real run', async () => {
    const outcome = async (dryRun: boolean): Promise<string> => {
      const stream = openStream({ memoryBudget: 32 * MIB, dryRun, holdBudget: true })
      const kept = Array.from({ length: 5 }, () => allocated(stream, 5))
      for (const i of [1, 3]) stream.release((kept[i] as ViewWords)[0])
      allocated(stream, 14)
      allocated(stream, 5)
      const text = await stream.sync().then(
        () => 'fits',
        (error: Error) => error.message,
      )
      stream.close()
      return text
    }
    expect(await outcome(false)).toMatch(
      /^\[fill\] expected 5.0 MiB for y, but 29.0 MiB of the memory budget of 32.0 MiB/,
    )
    expect(await outcome(true)).toBe(await outcome(false))
  })

  test('holds a working memory that does not fit', async () => {
    const small = openStream({ memoryBudget: 10 * MIB })
    const h = view(small.allocate(4 * 4), 1, 4)
    const weight = view(small.allocate(600_000 * 4 * 4), 600_000, 4)
    const loss = view(small.allocate(4), 1, 1)
    for (const x of [h, weight]) enqueue(small, 'fill', x, 1)
    enqueue(
      small,
      'linearCrossEntropy',
      h,
      uploadInt32(small, [0]),
      OMITTED,
      loss,
      OMITTED,
      1,
      weight,
      OMITTED,
      0,
      0,
      0,
      1,
    )
    await expect(small.sync()).rejects.toThrow(
      /^\[linearCrossEntropy\] expected .* for its working memory, but .* are live; use a smaller batch/,
    )
    await expect(readValues(small, loss)).rejects.toThrow('[linearCrossEntropy]')
    small.close()
  })

  test('lets free fragments of any shape serve a request of any size', async () => {
    const small = openStream({ memoryBudget: 64 * MIB })
    const pieces = Array.from({ length: 12 }, () => allocated(small, 5))
    // Every other piece goes: 30 MiB are free, in runs of 5.
    for (const [i, piece] of pieces.entries()) if (i % 2 === 0) small.release(piece[0])
    const large = allocated(small, 12)
    await small.sync()
    for (const [i, piece] of pieces.entries()) {
      if (i % 2 === 1) expect(await readValues(small, view(piece[0], 1, 3, U8, 5 * MIB - 3))).toEqual([1, 1, 1])
    }
    expect(await readValues(small, view(large[0], 1, 3, U8))).toEqual([1, 1, 1])
    expect(small.memory().live).toBe(42 * MIB)
    small.close()
  })

  test('is refused when it is no count of bytes', () => {
    for (const memoryBudget of [0, -1, Number.NaN]) {
      expect(() => openStream({ memoryBudget })).toThrow(
        '[device] expected a number of bytes >= 1 for memoryBudget, got',
      )
    }
  })
})

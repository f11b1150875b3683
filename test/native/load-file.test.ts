/** @file Filling tensors from files. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NativeStream } from '../../src/tensor/addon.js'
import { BF16, enqueue, F16, F32, I32, openStream, readValues, U8, type ViewWords, view } from './raw.js'

let folder: string
let stream: NativeStream
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-load-'))
  stream = openStream()
})
afterAll(() => {
  stream.close()
  rmSync(folder, { recursive: true })
})

const ELEMENT_BYTES = [4, 2, 2, 4, 1]

function file(name: string, bytes: NodeJS.ArrayBufferView | string): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

function load(path: string, rows: number, cols: number, dtype: number, sourceDType: number, offset = 0): ViewWords {
  const target = view(stream.allocate(rows * cols * ELEMENT_BYTES[dtype]!), rows, cols, dtype)
  stream.loadFile(Float64Array.from(target), path, offset, sourceDType)
  return target
}

// 1, -2, 0.5, 3.140625 are exact in all three dtypes.
const VALUES = [1, -2, 0.5, 3.140625]
const ENCODED: Record<number, Uint8Array> = {
  [F32]: new Uint8Array(Float32Array.from(VALUES).buffer),
  [BF16]: new Uint8Array(Uint16Array.from([0x3f80, 0xc000, 0x3f00, 0x4049]).buffer),
  [F16]: new Uint8Array(Uint16Array.from([0x3c00, 0xc000, 0x3800, 0x4248]).buffer),
}

describe('loadFile', () => {
  for (const source of [F32, BF16, F16]) {
    for (const target of [F32, BF16, F16]) {
      test(`converts dtype ${source} to dtype ${target}, from any offset`, async () => {
        const path = file(`floats-${source}-${target}`, Buffer.concat([Buffer.from('odd'), ENCODED[source]!]))
        expect(await readValues(stream, load(path, 2, 2, target, source, 3))).toEqual(VALUES)
      })
    }
  }

  test('takes integers and bytes as they are, and refuses to convert them', async () => {
    const integers = file('int32', Int32Array.from([-7, 2 ** 31 - 1]))
    expect(await readValues(stream, load(integers, 1, 2, I32, I32))).toEqual([-7, 2 ** 31 - 1])
    const bytes = file('uint8', Uint8Array.from([0, 255, 3]))
    expect(await readValues(stream, load(bytes, 1, 3, U8, U8))).toEqual([0, 255, 3])
    expect(() => load(integers, 1, 2, F32, I32)).toThrow(
      '[loadFile] expected a source that converts to float32, got int32',
    )
  })

  test('rounds float32 to the nearest bfloat16, ties to even', async () => {
    const path = file('ties', Float32Array.from([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20]))
    expect(await readValues(stream, load(path, 1, 3, BF16, F32))).toEqual([1, 1 + 2 ** -6, 1 + 2 ** -7])
  })

  // One chunk is 4 MiB of the file: 1,048,576 float32.
  test.each([
    [1, 2_500_003],
    [3, 1_100_003],
    [2503, 1001],
  ])('reads a [%d, %d] matrix of several chunks', async (rows, cols) => {
    const source = Float32Array.from({ length: rows * cols }, (_, i) => i % 127)
    const path = file('large', source)
    const same = await stream.read(Float64Array.from(load(path, rows, cols, F32, F32)), false)
    const rounded = await stream.read(Float64Array.from(load(path, rows, cols, BF16, F32)), false)
    expect(Buffer.compare(Buffer.from(same.buffer), Buffer.from(source.buffer))).toBe(0)
    expect(Buffer.compare(Buffer.from(rounded.buffer), Buffer.from(source.buffer))).toBe(0)
  })

  test('fills a strided view and leaves what is around it', async () => {
    const path = file('rows', Float32Array.from([1, 2, 3, 4, 5, 6]))
    const all = view(stream.allocate(3 * 4 * 4), 3, 4)
    enqueue(stream, 'fill', all, 0)
    stream.loadFile(Float64Array.from(view(all[0], 3, 2, F32, 4, 4)), path, 0, F32)
    expect(await readValues(stream, all)).toEqual([0, 1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0])
  })

  test('faults on a file that is too short, and says where it ends', async () => {
    const path = file('short', new Uint8Array(1000))
    truncateSync(path, 39)
    const target = load(path, 2, 4, F32, F32, 8)
    const message = `[loadFile] expected to read '${path}', got: the file ends at byte 39 where 32 bytes from 8 were expected`
    await expect(stream.sync()).rejects.toThrow(message)
    await expect(readValues(stream, target)).rejects.toThrow(message)
    load(path, 1, 3, F32, F32, 2 ** 52)
    await expect(stream.sync()).rejects.toThrow(`the file ends at byte ${2 ** 52}`)
  })

  test('faults on what is no readable file, with the reason of the system', async () => {
    load(join(folder, 'missing'), 1, 1, F32, F32)
    await expect(stream.sync()).rejects.toThrow(
      `[loadFile] expected to read '${join(folder, 'missing')}', got: No such file or directory`,
    )
    load(folder, 1, 1, F32, F32)
    await expect(stream.sync()).rejects.toThrow('got: Is a directory')
  })

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses the offset %d', (offset) => {
    const path = file('offset', new Uint8Array(8))
    expect(() => load(path, 1, 1, F32, F32, offset)).toThrow(
      '[loadFile] expected a whole number >= 0 for fileOffset, got',
    )
  })

  test('refuses a path that the system would cut', () => {
    expect(() => load('a\0b', 1, 1, F32, F32)).toThrow('[loadFile] expected a path without NUL characters for path')
  })
})

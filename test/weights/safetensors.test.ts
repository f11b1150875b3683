/**
 * @file Safetensors files: bytes equal to the reference library's, and every kind of damage an error that names file
 * and tensor.
 */

import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  readSafetensorsHeader,
  readTensorBytes,
  type SafetensorsDType,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/weights/safetensors.js'
import { headerOf, safetensorsBytes } from '../checkpoint/build.js'
import { processorTime } from '../support/processor-time.js'

let directory: string
let path: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-safetensors-'))
  path = join(directory, 'model.safetensors')
})

afterAll(() => rm(directory, { recursive: true, force: true }))

/** What safetensors 0.8 (Python) writes for one tensor of each of these kinds, names that need escaping included. */
const REFERENCE = safetensorsBytes(
  '{"__metadata__":{"format":"pt"},' +
    '"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},' +
    '"f64":{"dtype":"F64","shape":[1],"data_offsets":[16,24]},' +
    '"e":{"dtype":"F32","shape":[0,3],"data_offsets":[24,24]},' +
    '"s":{"dtype":"F32","shape":[],"data_offsets":[24,28]},' +
    '"z":{"dtype":"F32","shape":[2],"data_offsets":[28,36]},' +
    '"a":{"dtype":"F16","shape":[2,2],"data_offsets":[36,44]},' +
    '"b":{"dtype":"F16","shape":[3],"data_offsets":[44,50]},' +
    '"u16":{"dtype":"U16","shape":[1],"data_offsets":[50,52]},' +
    '"ü\\"x/\\\\\\n\u007f😀":{"dtype":"I8","shape":[1],"data_offsets":[52,53]},' +
    '"u":{"dtype":"U8","shape":[5],"data_offsets":[53,58]},' +
    '"bo":{"dtype":"BOOL","shape":[1],"data_offsets":[58,59]}}       ',
  Buffer.from(
    '01000000000000000100000000000000' +
      '0000000000000000' +
      '0000803f0000803f0000803f' +
      '0000000000000000000000000000000000' +
      '010101010100',
    'hex',
  ),
)

async function tensorsOf(file: string): Promise<TensorToWrite[]> {
  const { tensors } = await readSafetensorsHeader(file)
  return [...tensors.values()].map((entry) => ({ ...entry, bytes: () => readTensorBytes(entry) }))
}

const zeros = (name: string, dtype: SafetensorsDType, shape: number[], bytes: number): TensorToWrite => ({
  name,
  dtype,
  shape,
  bytes: () => new Uint8Array(bytes),
})

describe('reading', () => {
  test('a file of the Python library', async () => {
    await writeFile(path, REFERENCE)
    const { metadata, tensors } = await readSafetensorsHeader(path)
    const dataStart = REFERENCE.length - 59
    expect(metadata).toEqual({ format: 'pt' })
    expect([...tensors.keys()]).toEqual(['i', 'f64', 'e', 's', 'z', 'a', 'b', 'u16', 'ü"x/\\\n\u007f😀', 'u', 'bo'])
    expect(tensors.get('z')).toEqual({
      name: 'z',
      dtype: 'F32',
      shape: [2],
      path,
      fileOffset: dataStart + 28,
      byteLength: 8,
    })
    expect([...new Float32Array((await readTensorBytes(tensors.get('z')!)).buffer)]).toEqual([1, 1])
    expect((await readTensorBytes(tensors.get('e')!)).byteLength).toBe(0)
  })

  test('files without tensors, with tensors out of order, and with names that are properties of objects', async () => {
    await writeFile(path, safetensorsBytes('{}      '))
    expect((await readSafetensorsHeader(path)).tensors.size).toBe(0)
    const header =
      '{"__proto__":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},"10":{"dtype":"U8","shape":[1],"data_offsets":[5,6]},' +
      '"constructor":{"shape":[2],"data_offsets":[0,2],"dtype":"U8"}}'
    await writeFile(path, safetensorsBytes(header, new Uint8Array([0, 1, 2, 3, 4, 5])))
    const { tensors } = await readSafetensorsHeader(path)
    expect([...tensors.keys()]).toEqual(['constructor', '__proto__', '10'])
    expect([...(await readTensorBytes(tensors.get('__proto__')!))]).toEqual([2, 3, 4])
  })

  test('four and six bits per element', async () => {
    await writeFile(
      path,
      safetensorsBytes(headerOf(['a', 'F4', [3, 2], 3], ['b', 'F6_E2M3', [4], 3]), new Uint8Array(6)),
    )
    expect([...(await readSafetensorsHeader(path)).tensors.values()].map((entry) => entry.byteLength)).toEqual([3, 3])
    await writeFile(path, safetensorsBytes(headerOf(['a', 'F4', [3], 2]), new Uint8Array(2)))
    await expect(readSafetensorsHeader(path)).rejects.toThrow('the shape [3], which does not fill whole bytes of F4')
  })

  test('a tensor of a file that shrank since', async () => {
    await writeFile(path, REFERENCE)
    const { tensors } = await readSafetensorsHeader(path)
    await truncate(path, REFERENCE.length - 3)
    await expect(readTensorBytes(tensors.get('u')!)).rejects.toThrow(
      `${path} ends inside tensor "u"; the file is damaged`,
    )
  })
})

describe('writing', () => {
  test('the bytes of the Python library, whatever the order', async () => {
    await writeFile(path, REFERENCE)
    const tensors = await tensorsOf(path)
    const copy = join(directory, 'copy.safetensors')
    for (const order of [tensors, [...tensors].reverse()]) {
      await writeSafetensors(copy, order, { format: 'pt' })
      expect(await readFile(copy)).toEqual(REFERENCE)
    }
  })

  test('the bytes of PyTorch for every golden file', async () => {
    const cases = new URL('../golden/cases/', import.meta.url).pathname
    const files = (await readdir(cases, { recursive: true })).filter((file) => file.endsWith('.safetensors'))
    expect(files.length).toBeGreaterThan(10)
    for (const file of files) {
      const { metadata } = await readSafetensorsHeader(join(cases, file))
      await writeSafetensors(path, await tensorsOf(join(cases, file)), metadata)
      expect((await readFile(path)).equals(await readFile(join(cases, file))), file).toBe(true)
    }
  })

  test('asks for one tensor at a time, in the order of the file', async () => {
    const asked: string[] = []
    const tensor = (name: string, dtype: SafetensorsDType, bytes: number): TensorToWrite => ({
      ...zeros(name, dtype, [1], bytes),
      bytes: async () => {
        asked.push(name)
        return new Uint8Array(bytes)
      },
    })
    await writeSafetensors(path, [tensor('a', 'U8', 1), tensor('c', 'F32', 4), tensor('b', 'F32', 4)])
    expect(asked).toEqual(['b', 'c', 'a'])
  })

  test('orders names by code points, as UTF-8 does, not by UTF-16 units', async () => {
    await writeSafetensors(path, [zeros('\u{1f600}', 'U8', [1], 1), zeros('\uff5e', 'U8', [1], 1)])
    expect([...(await readSafetensorsHeader(path)).tensors.keys()]).toEqual(['\uff5e', '\u{1f600}'])
  })

  test('wrong descriptions and bytes are errors that keep the previous file', async () => {
    await writeFile(path, REFERENCE)
    const wrong: [TensorToWrite[], string][] = [
      [[zeros('a', 'F32', [2, 3], 20)], '[safetensors] expected 24 bytes for tensor "a" (F32 [2, 3]), got 20'],
      [[zeros('a', 'U8', [1], 1), zeros('a', 'U8', [1], 1)], 'to be unique text, got "a"'],
      [[zeros('__metadata__', 'U8', [1], 1)], 'to be unique text, got "__metadata__"'],
      [[zeros('\ud800', 'U8', [1], 1)], 'to be unique text'],
      [[zeros('a', 'F32', [-1], 4)], `cannot write ${path}: tensor "a" has the impossible shape [-1]`],
      [[zeros('a', 'F31' as 'F32', [1], 4)], 'tensor "a" has the dtype "F31", which is none of BOOL,'],
      [[zeros('a', 'U8', [2 ** 30, 2 ** 30], 4)], 'which overflows'],
    ]
    for (const [tensors, message] of wrong) await expect(writeSafetensors(path, tensors)).rejects.toThrow(message)
    expect(await readFile(path)).toEqual(REFERENCE)
  })
})

describe('damage', () => {
  const expectError = async (bytes: Uint8Array, message: string) => {
    await writeFile(path, bytes)
    await expect(readSafetensorsHeader(path)).rejects.toThrow(message)
    await expect(readSafetensorsHeader(path)).rejects.toThrow(path)
  }
  const one = (entry: string, bytes = 4) => safetensorsBytes(`{"w":${entry}}`, new Uint8Array(bytes))
  const entryOf = (dtype: string, shape: string, offsets: string) =>
    `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`

  test('files that are missing, too short, or no files', async () => {
    await expect(readSafetensorsHeader(join(directory, 'missing'))).rejects.toThrow('cannot read')
    await expect(readSafetensorsHeader(directory)).rejects.toThrow(`expected ${directory} to be a file`)
    await expectError(new Uint8Array(), 'expected at least 8 bytes')
    await expectError(new Uint8Array(7), 'got 7; the file is damaged or incomplete: download it again')
    await expectError(new Uint8Array(8), 'is not valid JSON')
  })

  test('every truncation of a sound file', async () => {
    for (let length = 0; length < REFERENCE.length; length++) {
      await writeFile(path, REFERENCE.subarray(0, length))
      await expect(readSafetensorsHeader(path)).rejects.toThrow(/\[safetensors\] .*(damaged|download it again)/)
    }
  })

  test('header lengths that the file cannot hold', async () => {
    for (const length of [3n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      await expectError(
        safetensorsBytes('{}', undefined, length),
        `the header length ${length} exceeds the 10 bytes of the file`,
      )
    }
    // Sparse: it takes no room on the disk.
    await writeFile(path, safetensorsBytes('{}', undefined, 100_000_001n))
    await truncate(path, 200_000_000)
    await expect(readSafetensorsHeader(path)).rejects.toThrow(
      'the header length 100000001 exceeds the limit of 100000000 bytes',
    )
  })

  test('a Git LFS pointer is recognised', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n'
    await expectError(Buffer.from(pointer), 'is a Git LFS pointer, not the weights; run "git lfs pull"')
  })

  test('headers that are no JSON objects', async () => {
    await expectError(safetensorsBytes('[]'), 'instead of a JSON object')
    await expectError(safetensorsBytes('null'), 'instead of a JSON object')
    await expectError(safetensorsBytes('{"w":'), 'is not valid JSON')
    await expectError(safetensorsBytes('{}}'), 'is not valid JSON')
    await expectError(safetensorsBytes('\ufeff{}'), 'is not valid JSON')
    await expectError(safetensorsBytes(new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])), 'is not UTF-8 text')
  })

  test('nesting a million deep, quickly', async () => {
    const spent = processorTime()
    await expectError(safetensorsBytes(`{"w":${'['.repeat(1e6)}`), 'more than 32 levels deep')
    await expectError(safetensorsBytes(`${'{"a":'.repeat(1e6)}1${'}'.repeat(1e6)}`), 'more than 32 levels deep')
    expect(spent()).toBeLessThan(5000)
  })

  test('keys that occur twice, escaped spellings included', async () => {
    const entry = entryOf('"U8"', '[0]', '[0,0]')
    await expectError(safetensorsBytes(`{"w":${entry},"w":${entry}}`), 'the key "w" occurs twice')
    await expectError(safetensorsBytes(`{"w":${entry},"\\u0077" :${entry}}`), 'the key "w" occurs twice')
    await expectError(safetensorsBytes('{"w":{"dtype":"U8","dtype":"U8"}}'), 'the key "dtype" occurs twice')
    await expectError(safetensorsBytes('{"__metadata__":{"a":"1","a":"2"}}'), 'the key "a" occurs twice')
  })

  test.each([
    ['7', 'tensor "w" is described by 7 instead of dtype, shape and data_offsets'],
    ['[]', 'is described by []'],
    ['{}', 'tensor "w" has the dtype undefined, which is none of BOOL, F4,'],
    [entryOf('"F33"', '[1]', '[0,4]'), 'tensor "w" has the dtype "F33"'],
    [entryOf('"toString"', '[1]', '[0,4]'), 'tensor "w" has the dtype "toString"'],
    [entryOf('"F32"', '4', '[0,4]'), 'the impossible shape 4'],
    [entryOf('"F32"', '[null]', '[0,4]'), 'the impossible shape [null]'],
    [entryOf('"F32"', '["1"]', '[0,4]'), 'the impossible shape ["1"]'],
    [entryOf('"F32"', '[1.5]', '[0,4]'), 'the impossible shape [1.5]'],
    [entryOf('"F32"', '[-1]', '[0,4]'), 'the impossible shape [-1]'],
    [entryOf('"F32"', '[-0]', '[0,0]'), 'the impossible shape'],
    [entryOf('"F32"', '[1e999]', '[0,4]'), 'the impossible shape [Infinity]'],
    [entryOf('"F32"', '[18446744073709551617]', '[0,4]'), 'the impossible shape'],
    [entryOf('"F32"', '[9007199254740991]', '[0,4]'), 'which overflows'],
    [entryOf('"F32"', '[4294967296,4294967296]', '[0,0]'), 'which overflows'],
    [entryOf('"F32"', '[4294967296,4294967296,0]', '[0,0]'), 'which overflows'],
    [entryOf('"F32"', '[1]', 'null'), 'the impossible data_offsets null'],
    [entryOf('"F32"', '[1]', '[0]'), 'the impossible data_offsets [0]'],
    [entryOf('"F32"', '[1]', '[0,4,8]'), 'the impossible data_offsets [0, 4, 8]'],
    [entryOf('"F32"', '[1]', '[-4,0]'), 'the impossible data_offsets [-4, 0]'],
    [entryOf('"F32"', '[1]', '[0,9007199254740993]'), 'the impossible data_offsets'],
    [entryOf('"F32"', '[2]', '[0,8]'), 'data_offsets [0, 8] outside the 4 bytes of data'],
    [entryOf('"F32"', '[1]', '[9007199254740987,9007199254740991]'), 'outside the 4 bytes of data'],
    [entryOf('"F32"', '[1]', '[4,0]'), 'data_offsets [4, 0], but F32 [1] takes 4 bytes'],
    [entryOf('"F32"', '[1]', '[0,3]'), 'data_offsets [0, 3], but F32 [1] takes 4 bytes'],
    [entryOf('"BF16"', '[1]', '[0,4]'), 'data_offsets [0, 4], but BF16 [1] takes 2 bytes'],
    [entryOf('"U8"', '[2]', '[0,2]'), '2 unused bytes after tensor "w"'],
    [entryOf('"U8"', '[2]', '[2,4]'), '2 unused bytes between the header and tensor "w"'],
  ])('a tensor described by %s', async (entry, message) => {
    await expectError(one(entry), message)
    await expectError(one(entry), 'the file is damaged or incomplete: download it again')
  })

  test('tensors that overlap, and data that belongs to none', async () => {
    const two = (first: string, second: string) =>
      safetensorsBytes(
        `{"a":${entryOf('"U8"', '[3]', first)},"b":${entryOf('"U8"', '[3]', second)}}`,
        new Uint8Array(7),
      )
    await expectError(two('[0,3]', '[2,5]'), 'tensor "b" overlaps tensor "a"')
    await expectError(two('[0,3]', '[0,3]'), 'overlaps tensor')
    await expectError(two('[4,7]', '[0,3]'), '1 unused bytes between tensor "b" and tensor "a"')
    await expectError(two('[3,6]', '[0,3]'), '1 unused bytes after tensor "a"')
    const inside = `{"a":${entryOf('"U8"', '[3]', '[0,3]')},"b":${entryOf('"U8"', '[0]', '[1,1]')}}`
    await expectError(safetensorsBytes(inside, new Uint8Array(3)), 'tensor "b" overlaps tensor "a"')
    await expectError(safetensorsBytes('{}', new Uint8Array(1)), '1 unused bytes after the header')
  })

  test('metadata that is not text', async () => {
    await expectError(safetensorsBytes('{"__metadata__":{"a":1}}'), 'expected text values in __metadata__, got {a}')
    await expectError(safetensorsBytes('{"__metadata__":null}'), 'expected text values in __metadata__, got null')
  })

  test('names and shapes of any size give short messages', async () => {
    const long = 'x'.repeat(1e6)
    await writeFile(path, safetensorsBytes(`{"${long}":${entryOf(`"${long}"`, '[1]', '[0,4]')}}`))
    const error = await readSafetensorsHeader(path).catch((thrown: Error) => thrown)
    expect(String(error).length).toBeLessThan(1000)
  })
})

describe('random damage', () => {
  /** A small generator with a seed, so that a failure can be repeated. */
  function random(seed: number): () => number {
    let state = seed
    return () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
  }

  test('500 mutations of a header are each read within the file or refused with a clear error', async () => {
    const interesting = [...Buffer.from('0123456789-.eE[]{},:"\\ntu '), 0, 0x7f, 0xc3, 0xff]
    const next = random(20)
    const pick = (count: number) => Math.floor(next() * count)
    const headerEnd = REFERENCE.length - 59
    let refused = 0
    for (let round = 0; round < 500; round++) {
      const bytes = [...REFERENCE]
      for (let count = 1 + pick(3); count > 0; count--) {
        const place = next() < 0.1 ? pick(8) : 8 + pick(headerEnd - 8)
        const byte = next() < 0.7 ? interesting[pick(interesting.length)]! : pick(256)
        const kind = pick(3)
        if (kind === 0) bytes[place] = byte
        else if (kind === 1) bytes.splice(place, 1)
        else bytes.splice(place, 0, byte)
      }
      await writeFile(path, new Uint8Array(bytes))
      const spent = processorTime()
      try {
        const { tensors } = await readSafetensorsHeader(path)
        let total = 0
        for (const entry of tensors.values()) {
          expect(entry.fileOffset + entry.byteLength).toBeLessThanOrEqual(bytes.length)
          expect((await readTensorBytes(entry)).byteLength).toBe(entry.byteLength)
          total += entry.byteLength
        }
        expect(total).toBe(59)
      } catch (error) {
        expect((error as Error).message, `round ${round}`).toMatch(/^\[safetensors\] .*model\.safetensors/)
        expect((error as Error).message.length).toBeLessThan(1000)
        refused++
      }
      expect(spent()).toBeLessThan(2000)
    }
    expect(refused).toBeGreaterThan(250)
  })
})

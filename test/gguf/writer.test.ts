/** @file The writer of GGUF files: every type of value, alignment, and what it refuses, read again by our reader. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { packedBytes } from '../../src/gguf/formats.js'
import { readGguf } from '../../src/gguf/reader.js'
import {
  arrayOf,
  type GgufTensor,
  string,
  type TypedKeys,
  type TypedValue,
  uint32,
  writeGguf,
} from '../../src/gguf/writer.js'

let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-gguf-'))
  path = join(directory, 'file.gguf')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

function tensor(name: string, shape: number[], fill: number, format: GgufTensor['format'] = 'F32'): GgufTensor {
  return { name, format, shape, bytes: async () => new Uint8Array(packedBytes(format, shape) as number).fill(fill) }
}

const KEYS: TypedKeys = {
  'general.architecture': string('llama'),
  'a.uint8': { type: 'uint8', value: 255 },
  'a.int8': { type: 'int8', value: -128 },
  'a.uint16': { type: 'uint16', value: 65535 },
  'a.int16': { type: 'int16', value: -32768 },
  'a.uint32': { type: 'uint32', value: 4294967295 },
  'a.int32': { type: 'int32', value: -2147483648 },
  'a.uint64': { type: 'uint64', value: 2n ** 53n - 1n },
  'a.int64': { type: 'int64', value: -(2 ** 53) + 1 },
  'a.float32': { type: 'float32', value: 0.5 },
  'a.float64': { type: 'float64', value: 0.1 },
  'a.true': { type: 'bool', value: true },
  'a.false': { type: 'bool', value: false },
  'a.text': string('zwölf 漢字 👩\n'),
  'a.none': string(''),
  'a.texts': arrayOf('string', ['a', '', 'ü']),
  'a.numbers': arrayOf('int32', [1, -2, 3]),
  'a.empty': arrayOf('float32', []),
  'a.nested': { type: 'array', of: 'array', value: [arrayOf('uint8', [1]), arrayOf('string', ['x'])] },
}

test('writes values of every type so that they are read again', async () => {
  await writeGguf(path, KEYS, [])
  const { metadata } = readGguf(path)
  const plain = ({ type, value }: TypedValue): unknown =>
    type === 'array'
      ? value.map((item) => (typeof item === 'object' ? plain(item as TypedValue) : item))
      : typeof value === 'bigint'
        ? Number(value)
        : value
  for (const [key, value] of Object.entries(KEYS)) expect(metadata.get(key)).toEqual(plain(value))
  expect([...metadata.keys()]).toEqual(Object.keys(KEYS))
})

test('writes vocabularies of any length', async () => {
  const count = 70_001
  const texts = Array.from({ length: count }, (_, i) => `token ${i} ü`)
  const numbers = Array.from({ length: count }, (_, i) => i / 8)
  await writeGguf(
    path,
    {
      texts: arrayOf('string', texts),
      floats: arrayOf('float32', numbers),
      doubles: arrayOf('float64', numbers),
      integers: arrayOf(
        'int32',
        texts.map((__, i) => i - 9),
      ),
      long: string('x'.repeat(300_000)),
    },
    [],
  )
  const { metadata } = readGguf(path)
  expect(metadata.texts('texts')).toEqual(texts)
  expect(metadata.numbers('floats')).toEqual(numbers)
  expect(metadata.numbers('doubles')).toEqual(numbers)
  expect(metadata.numbers('integers')).toEqual(texts.map((_, i) => i - 9))
  expect(metadata.text('long')).toHaveLength(300_000)
})

test.each([undefined, 1, 8, 256])('begins every tensor at a multiple of the alignment %s', async (alignment) => {
  const keys: TypedKeys = alignment === undefined ? {} : { 'general.alignment': uint32(alignment) }
  const tensors = [tensor('a.weight', [3, 5], 1), tensor('b.weight', [7], 2), tensor('c.weight', [2, 3, 32], 3, 'Q8_0')]
  await writeGguf(path, { 'general.architecture': string('x'), ...keys }, tensors)
  const file = await readFile(path)
  const read = [...readGguf(path).tensors.values()]
  expect(read.map(({ name, shape, dtype }) => ({ name, shape, dtype }))).toEqual(
    tensors.map(({ name, shape, format }) => ({ name, shape, dtype: format })),
  )
  read.forEach(({ fileOffset, byteLength }, i) => {
    expect(fileOffset % (alignment ?? 32)).toBe(0)
    expect(new Set(file.subarray(fileOffset, fileOffset + byteLength))).toEqual(new Set([i + 1]))
  })
  expect(file.length % (alignment ?? 32)).toBe(0)
})

test('asks for one tensor at a time, and leaves nothing where one fails', async () => {
  let open = 0
  const tensors = Array.from({ length: 3 }, (_, i) => ({
    ...tensor(`t${i}.weight`, [1000], i),
    bytes: async () => {
      expect(open++).toBe(0)
      await new Promise((resolve) => setImmediate(resolve))
      open--
      if (i === 2) throw new Error('disk of the source')
      return new Uint8Array(4000)
    },
  }))
  await expect(writeGguf(path, {}, tensors)).rejects.toThrow('disk of the source')
  expect(await readdir(directory)).toEqual([])
})

test.each<[string, TypedKeys, GgufTensor[], string]>([
  ['a number beyond its type', { k: { type: 'uint8', value: 256 } }, [], 'expected a value that uint8 holds, got 256'],
  [
    'a number that is not whole',
    { k: { type: 'int32', value: 1.5 } },
    [],
    'expected a value that int32 holds, got 1.5',
  ],
  ['a negative number', { k: { type: 'uint64', value: -1 } }, [], 'expected a value that uint64 holds, got -1'],
  [
    'a float32 that overflows',
    { k: { type: 'float32', value: 1e39 } },
    [],
    'expected a value that float32 holds, got 1e+39',
  ],
  ['half of a surrogate pair', { k: string('\ud800') }, [], 'expected a value that string holds'],
  [
    'an alignment that is no power of two',
    { 'general.alignment': uint32(24) },
    [],
    'a power of two up to 65536 for general.alignment, got uint32 24',
  ],
  [
    'rows that are no whole blocks',
    {},
    [tensor('a', [2, 33], 0, 'F32'), { ...tensor('b', [2, 33], 0), format: 'Q8_0' }],
    'tensor "b" has rows of 33 columns, which are no whole blocks of Q8_0',
  ],
  ['a tensor twice', {}, [tensor('a', [1], 0), tensor('a', [1], 0)], 'tensor "a" is there twice'],
  ['a name that is too long', {}, [tensor('a'.repeat(64), [1], 0)], 'has a name that is not of 1 to 63 bytes'],
  ['five dimensions', {}, [tensor('a', [1, 1, 1, 1, 1], 0)], 'which is not of 1 to 4 sizes above 0'],
])('refuses %s', async (_, keys, tensors, message) => {
  await expect(writeGguf(path, keys, tensors)).rejects.toThrow(message)
  expect(await readdir(directory)).toEqual([])
})

test('refuses bytes that are not those of the shape', async () => {
  const short = { ...tensor('a.weight', [10], 0), bytes: async () => new Uint8Array(39) }
  await expect(writeGguf(path, {}, [short])).rejects.toThrow(
    'expected 40 bytes for tensor "a.weight" (F32 [10]), got 39',
  )
})

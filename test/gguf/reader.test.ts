/** @file The structure of GGUF files: what is read, and every way in which a file can be damaged or hostile. */

import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readGguf } from '../../src/gguf/reader.js'
import { bytesOf, type GgufParts, ggufBytes, type TensorParts, Typed } from '../support/gguf.js'

const F32 = 0
const Q4_0 = 2
let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-gguf-'))
  path = join(directory, 'x.gguf')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const tensor = (name: string, changes: Partial<TensorParts> = {}): TensorParts => ({
  name,
  shape: [2, 5],
  type: F32,
  data: new Uint8Array(40),
  ...changes,
})

const SOUND: GgufParts = {
  keys: {
    'general.architecture': 'llama',
    byte: new Typed('u8', 255),
    small: new Typed('i8', -128),
    word: new Typed('u16', 65535),
    short: new Typed('i16', -32768),
    count: 7,
    signed: new Typed('i32', -7),
    ratio: 0.5,
    flag: true,
    long: new Typed('u64', 2 ** 53 - 1),
    negative: new Typed('i64', -(2 ** 53 - 1)),
    exact: new Typed('f64', 0.1),
    texts: ['a', '', 'h\u00e9 \ufffd'],
    none: new Typed('arr', []),
    nested: new Typed('arr', [new Typed('arr', [new Typed('u8', 1)]), new Typed('arr', [])]),
  },
  tensors: [
    tensor('first'),
    tensor('second', { shape: [3, 64], type: Q4_0, data: new Uint8Array(108) }),
    tensor('third', { shape: [1], data: new Uint8Array(4) }),
  ],
}

async function messageOf(bytes: Uint8Array): Promise<string> {
  await writeFile(path, bytes)
  try {
    readGguf(path)
    return 'nothing was thrown'
  } catch (error) {
    return (error as Error).message
  }
}

/** Processor time in seconds: other programs take none of it. */
function secondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1e6
}

describe('a sound file', () => {
  test.each([2, 3])('a sound file of version %d gives its keys by type and its tensors by place', async (version) => {
    await writeFile(path, ggufBytes({ ...SOUND, version }))
    const { metadata, tensors } = readGguf(path)
    expect(metadata.text('general.architecture')).toBe('llama')
    expect(
      ['byte', 'small', 'word', 'short', 'count', 'signed', 'ratio', 'long', 'negative', 'exact'].map((key) =>
        metadata.get(key),
      ),
    ).toEqual([255, -128, 65535, -32768, 7, -7, 0.5, 2 ** 53 - 1, -(2 ** 53 - 1), 0.1])
    expect(metadata.boolean('flag', false)).toBe(true)
    expect(metadata.texts('texts')).toEqual(['a', '', 'h\u00e9 \ufffd'])
    expect(metadata.get('none')).toEqual([])
    expect(metadata.get('nested')).toEqual([[1], []])
    const places = [...tensors.values()].map(({ name, dtype, shape, byteLength }) => [name, dtype, shape, byteLength])
    expect(places).toEqual([
      ['first', 'F32', [2, 5], 40],
      ['second', 'Q4_0', [3, 64], 108],
      ['third', 'F32', [1], 4],
    ])
    const offsets = [...tensors.values()].map(({ fileOffset }) => fileOffset)
    expect(offsets.map((offset) => offset - (offsets[0] as number))).toEqual([0, 64, 192])
    expect((offsets[0] as number) % 32).toBe(0)
  })

  test('a sound file may have another alignment, and no tensors', async () => {
    const keys = { 'general.alignment': 64 }
    await writeFile(path, ggufBytes({ ...SOUND, keys, alignment: 64 }))
    const offsets = [...readGguf(path).tensors.values()].map(({ fileOffset }) => fileOffset)
    expect(offsets.map((offset) => offset - (offsets[0] as number))).toEqual([0, 64, 192])
    await writeFile(path, ggufBytes({ keys: { a: 1 } }))
    expect(readGguf(path).tensors.size).toBe(0)
  })

  test('answers for keys of another type with key, file and both types', async () => {
    await writeFile(path, ggufBytes(SOUND))
    const { metadata } = readGguf(path)
    const at = `[gguf] ${path}: expected`
    expect(() => metadata.text('count')).toThrow(`${at} text for count, got 7`)
    expect(() => metadata.text('absent')).toThrow(`${at} text for absent, got nothing`)
    expect(() => metadata.number('flag')).toThrow(`${at} a number for flag, got true`)
    expect(() => metadata.integer('signed')).toThrow(`${at} a whole number for signed, got -7`)
    expect(() => metadata.boolean('count', true)).toThrow(`${at} true or false for count, got 7`)
    expect(() => metadata.texts('nested')).toThrow(`${at} a list of strings for nested, got [[...], [...]]`)
    expect(() => metadata.numbers('texts')).toThrow(`${at} a list of numbers for texts, got ["a", "", `)
  })
})

test('a file that ends anywhere before its last tensor does is refused', async () => {
  const whole = ggufBytes(SOUND)
  await writeFile(path, whole)
  const last = readGguf(path).tensors.get('third')!
  const end = last.fileOffset + last.byteLength
  for (let length = 0; length < end; length++) {
    const message = await messageOf(whole.subarray(0, length))
    expect(message).toContain(`[gguf] ${path}`)
    expect(message).toMatch(/ends here|do not fit|it ends at byte|begins with "GGUF"/)
  }
  expect(await messageOf(whole.subarray(0, end))).toBe('nothing was thrown')
})

describe('refuses, naming file and place,', () => {
  const big = (value: bigint): Buffer => bytesOf('u64', value)
  const start = (keys: bigint, tensors = 0n): Buffer =>
    Buffer.concat([Buffer.from('GGUF'), bytesOf('u32', 3), big(tensors), big(keys)])
  const key = (name: string, type: number, ...rest: Buffer[]): Buffer =>
    Buffer.concat([bytesOf('str', name), bytesOf('u32', type), ...rest])
  const nestedArrays = (depth: number): Buffer =>
    Buffer.concat([
      ...Array.from({ length: depth }, () => Buffer.concat([bytesOf('u32', 9), big(1n)])),
      bytesOf('u32', 0),
      big(1n),
      Buffer.alloc(64),
    ])
  const one = (changes: Partial<TensorParts>): Buffer => ggufBytes({ tensors: [tensor('w', changes)] })

  const cases: [what: string, bytes: () => Buffer, message: string][] = [
    [
      'another kind of file',
      () => Buffer.from('PK\x03\x04 and more'),
      'expected a file that begins with "GGUF", got "PK',
    ],
    [
      'a pointer of Git LFS',
      () => Buffer.from('version https://git-lfs.github.com/spec/v1\n'),
      'run "git lfs pull" in its directory',
    ],
    ['an empty file', () => Buffer.alloc(0), 'begins with "GGUF", got ""'],
    ['version 1', () => ggufBytes({ version: 1 }), 'expected version 2 or 3 of the format, got 1'],
    ['a version to come', () => ggufBytes({ version: 4 }), 'expected version 2 or 3 of the format, got 4'],
    ['big-endian', () => ggufBytes({ version: 0x03000000 }), 'is big-endian, which is not supported'],
    ['2^64 - 1 keys', () => start(2n ** 64n - 1n), 'the number of keys: the number 18446744073709551615 is too large'],
    [
      'more keys than there may be',
      () => start(2n ** 40n),
      'the number of keys: expected at most 65536 keys, got 1099511627776',
    ],
    [
      'more keys than fit',
      () => start(60000n),
      'the number of keys: 60000 keys do not fit into the 0 bytes that are left',
    ],
    [
      '2^53 tensors',
      () => start(0n, 2n ** 53n - 1n),
      'the number of tensors: expected at most 65536 tensors, got 9007199254740991',
    ],
    [
      'more tensors than fit',
      () => start(0n, 60000n),
      'the number of tensors: 60000 tensors do not fit into the 8 bytes',
    ],
    [
      'a key of 2^60 bytes',
      () => Buffer.concat([start(1n), big(2n ** 60n), Buffer.alloc(64)]),
      'key 1 of 1: the number 1152921504606846976 is too large',
    ],
    [
      'a key that is too long',
      () => Buffer.concat([start(1n), big(70000n), Buffer.alloc(80000)]),
      'key 1 of 1: expected text of at most 65535 bytes, got a length of 70000',
    ],
    [
      'a key without a name',
      () => Buffer.concat([start(1n), key('', 4, bytesOf('u32', 1))]),
      'key 1 of 1: expected a key, got empty text',
    ],
    [
      'a key twice',
      () =>
        ggufBytes({
          keys: [
            ['a', 1],
            ['a', 2],
          ],
        }),
      'key "a": the key is there twice',
    ],
    ['a text longer than the file', () => Buffer.concat([start(1n), key('a', 8, big(1000n))]), 'key "a": the file of'],
    [
      'a text of gigabytes',
      () => Buffer.concat([start(1n), key('a', 8, big(2n ** 33n))]),
      'key "a": expected text of at most 33554432 bytes, got a length of 8589934592',
    ],
    [
      'text that is no UTF-8',
      () => Buffer.concat([start(1n), key('a', 8, big(2n), Buffer.of(0xc3, 0x28))]),
      'key "a": expected UTF-8 text, got "\ufffd("',
    ],
    [
      'an unknown type',
      () => Buffer.concat([start(1n), key('a', 13, Buffer.alloc(8))]),
      'key "a": expected a value type from 0 to 12, got 13',
    ],
    [
      'a truth value of 2',
      () => Buffer.concat([start(1n), key('a', 7, Buffer.of(2))]),
      'key "a": expected 0 or 1 for a truth value, got 2',
    ],
    [
      'a number above 2^53',
      () => Buffer.concat([start(1n), key('a', 10, big(2n ** 53n))]),
      'key "a": the number 9007199254740992 is too large',
    ],
    [
      'an array of an unknown type',
      () => Buffer.concat([start(1n), key('a', 9, bytesOf('u32', 99), big(1n), Buffer.alloc(9))]),
      'key "a": expected a value type from 0 to 12, got 99',
    ],
    [
      'an array of 2^50 bytes',
      () => Buffer.concat([start(1n), key('a', 9, bytesOf('u32', 0), big(2n ** 50n))]),
      'key "a": expected at most 2097152 elements of type uint8, got 1125899906842624',
    ],
    [
      'an array longer than the file',
      () => Buffer.concat([start(1n), key('a', 9, bytesOf('u32', 8), big(1000n), Buffer.alloc(7999))]),
      'key "a": 1000 elements of type string do not fit into the 7999 bytes',
    ],
    [
      'arrays that are too many together',
      () =>
        Buffer.concat([
          start(2n),
          ...['a', 'b'].map((name) => key(name, 9, bytesOf('u32', 0), big(3n * 2n ** 19n), Buffer.alloc(3 * 2 ** 19))),
        ]),
      'key "b": expected at most 524288 elements of type uint8, got 1572864',
    ],
    [
      'arrays that are too deep',
      () => Buffer.concat([start(1n), key('a', 9, nestedArrays(1000))]),
      'key "a": arrays are more than 4 deep',
    ],
    [
      'an alignment of 0',
      () => ggufBytes({ keys: { 'general.alignment': 0 } }),
      'expected a power of two up to 65536 for general.alignment, got 0',
    ],
    ['an alignment of 24', () => ggufBytes({ keys: { 'general.alignment': 24 } }), 'for general.alignment, got 24'],
    [
      'an alignment of 2^31',
      () => ggufBytes({ keys: { 'general.alignment': 2 ** 31 } }),
      'for general.alignment, got 2147483648',
    ],
    [
      'an alignment that is text',
      () => ggufBytes({ keys: { 'general.alignment': '32' } }),
      'expected a whole number for general.alignment, got "32"',
    ],
    ['a tensor twice', () => ggufBytes({ tensors: [tensor('w'), tensor('w')] }), 'tensor "w": the name is there twice'],
    [
      'a name of 200 letters',
      () => ggufBytes({ tensors: [tensor('w'.repeat(200))] }),
      'tensor 1 of 1: expected text of at most 128 bytes, got a length of 200',
    ],
    ['no dimensions', () => one({ shape: [] }), 'tensor "w": expected 1 to 4 dimensions, got 0'],
    ['five dimensions', () => one({ shape: [1, 1, 1, 1, 1] }), 'tensor "w": expected 1 to 4 dimensions, got 5'],
    ['a dimension of 0', () => one({ shape: [5, 0] }), 'tensor "w": expected a size that is possible, got 0'],
    [
      'dimensions whose product overflows',
      () => one({ shape: [2 ** 40, 2 ** 40] }),
      'tensor "w": expected a size that is possible, got 1099511627776',
    ],
    [
      'a type that is not read',
      () => one({ type: 16 }),
      `tensor "w" is of type IQ2_XXS, which is not read; those that are: F32, F16, BF16, Q8_0, Q4_0`,
    ],
    ['a type that does not exist', () => one({ type: 4711 }), 'tensor "w" is of type number 4711, which is not read'],
    [
      'rows that are no whole blocks',
      () => one({ type: Q4_0 }),
      'tensor "w": expected rows of whole blocks of 32 for Q4_0, got 5 columns',
    ],
    [
      'an offset that is not aligned',
      () => one({ offset: 8 }),
      'tensor "w": expected an offset that is a multiple of 32, got 8',
    ],
    [
      'an offset beyond 2^53',
      () => one({ offset: 2n ** 63n }),
      'tensor "w": the number 9223372036854775808 is too large',
    ],
    ['a tensor outside of the file', () => one({ shape: [2, 5000] }), 'tensor "w": it ends at byte'],
    [
      'a tensor far outside of the file',
      () => one({ offset: 2n ** 52n }),
      'tensor "w": 4503599627370496 unused bytes lie between it and the header',
    ],
    [
      'tensors that overlap',
      () => ggufBytes({ tensors: [tensor('a'), tensor('b', { offset: 32 })] }),
      'tensor "b": it overlaps tensor "a"',
    ],
    [
      'a gap between tensors',
      () => ggufBytes({ tensors: [tensor('a'), tensor('b', { offset: 128, data: new Uint8Array(200) })] }),
      'tensor "b": 88 unused bytes lie between it and tensor "a"',
    ],
  ]
  test.each(cases)('%s', async (_, bytes, message) => {
    const content = bytes()
    const started = process.cpuUsage()
    const text = await messageOf(content)
    expect(text).toContain('[gguf] ')
    expect(text).toContain(path)
    expect(text).toContain(message)
    expect(secondsSince(started)).toBeLessThan(0.5)
  })

  test('a file of 64 GiB that is all texts, without reading on', async () => {
    const file = await open(path, 'w')
    const head = Buffer.concat([start(1n), key('a', 9, bytesOf('u32', 8), big(1000n))])
    await file.write(head)
    for (let i = 0; i < 4; i++) await file.write(big(2n ** 25n), 0, 8, head.length + i * (8 + 2 ** 25))
    await file.truncate(64 * 2 ** 30)
    await file.close()
    const before = process.memoryUsage().rss
    const started = process.cpuUsage()
    expect(() => readGguf(path)).toThrow('key "a": more than 100000000 bytes come before the tensors')
    expect(secondsSince(started)).toBeLessThan(2)
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 2 ** 20)
  })

  test('files that are not there, and directories', () => {
    expect(() => readGguf(path)).toThrow(`[gguf] cannot read ${path}: there is no such file`)
    expect(() => readGguf(directory)).toThrow(`[gguf] expected ${directory} to be a file`)
  })
})

/** @file Damage to files, from a seed: what disks, broken downloads and hostile authors do to bytes and to JSON. */

import type { Random } from '../../src/random.js'

/** A damaged copy of a file, and what was done to it. */
export interface Mutation {
  readonly bytes: Buffer
  readonly what: string
}

type Mutator<T> = (source: T, random: Random) => T

const NUMBERS = [
  '-1',
  '0',
  '-0',
  '1',
  '0.5',
  '1e-320',
  '255',
  '65536',
  '2147483647',
  '2147483648',
  '4294967296',
].concat(['9007199254740991', '9007199254740993', '18446744073709551615', '1e19', '1e308', '1e999', '-1e308', 'NaN'])
const VALUES = [
  'null',
  'true',
  'false',
  '""',
  '[]',
  '{}',
  '"\\u0000"',
  '"\\ud800"',
  '[[]]',
  '{"": null}',
  '[1e9, -1]',
].concat([
  '"__proto__"',
  '"constructor"',
  '"../../etc/passwd"',
  '"a"',
  '"9"',
  `"${'x'.repeat(5000)}"`,
  `[${'0,'.repeat(5000)}0]`,
])
const KEYS = ['__proto__', 'constructor', 'toString', 'length', '']
const DEPTHS = [31, 33, 500, 100_000]

const BYTE_MUTATORS: Record<string, Mutator<Buffer>> = {
  'flip bits': (source, random) => {
    const bytes = Buffer.from(source)
    for (let count = 1 + random.below(4); count > 0; count--) {
      const at = random.below(bytes.length)
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
    }
    return bytes
  },
  truncate: (source, random) => source.subarray(0, random.below(source.length)),
  'insert bytes': (source, random) =>
    splice(source, random, 0, Buffer.from(Array.from({ length: 1 + random.below(40) }, () => random.below(256)))),
  'remove bytes': (source, random) => splice(source, random, 1 + random.below(40), Buffer.alloc(0)),
  'overwrite bytes': (source, random) => splice(source, random, 8, Buffer.alloc(8, random.below(2) === 0 ? 0 : 255)),
  'repeat bytes': (source, random) => {
    const from = random.below(source.length)
    return splice(source, random, 0, source.subarray(from, from + 1 + random.below(100)))
  },
}

const JSON_MUTATORS: Record<string, Mutator<string>> = {
  'replace a number': (text, random) =>
    replaceOne(text, /-?\b\d+(\.\d+)?([eE][-+]?\d+)?\b/g, random, () => pick(NUMBERS, random)),
  'replace a value': (text, random) => replaceOne(text, SCALAR, random, () => pick(VALUES, random)),
  'replace a text': (text, random) =>
    replaceOne(text, /"(?:[^"\\]|\\.)*"/g, random, () => `"${pick([...KEYS, 'x', '\\n'], random)}"`),
  'nest deeply': (text, random) =>
    replaceOne(text, SCALAR, random, () => {
      const depth = pick(DEPTHS, random)
      return random.below(2) === 0
        ? '['.repeat(depth) + ']'.repeat(depth)
        : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
    }),
  'repeat a key': (text, random) => {
    const keys = [...text.matchAll(/"(?:[^"\\]|\\.)*"(?=\s*:)/g)].map(([key]) => key)
    return replaceOne(
      text,
      /\{/g,
      random,
      () => `{${keys.length > 0 ? pick(keys, random) : '"a"'}: ${pick(VALUES, random)}, `,
    )
  },
  'add a key': (text, random) =>
    replaceOne(text, /\{/g, random, () => `{"${pick(KEYS, random)}": ${pick(VALUES, random)}, `),
  'drop a part': (text, random) => replaceOne(text, /"(?:[^"\\]|\\.)*"\s*:\s*[^,{}[\]]*,/g, random, () => ''),
}

/** A value that is no object or array, behind its colon or comma. */
const SCALAR = /(?<=[:,[]\s*)(?:-?\d[\d.eE+-]*|true|false|null|"(?:[^"\\]|\\.)*")(?=\s*[,}\]])/g

/** Damages a file. JSON is known by its first byte, safetensors by the header behind their first eight. */
export function mutate(source: Buffer, random: Random): Mutation {
  const header = source[0] === OPEN ? undefined : headerOf(source)
  const json = header ?? (source[0] === OPEN ? source.toString() : undefined)
  if (json === undefined || random.below(3) === 0) {
    const what = pick(Object.keys(BYTE_MUTATORS), random)
    return { bytes: BYTE_MUTATORS[what]!(source, random), what }
  }
  const what = pick(Object.keys(JSON_MUTATORS), random)
  const damaged = Buffer.from(JSON_MUTATORS[what]!(json, random))
  if (header === undefined) return { bytes: damaged, what }
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(damaged.length))
  return {
    bytes: Buffer.concat([length, damaged, source.subarray(8 + Buffer.byteLength(header))]),
    what: `header: ${what}`,
  }
}

const OPEN = 123

function headerOf(source: Buffer): string | undefined {
  if (source.length < 9 || source[8] !== OPEN) return undefined
  return source.subarray(8, 8 + Number(source.readBigUInt64LE())).toString()
}

function splice(source: Buffer, random: Random, remove: number, insert: Buffer): Buffer {
  const at = random.below(source.length)
  return Buffer.concat([source.subarray(0, at), insert, source.subarray(at + remove)])
}

function replaceOne(text: string, pattern: RegExp, random: Random, replacement: () => string): string {
  const matches = [...text.matchAll(pattern)]
  if (matches.length === 0) return text.slice(1)
  const { index, 0: found } = pick(matches, random)
  return text.slice(0, index) + replacement() + text.slice((index as number) + found.length)
}

function pick<T>(items: readonly T[], random: Random): T {
  return items[random.below(items.length)] as T
}

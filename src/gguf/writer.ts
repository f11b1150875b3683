/**
 * @file Writes GGUF files, version 3: keys of every type, then tensors, of which one is in memory at a time. Knows no
 * model. See reader.ts for the layout.
 */

import { type FileContent, writeFileAtomic } from '../atomic-write.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { FORMATS, type FormatName, packedBytes } from './formats.js'

/** A number per type, as files have it. */
const TYPES = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const
const ARRAY = 9

export type ScalarType = keyof typeof TYPES
export type ScalarValue = number | bigint | boolean | string

/** A value of a key with its type; items of an array have one type, or are arrays. */
export type TypedValue =
  | { readonly type: ScalarType; readonly value: ScalarValue }
  | { readonly type: 'array'; readonly of: ScalarType; readonly value: readonly ScalarValue[] }
  | { readonly type: 'array'; readonly of: 'array'; readonly value: readonly TypedValue[] }

/** Keys in the order in which they are written. */
export type TypedKeys = Readonly<Record<string, TypedValue>>

/** A tensor to write, its shape with the columns last. */
export interface GgufTensor {
  readonly name: string
  readonly format: FormatName
  readonly shape: readonly number[]
  /** The rows as the format packs them. Asked for once, when the tensors before are on the disk. */
  readonly bytes: () => Promise<Uint8Array>
}

const VERSION = 3
const ALIGNMENT_KEY = 'general.alignment'
const DEFAULT_ALIGNMENT = 32
const LARGEST_ALIGNMENT = 1 << 16
const LONGEST_NAME = 63
const MOST_DIMENSIONS = 4

export const uint32 = (value: number): TypedValue => ({ type: 'uint32', value })
export const float32 = (value: number): TypedValue => ({ type: 'float32', value })
export const bool = (value: boolean): TypedValue => ({ type: 'bool', value })
export const string = (value: string): TypedValue => ({ type: 'string', value })
export const arrayOf = (of: ScalarType, value: readonly ScalarValue[]): TypedValue => ({ type: 'array', of, value })

/**
 * Writes the file at `path`: all of it or nothing. Tensors begin at multiples of the key `general.alignment`, 32 where
 * it is absent.
 * @throws on a key or tensor that the format cannot hold, before anything is written
 */
export async function writeGguf(path: string, keys: TypedKeys, tensors: readonly GgufTensor[]): Promise<void> {
  await writeFileAtomic(path, ggufContent(path, keys, tensors))
}

/**
 * The content of a file for `writeFilesAtomic`. Descriptions are checked at once; bytes are asked for while writing.
 */
function ggufContent(path: string, keys: TypedKeys, tensors: readonly GgufTensor[]): FileContent {
  const alignment = alignmentOf(path, keys)
  const bytes = new Bytes()
  bytes.raw(Buffer.from('GGUF'))
  bytes.scalar('uint32', VERSION, path)
  bytes.scalar('uint64', tensors.length, path)
  bytes.scalar('uint64', Object.keys(keys).length, path)
  for (const [key, value] of Object.entries(keys)) {
    bytes.scalar('string', key, path)
    bytes.value(value, `${describeValue(key)} of ${path}`)
  }
  const names = new Set<string>()
  let offset = 0
  for (const { name, format, shape } of tensors) {
    const refuse = (problem: string): Error =>
      new ModelError(`[gguf] cannot write ${path}: tensor ${describeValue(name)} ${problem}`)
    if (names.has(name)) throw refuse('is there twice')
    names.add(name)
    if (name === '' || Buffer.byteLength(name) > LONGEST_NAME)
      throw refuse(`has a name that is not of 1 to ${LONGEST_NAME} bytes`)
    if (
      shape.length < 1 ||
      shape.length > MOST_DIMENSIONS ||
      !shape.every((size) => Number.isInteger(size) && size > 0)
    )
      throw refuse(`has the shape ${describeValue(shape)}, which is not of 1 to ${MOST_DIMENSIONS} sizes above 0`)
    const length = packedBytes(format, shape)
    if (length === undefined)
      throw refuse(`has rows of ${shape.at(-1)} columns, which are no whole blocks of ${format}`)
    bytes.scalar('string', name, path)
    bytes.scalar('uint32', shape.length, path)
    for (const size of [...shape].reverse()) bytes.scalar('uint64', size, path)
    bytes.scalar('uint32', FORMATS[format].type, path)
    bytes.scalar('uint64', offset, path)
    offset += padded(length, alignment)
  }
  const header = bytes.content()
  return (async function* () {
    yield header
    yield Buffer.alloc(padded(header.length, alignment) - header.length)
    for (const { name, format, shape, bytes: pack } of tensors) {
      const packed = await pack()
      const length = packedBytes(format, shape)
      if (packed.byteLength !== length) {
        throw new ModelError(
          `[gguf] expected ${length} bytes for tensor ${describeValue(name)} (${format} ${describeValue(shape)}), got ${packed.byteLength}`,
        )
      }
      yield packed
      yield Buffer.alloc(padded(length, alignment) - length)
    }
  })()
}

function padded(length: number, alignment: number): number {
  return Math.ceil(length / alignment) * alignment
}

function alignmentOf(path: string, keys: TypedKeys): number {
  if (!Object.hasOwn(keys, ALIGNMENT_KEY)) return DEFAULT_ALIGNMENT
  const { type, value } = keys[ALIGNMENT_KEY] as TypedValue
  const isPower =
    typeof value === 'number' && value >= 1 && value <= LARGEST_ALIGNMENT && Number.isInteger(Math.log2(value))
  if (type === 'uint32' && isPower) return value
  throw new ModelError(
    `[gguf] cannot write ${path}: expected a uint32 that is a power of two up to ${LARGEST_ALIGNMENT} for ${ALIGNMENT_KEY}, got ${type} ${describeValue(value)}`,
  )
}

const INTEGERS = {
  uint8: [1, false],
  int8: [1, true],
  uint16: [2, false],
  int16: [2, true],
  uint32: [4, false],
  int32: [4, true],
  uint64: [8, false],
  int64: [8, true],
} as const

/** Little-endian values, one after the other. */
class Bytes {
  #buffer = Buffer.alloc(1 << 16)
  #length = 0

  raw(bytes: Uint8Array): void {
    const at = this.#take(bytes.length)
    this.#buffer.set(bytes, at)
  }

  value(typed: TypedValue, what: string): void {
    this.scalar('uint32', typed.type === 'array' ? ARRAY : TYPES[typed.type], what)
    this.#content(typed, what)
  }

  /** @throws where the type does not hold the value */
  scalar(type: ScalarType, value: ScalarValue, what: string): void {
    switch (type) {
      case 'string': {
        if (typeof value !== 'string' || !isWellFormed(value)) throw unfit(type, value, what)
        const text = Buffer.from(value)
        this.scalar('uint64', text.length, what)
        this.raw(text)
        return
      }
      case 'bool':
        if (typeof value !== 'boolean') throw unfit(type, value, what)
        this.raw(Uint8Array.of(value ? 1 : 0))
        return
      case 'float32':
      case 'float64': {
        const fits =
          typeof value === 'number' &&
          (type === 'float64' || Number.isFinite(Math.fround(value)) || !Number.isFinite(value))
        if (!fits) throw unfit(type, value, what)
        const at = this.#take(type === 'float32' ? 4 : 8)
        if (type === 'float32') this.#buffer.writeFloatLE(value, at)
        else this.#buffer.writeDoubleLE(value, at)
        return
      }
      default:
        this.#integer(type, value, what)
    }
  }

  content(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #content(typed: TypedValue, what: string): void {
    if (typed.type !== 'array') {
      this.scalar(typed.type, typed.value, what)
      return
    }
    this.scalar('uint32', typed.of === 'array' ? ARRAY : TYPES[typed.of], what)
    this.scalar('uint64', typed.value.length, what)
    if (typed.of === 'array') for (const item of typed.value) this.#content(item, what)
    else for (const item of typed.value) this.scalar(typed.of, item, what)
  }

  #integer(type: keyof typeof INTEGERS, value: ScalarValue, what: string): void {
    const [size, signed] = INTEGERS[type]
    if (typeof value !== 'bigint' && !(typeof value === 'number' && Number.isSafeInteger(value)))
      throw unfit(type, value, what)
    const exact = BigInt(value)
    const bits = 8 * size
    if ((signed ? BigInt.asIntN(bits, exact) : BigInt.asUintN(bits, exact)) !== exact) throw unfit(type, value, what)
    let rest = BigInt.asUintN(64, exact)
    for (let at = this.#take(size), end = at + size; at < end; at++) {
      this.#buffer[at] = Number(rest & 255n)
      rest >>= 8n
    }
  }

  /** Makes room, perhaps in another buffer. @returns where it begins */
  #take(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, 2 * this.#buffer.length))
      larger.set(this.#buffer.subarray(0, at))
      this.#buffer = larger
    }
    return at
  }
}

function unfit(type: ScalarType, value: unknown, what: string): Error {
  return new ModelError(`[gguf] cannot write ${what}: expected a value that ${type} holds, got ${describeValue(value)}`)
}

function isWellFormed(text: string): boolean {
  return Buffer.from(text).toString() === text
}

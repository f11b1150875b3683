/** @file The key-value part of GGUF files: parsed strictly, and asked for by key and type. */

import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import type { Steps } from '../turns.js'
import type { Cursor } from './cursor.js'

/** Arrays hold values of one type; numbers of any width are numbers. */
export type GgufValue = number | boolean | string | readonly GgufValue[]

const LONGEST_KEY = 65_535
/** Chat templates take 100 KB, whole tokenizer.json files 20 MB. */
const LONGEST_TEXT = 32 * 2 ** 20
const MOST_KEYS = 65_536
/** Elements of all arrays together: a vocabulary of 250,000 tokens has about a million, its merges included. */
const MOST_ELEMENTS = 2 * 2 ** 20
const DEEPEST_ARRAY = 4
const ELEMENTS_PER_STEP = 2048

interface ValueType {
  readonly name: string
  readonly leastBytes: number
  readonly read: (cursor: Cursor) => GgufValue
}

const ARRAY = 9

const TYPES: Readonly<Record<number, ValueType>> = {
  0: { name: 'uint8', leastBytes: 1, read: (cursor) => cursor.uint8() },
  1: { name: 'int8', leastBytes: 1, read: (cursor) => cursor.int8() },
  2: { name: 'uint16', leastBytes: 2, read: (cursor) => cursor.uint16() },
  3: { name: 'int16', leastBytes: 2, read: (cursor) => cursor.int16() },
  4: { name: 'uint32', leastBytes: 4, read: (cursor) => cursor.uint32() },
  5: { name: 'int32', leastBytes: 4, read: (cursor) => cursor.int32() },
  6: { name: 'float32', leastBytes: 4, read: (cursor) => cursor.float32() },
  7: { name: 'bool', leastBytes: 1, read: (cursor) => cursor.boolean() },
  8: { name: 'string', leastBytes: 8, read: (cursor) => cursor.text(LONGEST_TEXT) },
  10: { name: 'uint64', leastBytes: 8, read: (cursor) => cursor.uint64() },
  11: { name: 'int64', leastBytes: 8, read: (cursor) => cursor.int64() },
  12: { name: 'float64', leastBytes: 8, read: (cursor) => cursor.float64() },
}

/**
 * What the file says of itself. The getters throw when a key has another type than is asked for; without a fallback
 * also when it is absent.
 */
export class GgufMetadata {
  readonly path: string
  readonly #values: ReadonlyMap<string, GgufValue>

  constructor(path: string, values: ReadonlyMap<string, GgufValue>) {
    this.path = path
    this.#values = values
  }

  keys(): IterableIterator<string> {
    return this.#values.keys()
  }

  has(key: string): boolean {
    return this.#values.has(key)
  }

  get(key: string): GgufValue | undefined {
    return this.#values.get(key)
  }

  text(key: string, fallback?: string): string {
    const value = this.get(key) ?? fallback
    if (typeof value === 'string') return value
    throw this.error(key, 'text', value)
  }

  number(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback
    if (typeof value === 'number' && Number.isFinite(value)) return value
    throw this.error(key, 'a number', value)
  }

  /** A whole number >= 0. */
  integer(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
    throw this.error(key, 'a whole number', value)
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.get(key) ?? fallback
    if (typeof value === 'boolean') return value
    throw this.error(key, 'true or false', value)
  }

  texts(key: string): readonly string[] {
    const value = this.get(key)
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
    throw this.error(key, 'a list of strings', value)
  }

  numbers(key: string): readonly number[] {
    const value = this.get(key)
    if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return value
    throw this.error(key, 'a list of numbers', value)
  }

  error(key: string, expected: string, value: unknown): Error {
    const got = value === undefined ? 'nothing' : describeValue(value)
    return new ModelError(`[gguf] ${this.path}: expected ${expected} for ${key}, got ${got}`)
  }
}

/** Reads the pairs from the cursor on, in steps: a vocabulary is long. */
export function* readMetadata(cursor: Cursor, count: number): Steps<GgufMetadata> {
  const values = new Map<string, GgufValue>()
  const budget = { elements: MOST_ELEMENTS }
  for (let i = 0; i < count; i++) {
    cursor.what = `key ${i + 1} of ${count}`
    const key = cursor.text(LONGEST_KEY)
    if (key === '') throw cursor.error('expected a key, got empty text')
    cursor.what = `key ${describeValue(key)}`
    if (values.has(key)) throw cursor.error('the key is there twice')
    values.set(key, yield* readValue(cursor, cursor.uint32(), budget, 0))
  }
  return new GgufMetadata(cursor.path, values)
}

/** The number of pairs, as the header has it. */
export function readKeyCount(cursor: Cursor): number {
  cursor.what = 'the number of keys'
  return cursor.count(8 + 1 + 4 + 1, MOST_KEYS, 'keys')
}

function* readValue(cursor: Cursor, type: number, budget: { elements: number }, depth: number): Steps<GgufValue> {
  if (type !== ARRAY) return typeOf(cursor, type).read(cursor)
  if (depth === DEEPEST_ARRAY) throw cursor.error(`arrays are more than ${DEEPEST_ARRAY} deep`)
  const itemType = cursor.uint32()
  const nested = itemType === ARRAY
  const item = nested ? undefined : typeOf(cursor, itemType)
  const count = cursor.count(item?.leastBytes ?? 4 + 8, budget.elements, `elements of type ${item?.name ?? 'array'}`)
  budget.elements -= count
  const values: GgufValue[] = []
  for (let i = 0; i < count; i++) {
    values.push(item ? item.read(cursor) : yield* readValue(cursor, itemType, budget, depth + 1))
    if (i % ELEMENTS_PER_STEP === 0) yield
  }
  return values
}

function typeOf(cursor: Cursor, type: number): ValueType {
  const known = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined
  if (!known) throw cursor.error(`expected a value type from 0 to 12, got ${type}`)
  return known
}

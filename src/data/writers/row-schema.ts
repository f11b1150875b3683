/** @file The types of the columns of rows, found by looking at all of them. Reads and writes nothing. */

import { describeValue } from '../../errors.js'
import { PythonFloat } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'

/**
 * What a column, the elements of a list or a field of an object hold; any of them may also be null. `json` is what no
 * other type holds, as values of several types: its JSON text.
 */
export type ColumnType =
  | 'boolean'
  | 'integer'
  | 'float'
  | 'string'
  | 'bytes'
  | 'timestamp'
  | 'json'
  | { readonly list: ColumnType }
  | { readonly struct: RowSchema }

/** Columns or fields by name, in their order. */
export type RowSchema = ReadonlyMap<string, ColumnType>

/** A type while rows are looked at: `null` where nothing but null was seen. */
type Seen = 'null' | Exclude<ColumnType, object> | { list: Seen } | { struct: Map<string, Seen> }

const MOST_INTEGER = 2n ** 63n - 1n
const LEAST_INTEGER = -(2n ** 63n)
// Deeper values stay JSON: readers of such schemas end earlier.
const MOST_LEVELS = 32
// What is deeper is not read either.
const MOST_LEVELS_READ = 500

interface Changes {
  count: number
}

/** Finds the schema of rows that it is shown one after the other. */
export class SchemaFinder {
  readonly #columns = new Map<string, Seen>()
  readonly #changes: Changes = { count: 0 }

  /**
   * @returns whether the row fits the schema of the rows before it as it is
   * @throws DataError for what no file can hold, such as a function
   */
  add(row: unknown): boolean {
    const before = this.#changes.count
    widenFields(this.#columns, row, 0, this.#changes)
    return this.#changes.count === before
  }

  /** Adds the rows that another finder was shown. */
  include(other: SchemaFinder): void {
    for (const [name, seen] of other.#columns) this.#columns.set(name, joined(this.#columns.get(name) ?? 'null', seen))
  }

  /** The schema of the rows so far. */
  get schema(): RowSchema {
    return new Map([...this.#columns].map(([name, seen]) => [name, settled(seen)]))
  }
}

/** The entries of a row or object, in whichever way it holds them, but for those that are undefined. */
export function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DataError(`an object for each row, got ${describeValue(value)}`)
  const entries = value instanceof Map ? [...(value as Map<unknown, unknown>)] : Object.entries(value)
  if (entries.length === 0 && !(value instanceof Map) && !isPlain(value))
    throw new DataError(`an object whose fields hold its values, got ${describeKind(value)}; make a plain object of it`)
  return entries.filter(([, entry]) => entry !== undefined).map(([name, entry]) => [String(name), entry])
}

/** What a promise, a Set or a regular expression holds is in no field: as fields, it would be lost. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function describeKind(value: object): string {
  const { name } = value.constructor
  return name === '' ? 'an object of a class' : `a ${name}`
}

/** @throws DataError for a value that holds itself, or nearly so */
export function expectLevels(level: number): void {
  if (level > MOST_LEVELS_READ)
    throw new DataError(`a value of at most ${MOST_LEVELS_READ} levels, got more, as where an object holds itself`)
}

/**
 * Calls `visit` with what `entriesOf` has.
 * @throws DataError as `entriesOf` does, and what `visit` throws
 */
export function eachEntry(value: unknown, visit: (name: string, entry: unknown) => void): void {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    for (const [name, entry] of entriesOf(value)) visit(name, entry)
    return
  }
  const fields = value as Readonly<Record<string, unknown>>
  for (const name in fields) {
    const entry = fields[name]
    if (entry !== undefined) visit(name, entry)
  }
}

/** The text. @throws DataError for half a pair of surrogates, which UTF-8 has no form of */
export function expectText(text: string): string {
  // All versions of Node here have the method; its type is newer.
  if (!(text as unknown as { isWellFormed(): boolean }).isWellFormed())
    throw new DataError(
      `text that UTF-8 has a form of, got half a pair of surrogates in ${describeValue(text)}, as where a text is cut within an emoji`,
    )
  return text
}

/** Widens the types of the fields of an object, and counts in `changes` how often one became wider. */
function widenFields(fields: Map<string, Seen>, value: unknown, level: number, changes: Changes): void {
  eachEntry(value, (name, entry) => {
    const seen = fields.get(name)
    const wider = widen(seen ?? 'null', entry, level, changes)
    if (wider === seen) return
    fields.set(name, wider)
    changes.count++
  })
}

function widen(seen: Seen, value: unknown, level: number, changes: Changes): Seen {
  if (value === null || value === undefined || seen === 'json') return seen
  if (seen === 'string' && typeof value === 'string') return seen
  if (Array.isArray(value)) {
    if (level >= MOST_LEVELS || (seen !== 'null' && !(typeof seen === 'object' && 'list' in seen))) return 'json'
    const list = seen === 'null' ? { list: 'null' as Seen } : seen
    for (const item of value) {
      const wider = widen(list.list, item, level + 1, changes)
      if (wider === list.list) continue
      list.list = wider
      changes.count++
    }
    return list
  }
  const scalar = scalarOf(value)
  if (scalar === undefined) {
    if (level >= MOST_LEVELS || (seen !== 'null' && !(typeof seen === 'object' && 'struct' in seen))) return 'json'
    const struct = seen === 'null' ? { struct: new Map<string, Seen>() } : seen
    widenFields(struct.struct, value, level + 1, changes)
    return struct
  }
  if (seen === 'null' || seen === scalar) return scalar
  return isNumber(seen) && isNumber(scalar) ? 'float' : 'json'
}

/** The type of what two types were seen of. */
function joined(a: Seen, b: Seen): Seen {
  if (a === 'null') return b
  if (b === 'null' || a === b) return a
  if (typeof a === 'string' || typeof b === 'string') return isNumber(a) && isNumber(b) ? 'float' : 'json'
  if ('list' in a && 'list' in b) return { list: joined(a.list, b.list) }
  if ('list' in a || 'list' in b) return 'json'
  const struct = new Map(a.struct)
  for (const [name, seen] of b.struct) struct.set(name, joined(struct.get(name) ?? 'null', seen))
  return { struct }
}

function isNumber(type: Seen): boolean {
  return type === 'integer' || type === 'float'
}

/** The type of a value that holds no others; undefined for objects. */
function scalarOf(value: unknown): Exclude<ColumnType, object> | undefined {
  switch (typeof value) {
    case 'string':
      return 'string'
    case 'boolean':
      return 'boolean'
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? 'integer' : 'float'
    case 'bigint':
      return value >= LEAST_INTEGER && value <= MOST_INTEGER ? 'integer' : 'json'
    case 'object':
      if (value instanceof PythonFloat) return 'float'
      if (value instanceof Date) return 'timestamp'
      return ArrayBuffer.isView(value) ? 'bytes' : undefined
    default:
      throw new DataError(`a value that a file can hold, got ${describeValue(value)}`)
  }
}

function settled(seen: Seen): ColumnType {
  // Nothing is known of a column of nulls; readers of another file of the same rows mostly find text there.
  if (seen === 'null') return 'string'
  if (typeof seen === 'string') return seen
  if ('list' in seen) return { list: settled(seen.list) }
  // No format has objects without fields, and readers stumble over a field with the name of an object's prototype.
  if (seen.struct.size === 0 || seen.struct.has('__proto__')) return 'json'
  return { struct: new Map([...seen.struct].map(([name, type]) => [name, settled(type)])) }
}

/** @file The values of rows as a format with typed columns takes them, checked against the schema. */

import { describeValue, listNames } from '../../errors.js'
import { PythonFloat } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'
import { jsonLine } from './json-value.js'
import { type ColumnType, eachEntry, expectText } from './row-schema.js'

/** Makes of a value what the format takes; null stays null. It also counts about how many bytes that is. */
type Encode = (value: unknown, size: Size) => unknown

/** A count of bytes. */
export interface Size {
  bytes: number
}

/** What a format does with the values that are not the same everywhere. */
export interface ValueForms {
  readonly integer: (value: number | bigint) => unknown
  readonly json: (text: string) => unknown
  readonly timestamp: (value: Date) => unknown
}

/** How values of a type are encoded. */
export function encoderOf(type: ColumnType, forms: ValueForms): Encode {
  const encode = encodeOf(type, forms)
  return (value, size) => {
    if (value !== null && value !== undefined) return encode(value, size)
    size.bytes++
    return null
  }
}

function encodeOf(type: ColumnType, forms: ValueForms): Encode {
  if (typeof type === 'object') return 'list' in type ? listOf(type.list, forms) : structOf(type.struct, forms)
  const wrong = (value: unknown): DataError => new DataError(`${NAMES[type]}, got ${describeValue(value)}`)
  switch (type) {
    case 'string':
      return (value, size) => {
        if (typeof value !== 'string') throw wrong(value)
        size.bytes += value.length
        return expectText(value)
      }
    case 'boolean':
      return (value, size) => {
        if (typeof value !== 'boolean') throw wrong(value)
        size.bytes++
        return value
      }
    case 'integer':
      return (value, size) => {
        if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) throw wrong(value)
        size.bytes += 8
        return forms.integer(value as number | bigint)
      }
    case 'float':
      return (value, size) => {
        size.bytes += 8
        if (typeof value === 'number') return value
        if (value instanceof PythonFloat) return value.value
        if (typeof value === 'bigint') return Number(value)
        throw wrong(value)
      }
    case 'bytes':
      return (value, size) => {
        if (!(value instanceof Uint8Array)) throw wrong(value)
        size.bytes += value.length
        return value
      }
    case 'timestamp':
      return (value, size) => {
        if (!(value instanceof Date) || Number.isNaN(value.getTime())) throw wrong(value)
        size.bytes += 8
        return forms.timestamp(value)
      }
    case 'json':
      return (value, size) => {
        const text = jsonLine(value)
        size.bytes += text.length
        return forms.json(text)
      }
    default:
      return type satisfies never
  }
}

const NAMES = {
  string: 'a string',
  boolean: 'a boolean',
  integer: 'an integer of 64 bits',
  float: 'a number',
  bytes: 'a Uint8Array',
  timestamp: 'a valid Date',
  json: 'JSON',
} as const

function listOf(type: ColumnType, forms: ValueForms): Encode {
  const encode = encoderOf(type, forms)
  return (value, size) => {
    if (!Array.isArray(value)) throw new DataError(`a list, got ${describeValue(value)}`)
    return value.map((item) => encode(item, size))
  }
}

function structOf(fields: ReadonlyMap<string, ColumnType>, forms: ValueForms): Encode {
  const encoders = new Map([...fields].map(([name, type]) => [name, encoderOf(type, forms)]))
  const names = [...fields.keys()]
  return (value, size) => {
    const struct: Record<string, unknown> = fields.has('__proto__') ? Object.create(null) : {}
    let missing = names.length
    eachEntry(value, (name, entry) => {
      const encode = encoders.get(name)
      if (encode === undefined) throw new DataError(`the fields ${listNames(names)}, got also ${describeValue(name)}`)
      struct[name] = encode(entry, size)
      missing--
    })
    // A field may have the name of what every object inherits.
    if (missing > 0) for (const name of names) if (!Object.hasOwn(struct, name)) struct[name] = null
    return struct
  }
}

/** Runs `work`, whose errors name the column. */
export function inColumn<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw ofColumn(name, error)
  }
}

/** An error of a value, with the name of its column. */
export function ofColumn(name: string, error: unknown): unknown {
  if (!(error instanceof DataError) || / for the column /.test(error.message)) return error
  const [expected, ...got] = error.message.split(', got ')
  return new DataError(`${expected} for the column ${describeValue(name)}, got ${got.join(', got ')}`, { cause: error })
}

/**
 * @file The values of Arrow data, read from its buffers, so that batches of any version of apache-arrow are read the
 * same way. Imports none of it.
 */

import { DataError } from '../../lowrank-error.js'
import type { ColumnBatch } from './columnar-rows.js'
import {
  bigintOf,
  dateText,
  decimalText,
  floatOf,
  integerOf,
  textOf,
  timestampText,
  timeText,
} from './columnar-values.js'

interface ArrowType {
  readonly typeId: number
  readonly children?: readonly ArrowField[] | null
  readonly unit?: number
  readonly timezone?: string | null
  readonly scale?: number
  readonly precision?: number
  readonly listSize?: number
  readonly byteWidth?: number
}

interface ArrowField {
  readonly name: string
  readonly type: ArrowType
}

/** A run of values of one type in memory, as apache-arrow has it. */
interface ArrowData {
  readonly type: ArrowType
  readonly length: number
  readonly values: ArrayLike<number> | BigInt64Array
  readonly valueOffsets: ArrayLike<number | bigint>
  readonly children: readonly ArrowData[]
  readonly dictionary?: { readonly data: readonly ArrowData[] }
  getValid(index: number): boolean
}

/** A `RecordBatch` of apache-arrow. */
export interface ArrowBatch {
  readonly schema: { readonly fields: readonly ArrowField[] }
  readonly numRows: number
  readonly data: ArrowData
}

/** A `Table` of apache-arrow. */
export interface ArrowTable {
  readonly schema: ArrowBatch['schema']
  readonly batches: readonly ArrowBatch[]
}

/** Whether a value is an Arrow table, of whichever version. */
export function isArrowTable(value: unknown): value is ArrowTable {
  return hasFields(value) && 'batches' in value && Array.isArray(value.batches)
}

/** Whether a value is a record batch of Arrow. */
export function isArrowBatch(value: unknown): value is ArrowBatch {
  return hasFields(value) && 'numRows' in value && 'data' in value && !Array.isArray(value.data)
}

function hasFields(value: unknown): value is { schema: ArrowBatch['schema'] } {
  if (typeof value !== 'object' || value === null || !('schema' in value)) return false
  const { schema } = value
  return typeof schema === 'object' && schema !== null && 'fields' in schema && Array.isArray(schema.fields)
}

/** A batch by columns. @param start how many rows come before it */
export function columnBatch({ schema: { fields }, numRows, data }: ArrowBatch, start: number): ColumnBatch {
  if (numRows > MOST_ROWS_WITHOUT_VALUES && data.children.every(({ type }) => type.typeId === NULL))
    throw new DataError(`rows with values, got a batch of ${numRows} rows without any`)
  const columns = fields.map(({ name }, index) => {
    try {
      const column = data.children[index]
      if (column === undefined) throw new DataError('a column of values, got none')
      if (column.length < numRows) throw new DataError(`${numRows} values, got ${column.length}`)
      const valueAt = reader(column)
      return Array.from({ length: numRows }, (_, row) => valueAt(row))
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      throw new DataError(`${error.message} in the column ${JSON.stringify(name)}`, { cause: error })
    }
  })
  return { names: fields.map(({ name }) => name), columns, length: numRows, start }
}

// Numbers of types in the format.
const NULL = 1
const BOOL = 6
const STRUCT = 13
const UNION = 14
const FIXED_SIZE_LIST = 16
/** Types whose values lie between offsets. */
const BY_OFFSETS: ReadonlySet<number> = new Set([4, 5, 12, 17, 19, 20, 21])
// Values of the type null take no memory, so nothing else says how many there can be.
const MOST_ROWS_WITHOUT_VALUES = 1 << 24

/** How many values the buffers of a column have room for. */
function placesOf({ type, values, valueOffsets, children }: ArrowData): number {
  if (type.typeId === NULL || type.typeId === UNION) return Number.POSITIVE_INFINITY
  if (type.typeId === STRUCT) return Math.min(...children.map(({ length }) => length), Number.POSITIVE_INFINITY)
  if (BY_OFFSETS.has(type.typeId)) return valueOffsets.length - 1
  if (type.typeId === FIXED_SIZE_LIST) return (children[0]?.length ?? 0) / (type.listSize || 1)
  return type.typeId === BOOL ? 8 * values.length : values.length
}

type ValueAt = (index: number) => unknown

/** @throws where data has fewer values than it says: a loop over those of a damaged file might never end */
function reader(data: ArrowData): ValueAt {
  const places = placesOf(data)
  if (places < data.length) throw new DataError(`${data.length} values, got ${places}`)
  const valueAt = valuesOf(data)
  return (index) => (data.getValid(index) ? valueAt(index) : null)
}

// Numbers of types and units in the format.
const DATE_DAY = 0
const DIGITS_OF_UNIT = [0, 3, 6, 9]

function valuesOf(data: ArrowData): ValueAt {
  const { type, children } = data
  const numbers = data.values as ArrayLike<number | bigint>
  const { unit = 0 } = type
  switch (type.typeId) {
    case 1:
      return () => null
    case 2:
      return (index) => integerOf(numbers[index] as number | bigint)
    case 3:
      if (data.values instanceof Uint16Array) return (index) => floatOf(halfFloat(numbers[index] as number))
      return (index) => floatOf(numbers[index] as number)
    case 4:
    case 19:
      return bytesOf(data)
    case 5:
    case 20: {
      const bytes = bytesOf(data)
      return (index) => textOf(bytes(index))
    }
    case 6:
      return booleanOf(data)
    case 7:
      return decimalOf(data)
    case 8:
      if (unit === DATE_DAY) return (index) => dateText(numbers[index] as number)
      return (index) => dateText(Math.floor(Number(numbers[index]) / 86_400_000))
    case 9:
      return (index) => timeText(BigInt(numbers[index] as number), DIGITS_OF_UNIT[unit] as number)
    case 10:
      return (index) =>
        timestampText(BigInt(numbers[index] as bigint), DIGITS_OF_UNIT[unit] as number, Boolean(type.timezone))
    case 12:
    case 21: {
      const valueAt = reader(children[0] as ArrowData)
      return (index) => between(data, index, valueAt)
    }
    case 13:
      return structOf(data)
    case 15: {
      const { byteWidth = 0 } = type
      const bytes = data.values as unknown as Uint8Array
      return (index) => bytes.subarray(index * byteWidth, (index + 1) * byteWidth)
    }
    case 16: {
      const { listSize = 0 } = type
      const valueAt = reader(children[0] as ArrowData)
      return (index) => Array.from({ length: listSize }, (_, item) => valueAt(index * listSize + item))
    }
    case 17:
      return mapOf(data)
    case -1:
      return dictionaryOf(data)
    default:
      throw new DataError(`values of an Arrow type that is not read (number ${type.typeId})`)
  }
}

function bytesOf(data: ArrowData): (index: number) => Uint8Array {
  const bytes = data.values as unknown as Uint8Array
  return (index) => bytes.subarray(...offsetsAt(data, index, bytes.length))
}

function between(data: ArrowData, index: number, valueAt: ValueAt): unknown[] {
  const [child] = data.children
  const most = child?.type.typeId === NULL ? MOST_ROWS_WITHOUT_VALUES : (child?.length ?? 0)
  const [first, end] = offsetsAt(data, index, most)
  return Array.from({ length: end - first }, (_, item) => valueAt(first + item))
}

/** @throws where a value does not lie within the `most` that there are */
function offsetsAt({ valueOffsets }: ArrowData, index: number, most: number): readonly [first: number, end: number] {
  const first = Number(valueOffsets[index])
  const end = Number(valueOffsets[index + 1])
  if (first >= 0 && first <= end && end <= most) return [first, end]
  throw new DataError(`a value within the ${most} that there are, got one from ${first} to ${end}`)
}

function booleanOf(data: ArrowData): ValueAt {
  const { offset = 0 } = data as { offset?: number }
  const bits = data.values as ArrayLike<number>
  return (index) => (((bits[(offset + index) >> 3] as number) >> ((offset + index) % 8)) & 1) === 1
}

function decimalOf({ type, values }: ArrowData): ValueAt {
  const words = values as unknown as Uint32Array
  const width = Math.max(1, ((type as { bitWidth?: number }).bitWidth ?? 128) / 32)
  return (index) => {
    const bytes = Buffer.alloc(4 * width)
    for (let word = 0; word < width; word++)
      bytes.writeUInt32BE(words[index * width + word] as number, 4 * (width - 1 - word))
    return decimalText(bigintOf(bytes), type.scale ?? 0)
  }
}

function structOf({ type, children }: ArrowData): ValueAt {
  const fields = (type.children ?? []).map(({ name }, index) => [name, reader(children[index] as ArrowData)] as const)
  if (fields.some(([name]) => name === '__proto__'))
    return (index) => new Map(fields.map(([name, valueAt]) => [name, valueAt(index)]))
  return (index) => {
    const struct: Record<string, unknown> = {}
    for (const [name, valueAt] of fields) struct[name] = valueAt(index)
    return struct
  }
}

function mapOf(data: ArrowData): ValueAt {
  const [entries] = data.children as readonly [ArrowData]
  const [keyAt, valueAt] = entries.children.map(reader) as [ValueAt, ValueAt]
  return (index) => {
    const pairs = between(data, index, (entry) => [String(keyAt(entry)), valueAt(entry)]) as [string, unknown][]
    return pairs.some(([name]) => name === '__proto__') ? new Map(pairs) : Object.fromEntries(pairs)
  }
}

/** The values of a dictionary, which may have grown piece by piece. */
function dictionaryOf({ values, dictionary }: ArrowData): ValueAt {
  const pieces = (dictionary?.data ?? []).map((data) => ({ valueAt: reader(data), length: data.length }))
  return (index) => {
    let entry = Number((values as ArrayLike<number>)[index])
    for (const { valueAt, length } of pieces) {
      if (entry < length) return valueAt(entry)
      entry -= length
    }
    throw new DataError('a value that its dictionary does not have')
  }
}

function halfFloat(bits: number): number {
  const sign = bits >> 15 === 1 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return (sign * fraction) / 2 ** 24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
}

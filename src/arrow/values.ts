/**
 * @file The values of Arrow data, read from its buffers, so that batches of any version of apache-arrow are read the
 * same way. Imports none of it.
 */

import { DataError } from '../lowrank-error.js'
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
import { type ArrowField, type ArrowType, DAY, TYPE } from './types.js'

/** A run of values of one type in memory, as apache-arrow has it. */
export interface ArrowData {
  readonly type: ArrowType
  readonly length: number
  readonly values: ArrayLike<number> | BigInt64Array
  readonly valueOffsets: ArrayLike<number | bigint>
  readonly children: readonly ArrowData[]
  readonly dictionary?: { readonly data: readonly ArrowData[] }
  /** What the values of views lie in. */
  readonly variadicBuffers?: readonly Uint8Array[]
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

/** The type of a union as apache-arrow has it. */
const UNION = 14
const VIEW_BYTES = 16
// Values of the type null take no memory, so nothing else says how many there can be.
export const MOST_ROWS_WITHOUT_VALUES = 1 << 24
/** Types whose values lie between offsets. */
const BY_OFFSETS: ReadonlySet<number> = new Set<number>([
  TYPE.binary,
  TYPE.utf8,
  TYPE.list,
  TYPE.map,
  TYPE.largeBinary,
  TYPE.largeUtf8,
  TYPE.largeList,
])

/** How many values the buffers of a column have room for. */
function placesOf({ type, values, valueOffsets, children }: ArrowData): number {
  if (type.typeId === TYPE.null || type.typeId === UNION) return Number.POSITIVE_INFINITY
  if (type.typeId === TYPE.struct) return Math.min(...children.map(({ length }) => length), Number.POSITIVE_INFINITY)
  if (BY_OFFSETS.has(type.typeId)) return Math.max(0, valueOffsets.length - 1)
  if (type.typeId === TYPE.fixedSizeList)
    return type.listSize ? (children[0]?.length ?? 0) / type.listSize : Number.POSITIVE_INFINITY
  if (type.typeId === TYPE.fixedSizeBinary)
    return type.byteWidth ? values.length / type.byteWidth : Number.POSITIVE_INFINITY
  if (type.typeId === TYPE.utf8View || type.typeId === TYPE.binaryView) return values.length / VIEW_BYTES
  return type.typeId === TYPE.bool ? 8 * values.length : values.length
}

/** The value at a place, as rows have it. */
type ValueAt = (index: number) => unknown

/** @throws where data has fewer values than it says: a loop over those of a damaged file might never end */
export function reader(data: ArrowData): ValueAt {
  const places = placesOf(data)
  if (places < data.length) throw new DataError(`${data.length} values, got ${places}`)
  const valueAt = valuesOf(data)
  return (index) => (data.getValid(index) ? valueAt(index) : null)
}

const DIGITS_OF_UNIT = [0, 3, 6, 9]

function valuesOf(data: ArrowData): ValueAt {
  const { type, children } = data
  const numbers = data.values as ArrayLike<number | bigint>
  const { unit = 0 } = type
  switch (type.typeId) {
    case TYPE.null:
      return () => null
    case TYPE.int:
      return (index) => integerOf(numbers[index] as number | bigint)
    case TYPE.float:
      if (data.values instanceof Uint16Array) return (index) => floatOf(halfFloat(numbers[index] as number))
      return (index) => floatOf(numbers[index] as number)
    case TYPE.binary:
    case TYPE.largeBinary:
      return bytesOf(data)
    case TYPE.utf8:
    case TYPE.largeUtf8: {
      const bytes = bytesOf(data)
      return (index) => textOf(bytes(index))
    }
    case TYPE.bool:
      return booleanOf(data)
    case TYPE.decimal:
      return decimalOf(data)
    case TYPE.date:
      if (unit === DAY) return (index) => dateText(numbers[index] as number)
      return (index) => dateText(Math.floor(Number(numbers[index]) / 86_400_000))
    case TYPE.time:
      return (index) => timeText(BigInt(numbers[index] as number), DIGITS_OF_UNIT[unit] as number)
    case TYPE.timestamp:
      return (index) =>
        timestampText(BigInt(numbers[index] as bigint), DIGITS_OF_UNIT[unit] as number, Boolean(type.timezone))
    case TYPE.list:
    case TYPE.largeList:
      return between(data, reader(children[0] as ArrowData))
    case TYPE.struct:
      return structOf(data)
    case TYPE.fixedSizeBinary: {
      const { byteWidth = 0 } = type
      const bytes = data.values as unknown as Uint8Array
      return (index) => bytes.subarray(index * byteWidth, (index + 1) * byteWidth)
    }
    case TYPE.fixedSizeList: {
      const { listSize = 0 } = type
      const valueAt = reader(children[0] as ArrowData)
      return (index) => Array.from({ length: listSize }, (_, item) => valueAt(index * listSize + item))
    }
    case TYPE.map:
      return mapOf(data)
    case TYPE.binaryView:
      return viewsOf(data)
    case TYPE.utf8View: {
      const bytes = viewsOf(data)
      return (index) => textOf(bytes(index))
    }
    case TYPE.dictionary:
      return dictionaryOf(data)
    default:
      throw new DataError(`values of an Arrow type that is not read (number ${type.typeId})`)
  }
}

function bytesOf(data: ArrowData): (index: number) => Uint8Array {
  const bytes = data.values as unknown as Uint8Array
  const { valueOffsets } = data
  expectOffsets(data, bytes.length)
  return (index) => bytes.subarray(Number(valueOffsets[index]), Number(valueOffsets[index + 1]))
}

/** Bytes of views: short ones lie in the view itself, long ones in one of the buffers. */
function viewsOf({ values, variadicBuffers = [] }: ArrowData): (index: number) => Uint8Array {
  const bytes = values as unknown as Uint8Array
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return (index) => {
    const at = VIEW_BYTES * index
    const length = view.getInt32(at, true)
    if (length >= 0 && length <= 12) return bytes.subarray(at + 4, at + 4 + length)
    const buffer = variadicBuffers[view.getInt32(at + 8, true)]
    const start = view.getInt32(at + 12, true)
    if (buffer !== undefined && length >= 0 && start >= 0 && start + length <= buffer.length)
      return buffer.subarray(start, start + length)
    throw new DataError(`a value within its buffer, got ${length} bytes from ${start} on`)
  }
}

/** Lists of the values of a child. */
function between(data: ArrowData, valueAt: ValueAt): (index: number) => unknown[] {
  const [child] = data.children
  const { valueOffsets } = data
  expectOffsets(data, child?.length ?? 0)
  return (index) => {
    const first = Number(valueOffsets[index])
    return Array.from({ length: Number(valueOffsets[index + 1]) - first }, (_, item) => valueAt(first + item))
  }
}

/** @throws where a value does not lie behind the one before it and within the `most` that there are */
function expectOffsets({ valueOffsets, length }: ArrowData, most: number): void {
  let before = 0
  for (let index = 0; index <= length; index++) {
    const offset = Number(valueOffsets[index] ?? 0)
    if (!(offset >= before && offset <= most))
      throw new DataError(`a value within the ${most} that there are, got one from ${before} to ${offset}`)
    before = offset
  }
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
  const pairsAt = between(data, (entry) => [String(keyAt(entry)), valueAt(entry)])
  return (index) => {
    const pairs = pairsAt(index) as [string, unknown][]
    return pairs.some(([name]) => name === '__proto__') ? new Map(pairs) : Object.fromEntries(pairs)
  }
}

/** The values of a dictionary, which may have grown piece by piece. */
function dictionaryOf({ values, dictionary }: ArrowData): ValueAt {
  const pieces = (dictionary?.data ?? []).map((data) => ({ valueAt: remembered(reader(data)), length: data.length }))
  return (index) => {
    let entry = Number((values as ArrayLike<number>)[index])
    for (const { valueAt, length } of entry < 0 ? [] : pieces) {
      if (entry < length) return valueAt(entry)
      entry -= length
    }
    throw new DataError('a value that its dictionary does not have')
  }
}

/** Texts are made once, however many rows have them. */
function remembered(valueAt: ValueAt): ValueAt {
  const texts = new Map<number, string>()
  return (index) => {
    const known = texts.get(index)
    if (known !== undefined) return known
    const value = valueAt(index)
    if (typeof value === 'string') texts.set(index, value)
    return value
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

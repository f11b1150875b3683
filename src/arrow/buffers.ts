/**
 * @file The values of a message of Arrow in memory: its buffers, unpacked, each checked to hold as many values as the
 * metadata says. Offsets of single values are checked by arrow-values.ts.
 */

import { DataError } from '../lowrank-error.js'
import { decompress } from './codecs.js'
import type { BatchLayout } from './messages.js'
import { type ArrowField, type ArrowType, DAY, isDictionary, TYPE } from './types.js'
import { type ArrowBatch, type ArrowData, MOST_ROWS_WITHOUT_VALUES } from './values.js'

/** The values of each dictionary that have come so far. */
export type Dictionaries = ReadonlyMap<bigint, readonly ArrowData[]>

// Columns that hardly change become much smaller; what is made to fill memory becomes smaller still.
const FREE_BYTES = 256 * 2 ** 20
const LARGEST_RATIO = 400

/** The rows of a message. @throws DataError for what is damaged, without the name of a file */
export function rowsOf(
  layout: BatchLayout,
  body: Uint8Array,
  fields: readonly ArrowField[],
  dictionaries: Dictionaries,
): ArrowBatch {
  const loader = new BatchLoader(layout, body, dictionaries)
  const children = fields.map(({ name, type }) => loader.column(name, type))
  loader.end()
  const type = { typeId: TYPE.struct, children: fields }
  const values = new Uint8Array()
  const data = { type, length: layout.rows, values, valueOffsets: values, children, getValid: () => true }
  return { schema: { fields }, numRows: layout.rows, data }
}

/** The values that a message adds to a dictionary. @throws DataError for what is damaged */
export function dictionaryValues(
  layout: BatchLayout,
  body: Uint8Array,
  type: ArrowType,
  dictionaries: Dictionaries,
): ArrowData {
  const loader = new BatchLoader(layout, body, dictionaries)
  const data = loader.column('', type)
  loader.end()
  return data
}

/** Takes nodes and buffers one after the other, in the order of the columns and of what is in them. */
class BatchLoader {
  readonly #layout: BatchLayout
  readonly #body: Uint8Array
  readonly #dictionaries: Dictionaries
  #node = 0
  #buffer = 0
  #views = 0
  #left: number

  constructor(layout: BatchLayout, body: Uint8Array, dictionaries: Dictionaries) {
    this.#layout = layout
    this.#body = body
    this.#dictionaries = dictionaries
    this.#left = Math.max(FREE_BYTES, LARGEST_RATIO * body.length)
  }

  column(name: string, type: ArrowType): ArrowData {
    try {
      return this.#data(type)
    } catch (error) {
      if (!(error instanceof DataError) || error.message.includes(' in the column ')) throw error
      throw new DataError(`${error.message} in the column ${JSON.stringify(name)}`, { cause: error })
    }
  }

  /** @throws where there is more than the columns take */
  end(): void {
    const { nodes, buffers } = this.#layout
    if (this.#node !== nodes.length) throw new DataError(`${nodes.length} columns where the schema has ${this.#node}`)
    if (this.#buffer !== buffers.length)
      throw new DataError(`${buffers.length} buffers where the schema has ${this.#buffer}`)
  }

  #data(type: ArrowType): ArrowData {
    const node = this.#layout.nodes[this.#node++]
    if (node === undefined) throw new DataError(`${this.#layout.nodes.length} columns where the schema has more`)
    const { length, nulls } = node
    if (length < 0 || nulls < 0 || nulls > length) throw new DataError(`${nulls} nulls among ${length} values`)
    if (length > MOST_ROWS_WITHOUT_VALUES && !hasBuffers(type))
      throw new DataError(`${length} values without any bytes`)
    const getValid = type.typeId === TYPE.null ? () => false : this.#validity(length, nulls)
    const data = { type, length, values: NONE, valueOffsets: NONE, children: [], getValid }
    switch (type.typeId) {
      case TYPE.null:
        return data
      case TYPE.struct:
        return { ...data, children: (type.children ?? []).map((field) => this.#child(field, length)) }
      case TYPE.list:
      case TYPE.map:
        return { ...data, valueOffsets: this.#offsets(Int32Array, length), children: this.#children(type) }
      case TYPE.largeList:
        return { ...data, valueOffsets: this.#offsets(BigInt64Array, length), children: this.#children(type) }
      case TYPE.fixedSizeList:
        return {
          ...data,
          children: [this.#child((type.children ?? [])[0] as ArrowField, length * (type.listSize ?? 0))],
        }
      case TYPE.utf8:
      case TYPE.binary:
        return { ...data, valueOffsets: this.#offsets(Int32Array, length), values: this.#next() }
      case TYPE.largeUtf8:
      case TYPE.largeBinary:
        return { ...data, valueOffsets: this.#offsets(BigInt64Array, length), values: this.#next() }
      case TYPE.utf8View:
      case TYPE.binaryView:
        return { ...data, values: this.#values(Uint8Array, 16 * length), variadicBuffers: this.#viewBuffers() }
      case TYPE.bool:
        return { ...data, values: this.#values(Uint8Array, Math.ceil(length / 8)) }
      case TYPE.fixedSizeBinary:
        return { ...data, values: this.#values(Uint8Array, length * (type.byteWidth ?? 0)) }
      case TYPE.decimal:
        return { ...data, values: this.#values(Uint32Array, length * ((type.bitWidth ?? 128) / 32)) }
      default: {
        const values = this.#values(arrayOf(isDictionary(type) ? type.indices : type), length)
        return isDictionary(type) ? { ...data, values, dictionary: this.#dictionary(type.id) } : { ...data, values }
      }
    }
  }

  #dictionary(id: bigint): { data: readonly ArrowData[] } {
    return { data: this.#dictionaries.get(id) ?? [] }
  }

  #children(type: ArrowType): ArrowData[] {
    return (type.children ?? []).map(({ type: child }) => this.#data(child))
  }

  #child({ type }: ArrowField, least: number): ArrowData {
    const data = this.#data(type)
    if (data.length < least) throw new DataError(`${least} values, got ${data.length}`)
    return data
  }

  /** Whether values are there. Without nulls nobody looks at the bits, which may be left out. */
  #validity(length: number, nulls: number): (index: number) => boolean {
    const bits = this.#next()
    if (nulls === 0) return () => true
    if (8 * bits.length < length) throw new DataError(`${length} bits of which values are null, got ${8 * bits.length}`)
    return (index) => (((bits[index >> 3] as number) >> (index & 7)) & 1) === 1
  }

  #offsets<T extends Int32Array | BigInt64Array>(array: ArrayKind<T>, length: number): T {
    // The offsets of no values may be none.
    const bytes = this.#next()
    if (length === 0 && bytes.length === 0) return new array(1)
    return typed(array, bytes, length + 1)
  }

  #values<T>(array: ArrayKind<T>, count: number): T {
    return typed(array, this.#next(), count)
  }

  #viewBuffers(): Uint8Array[] {
    const count = this.#layout.viewBuffers[this.#views++] ?? 0
    if (count < 0 || count > this.#layout.buffers.length - this.#buffer)
      throw new DataError(`${count} buffers of text where there are ${this.#layout.buffers.length - this.#buffer}`)
    return Array.from({ length: count }, () => this.#next())
  }

  #next(): Uint8Array {
    const { buffers, codec } = this.#layout
    const range = buffers[this.#buffer++]
    if (range === undefined) throw new DataError(`${buffers.length} buffers where the schema has more`)
    const { offset, length } = range
    if (offset < 0 || length < 0 || offset + length > this.#body.length)
      throw new DataError(`a buffer from byte ${offset} on of ${length} bytes in a body of ${this.#body.length}`)
    const bytes = this.#body.subarray(offset, offset + length)
    if (codec === undefined || length === 0) return bytes
    if (length < 8) throw new DataError(`a packed buffer of ${length} bytes`)
    const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true))
    // A writer leaves alone what does not become smaller.
    if (size === -1) return bytes.subarray(8)
    if (size < 0) throw new DataError(`a packed buffer of ${size} bytes`)
    this.#left -= size
    if (this.#left < 0)
      throw new DataError(
        `buffers that unpack to more than ${LARGEST_RATIO} times their ${this.#body.length} bytes, as in files that are made to fill memory`,
      )
    return decompress(codec, bytes.subarray(8), size)
  }
}

const NONE = new Uint8Array()

/** Whether values of a type take memory of their own, which bounds how many there can be. */
function hasBuffers(type: ArrowType): boolean {
  if (type.typeId === TYPE.struct) return (type.children ?? []).some(({ type: child }) => hasBuffers(child))
  if (type.typeId === TYPE.fixedSizeList)
    return (type.listSize ?? 0) > 0 && (type.children ?? []).some(({ type: child }) => hasBuffers(child))
  return type.typeId !== TYPE.null && !(type.typeId === TYPE.fixedSizeBinary && type.byteWidth === 0)
}

interface ArrayKind<T> {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): T
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T
}

/** Bytes as values of another width. @throws where there are fewer than `least` */
function typed<T>(array: ArrayKind<T>, bytes: Uint8Array, least: number): T {
  const width = array.BYTES_PER_ELEMENT
  const count = Math.floor(bytes.length / width)
  if (count < least) throw new DataError(`${least} values, got ${count}`)
  const aligned = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes)
  return new array(aligned.buffer, aligned.byteOffset, count)
}

type NumberArray = ArrayLike<number> | BigInt64Array

const SIGNED = { 8: Int8Array, 16: Int16Array, 32: Int32Array, 64: BigInt64Array } as const
const UNSIGNED = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array, 64: BigUint64Array } as const
const FLOATS = [Uint16Array, Float32Array, Float64Array] as const

function arrayOf({ typeId, bitWidth, isSigned, precision, unit }: ArrowType): ArrayKind<NumberArray> {
  const bits = bitWidth as 8 | 16 | 32 | 64
  let array: unknown
  if (typeId === TYPE.int) array = (isSigned ? SIGNED : UNSIGNED)[bits]
  else if (typeId === TYPE.float) array = FLOATS[precision as 0 | 1 | 2]
  else if (typeId === TYPE.date) array = unit === DAY ? Int32Array : BigInt64Array
  else if (typeId === TYPE.time) array = bits === 32 ? Int32Array : BigInt64Array
  else array = BigInt64Array
  return array as ArrayKind<NumberArray>
}

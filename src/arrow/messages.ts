/**
 * @file The messages of Arrow files and streams, and the footer of files: what the metadata says, checked
 * (https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
 */

import { DataError } from '../lowrank-error.js'
import { FlatTable } from './flat-buffers.js'
import { type ArrowField, decodeSchema } from './types.js'

/** Where the values of a batch of rows, or of a dictionary, lie in the body of its message. */
export interface BatchLayout {
  readonly rows: number
  readonly nodes: readonly { readonly length: number; readonly nulls: number }[]
  readonly buffers: readonly { readonly offset: number; readonly length: number }[]
  readonly codec: 'LZ4' | 'Zstandard' | undefined
  /** How many buffers of data each column of views has. */
  readonly viewBuffers: readonly number[]
}

/** A message without its body. */
export type ArrowMessage = { readonly bodyLength: number } & (
  | { readonly kind: 'schema'; readonly fields: readonly ArrowField[] }
  | { readonly kind: 'rows'; readonly batch: BatchLayout }
  | { readonly kind: 'dictionary'; readonly batch: BatchLayout; readonly id: bigint; readonly isDelta: boolean }
)

/** Where a message of a file is. */
export interface ArrowBlock {
  readonly offset: number
  readonly metadataLength: number
  readonly bodyLength: number
}

/** What the footer of a file says. */
export interface ArrowFooter {
  readonly fields: readonly ArrowField[]
  readonly dictionaries: readonly ArrowBlock[]
  readonly batches: readonly ArrowBlock[]
}

// Before this version, of 2017, structs had other fields.
const FIRST_VERSION = 3
const LAST_VERSION = 4
const BLOCK_BYTES = 24
const PAIR_BYTES = 16

/** @throws DataError for what is damaged or not read */
export function decodeMessage(metadata: Uint8Array): ArrowMessage {
  const message = FlatTable.root(metadata)
  expectVersion(message)
  const bodyLength = message.long(3)
  if (bodyLength < 0) throw new DataError(`a message of ${bodyLength} bytes`)
  const header = message.table(2)
  if (header === undefined) throw new DataError('a message without a header')
  const type = message.byte(1)
  switch (type) {
    case 1:
      return { kind: 'schema', bodyLength, fields: decodeSchema(header) }
    case 2: {
      const data = header.table(1)
      if (data === undefined) throw new DataError('a dictionary without values')
      return { kind: 'dictionary', bodyLength, batch: layoutOf(data), id: header.bigint(0), isDelta: header.boolean(2) }
    }
    case 3:
      return { kind: 'rows', bodyLength, batch: layoutOf(header) }
    case 4:
    case 5:
      throw new DataError('a tensor, which has no rows')
    default:
      throw new DataError(`a message of a kind that Arrow does not have (number ${type})`)
  }
}

/** @throws DataError for what is damaged or not read */
export function decodeFooter(bytes: Uint8Array): ArrowFooter {
  const footer = FlatTable.root(bytes)
  expectVersion(footer)
  const schema = footer.table(1)
  if (schema === undefined) throw new DataError('a footer without a schema')
  return { fields: decodeSchema(schema), dictionaries: blocksOf(footer, 2), batches: blocksOf(footer, 3) }
}

function expectVersion(table: FlatTable): void {
  const version = table.short(0)
  if (version >= FIRST_VERSION && version <= LAST_VERSION) return
  throw new DataError(`metadata of version ${version + 1} where 4 and 5 are read`)
}

function blocksOf(footer: FlatTable, field: number): ArrowBlock[] {
  const blocks = footer.vector(field, BLOCK_BYTES)
  return Array.from({ length: blocks.count }, (_, index) => ({
    offset: blocks.long(index, 0),
    metadataLength: blocks.int(index, 8),
    bodyLength: blocks.long(index, 16),
  }))
}

function layoutOf(batch: FlatTable): BatchLayout {
  const rows = batch.long(0)
  if (rows < 0) throw new DataError(`a batch of ${rows} rows`)
  const nodes = batch.vector(1, PAIR_BYTES)
  const buffers = batch.vector(2, PAIR_BYTES)
  const viewBuffers = batch.vector(4, 8)
  return {
    rows,
    nodes: Array.from({ length: nodes.count }, (_, index) => ({
      length: nodes.long(index, 0),
      nulls: nodes.long(index, 8),
    })),
    buffers: Array.from({ length: buffers.count }, (_, index) => ({
      offset: buffers.long(index, 0),
      length: buffers.long(index, 8),
    })),
    codec: codecOf(batch.table(3)),
    viewBuffers: Array.from({ length: viewBuffers.count }, (_, index) => viewBuffers.long(index, 0)),
  }
}

function codecOf(compression: FlatTable | undefined): BatchLayout['codec'] {
  if (compression === undefined) return undefined
  const codec = compression.byte(0)
  if (compression.byte(1) !== 0 || codec > 1) throw new DataError('buffers that are compressed in an unknown way')
  return codec === 0 ? 'LZ4' : 'Zstandard'
}

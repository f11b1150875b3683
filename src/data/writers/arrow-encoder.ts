/** @file Rows as Arrow IPC files, by apache-arrow where the program has it. */

import type * as Arrow from 'apache-arrow'
import { describeValue } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { loadPeer } from '../load-peer.js'
import type { RowEncoder } from './format-writer.js'
import { type ColumnType, entriesOf, type RowSchema } from './row-schema.js'
import { encoderOf, inColumn, type ValueForms } from './row-values.js'

const BATCH_ROWS = 5000
const BATCH_BYTES = 8 << 20

const FORMS: ValueForms = { integer: BigInt, json: (text) => text, timestamp: (value) => value.getTime() }

/** Encodes rows as an Arrow file. @throws where apache-arrow is not installed */
export async function arrowEncoder(schema: RowSchema): Promise<RowEncoder> {
  const arrow = await loadPeer<typeof Arrow>('apache-arrow', 'to write Arrow')
  const fields = fieldsOf(arrow, schema)
  const places = new Map([...schema.keys()].map((name, index) => [name, index]))
  const encoders = [...schema.values()].map((type) => encoderOf(type, FORMS))
  const writer = new arrow.RecordBatchFileWriter()
  const chunks = writer[Symbol.asyncIterator]()
  const drain = drainer(chunks)
  const arrowSchema = new arrow.Schema(fields)
  let columns: unknown[][] = fields.map(() => [])
  let rows = 0
  let size = { bytes: 0 }
  return {
    add(row) {
      const values: unknown[] = fields.map(() => null)
      for (const [name, value] of entriesOf(row)) {
        const index = places.get(name)
        if (index === undefined) throw new DataError(`the columns of the schema, got also ${describeValue(name)}`)
        values[index] = inColumn(name, () => encoders[index]?.(value, size))
      }
      for (const [index, value] of values.entries()) columns[index]?.push(value)
      rows++
      return rows >= BATCH_ROWS || size.bytes >= BATCH_BYTES
    },
    async take() {
      const children = fields.map((field, index) => {
        const builder = arrow.makeBuilder({ type: field.type, nullValues: [null, undefined] })
        for (const value of columns[index] ?? []) builder.append(value)
        return builder.finish().flush()
      })
      const data = arrow.makeData({ type: new arrow.Struct(fields), length: rows, nullCount: 0, children })
      writer.write(new arrow.RecordBatch(arrowSchema, data))
      columns = fields.map(() => [])
      rows = 0
      size = { bytes: 0 }
      return drain()
    },
    async end() {
      writer.finish()
      return drain()
    },
  }
}

/** Takes what a writer has made so far, which it gives piece by piece and without a mark at the end. */
function drainer(chunks: AsyncIterator<Uint8Array>): () => Promise<Uint8Array> {
  let pending: Promise<IteratorResult<Uint8Array>> | undefined
  return async () => {
    const parts: Uint8Array[] = []
    for (;;) {
      pending ??= chunks.next()
      const idle = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))
      const next = await Promise.race([pending, idle])
      if (next === undefined || next.done) return Buffer.concat(parts)
      parts.push(next.value)
      pending = undefined
    }
  }
}

function fieldsOf(arrow: typeof Arrow, schema: RowSchema): Arrow.Field[] {
  return [...schema].map(([name, type]) => new arrow.Field(name, typeOf(arrow, type), true))
}

function typeOf(arrow: typeof Arrow, type: ColumnType): Arrow.DataType {
  if (typeof type === 'object') {
    if ('list' in type) return new arrow.List(new arrow.Field('item', typeOf(arrow, type.list), true))
    return new arrow.Struct(fieldsOf(arrow, type.struct))
  }
  switch (type) {
    case 'boolean':
      return new arrow.Bool()
    case 'integer':
      return new arrow.Int64()
    case 'float':
      return new arrow.Float64()
    case 'string':
    case 'json':
      return new arrow.Utf8()
    case 'bytes':
      return new arrow.Binary()
    case 'timestamp':
      return new arrow.TimestampMillisecond('UTC')
    default:
      return type satisfies never
  }
}

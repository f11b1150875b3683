/** @file Rows as Parquet, by hyparquet-writer, with a schema of our own: its own one makes nested columns JSON. */

import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { describeValue } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import type { RowEncoder } from './format-writer.js'
import { type ColumnType, eachEntry, type RowSchema } from './row-schema.js'
import { encoderOf, ofColumn, type Size, type ValueForms } from './row-values.js'
import { snappy } from './snappy.js'

// The writer brings a version of hyparquet of its own.
type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]['schema'][number]

// Row groups that any reader holds in little memory.
const GROUP_ROWS = 5000
const GROUP_BYTES = 8 << 20

const FORMS: ValueForms = {
  integer: BigInt,
  json: (text) => Buffer.from(text),
  timestamp: (value) => value,
}

/**
 * Encodes rows as a Parquet file.
 * @throws DataError for rows without columns
 */
export function parquetEncoder(schema: RowSchema): RowEncoder & { readonly size: number } {
  if (schema.size === 0)
    throw new DataError(
      '[data] expected rows with columns, got none: a Parquet file has at least one column; write JSON Lines, or give rows',
    )
  const names = [...schema.keys()]
  const places = new Map(names.map((name, index) => [name, index]))
  const encoders = [...schema.values()].map((type) => encoderOf(type, FORMS))
  const bytes = new ByteWriter()
  const parquet = new ParquetWriter({
    writer: bytes,
    schema: elementsOf(schema),
    compressors: { SNAPPY: snappy },
    createdBy: 'lowrank',
  })
  let columns: unknown[][] = names.map(() => [])
  let rows = 0
  let size: Size = { bytes: 0 }
  const taken = (): Uint8Array => {
    const copy = Uint8Array.from(bytes.getBytes())
    bytes.index = 0
    return copy
  }
  return {
    get size() {
      return bytes.offset
    },
    add(row) {
      for (const column of columns) column.push(null)
      let column: string | undefined
      let next = 0
      try {
        eachEntry(row, (name, value) => {
          column = undefined
          // Most rows have their columns in the order of the schema.
          const index = names[next] === name ? next : places.get(name)
          next++
          if (index === undefined) throw new DataError(`the columns of the schema, got also ${describeValue(name)}`)
          column = name
          const values = columns[index] as unknown[]
          values[rows] = encoders[index]?.(value, size)
        })
      } catch (error) {
        for (const values of columns) values.pop()
        throw column === undefined ? error : ofColumn(column, error)
      }
      rows++
      return rows >= GROUP_ROWS || size.bytes >= GROUP_BYTES
    },
    take() {
      if (rows > 0) {
        const columnData = names.map((name, index) => ({ name, data: columns[index] as unknown[] }))
        void parquet.write({ columnData, rowGroupSize: rows })
      }
      columns = names.map(() => [])
      rows = 0
      size = { bytes: 0 }
      return taken()
    },
    end() {
      void parquet.finish()
      return taken()
    },
  }
}

/** The schema as Parquet lists it: each group before its children. */
function elementsOf(schema: RowSchema): SchemaElement[] {
  return [{ name: 'root', num_children: schema.size }, ...fieldsOf(schema)]
}

function fieldsOf(schema: RowSchema): SchemaElement[] {
  return [...schema].flatMap(([name, type]) => fieldOf(name, type))
}

function fieldOf(name: string, type: ColumnType): SchemaElement[] {
  const optional = { name, repetition_type: 'OPTIONAL' } as const
  if (typeof type === 'object') {
    if ('struct' in type) return [{ ...optional, num_children: type.struct.size }, ...fieldsOf(type.struct)]
    return [
      { ...optional, num_children: 1, converted_type: 'LIST', logical_type: { type: 'LIST' } },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      ...fieldOf('element', type.list),
    ]
  }
  return [{ ...optional, ...LEAVES[type] }]
}

const LEAVES: Readonly<Record<Exclude<ColumnType, object>, Omit<SchemaElement, 'name'>>> = {
  boolean: { type: 'BOOLEAN' },
  integer: { type: 'INT64' },
  float: { type: 'DOUBLE' },
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  bytes: { type: 'BYTE_ARRAY' },
  timestamp: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MILLIS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
  },
  json: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } },
}

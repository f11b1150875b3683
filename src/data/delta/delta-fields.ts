/** @file The columns of a Delta table: their types, and the values that the log has of them. Opens no file. */

import { floatOf, integerOf } from '../../arrow/columnar-values.js'
import { describeValue } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { isObject, toError } from '../../values.js'
import type { ColumnType, RowSchema } from '../writers/row-schema.js'
import { type DeltaMetadata, deltaError } from './delta-log.js'

/** A column of a table, or a field of a struct. */
export interface DeltaField {
  /** As the table calls it. */
  readonly name: string
  /** As its Parquet files call it. */
  readonly physicalName: string
  readonly id: number | undefined
  readonly type: DeltaType
  readonly metadata: Readonly<Record<string, unknown>>
}

/** `long`, `decimal(10,2)`, or one that holds others. */
export type DeltaType =
  | string
  | { readonly type: 'array'; readonly element: DeltaType }
  | { readonly type: 'map'; readonly key: DeltaType; readonly value: DeltaType }
  | { readonly type: 'struct'; readonly fields: readonly DeltaField[] }

/** The columns of a table. @throws where its schema is none */
export function fieldsOf(table: string, { schemaString }: DeltaMetadata): readonly DeltaField[] {
  try {
    const type = typeOf(JSON.parse(schemaString))
    if (typeof type === 'object' && type.type === 'struct') return type.fields
    throw new DataError(describeValue(schemaString))
  } catch (error) {
    throw deltaError(table, 'a schema in the log', toError(error).message, error)
  }
}

function typeOf(value: unknown): DeltaType {
  if (typeof value === 'string') return value
  if (isObject(value)) {
    if (value.type === 'array') return { type: 'array', element: typeOf(value.elementType) }
    if (value.type === 'map') return { type: 'map', key: typeOf(value.keyType), value: typeOf(value.valueType) }
    if (value.type === 'struct' && Array.isArray(value.fields))
      return { type: 'struct', fields: value.fields.map(fieldOf) }
  }
  throw new DataError(`the type ${describeValue(value)}`)
}

function fieldOf(value: unknown): DeltaField {
  if (!isObject(value) || typeof value.name !== 'string') throw new DataError(`the field ${describeValue(value)}`)
  const metadata = isObject(value.metadata) ? value.metadata : {}
  const id = metadata['delta.columnMapping.id']
  return {
    name: value.name,
    physicalName: String(metadata['delta.columnMapping.physicalName'] ?? value.name),
    id: typeof id === 'number' ? id : undefined,
    type: typeOf(value.type),
    metadata,
  }
}

/** A partition value, which is a text in the log, as the column has it. */
export function partitionValue(type: DeltaType, text: string | null | undefined): unknown {
  if (text === null || text === undefined || text === '') return null
  if (type === 'boolean') return text === 'true'
  if (type === 'long' || type === 'integer' || type === 'short' || type === 'byte') return integerOf(BigInt(text))
  if (type === 'double' || type === 'float') return floatOf(Number(text))
  if (type === 'timestamp') return `${timeOf(text)}Z`
  if (type === 'timestamp_ntz') return timeOf(text)
  return text
}

/** A time with as few digits of its second as columns have. */
function timeOf(text: string): string {
  return text
    .replace(' ', 'T')
    .replace(/Z$/, '')
    .replace(/(?<=\.\d*)(?:000)+$|\.0+$/, '')
    .replace(/\.$/, '')
}

/** Values of a column whose files say less of it than the table. */
export function completed(type: DeltaType, value: unknown): unknown {
  // Spark writes instants as 96 bits, which do not say that they are in UTC.
  return type === 'timestamp' && typeof value === 'string' && !value.endsWith('Z') ? `${value}Z` : value
}

/** The schema of rows as Delta writes it down. */
export function schemaText(schema: RowSchema): string {
  return JSON.stringify(structText(schema))
}

/** The type of a column as Delta calls it. */
export function deltaTypeOf(type: ColumnType): DeltaType {
  return typeOf(typeText(type))
}

function structText(schema: RowSchema): object {
  const fields = [...schema].map(([name, type]) => ({ name, type: typeText(type), nullable: true, metadata: {} }))
  return { type: 'struct', fields }
}

function typeText(type: ColumnType): unknown {
  if (typeof type === 'object')
    return 'list' in type
      ? { type: 'array', elementType: typeText(type.list), containsNull: true }
      : structText(type.struct)
  return NAMES[type]
}

const NAMES = {
  boolean: 'boolean',
  integer: 'long',
  float: 'double',
  string: 'string',
  bytes: 'binary',
  timestamp: 'timestamp',
  // Delta knows no JSON but as variants, which few readers have.
  json: 'string',
} as const satisfies Record<Exclude<ColumnType, object>, string>

/**
 * The columns of a table as rows are written to it.
 * @throws DataError for a type that is not written
 */
export function rowSchemaOf(fields: readonly DeltaField[], found: RowSchema): RowSchema {
  return new Map(fields.map(({ name, type }) => [name, columnTypeOf(name, type, found.get(name))]))
}

function columnTypeOf(name: string, type: DeltaType, found: ColumnType | undefined): ColumnType {
  if (typeof type === 'object') {
    const inner = typeof found === 'object' ? found : undefined
    if (type.type === 'array')
      return { list: columnTypeOf(name, type.element, inner && 'list' in inner ? inner.list : undefined) }
    if (type.type === 'struct')
      return { struct: rowSchemaOf(type.fields, inner && 'struct' in inner ? inner.struct : new Map()) }
  }
  // A column of strings holds JSON texts where the rows before it had values of several types too.
  if (type === 'string' && found === 'json') return 'json'
  const known = Object.entries(NAMES).find(([own, text]) => text === type && own !== 'json')
  if (known !== undefined) return known[0] as ColumnType
  throw new DataError(
    `a column of a type that is written (${[...new Set(Object.values(NAMES))].join(', ')}, array or struct), got ` +
      `${typeof type === 'string' ? type : type.type} for the column ${describeValue(name)}`,
  )
}

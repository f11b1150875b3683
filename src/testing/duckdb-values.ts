/** @file Types and values of DuckDB as statements of Databricks answer them: text of types, text of values, Arrow. */

import type * as DuckDB from '@duckdb/node-api'
import type * as Arrow from 'apache-arrow'
import { dateText, decimalText, timestampText } from '../arrow/columnar-values.js'
import { FailedStatement } from './executor.js'

const NAMES: Readonly<Record<string, string>> = {
  BOOLEAN: 'BOOLEAN',
  TINYINT: 'TINYINT',
  SMALLINT: 'SMALLINT',
  INTEGER: 'INT',
  BIGINT: 'BIGINT',
  UTINYINT: 'SMALLINT',
  USMALLINT: 'INT',
  UINTEGER: 'BIGINT',
  UBIGINT: 'DECIMAL(20,0)',
  HUGEINT: 'DECIMAL(38,0)',
  FLOAT: 'FLOAT',
  DOUBLE: 'DOUBLE',
  VARCHAR: 'STRING',
  DATE: 'DATE',
  TIMESTAMP: 'TIMESTAMP_NTZ',
  TIMESTAMP_TZ: 'TIMESTAMP',
  BLOB: 'BINARY',
  SQLNULL: 'VOID',
}

/** The type as Databricks writes it: `ARRAY<STRUCT<role: STRING>>`. @throws FailedStatement for those it has not */
export function typeTextOf(api: typeof DuckDB, type: DuckDB.DuckDBType): string {
  const { typeId } = type
  const { DuckDBTypeId: id } = api
  if (typeId === id.DECIMAL) {
    const { width, scale } = type as DuckDB.DuckDBDecimalType
    return `DECIMAL(${width},${scale})`
  }
  if (typeId === id.LIST || typeId === id.ARRAY)
    return `ARRAY<${typeTextOf(api, (type as DuckDB.DuckDBListType).valueType)}>`
  if (typeId === id.STRUCT) {
    const { entryNames, entryTypes } = type as DuckDB.DuckDBStructType
    return `STRUCT<${entryNames.map((name, index) => `${name}: ${typeTextOf(api, entryTypes[index]!)}`).join(', ')}>`
  }
  if (typeId === id.MAP) {
    const { keyType, valueType } = type as DuckDB.DuckDBMapType
    return `MAP<${typeTextOf(api, keyType)}, ${typeTextOf(api, valueType)}>`
  }
  const name = NAMES[id[typeId] as string]
  if (name === undefined) throw new FailedStatement('BAD_REQUEST', `[UNSUPPORTED_DATATYPE] ${id[typeId]}`)
  return name
}

/** A value as JSON has it within a list or struct: numbers stay numbers, the rest is text. */
function plainOf(api: typeof DuckDB, type: DuckDB.DuckDBType, value: unknown): unknown {
  if (value === null || value === undefined) return null
  const { DuckDBTypeId: id } = api
  switch (type.typeId) {
    case id.BOOLEAN:
    case id.VARCHAR:
      return value
    case id.DATE:
      return dateText((value as DuckDB.DuckDBDateValue).days)
    case id.TIMESTAMP:
      return timestampText((value as DuckDB.DuckDBTimestampValue).micros, 6, false)
    case id.TIMESTAMP_TZ:
      return timestampText((value as DuckDB.DuckDBTimestampTZValue).micros, 6, true)
    case id.BLOB:
      return Buffer.from((value as DuckDB.DuckDBBlobValue).bytes).toString('base64')
    case id.DECIMAL: {
      const { value: unscaled, scale } = value as DuckDB.DuckDBDecimalValue
      return new Verbatim(decimalText(unscaled, scale))
    }
    case id.FLOAT:
    case id.DOUBLE:
      return new Verbatim(floatText(value as number))
    case id.LIST:
    case id.ARRAY: {
      const { valueType } = type as DuckDB.DuckDBListType
      return (value as DuckDB.DuckDBListValue).items.map((item) => plainOf(api, valueType, item))
    }
    case id.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDB.DuckDBStructType
      const { entries } = value as DuckDB.DuckDBStructValue
      return Object.fromEntries(
        entryNames.map((name, index) => [name, plainOf(api, entryTypes[index]!, entries[name])]),
      )
    }
    case id.MAP: {
      const { keyType, valueType } = type as DuckDB.DuckDBMapType
      return Object.fromEntries(
        (value as DuckDB.DuckDBMapValue).entries.map((entry) => [
          String(plainOf(api, keyType, entry.key)),
          plainOf(api, valueType, entry.value),
        ]),
      )
    }
    default:
      return new Verbatim(String(value))
  }
}

/** A number whose text JSON takes as it is. */
class Verbatim {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** The value as the format JSON_ARRAY has it. */
export function valueText(api: typeof DuckDB, type: DuckDB.DuckDBType, value: unknown): string | null {
  const plain = plainOf(api, type, value)
  if (plain === null) return null
  return typeof plain === 'object' && !(plain instanceof Verbatim) ? jsonText(plain) : String(plain)
}

function jsonText(value: unknown): string {
  if (value instanceof Verbatim) return value.text
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([name, field]) => `${JSON.stringify(name)}:${jsonText(field)}`)
    .join(',')}}`
}

function floatText(value: number): string {
  return Number.isInteger(value) && Math.abs(value) < 1e7 ? value.toFixed(1) : String(value)
}

/** Rows as an Arrow stream. */
export function arrowStream(
  arrow: typeof Arrow,
  api: typeof DuckDB,
  names: readonly string[],
  types: readonly DuckDB.DuckDBType[],
  columns: readonly (readonly unknown[])[],
): Uint8Array {
  const fields = names.map((name, index) => new arrow.Field(name, arrowType(arrow, api, types[index]!), true))
  const schema = new arrow.Schema(fields)
  const children = fields.map(({ type }, index) => {
    const values = (columns[index] ?? []).map((value) => arrowValue(api, types[index]!, value))
    return arrow.vectorFromArray(values, type).data[0] ?? arrow.makeData({ type, length: 0 } as never)
  })
  const data = arrow.makeData({ type: new arrow.Struct(fields), length: columns[0]?.length ?? 0, children })
  return arrow.tableToIPC(new arrow.Table(schema, new arrow.RecordBatch(schema, data)), 'stream')
}

function arrowType(arrow: typeof Arrow, api: typeof DuckDB, type: DuckDB.DuckDBType): Arrow.DataType {
  const { DuckDBTypeId: id } = api
  switch (type.typeId) {
    case id.BOOLEAN:
      return new arrow.Bool()
    case id.TINYINT:
      return new arrow.Int8()
    case id.SMALLINT:
    case id.UTINYINT:
      return new arrow.Int16()
    case id.INTEGER:
    case id.USMALLINT:
      return new arrow.Int32()
    case id.BIGINT:
    case id.UINTEGER:
      return new arrow.Int64()
    case id.FLOAT:
      return new arrow.Float32()
    case id.DOUBLE:
      return new arrow.Float64()
    case id.VARCHAR:
      return new arrow.Utf8()
    case id.BLOB:
      return new arrow.Binary()
    case id.DATE:
      return new arrow.DateDay()
    case id.TIMESTAMP:
      return new arrow.TimestampMicrosecond(null)
    case id.TIMESTAMP_TZ:
      return new arrow.TimestampMicrosecond('Etc/UTC')
    case id.DECIMAL: {
      const { width, scale } = type as DuckDB.DuckDBDecimalType
      return new arrow.Decimal(scale, width, 128)
    }
    case id.LIST:
    case id.ARRAY:
      return new arrow.List(
        new arrow.Field('element', arrowType(arrow, api, (type as DuckDB.DuckDBListType).valueType), true),
      )
    case id.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDB.DuckDBStructType
      return new arrow.Struct(
        entryNames.map((name, index) => new arrow.Field(name, arrowType(arrow, api, entryTypes[index]!), true)),
      )
    }
    default:
      throw new FailedStatement('BAD_REQUEST', `[UNSUPPORTED_DATATYPE] ${typeTextOf(api, type)} in ARROW_STREAM`)
  }
}

function arrowValue(api: typeof DuckDB, type: DuckDB.DuckDBType, value: unknown): unknown {
  if (value === null || value === undefined) return null
  const { DuckDBTypeId: id } = api
  switch (type.typeId) {
    case id.DATE:
      return 86_400_000 * (value as DuckDB.DuckDBDateValue).days
    case id.TIMESTAMP:
    case id.TIMESTAMP_TZ:
      // apache-arrow takes times in milliseconds and multiplies them.
      return Number((value as DuckDB.DuckDBTimestampValue).micros) / 1000
    case id.UINTEGER:
      return BigInt(value as number)
    case id.BLOB:
      return (value as DuckDB.DuckDBBlobValue).bytes
    case id.DECIMAL: {
      const words = new Uint32Array(4)
      for (
        let at = 0, left = BigInt.asUintN(128, (value as DuckDB.DuckDBDecimalValue).value);
        at < 4;
        at++, left >>= 32n
      )
        words[at] = Number(left & 0xffffffffn)
      return words
    }
    case id.LIST:
    case id.ARRAY: {
      const { valueType } = type as DuckDB.DuckDBListType
      return (value as DuckDB.DuckDBListValue).items.map((item) => arrowValue(api, valueType, item))
    }
    case id.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDB.DuckDBStructType
      const { entries } = value as DuckDB.DuckDBStructValue
      return Object.fromEntries(
        entryNames.map((name, index) => [name, arrowValue(api, entryTypes[index]!, entries[name])]),
      )
    }
    default:
      return value
  }
}

/** @file Rows of a query, by DuckDB where the program has it: on files of any format that DuckDB reads. */

import type * as DuckDB from '@duckdb/node-api'
import { dateText, floatOf, integerOf, timestampText, timeText } from '../../arrow/columnar-values.js'
import { describeValue } from '../../errors.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import { loadPeer } from '../load-peer.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'

/** A query, as `dataset` takes it. */
export interface SqlQuery {
  /** `select prompt, completion from 'rows.parquet' where score > 0.5` */
  readonly sql: string
}

/** The rows of a query. The order of rows is that of the query: without `order by`, DuckDB keeps that of one file. */
export function sqlSource({ sql }: SqlQuery): RowSource {
  return {
    name: sql,
    check: () =>
      withConnection(sql, async (_, connection) => {
        const prepared = await connection.prepare(sql)
        prepared.destroySync()
      }),
    rows: (context) => readQuery(sql, context),
  }
}

async function* readQuery(sql: string, context: ReadContext): AsyncGenerator<SourceRow> {
  const { turns } = context
  const { api, connection, close } = await connect(sql)
  try {
    const result = await connection.stream(sql)
    const names = result.columnNames()
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) throw refused(sql, `two columns that are called ${describeValue(twice)}; name one anew`)
    const converts = result.columnTypes().map((type) => convertOf(api, type))
    let row = 0
    for await (const rows of result.yieldRows()) {
      for (const values of rows) {
        const entries = names.map((name, index) => [name, converts[index]?.(values[index])] as const)
        yield {
          value: names.includes('__proto__') ? new Map(entries) : Object.fromEntries(entries),
          origin: { row: ++row },
        }
        if (turns.isOver) await turns.next()
      }
    }
    context.onLineage({ location: sql, rows: row })
  } catch (error) {
    if (error instanceof LowrankError || context.signal?.aborted) throw error
    throw refused(sql, toError(error).message, error)
  } finally {
    close()
  }
}

async function withConnection(
  sql: string,
  work: (api: typeof DuckDB, connection: DuckDB.DuckDBConnection) => Promise<void>,
): Promise<void> {
  const { api, connection, close } = await connect(sql)
  try {
    await work(api, connection)
  } catch (error) {
    throw refused(sql, toError(error).message, error)
  } finally {
    close()
  }
}

async function connect(
  sql: string,
): Promise<{ api: typeof DuckDB; connection: DuckDB.DuckDBConnection; close: () => void }> {
  const api = await loadPeer<typeof DuckDB>('@duckdb/node-api', `to run ${describeValue(sql)}`)
  const instance = await api.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  return {
    api,
    connection,
    close: () => {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

type Convert = (value: unknown) => unknown

/** What values of a type become: the same as those of a Parquet file. */
function convertOf(api: typeof DuckDB, type: DuckDB.DuckDBType): Convert {
  const convert = convertPresent(api, type)
  return (value) => (value === null || value === undefined ? null : convert(value))
}

function convertPresent(api: typeof DuckDB, type: DuckDB.DuckDBType): Convert {
  const { DuckDBTypeId: id } = api
  switch (type.typeId) {
    case id.BIGINT:
    case id.UBIGINT:
    case id.HUGEINT:
    case id.UHUGEINT:
      return (value) => integerOf(value as bigint)
    case id.FLOAT:
    case id.DOUBLE:
      return (value) => floatOf(value as number)
    case id.DATE:
      return (value) => dateText((value as DuckDB.DuckDBDateValue).days)
    case id.TIME:
      return (value) => timeText((value as DuckDB.DuckDBTimeValue).micros, 6)
    case id.TIMESTAMP:
      return (value) => timestampText((value as DuckDB.DuckDBTimestampValue).micros, 6, false)
    case id.TIMESTAMP_TZ:
      return (value) => timestampText((value as DuckDB.DuckDBTimestampTZValue).micros, 6, true)
    case id.TIMESTAMP_S:
      return (value) => timestampText((value as DuckDB.DuckDBTimestampSecondsValue).seconds, 0, false)
    case id.TIMESTAMP_MS:
      return (value) => timestampText((value as DuckDB.DuckDBTimestampMillisecondsValue).millis, 3, false)
    case id.TIMESTAMP_NS:
      return (value) => timestampText((value as DuckDB.DuckDBTimestampNanosecondsValue).nanos, 9, false)
    case id.BLOB:
      return (value) => (value as DuckDB.DuckDBBlobValue).bytes
    case id.LIST:
    case id.ARRAY: {
      const convert = convertOf(api, (type as DuckDB.DuckDBListType).valueType)
      return (value) => (value as DuckDB.DuckDBListValue).items.map(convert)
    }
    case id.STRUCT: {
      const { entryNames, entryTypes } = type as DuckDB.DuckDBStructType
      const converts = entryTypes.map((entry) => convertOf(api, entry))
      return (value) => {
        const { entries } = value as DuckDB.DuckDBStructValue
        return Object.fromEntries(entryNames.map((name, index) => [name, converts[index]?.(entries[name])]))
      }
    }
    case id.MAP: {
      const { keyType, valueType } = type as DuckDB.DuckDBMapType
      const [convertKey, convertValue] = [convertOf(api, keyType), convertOf(api, valueType)]
      return (value) => {
        const { entries } = value as DuckDB.DuckDBMapValue
        return Object.fromEntries(entries.map(({ key, value: held }) => [String(convertKey(key)), convertValue(held)]))
      }
    }
    case id.DECIMAL:
    case id.UUID:
      return String
    default:
      return same
  }
}

function same(value: unknown): unknown {
  if (typeof value !== 'object') return value
  throw new DataError(`[data] expected columns of types that rows have, got ${describeValue(value)}; cast them to text`)
}

function refused(sql: string, reason: string, cause?: unknown): DataError {
  return new DataError(`[data] expected a query that DuckDB runs, got ${describeValue(sql)}: ${reason}`, { cause })
}

/** @file Parquet files as a warehouse reads them: text where DuckDB has the bytes of a JSON text. */

import type * as DuckDB from '@duckdb/node-api'

/**
 * What stands behind FROM to read the files.
 * @param list Their paths as a list of DuckDB.
 */
export async function parquetReading(connection: DuckDB.DuckDBConnection, list: string): Promise<string> {
  const plain = `read_parquet(${list}, union_by_name = true)`
  const values = async (query: string): Promise<string[]> =>
    (await connection.runAndReadAll(query)).getRows().map(([value]) => String(value))
  const texts = await values(`SELECT DISTINCT name FROM parquet_schema(${list}) WHERE logical_type LIKE 'Json%'`)
  if (texts.length === 0) return plain
  const bytes = await values(`SELECT column_name FROM (DESCRIBE SELECT * FROM ${plain}) WHERE column_type = 'BLOB'`)
  const names = bytes.filter((name) => texts.includes(name)).map((name) => `"${name.replaceAll('"', '""')}"`)
  if (names.length === 0) return plain
  return `(SELECT * REPLACE (${names.map((name) => `decode(${name}) AS ${name}`).join(', ')}) FROM ${plain})`
}

/**
 * @file Tables of Unity Catalog as data sets: `uc://catalog.schema.table`, with `@v3` for a version. They are read by a
 * SQL warehouse, at one version however often.
 */

import { columnBatch } from '../../arrow/column-batch.js'
import type { ArrowBatch } from '../../arrow/values.js'
import { connectDatabricks } from '../../databricks/client/connect.js'
import { readTable, type TableRows } from '../../databricks/client/read-table.js'
import { fullName, parseTableAddress } from '../../databricks/client/table-address.js'
import { findTable } from '../../databricks/client/unity-catalog.js'
import { DataError } from '../../lowrank-error.js'
import { rowBatches } from './columnar-rows.js'
import { eachRow } from './row-batches.js'
import type { ReadContext, RowBatch, RowSource } from './row-source.js'

/** The rows of a table. The environment or a profile says which workspace has it. */
export function unityCatalogSource(address: string): RowSource {
  const table = parseTableAddress(address)
  const name = `uc://${fullName(table)}`
  // A table that changes between two readings would give rows that were never counted.
  let { version } = table
  // A statement that was run to count the rows is that of the reading behind it.
  let counted: TableRows | undefined
  const open = async (signal: AbortSignal | undefined): Promise<TableRows> => {
    const rows = await readTable(name, { ...(version !== undefined && { version }), signal })
    version ??= rows.version
    return rows
  }
  const batches = async function* (context: ReadContext): AsyncGenerator<RowBatch> {
    const rows = counted ?? (await open(context.signal))
    counted = undefined
    const location = version === undefined ? name : `${name}@v${version}`
    // All of it is known before a row has come, also to those that take a part of the rows.
    context.onLineage({ location, rows: rows.rowCount })
    let read = 0
    for await (const batch of rowBatches(location, columnBatches(rows))) {
      yield batch
      read += batch.values.length
      if (rows.rowCount > 0) context.onFraction(Math.min(1, read / rows.rowCount))
      if (context.turns.isOver) await context.turns.next()
    }
  }
  return {
    name,
    async check(signal) {
      const client = await connectDatabricks({}, signal)
      if ((await findTable(client, name, signal)) !== undefined) return
      throw new DataError(
        `[data] expected the table ${fullName(table)} in ${client.server}, got none that the credentials may see; check its ` +
          'name, and that they have SELECT on it',
      )
    },
    async count(signal) {
      counted ??= await open(signal)
      return counted.rowCount
    },
    batches,
    rows: (context) => eachRow(batches(context)),
  }
}

async function* columnBatches(rows: TableRows): AsyncGenerator<ReturnType<typeof columnBatch>> {
  let start = 0
  for await (const batch of rows) {
    yield columnBatch(batch as ArrowBatch, start)
    start += batch.numRows
  }
}

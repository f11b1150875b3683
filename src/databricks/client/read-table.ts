/**
 * @file Rows of tables of Unity Catalog as Arrow, by a statement on a SQL warehouse: managed tables and those that only
 * the catalog commits to are read so, not by their files. A Delta table is read at one version, which the result names.
 */

import { describeValue, listNames, nearestName } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import { OptionError } from '../../lowrank-error.js'
import { instance, integer, listOf, text } from '../../options/rules.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import { type DatabricksClient, openDatabricks } from './connect.js'
import { identifier, isStatement, quotedName, type SqlStatement, sql, statementOf } from './sql.js'
import { STATEMENT_OPTIONS, type StatementEvent, type WarehouseOptions } from './statement-options.js'
import type { StatementResult } from './statement-result.js'
import { namedWarehouse, runStatement } from './statements.js'
import { fullName, parseTableAddress, type TableAddress } from './table-address.js'
import { findTable, type TableInfo } from './unity-catalog.js'

/** Which rows of a table are read, and how. */
export interface ReadTableOptions extends WarehouseOptions {
  /**
   * Columns that are read, in this order.
   * @default all
   */
  columns?: readonly string[]
  /**
   * Which rows, as SQL has it behind WHERE: a template `sql` with values, or a text without.
   * @default all
   */
  where?: SqlStatement | string
  /**
   * Version of a Delta table.
   * @default that of the address, then the last one
   */
  version?: number
  /**
   * Rows at most; which ones is for the service to say, unless the table has no more.
   * @default all
   */
  limit?: number
  /**
   * Bytes that are fetched ahead of what is read.
   * @default 67108864
   */
  maxBufferedBytes?: number
  /**
   * Seconds until a statement that still waits or runs is cancelled.
   * @default 3600
   */
  timeout?: number
}

export const READ_TABLE_OPTIONS = {
  columns: { rule: listOf(text, 'names of columns', { minItems: 1 }), otherwise: 'all', help: 'columns that are read' },
  where: {
    rule: instance('a condition as SQL has it behind WHERE', (value) => isStatement(value) || text.accepts(value)),
    otherwise: 'all rows',
    help: 'which rows, as SQL has it behind WHERE',
  },
  version: { rule: integer({ min: 0 }), otherwise: 'the last one', help: 'version of a Delta table' },
  limit: { rule: integer({ min: 1 }), otherwise: 'all', help: 'rows at most' },
  maxBufferedBytes: STATEMENT_OPTIONS.maxBufferedBytes,
  timeout: STATEMENT_OPTIONS.timeout,
  databricks: STATEMENT_OPTIONS.databricks,
  warehouseId: STATEMENT_OPTIONS.warehouseId,
  onEvent: STATEMENT_OPTIONS.onEvent,
  signal: STATEMENT_OPTIONS.signal,
} as const satisfies OptionTable<ReadTableOptions>

/** The rows of a table at one version. It is an iterable of record batches, which `dataset` takes as it is. */
export interface TableRows extends StatementResult, AsyncIterable<unknown> {
  /** `main.default.rows` */
  readonly table: string
  /** Version of the Delta table; undefined for views and other formats, which have none. */
  readonly version: number | undefined
  [Symbol.asyncIterator](): ReturnType<StatementResult['batches']>
}

/**
 * Reads a table.
 *
 * ```ts
 * const options = { columns: ['prompt', 'completion'], where: sql`score > ${0.5}` }
 * const table = await readTable('uc://main.default.rows', options)
 * for await (const batch of table) console.log(batch.numRows)
 * ```
 *
 * @param address `uc://catalog.schema.table`, with `@v3` or `?version=3` for a version
 * @throws ServiceError where it is not there or cannot be read; OptionError for columns that it does not have
 */
export async function readTable(address: string, options: ReadTableOptions = {}): Promise<TableRows> {
  const settings = readOptions('databricks', options, READ_TABLE_OPTIONS)
  const { signal, onEvent = () => {} } = settings
  const name = addressOf(address, settings.version)
  const client = await openDatabricks(settings.databricks, signal)
  const info = await expectTable(client, name, settings.columns, signal)
  const warehouseId = await namedWarehouse(client, settings.warehouseId, onEvent, signal)
  const version = await versionOf(client, name, info, warehouseId, onEvent, signal)
  const result = await runStatement(client, selectOf(name, version, settings), {
    ...settings,
    warehouseId,
    onEvent,
    disposition: 'EXTERNAL_LINKS',
  })
  return { ...result, table: fullName(name), version, [Symbol.asyncIterator]: () => result.batches() }
}

/** The address with the version that options say. @throws OptionError where both say one */
function addressOf(address: string, version: number | undefined): TableAddress {
  const parsed = parseTableAddress(address)
  if (version === undefined || parsed.version === undefined || version === parsed.version)
    return { ...parsed, version: version ?? parsed.version }
  throw new OptionError(
    `[databricks] expected one version of ${fullName(parsed)}, got ${version} beside ${describeValue(address)}; remove one`,
  )
}

/** What the catalog knows of a table. @throws ServiceError where it is not there, OptionError for unknown columns */
async function expectTable(
  client: DatabricksClient,
  name: TableAddress,
  columns: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<TableInfo> {
  const info = await findTable(client, `uc://${quotedName([name.catalog, name.schema, name.table])}`, signal)
  if (info === undefined)
    throw new ServiceError(
      `[databricks] expected the table ${fullName(name)} in ${client.server}, got none that the credentials may see; check its name, and that they have SELECT on it`,
      { status: 404, errorCode: 'TABLE_DOES_NOT_EXIST' },
    )
  const known = (info.columns ?? []).map((column) => column.name)
  const lower = new Set(known.map((column) => column.toLowerCase()))
  const missing = columns?.find((column) => !lower.has(column.toLowerCase()))
  if (missing !== undefined && known.length > 0) {
    const nearest = nearestName(missing, known)
    throw new OptionError(
      `[databricks] expected columns of ${fullName(name)}, got ${describeValue(missing)}; ${nearest === undefined ? `it has ${listNames(known)}` : `did you mean ${nearest}?`}`,
    )
  }
  return info
}

async function versionOf(
  client: DatabricksClient,
  name: TableAddress,
  info: TableInfo,
  warehouseId: string,
  onEvent: (event: StatementEvent) => void,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (name.version !== undefined || info.data_source_format?.toUpperCase() !== 'DELTA') return name.version
  return (await lastCommit(client, name, { warehouseId, onEvent, signal })).version
}

/** The last commit of a Delta table, as DESCRIBE HISTORY has it. */
export async function lastCommit(
  client: DatabricksClient,
  name: TableAddress,
  settings: {
    readonly warehouseId: string
    readonly onEvent: (event: StatementEvent) => void
    readonly signal: AbortSignal | undefined
  },
): Promise<{ readonly version: number }> {
  const { maxBufferedBytes, timeout } = STATEMENT_OPTIONS
  const result = await runStatement(client, sql`DESCRIBE HISTORY ${tableOf(name)} LIMIT 1`, {
    warehouseId: settings.warehouseId,
    onEvent: settings.onEvent,
    disposition: 'INLINE',
    maxBufferedBytes: maxBufferedBytes.default,
    timeout: timeout.default,
    ...(settings.signal && { signal: settings.signal }),
  })
  for await (const row of result.rows()) {
    const version = Number(row.version)
    if (Number.isSafeInteger(version) && version >= 0) return { version }
  }
  throw new ServiceError(
    `[databricks] expected the history of ${fullName(name)} to name its version, got none; give the version`,
  )
}

/** The name of a table as part of a statement. */
function tableOf({ catalog, schema, table }: TableAddress): ReturnType<typeof identifier> {
  return identifier(catalog, schema, table)
}

function selectOf(
  name: TableAddress,
  version: number | undefined,
  { columns, where, limit }: Pick<ReadTableOptions, 'columns' | 'where' | 'limit'>,
): SqlStatement {
  // Time travel takes no parameter, and whole numbers need none.
  const parts = [
    statementOf(`SELECT ${columns === undefined ? '*' : columns.map((column) => quotedName([column])).join(', ')}`),
  ]
  parts.push(sql`FROM ${tableOf(name)}`)
  if (version !== undefined) parts.push(statementOf(`VERSION AS OF ${version}`))
  if (where !== undefined) parts.push(sql`WHERE (${typeof where === 'string' ? statementOf(where) : where})`)
  if (limit !== undefined) parts.push(statementOf(`LIMIT ${limit}`))
  return parts.reduce((before, part) => sql`${before} ${part}`)
}

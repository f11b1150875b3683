/**
 * @file Rows to a table of Unity Catalog: as Parquet files to a volume, and from there by one statement. A push that
 * was killed, or whose answer was lost, is run again without harm.
 *
 * 1. All rows are in files of this machine before anything is sent: a row that does not fit is known by then, and the
 *    push has an id, which is made of its files, its mode and its name.
 * 2. Rows become visible by one commit: CREATE TABLE or CREATE OR REPLACE TABLE ... AS SELECT, or COPY INTO.
 * 3. COPY INTO loads no file twice, by its path, and paths have the id. A table that a push made has its id as a
 *    property of the same commit.
 * 4. Comments, tags and properties come after the rows, and again does no harm. With mode 'error' a property says
 *    whether they are all there: it tells a push that was killed from a table that was there.
 */

import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type DataSource, openSource } from '../../data/sources/open-source.js'
import type { ReadContext, RowSource, SourceLineage } from '../../data/sources/row-source.js'
import type { RowSchema } from '../../data/writers/row-schema.js'
import { withSchema } from '../../data/writers/write-rows.js'
import { describeValue, listNames, nearestName } from '../../errors.js'
import { ServiceError } from '../../http/service-error.js'
import { DataError, OptionError } from '../../lowrank-error.js'
import { type Resolved, readOptions } from '../../options/table.js'
import { packageVersion } from '../../version.js'
import { openDatabricks } from '../client/connect.js'
import { lastCommit } from '../client/read-table.js'
import type { SqlStatement } from '../client/sql.js'
import { namedWarehouse } from '../client/statements.js'
import { fullName, parseTableAddress, type TableName } from '../client/table-address.js'
import { findTable, type TableInfo } from '../client/unity-catalog.js'
import { make } from '../resources.js'
import { needsMapping, newColumns, type PushColumns, tableColumns } from './columns.js'
import { PUSH_DATASET_OPTIONS, type PushDatasetOptions, type PushedTable } from './options.js'
import { MOST_FILE_BYTES, type ParquetFile, pushFolder, writeParquetFiles } from './parquet-files.js'
import { type PushSession, runSettled } from './run-settled.js'
import { ensureVolume, STAGING_VOLUME, stageFiles, tryToUnstage, unstageFiles } from './staging.js'
import { commentColumn, commentTable, copyInto, createTable, setProperties, setTags } from './statements.js'

/** Property of a table that a push made: the id of the push. */
const PUSH = 'lowrank.push'
/** Property of a table that a push with mode 'error' has made: whether it is described too. */
const STATE = 'lowrank.state'
const LOADED = 'loaded'
/** COPY INTO takes no more names of files. */
const MOST_FILES = 1000

type Settings = Resolved<PushDatasetOptions, typeof PUSH_DATASET_OPTIONS>

/**
 * Pushes rows to a table of Unity Catalog.
 *
 * ```ts
 * await pushDataset('rows.jsonl', 'main.default.rows', { mode: 'append', comment: 'Questions and answers' })
 * ```
 *
 * Rows are what `dataset` takes: a path, a Delta table, an Arrow table, an (async) iterable of objects. The same rows
 * are appended to a table once, however often they are pushed, unless `pushName` tells the pushes apart.
 *
 * @param table `catalog.schema.table`, with or without `uc://`
 * @throws DataError for rows that do not fit the table, before anything is uploaded; ServiceError; OptionError; the
 * reason of the signal. The table has all rows of the push then, or none
 */
export function pushDataset(rows: DataSource, table: string, options: PushDatasetOptions = {}): Promise<PushedTable> {
  return pushWith(rows, table, options, MOST_FILE_BYTES)
}

/** The same with files of another size. */
export async function pushWith(
  rows: DataSource,
  table: string,
  options: PushDatasetOptions,
  mostFileBytes: number,
): Promise<PushedTable> {
  const settings = readOptions('pushDataset', options, PUSH_DATASET_OPTIONS)
  const { signal, onProgress = () => {}, timeout } = settings
  const target = targetOf(table)
  const volume = volumeOf(settings.volume, target)
  await openSource(rows, 'rows').check?.(signal)
  const client = await openDatabricks(settings.databricks, signal)
  const before = await findTable(client, fullName(target), signal)
  expectWritable(target, before, settings.mode)
  const warehouseId = await namedWarehouse(client, settings.warehouseId, onProgress, signal)
  const session: PushSession = { client, warehouseId, timeout, signal, onEvent: onProgress }
  const folder = await pushFolder()
  const onFraction = (fraction: number): void => onProgress({ type: 'prepare', fraction })
  try {
    await mkdir(folder, { mode: 0o700 })
    return await withSchema(rows, join(folder, 'rows'), { signal, onFraction }, async (source, found, context) => {
      const push = await prepare({ target, before, settings, folder, mostFileBytes }, source, found, context)
      return await send(session, push, volume, settings)
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Push {
  readonly target: TableName
  readonly before: TableInfo | undefined
  readonly columns: PushColumns
  readonly files: readonly ParquetFile[]
  readonly id: string
  readonly sourceSha256: string
  readonly properties: Readonly<Record<string, string>>
}

interface Preparation {
  readonly target: TableName
  readonly before: TableInfo | undefined
  readonly settings: Settings
  readonly folder: string
  readonly mostFileBytes: number
}

/** Writes the files, and finds all that is wrong with the rows. Sends nothing. */
async function prepare(
  { target, before, settings, folder, mostFileBytes }: Preparation,
  source: RowSource,
  found: RowSchema,
  context: ReadContext,
): Promise<Push> {
  const { mode, columnComments = {}, pushName = '' } = settings
  const name = fullName(target)
  if (found.size === 0)
    throw new DataError(`[databricks] expected rows with columns for ${name}, got none; check where they are from`)
  const columns =
    before !== undefined && mode === 'append'
      ? tableColumns(name, before.columns ?? [], found)
      : newColumns(name, found, settings.columnTypes)
  expectColumns(name, columnComments, mode === 'append' ? before : undefined, columns)
  const lineage: SourceLineage[] = []
  const reading = { ...context, needsHash: true, onLineage: (each: SourceLineage) => void lineage.push(each) }
  const files = await writeParquetFiles(folder, source, columns.schema, reading, mostFileBytes)
  if (files.length > MOST_FILES)
    throw new DataError(
      `[databricks] expected rows that fit ${MOST_FILES} files, got ${files.length}; push them in several parts`,
    )
  // Unity Catalog knows a table by its name in any case.
  const id = hashOf([name.toLowerCase(), mode, pushName, columns.select, ...files.map((file) => file.name)])
  const hashes = lineage.flatMap(({ sha256 }) => sha256 ?? [])
  const isHashed = hashes.length > 0 && hashes.length === lineage.length
  const sourceSha256 = isHashed
    ? hashes.length === 1
      ? (hashes[0] as string)
      : hashOf(hashes)
    : hashOf(files.map((file) => file.name))
  const properties = {
    // Where a file lies on this machine is for nobody else.
    'lowrank.source': (source.name.includes('://') ? source.name : basename(source.name)).slice(0, 1000),
    'lowrank.source_sha256': sourceSha256,
    'lowrank.version': packageVersion() ?? 'unknown',
  }
  return { target, before, columns, files, id, sourceSha256, properties }
}

/** Uploads the files, loads them, describes the table, and takes the files away. */
async function send(session: PushSession, push: Push, volume: TableName, settings: Settings): Promise<PushedTable> {
  const { client, signal } = session
  const { target, before, files, id, sourceSha256 } = push
  const name = fullName(target)
  const [bytes, rows] = [sum(files.map((file) => file.bytes)), sum(files.map((file) => file.rows))]
  if (before !== undefined && settings.mode === 'error' && !isOwn(before, id)) throw isThere(name)
  const path = `/Volumes/${volume.catalog}/${volume.schema}/${volume.table}/push-${id.slice(0, 32)}`
  const wasThere = before !== undefined && settings.mode !== 'overwrite' && isOwn(before, id)
  let isNew = false
  if (!wasThere) {
    await ensureVolume(client, volume, signal)
    const onBytes = (done: number): void => settings.onProgress?.({ type: 'upload', bytes: done, totalBytes: bytes })
    try {
      await stageFiles(client, path, files, onBytes, signal)
      isNew = await load(session, push, path, settings)
    } catch (error) {
      if (!settings.keepFiles) await tryToUnstage(client, path, files)
      throw error
    }
  }
  await describe(session, push, settings)
  if (!settings.keepFiles) await unstageFiles(client, path, files, signal)
  const { version } = await lastCommit(client, { ...target, version: undefined }, session)
  return {
    table: name,
    version,
    rows,
    files: files.length,
    bytes,
    wasThere: !isNew,
    pushId: id,
    sourceSha256,
  }
}

/** Whether a push made a table, which nobody has replaced since. */
function isOwn({ properties = {} }: TableInfo, id: string): boolean {
  return properties[PUSH] === id
}

/** Brings the rows into the table by one commit. @returns whether they were not there before */
async function load(session: PushSession, push: Push, path: string, settings: Settings): Promise<boolean> {
  const { target, before, columns, files, id } = push
  const { client, signal } = session
  const { mode, comment } = settings
  if (before !== undefined && mode === 'append') {
    const result = await runSettled(session, copyInto(target, columns, path, files), '0s')
    if (result === undefined) return true
    for await (const row of result.rows()) return Number(row.num_inserted_rows ?? row.num_affected_rows) > 0
    return true
  }
  const properties = {
    ...push.properties,
    [PUSH]: id,
    ...(mode === 'error' && { [STATE]: LOADED }),
    ...(needsMapping(columns) && { 'delta.columnMapping.mode': 'name' }),
  }
  const statement = createTable(target, columns, path, { comment, properties }, mode === 'overwrite')
  if (before !== undefined) {
    await runSettled(session, statement, '0s')
    return true
  }
  const name = fullName(target)
  const isMade = async (): Promise<boolean> => {
    const found = await findTable(client, name, signal)
    return found !== undefined && isOwn(found, id)
  }
  await make(client, {
    kind: 'table',
    name,
    create: async () => {
      try {
        await runSettled(session, statement, '0s')
      } catch (error) {
        // A first try of this statement may have made it.
        if (!isExisting(error)) throw error
        if (!(await isMade())) throw madeMeanwhile(name, error)
      }
      return name
    },
    find: async () => ((await isMade()) ? name : undefined),
    idOf: () => name,
  })
  return true
}

function isExisting(error: unknown): boolean {
  return error instanceof ServiceError && /ALREADY_EXISTS/.test(`${error.errorCode} ${error.message}`)
}

function madeMeanwhile(name: string, cause: unknown): ServiceError {
  return new ServiceError(
    `[databricks] expected no other program to make ${name} while rows were pushed to it, got a table that was not there before; push again`,
    { errorCode: 'TABLE_OR_VIEW_ALREADY_EXISTS', cause },
  )
}

/** Comments, tags and properties, which the table may have already. */
async function describe(session: PushSession, push: Push, settings: Settings): Promise<void> {
  const { target, before, properties } = push
  const { mode, comment, columnComments = {}, tags = {} } = settings
  const run = (statement: SqlStatement): Promise<unknown> => runSettled(session, statement)
  for (const [column, text] of Object.entries(columnComments)) await run(commentColumn(target, column, text))
  if (Object.keys(tags).length > 0) await run(setTags(target, tags))
  if (mode === 'append' && before !== undefined) {
    if (comment !== undefined) await run(commentTable(target, comment))
    await run(setProperties(target, properties))
  }
  if (mode === 'error') await run(setProperties(target, { [STATE]: 'complete' }))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function hashOf(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

/** @throws OptionError for what is no table, and for a version of one */
function targetOf(address: string): TableName {
  const { version, ...name } = parseTableAddress(address)
  if (version === undefined) return name
  throw new OptionError(
    `[databricks] expected a table without a version to push to, got ${describeValue(address)}; leave the version out`,
  )
}

function volumeOf(given: string | undefined, { catalog, schema }: TableName): TableName {
  if (given === undefined) return { catalog, schema, table: STAGING_VOLUME }
  try {
    return targetOf(given.replace(/^\/Volumes\/([^/]+)\/([^/]+)\/([^/]+)\/?$/, '$1.$2.$3'))
  } catch {
    throw new OptionError(
      `[databricks] expected CATALOG.SCHEMA.VOLUME for volume, got ${describeValue(given)}; leave it out for ${STAGING_VOLUME}`,
    )
  }
}

/** @throws for a table that no rows may be pushed to in this mode */
function expectWritable(target: TableName, info: TableInfo | undefined, mode: Settings['mode']): void {
  if (info === undefined) return
  const name = fullName(target)
  // One that an earlier push has not finished may be of this very push: its id will say.
  if (mode === 'error' && info.properties?.[STATE] !== LOADED) throw isThere(name)
  const kind = (info.table_type ?? 'UNKNOWN').toUpperCase()
  const format = info.data_source_format?.toUpperCase() ?? kind
  if (!['MANAGED', 'EXTERNAL'].includes(kind) || format !== 'DELTA')
    throw new ServiceError(
      `[databricks] expected a Delta table to push to at ${name}, got one of the kind ${kind}, ${format}; choose another name`,
      { errorCode: 'BAD_REQUEST' },
    )
  if (mode === 'overwrite' && kind === 'EXTERNAL')
    throw new ServiceError(
      `[databricks] expected a managed table to overwrite at ${name}, got an external one, which would become another table; delete it first, or append`,
      { errorCode: 'BAD_REQUEST' },
    )
}

function isThere(name: string): ServiceError {
  return new ServiceError(
    `[databricks] expected no table ${name}, got one; give mode 'append' to add the rows, 'overwrite' to replace all, or choose another name`,
    { errorCode: 'TABLE_OR_VIEW_ALREADY_EXISTS' },
  )
}

/** @throws DataError where a comment is for a column that is not there */
function expectColumns(
  table: string,
  comments: Readonly<Record<string, string>>,
  before: TableInfo | undefined,
  { names }: PushColumns,
): void {
  const known = before?.columns?.map(({ name }) => name) ?? names
  const missing = Object.keys(comments).find((name) => !known.some((each) => each.toLowerCase() === name.toLowerCase()))
  if (missing === undefined) return
  const nearest = nearestName(missing, known)
  throw new DataError(
    `[databricks] expected columns of ${table} for columnComments, got ${describeValue(missing)}; ${nearest === undefined ? `it has ${listNames(known)}` : `did you mean ${nearest}?`}`,
  )
}

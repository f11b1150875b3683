/** @file Writing rows to Delta tables on disk: new ones, appends, and tables whose rows are replaced. */

import { randomUUID } from 'node:crypto'
import { describeValue, expectPath, listNames } from '../../errors.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { callback, instance, listOf, oneOf, text } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import type { DataSource } from '../sources/open-source.js'
import type { RowSchema } from '../writers/row-schema.js'
import { inColumn } from '../writers/row-values.js'
import { withSchema } from '../writers/write-rows.js'
import { commit } from './commit.js'
import { type DeltaType, deltaTypeOf, fieldsOf, rowSchemaOf, schemaText } from './delta-fields.js'
import { type DeltaSnapshot, deltaError, isDeltaTable, readSnapshot } from './delta-log.js'
import { expectPartitionType } from './partitions.js'
import { type FileColumns, removeFiles, writeFiles } from './write-files.js'

/** How rows are written to a Delta table. */
export interface WriteDeltaOptions {
  /**
   * What becomes of a table that is there: `append` adds the rows, `overwrite` puts them in place of all others,
   * `error` refuses.
   * @default 'error'
   */
  mode?: 'append' | 'overwrite' | 'error'
  /**
   * Columns by whose values the rows lie in files of their own, so that readers open only those that they ask for. None
   * may hold lists, objects or bytes. A table that is there keeps its own, unless its rows are replaced.
   * @default none
   */
  partitionBy?: readonly string[]
  /**
   * Makes writing again harmless: where the table has a transaction of this application with this version or a later
   * one, nothing is written.
   * @default none
   */
  transaction?: { readonly appId: string; readonly version: number }
  /**
   * Told the share of the work that is done, from 0 to 1.
   * @default none
   */
  onFraction?: (fraction: number) => void
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

export const WRITE_DELTA_OPTIONS = {
  mode: {
    rule: oneOf(['append', 'overwrite', 'error']),
    default: 'error' as const,
    help: 'what becomes of a table that is there: append, overwrite or error',
  },
  partitionBy: {
    rule: listOf(text, 'names of columns', { minItems: 1 }),
    otherwise: 'those of the table, none where it is new',
    help: 'columns by whose values the rows lie in files of their own',
  },
  transaction: {
    rule: instance(
      'an object with appId and version',
      (value) => isPlainObject(value) && typeof value.appId === 'string' && Number.isSafeInteger(value.version),
    ),
    otherwise: 'none',
    help: 'application and version, by which rows that are written again are told',
  },
  onFraction: { rule: callback, otherwise: 'none', help: 'told the share of the work that is done' },
  signal: SIGNAL,
} as const satisfies OptionTable<WriteDeltaOptions>

/** What was written. */
export interface WrittenTable {
  readonly path: string
  /** The version that holds the rows; that of the transaction where it was there before. */
  readonly version: number
  /** How many were written: 0 where the transaction was there before. */
  readonly rows: number
}

const MOST_TRIES = 20
// Features of tables that rows can be added to without doing anything for them.
const WRITER_FEATURES = [
  'appendOnly',
  'invariants',
  'deletionVectors',
  'timestampNtz',
  'v2Checkpoint',
  'vacuumProtocolCheck',
]

/**
 * Writes rows to a Delta table. Their files are written first and belong to the table once a commit names them, which
 * is there whole or not at all. Appends of several writers at once all succeed, one after the other.
 *
 * @throws DataError where the table is there and `mode` is 'error', for rows that do not fit its columns, and for
 * tables with column mapping or features that are not written
 */
export async function writeDelta(
  rows: DataSource,
  path: string,
  options: WriteDeltaOptions = {},
): Promise<WrittenTable> {
  expectPath('data', 'path', path)
  const {
    mode,
    transaction,
    signal,
    onFraction = () => {},
    ...given
  } = readOptions('data', options, WRITE_DELTA_OPTIONS)
  const before = (await isDeltaTable(path)) ? await readSnapshot(path) : undefined
  if (before !== undefined) {
    if (mode === 'error')
      throw deltaError(path, 'no table, or the mode append or overwrite', `version ${before.version} of one`)
    expectWritable(path, before, mode)
    const done = transaction && isDone(before, transaction)
    if (done) return { path, version: before.version, rows: 0 }
  }
  const partitionBy = partitionsOf(path, before, mode, given.partitionBy)
  return await withSchema(rows, path, { signal, onFraction }, async (source, found, context) => {
    const columns =
      before !== undefined && mode === 'append'
        ? tableColumns(path, before, found)
        : newColumns(path, found, partitionBy)
    const files = await writeFiles(path, source, columns, context)
    const count = files.reduce((sum, file) => sum + file.rows, 0)
    const adds = files.map(({ add }) => ({ add }))
    const change = { mode, transaction, adds, schema: found, partitionBy }
    const version = await commitFiles(path, before, change).catch(async (error: unknown) => {
      await removeFiles(path, files)
      throw error
    })
    if (version === undefined) await removeFiles(path, files)
    return { path, version: version ?? (await readSnapshot(path)).version, rows: version === undefined ? 0 : count }
  })
}

function isDone({ transactions }: DeltaSnapshot, { appId, version }: { appId: string; version: number }): boolean {
  return (transactions.get(appId) ?? -1) >= version
}

function expectWritable(path: string, { protocol, metadata }: DeltaSnapshot, mode: 'append' | 'overwrite'): void {
  const { configuration } = metadata
  const unknown = protocol.writerFeatures.filter((name) => !WRITER_FEATURES.includes(name))
  const refuse = (expected: string, got: string): never => {
    throw deltaError(path, expected, `${got}; write to a new table`)
  }
  if (unknown.length > 0) refuse(`writer features among ${listNames(WRITER_FEATURES)}`, listNames(unknown))
  const isOld = protocol.minWriterVersion > 2 && protocol.minWriterVersion !== 7
  if (isOld) refuse('a writer version of 1, 2 or 7', String(protocol.minWriterVersion))
  if ((configuration['delta.columnMapping.mode'] ?? 'none') !== 'none') refuse('a table without column mapping', 'one')
  const constraint = Object.keys(configuration).find((name) => name.startsWith('delta.constraints.'))
  if (constraint !== undefined) refuse('a table without constraints', constraint)
  const checked = fieldsOf(path, metadata).find((field) => field.metadata['delta.invariants'] !== undefined)
  if (checked !== undefined) refuse('a table without invariants', `one of the column ${describeValue(checked.name)}`)
  if (mode === 'overwrite' && configuration['delta.appendOnly'] === 'true')
    refuse('a table whose rows may be removed', 'delta.appendOnly')
}

/** @throws where a table that is appended to has other partitions */
function partitionsOf(
  path: string,
  before: DeltaSnapshot | undefined,
  mode: Change['mode'],
  given: readonly string[] | undefined,
): readonly string[] {
  const there = before?.metadata.partitionColumns ?? []
  if (mode === 'append' && before !== undefined && given !== undefined && given.join('\0') !== there.join('\0'))
    throw deltaError(
      path,
      `the partitions of the table (${listNames(there) || 'none'}) for partitionBy`,
      `${listNames(given)}; leave it out, or write to a new table`,
    )
  const names = given ?? there
  const twice = names.find((name, index) => names.indexOf(name) < index)
  if (twice !== undefined) throw deltaError(path, 'different columns for partitionBy', `${describeValue(twice)} twice`)
  return names
}

/** The columns of a new table, or of one whose rows are replaced. */
function newColumns(path: string, found: RowSchema, partitionBy: readonly string[]): FileColumns {
  const partitions = new Map<string, DeltaType>()
  for (const name of partitionBy) {
    const type = found.get(name)
    if (type === undefined)
      throw deltaError(
        path,
        `a column of the rows (${listNames([...found.keys()])}) for partitionBy`,
        describeValue(name),
      )
    partitions.set(name, partitionType(path, name, type === 'json' ? 'several types' : deltaTypeOf(type)))
  }
  const schema = new Map([...found].filter(([name]) => !partitions.has(name)))
  if (partitions.size > 0 && schema.size === 0)
    throw deltaError(path, 'a column that is none of partitionBy', `only ${listNames(partitionBy)}`)
  return { schema, partitions }
}

function partitionType(path: string, name: string, type: DeltaType): DeltaType {
  inTable(path, () => inColumn(name, () => expectPartitionType(type)))
  return type
}

/** The columns of a table that is appended to. */
function tableColumns(path: string, { metadata }: DeltaSnapshot, found: RowSchema): FileColumns {
  const fields = fieldsOf(path, metadata)
  const isPartition = (name: string): boolean => metadata.partitionColumns.includes(name)
  const types = new Map(fields.map(({ name, type }) => [name, type]))
  const partitions = metadata.partitionColumns.map(
    (name) => [name, partitionType(path, name, types.get(name) ?? 'unknown')] as const,
  )
  const schema = inTable(path, () =>
    rowSchemaOf(
      fields.filter(({ name }) => !isPartition(name)),
      found,
    ),
  )
  return { schema, partitions: new Map(partitions) }
}

/** Runs `work`, whose errors name the table. */
function inTable<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof DataError) || error.message.startsWith('[')) throw error
    const [expected = '', ...got] = error.message.split(', got ')
    throw deltaError(path, expected, got.join(', got '), error)
  }
}

interface Change {
  readonly mode: 'append' | 'overwrite' | 'error'
  readonly transaction: { readonly appId: string; readonly version: number } | undefined
  readonly adds: readonly object[]
  readonly schema: RowSchema
  readonly partitionBy: readonly string[]
}

/**
 * Commits files. Where another writer was faster, an append goes behind it; what was read for another change is no
 * longer true.
 * @returns the version; undefined where the transaction turned out to be there
 */
async function commitFiles(
  table: string,
  before: DeltaSnapshot | undefined,
  change: Change,
): Promise<number | undefined> {
  const { mode, transaction, adds } = change
  let state = before
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const version = (state?.version ?? -1) + 1
    const actions = [
      { commitInfo: infoOf(state === undefined ? 'CREATE TABLE AS SELECT' : 'WRITE', change) },
      ...(transaction ? [{ txn: { ...transaction, lastUpdated: Date.now() } }] : []),
      ...(state === undefined ? newTable(change) : mode === 'overwrite' ? replaced(state, change) : []),
      ...adds,
    ]
    if (await commit(table, version, actions)) return version
    const now = await readSnapshot(table)
    if (transaction && isDone(now, transaction)) return undefined
    const isSame = state !== undefined && isSameTable(state, now)
    if (mode !== 'append' || !isSame) {
      throw new LowrankError(
        'FILE',
        `[data] expected no other writer of ${table}, got version ${now.version} of one meanwhile; write again`,
      )
    }
    expectWritable(table, now, mode)
    state = now
  }
  throw new LowrankError(
    'FILE',
    `[data] expected one of ${MOST_TRIES} tries to commit to ${table}, got none; write again`,
  )
}

function isSameTable(a: DeltaSnapshot, b: DeltaSnapshot): boolean {
  const { id, schemaString, partitionColumns } = a.metadata
  const { metadata: other } = b
  return (
    id === other.id && schemaString === other.schemaString && partitionColumns.join() === other.partitionColumns.join()
  )
}

function infoOf(operation: string, { mode, partitionBy }: Change): object {
  const written = mode === 'overwrite' ? 'Overwrite' : 'Append'
  const operationParameters = { mode: written, partitionBy: JSON.stringify(partitionBy) }
  return { timestamp: Date.now(), operation, operationParameters, engineInfo: 'lowrank' }
}

function newTable(change: Change): object[] {
  return [{ protocol: { minReaderVersion: 1, minWriterVersion: 2 } }, metadataOf(randomUUID(), change, {})]
}

function metadataOf(
  id: string,
  { schema, partitionBy }: Change,
  configuration: Readonly<Record<string, string>>,
): object {
  return {
    metaData: {
      id,
      format: { provider: 'parquet', options: {} },
      schemaString: schemaText(schema),
      partitionColumns: partitionBy,
      configuration,
      createdTime: Date.now(),
    },
  }
}

/** The removal of all rows, and the schema of those that come. */
function replaced({ files, metadata: { id, configuration } }: DeltaSnapshot, change: Change): object[] {
  const removes = files.map(({ path, partitionValues, size, deletionVector }) => ({
    remove: {
      path,
      deletionTimestamp: Date.now(),
      dataChange: true,
      extendedFileMetadata: true,
      partitionValues,
      size,
      ...(deletionVector && { deletionVector }),
    },
  }))
  return [metadataOf(id, change, configuration), ...removes]
}

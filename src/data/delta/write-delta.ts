/** @file Writing rows to Delta tables on disk: new ones, appends, and tables whose rows are replaced. */

import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../atomic-write.js'
import { describeValue, expectPath, listNames } from '../../errors.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import { callback, instance, oneOf } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import { type OptionTable, readOptions } from '../../options/table.js'
import { isPlainObject } from '../../values.js'
import type { DataSource } from '../sources/open-source.js'
import type { ReadContext, RowSource, SourceRow } from '../sources/row-source.js'
import type { RowSchema } from '../writers/row-schema.js'
import { inRow, withSchema } from '../writers/write-rows.js'
import { ColumnStatistics } from './column-statistics.js'
import { commit } from './commit.js'
import { fieldsOf, rowSchemaOf, schemaText } from './delta-fields.js'
import { type DeltaSnapshot, deltaError, isDeltaTable, readSnapshot } from './delta-log.js'

/** How rows are written to a Delta table. */
export interface WriteDeltaOptions {
  /**
   * What becomes of a table that is there: `append` adds the rows, `overwrite` puts them in place of all others,
   * `error` refuses.
   * @default 'error'
   */
  mode?: 'append' | 'overwrite' | 'error'
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

const MOST_FILE_BYTES = 128 << 20
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
 * tables with partitions, column mapping or features that are not written
 */
export async function writeDelta(
  rows: DataSource,
  path: string,
  options: WriteDeltaOptions = {},
): Promise<WrittenTable> {
  expectPath('data', 'path', path)
  const { mode, transaction, signal, onFraction = () => {} } = readOptions('data', options, WRITE_DELTA_OPTIONS)
  const before = (await isDeltaTable(path)) ? await readSnapshot(path) : undefined
  if (before !== undefined) {
    if (mode === 'error')
      throw deltaError(path, 'no table, or the mode append or overwrite', `version ${before.version} of one`)
    expectWritable(path, before, mode)
    const done = transaction && isDone(before, transaction)
    if (done) return { path, version: before.version, rows: 0 }
  }
  return await withSchema(rows, path, { signal, onFraction }, async (source, found, context) => {
    const schema = before !== undefined && mode === 'append' ? tableSchema(path, before, found) : found
    const files = await writeFiles(path, source, schema, context)
    const count = files.reduce((sum, { add }) => sum + add.rows, 0)
    const adds = files.map(({ add: { rows: _, ...add } }) => ({ add }))
    const version = await commitFiles(path, before, { mode, transaction, adds, schema })
    return { path, version: version ?? (await readSnapshot(path)).version, rows: version === undefined ? 0 : count }
  })
}

function isDone({ transactions }: DeltaSnapshot, { appId, version }: { appId: string; version: number }): boolean {
  return (transactions.get(appId) ?? -1) >= version
}

function expectWritable(path: string, { protocol, metadata }: DeltaSnapshot, mode: 'append' | 'overwrite'): void {
  const { configuration, partitionColumns } = metadata
  const unknown = protocol.writerFeatures.filter((name) => !WRITER_FEATURES.includes(name))
  const refuse = (expected: string, got: string): never => {
    throw deltaError(path, expected, `${got}; write to a new table`)
  }
  if (unknown.length > 0) refuse(`writer features among ${listNames(WRITER_FEATURES)}`, listNames(unknown))
  const isOld = protocol.minWriterVersion > 2 && protocol.minWriterVersion !== 7
  if (isOld) refuse('a writer version of 1, 2 or 7', String(protocol.minWriterVersion))
  if (partitionColumns.length > 0) refuse('a table without partitions', listNames(partitionColumns))
  if ((configuration['delta.columnMapping.mode'] ?? 'none') !== 'none') refuse('a table without column mapping', 'one')
  const constraint = Object.keys(configuration).find((name) => name.startsWith('delta.constraints.'))
  if (constraint !== undefined) refuse('a table without constraints', constraint)
  const checked = fieldsOf(path, metadata).find((field) => field.metadata['delta.invariants'] !== undefined)
  if (checked !== undefined) refuse('a table without invariants', `one of the column ${describeValue(checked.name)}`)
  if (mode === 'overwrite' && configuration['delta.appendOnly'] === 'true')
    refuse('a table whose rows may be removed', 'delta.appendOnly')
}

function tableSchema(path: string, { metadata }: DeltaSnapshot, found: RowSchema): RowSchema {
  try {
    return rowSchemaOf(fieldsOf(path, metadata), found)
  } catch (error) {
    if (!(error instanceof DataError) || error.message.startsWith('[')) throw error
    const [expected = '', ...got] = error.message.split(', got ')
    throw deltaError(path, expected, got.join(', got '), error)
  }
}

interface AddedFile {
  readonly add: {
    readonly path: string
    readonly partitionValues: Readonly<Record<string, string>>
    readonly size: number
    readonly modificationTime: number
    readonly dataChange: boolean
    readonly stats: string
    readonly rows: number
  }
}

/** Writes the rows to files of the table, of which the log does not know yet. */
async function writeFiles(
  table: string,
  source: RowSource,
  schema: RowSchema,
  context: ReadContext,
): Promise<AddedFile[]> {
  const { parquetEncoder } = await import('../writers/parquet-encoder.js')
  const files: AddedFile[] = []
  const rows = source.rows(context)[Symbol.asyncIterator]()
  try {
    for (let next = await rows.next(); !next.done; ) {
      const path = `part-${String(files.length).padStart(5, '0')}-${randomUUID()}-c000.snappy.parquet`
      const statistics = new ColumnStatistics(schema)
      const encoder = parquetEncoder(schema)
      let row: IteratorResult<SourceRow> = next
      async function* content(): AsyncGenerator<Uint8Array> {
        const { turns } = context
        while (!row.done && encoder.size < MOST_FILE_BYTES) {
          turns.throwIfAborted()
          const { value, origin } = row.value
          const isEnough = inRow(origin, () => encoder.add(value))
          statistics.add(value)
          if (isEnough) yield await encoder.take()
          if (turns.isOver) await turns.next()
          row = await rows.next()
        }
        yield await encoder.take()
        yield await encoder.end()
      }
      await writeFileAtomic(join(table, path), content())
      const { size, mtimeMs } = await stat(join(table, path))
      const stats = statistics.text
      files.push({
        add: {
          path,
          partitionValues: {},
          size,
          modificationTime: Math.floor(mtimeMs),
          dataChange: true,
          stats,
          rows: statistics.rows,
        },
      })
      next = row
    }
  } finally {
    await rows.return?.()
  }
  return files
}

interface Change {
  readonly mode: 'append' | 'overwrite' | 'error'
  readonly transaction: { readonly appId: string; readonly version: number } | undefined
  readonly adds: readonly object[]
  readonly schema: RowSchema
}

/**
 * Commits files. Where another writer was faster, an append goes behind it; what was read for another change is no
 * longer true.
 * @returns the version; undefined where the transaction turned out to be there
 */
async function commitFiles(
  table: string,
  before: DeltaSnapshot | undefined,
  { mode, transaction, adds, schema }: Change,
): Promise<number | undefined> {
  let state = before
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const version = (state?.version ?? -1) + 1
    const actions = [
      { commitInfo: infoOf(state === undefined ? 'CREATE TABLE AS SELECT' : 'WRITE', mode) },
      ...(transaction ? [{ txn: { ...transaction, lastUpdated: Date.now() } }] : []),
      ...(state === undefined ? newTable(schema) : mode === 'overwrite' ? replaced(state, schema) : []),
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
  return a.metadata.id === b.metadata.id && a.metadata.schemaString === b.metadata.schemaString
}

function infoOf(operation: string, mode: Change['mode']): object {
  const operationParameters = { mode: mode === 'overwrite' ? 'Overwrite' : 'Append', partitionBy: '[]' }
  return { timestamp: Date.now(), operation, operationParameters, engineInfo: 'lowrank' }
}

function newTable(schema: RowSchema): object[] {
  return [{ protocol: { minReaderVersion: 1, minWriterVersion: 2 } }, metadataOf(randomUUID(), schema, {})]
}

function metadataOf(id: string, schema: RowSchema, configuration: Readonly<Record<string, string>>): object {
  return {
    metaData: {
      id,
      format: { provider: 'parquet', options: {} },
      schemaString: schemaText(schema),
      partitionColumns: [],
      configuration,
      createdTime: Date.now(),
    },
  }
}

/** The removal of all rows, and the schema of those that come. */
function replaced({ files, metadata: { id, configuration } }: DeltaSnapshot, schema: RowSchema): object[] {
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
  return [metadataOf(id, schema, configuration), ...removes]
}

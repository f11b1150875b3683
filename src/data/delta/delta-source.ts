/** @file Rows of Delta tables on disk, of their last version or of an earlier one. */

import { type ColumnBatch, rowOf } from '../../arrow/column-batch.js'
import { DataFile } from '../sources/data-file.js'
import type { ReadContext, RowSource, SourceRow } from '../sources/row-source.js'
import { type MappingMode, renameColumns } from './column-mapping.js'
import { readDeletionVector } from './deletion-vector.js'
import { completed, type DeltaField, fieldsOf, partitionValue } from './delta-fields.js'
import { type DeltaFile, type DeltaSnapshot, readSnapshot, resolvePath } from './delta-log.js'

/** A Delta table, as `dataset` takes it. */
export interface DeltaTable {
  /** Path of the folder that holds `_delta_log`. */
  readonly delta: string
  /**
   * Number of the version.
   * @default the last one
   */
  readonly version?: number
}

/** The rows of a table. Its files are named by the log, so that those of other versions do not count. */
export function deltaSource({ delta: table, version }: DeltaTable): RowSource {
  return {
    name: version === undefined ? table : `${table}@v${version}`,
    check: async () => void (await readSnapshot(table, version)),
    rows: (context) => readTable(table, version, context),
  }
}

async function* readTable(table: string, version: number | undefined, context: ReadContext): AsyncGenerator<SourceRow> {
  const snapshot = await readSnapshot(table, version)
  const fields = fieldsOf(table, snapshot.metadata)
  const size = snapshot.files.reduce((sum, file) => sum + file.size, 0)
  let before = 0
  let rows = 0
  for (const file of snapshot.files) {
    const path = resolvePath(table, file.path)
    const data = await DataFile.open(path, (bytes) => context.onFraction(Math.min(1, (before + bytes) / size)))
    try {
      for await (const row of readFile(table, snapshot, fields, file, data, context)) {
        rows++
        yield row
      }
    } finally {
      await data.close()
    }
    before += file.size
  }
  context.onFraction(1)
  // The files of a version never change, so that its number says which rows these were.
  context.onLineage({ location: `${table}@v${snapshot.version}`, rows, size })
}

async function* readFile(
  table: string,
  { metadata }: DeltaSnapshot,
  fields: readonly DeltaField[],
  file: DeltaFile,
  data: DataFile,
  { turns }: ReadContext,
): AsyncGenerator<SourceRow> {
  const { openParquet } = await import('../sources/parquet-file.js')
  const mode = (metadata.configuration['delta.columnMapping.mode'] ?? 'none') as MappingMode
  const parquet = await openParquet(data, (footer) => renameColumns(footer, fields, mode))
  const deleted = file.deletionVector && (await readDeletionVector(table, file.deletionVector))
  const there = new Set(parquet.schema.children.map(({ element }) => element.name))
  const partitions = new Set(metadata.partitionColumns)
  const stored = fields.filter(({ name }) => there.has(name) && !partitions.has(name)).map(({ name }) => name)
  const names = fields.map(({ name }) => name)
  for await (const batch of parquet.batches(turns, stored)) {
    const byName = new Map(batch.names.map((name, index) => [name, batch.columns[index] as ArrayLike<unknown>]))
    const columns = fields.map(({ name, physicalName, type }): ArrayLike<unknown> => {
      const values = byName.get(name)
      if (values !== undefined)
        return type === 'timestamp' ? Array.from(values, (value) => completed(type, value)) : values
      const { partitionValues: given } = file
      const value = partitions.has(name) ? partitionValue(type, given[physicalName] ?? given[name]) : null
      return new Array<unknown>(batch.length).fill(value)
    })
    const complete: ColumnBatch = { names, columns, length: batch.length, start: batch.start }
    for (let index = 0; index < batch.length; index++) {
      const row = batch.start + index
      if (deleted?.has(row)) continue
      yield { value: rowOf(complete, index), origin: { file: data.path, row: row + 1 } }
    }
  }
}

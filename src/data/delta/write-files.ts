/** @file The files of rows of a Delta table: written whole, before its log knows of them. */

import { randomUUID } from 'node:crypto'
import { rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { writeFileAtomic } from '../../atomic-write.js'
import { PythonFloat } from '../../lossless-json.js'
import type { ReadContext, RowSource, SourceRow } from '../sources/row-source.js'
import type { RowSchema } from '../writers/row-schema.js'
import { entriesOf } from '../writers/row-schema.js'
import { inColumn } from '../writers/row-values.js'
import { inRow } from '../writers/write-rows.js'
import { ColumnStatistics } from './column-statistics.js'
import type { DeltaType } from './delta-fields.js'
import { type PartitionValues, partitionFolder, partitionText, pathInLog } from './partitions.js'

/** A file that was written. */
export interface AddedFile {
  readonly rows: number
  /** The action of the log that makes it a part of the table. */
  readonly add: {
    readonly path: string
    readonly partitionValues: PartitionValues
    readonly size: number
    readonly modificationTime: number
    readonly dataChange: boolean
    readonly stats: string
  }
}

/** What the files hold. */
export interface FileColumns {
  /** Columns that are in the files. */
  readonly schema: RowSchema
  /** Types of the columns whose values the log has. */
  readonly partitions: ReadonlyMap<string, DeltaType>
}

const MOST_FILE_BYTES = 128 << 20
/** What partitions hold in memory together, whose rows come in any order, and how many there are. */
const MOST_HELD_BYTES = 64 << 20
const MOST_OPEN = 1000

/** Writes all rows. Where that fails, the files are gone again. */
export async function writeFiles(
  table: string,
  source: RowSource,
  columns: FileColumns,
  context: ReadContext,
): Promise<AddedFile[]> {
  const files: AddedFile[] = []
  try {
    if (columns.partitions.size > 0) await writePartitions(table, source, columns, context, files)
    else await writeWhole(table, source, columns.schema, context, files)
    return files
  } catch (error) {
    await removeFiles(table, files)
    throw error
  }
}

/** Removes files that no commit names, and folders that are empty without them. */
export async function removeFiles(table: string, files: readonly AddedFile[]): Promise<void> {
  for (const { add } of files) {
    const path = join(table, decodeURIComponent(add.path))
    await rm(path, { force: true })
    await removeEmpty(dirname(path), table)
  }
  await removeEmpty(table, table)
}

/** Removes folders from `folder` up to that of the table, as far as nothing is in them. */
async function removeEmpty(folder: string, table: string): Promise<void> {
  try {
    for (let each = resolve(folder); ; each = dirname(each)) {
      await rmdir(each)
      if (each === resolve(table)) return
    }
  } catch {
    // Others write there.
  }
}

async function writeWhole(
  table: string,
  source: RowSource,
  schema: RowSchema,
  context: ReadContext,
  files: AddedFile[],
): Promise<void> {
  const { parquetEncoder } = await import('../writers/parquet-encoder.js')
  const rows = source.rows(context)[Symbol.asyncIterator]()
  try {
    for (let next = await rows.next(); !next.done; ) {
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
      files.push(await writeFile(table, {}, files.length, content(), statistics))
      next = row
    }
  } finally {
    await rows.return?.()
  }
}

interface OpenPartition {
  readonly values: PartitionValues
  readonly add: (row: ReadonlyMap<string, unknown>) => void
  /** About how many bytes of memory its rows take. */
  readonly held: () => number
  readonly end: () => Promise<readonly Uint8Array[]>
  readonly statistics: ColumnStatistics
}

/** Rows of all partitions wait in memory; where they are too many, those of the largest become a file. */
async function writePartitions(
  table: string,
  source: RowSource,
  { schema, partitions }: FileColumns,
  context: ReadContext,
  files: AddedFile[],
): Promise<void> {
  const { parquetEncoder } = await import('../writers/parquet-encoder.js')
  const open = new Map<string, OpenPartition>()
  const { turns } = context
  let held = 0
  const openPartition = (values: PartitionValues): OpenPartition => {
    const encoder = parquetEncoder(schema)
    const statistics = new ColumnStatistics(schema)
    const pieces: Uint8Array[] = []
    const take = async (): Promise<void> => void pieces.push(await encoder.take())
    let bytes = 0
    let pending = 0
    return {
      values,
      statistics,
      held: () => bytes + pending,
      add(row) {
        pending += sizeOf(row)
        const isEnough = encoder.add(row)
        statistics.add(row)
        if (!isEnough) return
        const piece = encoder.take() as Uint8Array
        pieces.push(piece)
        bytes += piece.length
        pending = 0
      },
      async end() {
        await take()
        pieces.push(await encoder.end())
        return pieces
      },
    }
  }
  const close = async (key: string): Promise<void> => {
    const partition = open.get(key) as OpenPartition
    open.delete(key)
    held -= partition.held()
    files.push(await writeFile(table, partition.values, files.length, await partition.end(), partition.statistics))
  }
  for await (const { value, origin } of source.rows(context)) {
    turns.throwIfAborted()
    inRow(origin, () => {
      const row = new Map(entriesOf(value))
      const values = takePartition(row, partitions)
      const key = JSON.stringify(Object.values(values))
      const partition = open.get(key) ?? openPartition(values)
      open.set(key, partition)
      const before = partition.held()
      partition.add(row)
      held += partition.held() - before
    })
    while (held > MOST_HELD_BYTES || open.size > MOST_OPEN) await close(largestOf(open))
    if (turns.isOver) await turns.next()
  }
  for (const key of [...open.keys()]) await close(key)
}

/** Takes the columns of partitions out of a row. */
function takePartition(row: Map<string, unknown>, partitions: FileColumns['partitions']): PartitionValues {
  const values: [string, string | null][] = []
  for (const [name, type] of partitions) {
    values.push([name, inColumn(name, () => partitionText(type, row.get(name)))])
    row.delete(name)
  }
  return Object.fromEntries(values)
}

function largestOf(open: ReadonlyMap<string, OpenPartition>): string {
  let largest = ''
  let most = -1
  for (const [key, partition] of open) {
    if (partition.held() <= most) continue
    largest = key
    most = partition.held()
  }
  return largest
}

/** About how many bytes of memory a value takes. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 16 + 2 * value.length
  if (typeof value !== 'object' || value === null || value instanceof PythonFloat || value instanceof Date) return 16
  if (value instanceof Uint8Array) return 100 + value.length
  let size = 50
  for (const item of Array.isArray(value) ? value : entriesOf(value).map(([, entry]) => entry)) size += sizeOf(item)
  return size
}

async function writeFile(
  table: string,
  partitionValues: PartitionValues,
  number: number,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  statistics: ColumnStatistics,
): Promise<AddedFile> {
  const name = `part-${String(number).padStart(5, '0')}-${randomUUID()}-c000.snappy.parquet`
  const folder = partitionFolder(partitionValues)
  const path = folder === '' ? name : `${folder}/${name}`
  await writeFileAtomic(join(table, path), content)
  const { size, mtimeMs } = await stat(join(table, path))
  const modificationTime = Math.floor(mtimeMs)
  return {
    rows: statistics.rows,
    add: {
      path: pathInLog(path),
      partitionValues,
      size,
      modificationTime,
      dataChange: true,
      stats: statistics.text,
    },
  }
}

/** @file A Parquet file that is open: its columns, and its rows in batches of columns. */

import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet'
import { assembleNested } from 'hyparquet/src/assemble.js'
import type { ColumnBatch } from '../../arrow/column-batch.js'
import { describeValue, listNames } from '../../errors.js'
import { DataError, LowrankError } from '../../lowrank-error.js'
import type { Turns } from '../../turns.js'
import { toError } from '../../values.js'
import type { DataFile } from './data-file.js'
import { type LeafColumn, leavesOf, PARSERS } from './parquet-columns.js'
import { type Convert, prepareColumn } from './parquet-values.js'
import type { IsWanted } from './row-source.js'

/** Magic number, length of the footer, magic number. */
const TAIL_BYTES = 8
const LEAST_BYTES = 12
// Rows that are put together at once: enough to cost nothing, few enough to hold.
const MOST_ROWS = 1024

/** A column of a Parquet file. */
interface Column {
  readonly tree: SchemaTree
  readonly convert: Convert | undefined
}

/** A Parquet file whose footer has been read. */
export interface ParquetFile {
  readonly schema: SchemaTree
  /** How many it says that it has. */
  readonly rows: number
  /**
   * All rows.
   * @param names of the columns to read. Default: all
   * @param isWanted Row groups without a row that is needed are not read. Default: all are
   * @throws naming the file and where in it the damage is
   */
  batches(turns: Turns, names?: readonly string[], isWanted?: IsWanted): AsyncGenerator<ColumnBatch>
}

/**
 * Reads the footer of a file.
 *
 * @param rename Called with the schema before anything else is made of it; Delta tables name their columns elsewhere.
 * @throws naming the file where it is cut, encrypted or damaged
 */
export async function openParquet(file: DataFile, rename?: (metadata: FileMetaData) => void): Promise<ParquetFile> {
  const metadata = await readFooter(file)
  return refusing(file.path, 'in its footer', () => {
    rename?.(metadata)
    const schema = parquetSchema(metadata)
    const columns = new Map<string, Column>()
    for (const tree of schema.children) {
      const { name } = tree.element
      if (columns.has(name)) throw new DataError(`two columns that are called ${describeValue(name)}`)
      columns.set(name, { tree, convert: prepareNamed(tree) })
    }
    return {
      schema,
      rows: Number(metadata.num_rows),
      batches: (turns, names = [...columns.keys()], isWanted = () => true) =>
        readBatches(file, metadata, schema, columns, names, turns, isWanted),
    }
  })
}

function prepareNamed(tree: SchemaTree): Convert | undefined {
  try {
    return prepareColumn(tree)
  } catch (error) {
    throw new DataError(`${toError(error).message} in the column ${describeValue(tree.element.name)}`, {
      cause: error,
    })
  }
}

async function readFooter(file: DataFile): Promise<FileMetaData> {
  const size = await file.size()
  const tail = Buffer.from(await file.slice(Math.max(0, size - TAIL_BYTES), size))
  const magic = tail.subarray(4).toString('latin1')
  if (magic === 'PARE') throw encrypted(file.path)
  if (size < LEAST_BYTES || magic !== 'PAR1') {
    throw new DataError(
      `[data] expected the footer of a Parquet file at the end of ${file.path}, got ${size} bytes without it; the file was ` +
        'cut, as by a copy that did not end: get it anew',
      { file: file.path },
    )
  }
  const length = tail.readUInt32LE(0)
  if (length > size - LEAST_BYTES) throw damaged(file.path, `a footer of ${length} bytes in a file of ${size}`)
  const bytes = await file.slice(size - TAIL_BYTES - length, size)
  const metadata = refusing(file.path, 'in its footer', () => parquetMetadata(bytes, { geoparquet: false }))
  for (const { columns } of metadata.row_groups) {
    for (const { crypto_metadata: crypto, encrypted_column_metadata: hidden, file_path: other } of columns) {
      if (crypto !== undefined || hidden !== undefined) throw encrypted(file.path)
      if (other !== undefined)
        throw damaged(file.path, `columns that are in another file, ${describeValue(other)}; give that file`)
    }
  }
  return metadata
}

async function* readBatches(
  file: DataFile,
  { row_groups: groups, num_rows: total }: FileMetaData,
  schema: SchemaTree,
  columns: ReadonlyMap<string, Column>,
  names: readonly string[],
  turns: Turns,
  isWanted: IsWanted,
): AsyncGenerator<ColumnBatch> {
  const missing = names.filter((name) => !columns.has(name))
  if (missing.length > 0)
    throw damaged(file.path, `no column ${listNames(missing)}; it has ${listNames([...columns.keys()])}`)
  const size = await file.size()
  let start = 0
  for (const [index, group] of groups.entries()) {
    const end = start + Number(group.num_rows)
    if (!isWanted(start, end)) {
      start = end
      continue
    }
    const where = `in row group ${index + 1} of ${groups.length}`
    const leaves = refusing(file.path, where, () => leavesOf(file, schema, group, new Set(names)))
    while (start < end) {
      for (const leaf of leaves) {
        while (leaf.ready <= 0 && !leaf.isOver) {
          await leaf.decode().catch((error: unknown) => {
            throw asDataError(file.path, where, error)
          })
          if (turns.isOver) await turns.next()
        }
      }
      const length = Math.min(end - start, MOST_ROWS, ...leaves.map(({ ready }) => ready))
      if (length <= 0) throw damaged(file.path, `${start} of ${total} rows, ${where} a column ends before the others`)
      const values = refusing(file.path, `${where}, within rows ${start + 1} to ${start + length}`, () =>
        assemble(names, columns, leaves, length),
      )
      yield { names, columns: values, length, start }
      start += length
      file.reached((size * start) / Math.max(1, Number(total)))
      if (turns.isOver) await turns.next()
    }
  }
}

/** The next rows of the columns, each put together of its leaves. */
function assemble(
  names: readonly string[],
  columns: ReadonlyMap<string, Column>,
  leaves: readonly LeafColumn[],
  length: number,
): ArrayLike<unknown>[] {
  const parts = new Map(leaves.map((leaf) => [leaf.name, leaf.take(length)]))
  if (parts.size < leaves.length) throw new DataError('two columns of one name')
  return names.map((name) => {
    const { tree, convert } = columns.get(name) as Column
    assembleNested(parts, tree, PARSERS)
    const values = parts.get(name) as ArrayLike<unknown> | undefined
    if (values?.length !== length) throw new DataError(`no values for the column ${describeValue(name)}`)
    return convert === undefined ? values : Array.from(values, convert)
  })
}

/** Runs `work`, whose errors are said to be damage of the file. */
function refusing<T>(path: string, where: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw asDataError(path, where, error)
  }
}

function asDataError(path: string, where: string, error: unknown): Error {
  const isSaid = error instanceof DataError ? error.file !== undefined : error instanceof LowrankError
  return isSaid ? (error as Error) : damaged(path, `${toError(error).message} ${where}`, error)
}

function damaged(path: string, what: string, cause?: unknown): DataError {
  const message = `[data] expected a sound Parquet file in ${path}, got ${what}`
  return new DataError(message, { file: path, cause })
}

function encrypted(path: string): DataError {
  return new DataError(
    `[data] expected a Parquet file that can be read in ${path}, got an encrypted one; write it anew without encryption`,
    { file: path },
  )
}

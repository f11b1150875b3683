/** @file What came of a statement: its columns, and its rows as objects, as record batches of Arrow, or as bytes. */

import { type ColumnBatch, columnBatch, rowOf } from '../../arrow/column-batch.js'
import { CONTINUATION, readArrowMessages, readArrowStream } from '../../arrow/stream.js'
import type { ArrowBatch } from '../../arrow/values.js'
import { ServiceError } from '../../http/service-error.js'
import { PythonFloat } from '../../lossless-json.js'
import { DataError, OptionError } from '../../lowrank-error.js'
import type { DatabricksClient } from './connect.js'
import { inlineReader } from './inline-values.js'
import {
  broken,
  type Chunk,
  type ChunkedResult,
  countOf,
  externalChunks,
  inlineChunks,
  type ResultData,
  type ResultManifest,
} from './result-chunks.js'
import type { StatementEvent } from './statement-options.js'

/** A column of a result. */
export interface ResultColumn {
  readonly name: string
  /** `LONG`, `STRING`, `STRUCT`, ... */
  readonly typeName: string
  /** As SQL writes it: `BIGINT`, `STRUCT<role: STRING>`. */
  readonly typeText: string
}

/** Rows by columns, as `RecordBatch` of apache-arrow has them: `dataset` takes an iterable of such. */
export interface RecordBatch {
  /** How many rows it holds. */
  readonly numRows: number
}

/** What came of a statement. Its rows may be read several times, up to an hour after it ended. */
export interface StatementResult {
  readonly statementId: string
  readonly warehouseId: string
  readonly columns: readonly ResultColumn[]
  /** How many rows there are. */
  readonly rowCount: number
  /** Whether there would be more rows without `rowLimit`. */
  readonly isCut: boolean
  /**
   * The rows. Integers beyond 2^53 are bigints; decimals, dates and times are texts, as the service writes them.
   * @throws ServiceError, DataError for a damaged stream
   */
  rows(): AsyncGenerator<Record<string, unknown>>
  /**
   * The rows as record batches of Arrow, of a statement with `disposition: 'EXTERNAL_LINKS'`. `dataset` takes them as
   * they are.
   */
  batches(): AsyncGenerator<RecordBatch>
  /** The same as bytes: one Arrow IPC stream, as `tableFromIPC` of apache-arrow takes it. Empty without a row. */
  stream(): AsyncGenerator<Uint8Array>
}

/** How a result is read. */
interface ReadSettings {
  readonly warehouseId: string
  readonly disposition: 'INLINE' | 'EXTERNAL_LINKS'
  readonly rowLimit?: number | undefined
  readonly maxBufferedBytes: number
  readonly signal?: AbortSignal | undefined
  readonly onEvent: (event: StatementEvent) => void
}

/** @throws ServiceError for a result that was cut though nobody asked for that */
export function statementResult(
  client: DatabricksClient,
  statementId: string,
  { manifest = {}, result: first = {} }: { readonly manifest?: ResultManifest; readonly result?: ResultData },
  settings: ReadSettings,
): StatementResult {
  const { warehouseId, rowLimit, disposition, maxBufferedBytes, signal } = settings
  const rowCount = countOf(manifest.total_row_count) ?? 0
  const isCut = manifest.truncated === true
  if (isCut && (rowLimit === undefined || rowCount < rowLimit)) throw truncated(statementId, rowCount, disposition)
  const columns = (manifest.schema?.columns ?? []).map(({ name, type_name: typeName = 'STRING', type_text: text }) => ({
    name,
    typeName,
    typeText: text ?? typeName,
  }))
  const result: ChunkedResult = { client, statementId, manifest, first, maxBufferedBytes, signal }
  const expectArrow = (): void => {
    if (disposition !== 'EXTERNAL_LINKS')
      throw new OptionError("[databricks] expected disposition 'EXTERNAL_LINKS' for a result as Arrow, got 'INLINE'")
  }
  const counting = countRows(statementId, rowCount)
  const base = { statementId, warehouseId, columns, rowCount, isCut }
  return {
    ...base,
    async *rows() {
      if (disposition === 'INLINE') yield* counting(inlineRows(result, columns), () => 1)
      else
        for await (const batch of counting(decoded(result, settings), ({ numRows }) => numRows)) {
          const rows = plainBatch(columnBatch(batch, 0))
          for (let index = 0; index < rows.length; index++) yield rowOf(rows, index) as Record<string, unknown>
        }
    },
    async *batches() {
      expectArrow()
      yield* counting(decoded(result, settings), ({ numRows }) => numRows)
    },
    async *stream() {
      expectArrow()
      yield* joined(result, settings)
    },
  }
}

type Counting = <T>(items: AsyncIterable<T>, rowsOf: (item: T) => number) => AsyncGenerator<T>

/** Passes items on, and refuses a result with other rows than it should have. */
function countRows(statementId: string, expected: number): Counting {
  return async function* counted(items, rowsOf) {
    let rows = 0
    for await (const item of items) {
      rows += rowsOf(item)
      yield item
    }
    if (rows !== expected) throw broken(statementId, `${expected} rows`, `${rows}`)
  }
}

async function* inlineRows(
  result: ChunkedResult,
  columns: readonly ResultColumn[],
): AsyncGenerator<Record<string, unknown>> {
  const readers = columns.map(({ typeName }) => inlineReader(typeName))
  const names = columns.map(({ name }) => name)
  for await (const chunk of inlineChunks(result)) {
    for (const values of chunk) {
      const read = values.map((value, at) => [readers[at]?.(value)])
      yield rowOf({ names, columns: read, length: 1, start: 0 }, 0) as Record<string, unknown>
    }
  }
}

async function* decoded(result: ChunkedResult, settings: ReadSettings): AsyncGenerator<ArrowBatch> {
  for await (const [chunk, index] of told(result, settings)) {
    let rows = 0
    try {
      for await (const batch of readArrowStream(piecesOf(chunk.bytes))) {
        rows += batch.numRows
        yield batch
      }
    } catch (error) {
      throw error instanceof DataError ? unsound(result, index, error) : error
    }
    if (chunk.rows !== undefined && rows !== chunk.rows)
      throw broken(result.statementId, `${chunk.rows} rows in chunk ${index}`, `${rows}`)
  }
}

/** Chunks, and what has come of them told. */
async function* told(result: ChunkedResult, { onEvent }: ReadSettings): AsyncGenerator<readonly [Chunk, number]> {
  const { statementId, manifest } = result
  const totalRows = countOf(manifest.total_row_count) ?? 0
  let [chunks, rows, bytes] = [0, 0, 0]
  for await (const chunk of externalChunks(result)) {
    yield [chunk, chunks]
    chunks++
    rows += chunk.rows ?? 0
    bytes += chunk.bytes.length
    const totalChunks = Math.max(chunks, manifest.total_chunk_count ?? 0)
    onEvent({ type: 'chunk', statementId, chunks, totalChunks, rows, totalRows, bytes })
  }
}

/** One stream of all chunks: each of them is one with a schema of its own, which is that of the first. */
async function* joined(result: ChunkedResult, settings: ReadSettings): AsyncGenerator<Uint8Array> {
  let schema: Uint8Array | undefined
  for await (const [chunk, index] of told(result, settings)) {
    try {
      for await (const { message, metadata, body } of readArrowMessages(piecesOf(chunk.bytes))) {
        if (message.kind === 'schema') {
          if (schema !== undefined) {
            if (Buffer.compare(schema, metadata) === 0) continue
            throw broken(result.statementId, 'one schema of all chunks', `another one in chunk ${index}`)
          }
          schema = Uint8Array.from(metadata)
        }
        const head = Buffer.alloc(8)
        head.writeUInt32LE(CONTINUATION, 0)
        head.writeInt32LE(metadata.length, 4)
        yield Buffer.concat([head, metadata])
        if (body.length > 0) yield body
      }
    } catch (error) {
      throw error instanceof DataError ? unsound(result, index, error) : error
    }
  }
  if (schema !== undefined) yield Buffer.from('ffffffff00000000', 'hex')
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Floats as numbers: other rows tell 2.0 from 2, as templates of conversations print them. */
function plainBatch(batch: ColumnBatch): ColumnBatch {
  return { ...batch, columns: batch.columns.map((column) => Array.from(column, plain)) }
}

function plain(value: unknown): unknown {
  if (value instanceof PythonFloat) return value.value
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  if (value instanceof Map) return new Map([...value].map(([key, entry]) => [key, plain(entry)]))
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]))
}

function truncated(statementId: string, rows: number, disposition: ReadSettings['disposition']): ServiceError {
  const remedy =
    disposition === 'INLINE'
      ? "it is larger than the 25 MiB that an answer holds: use disposition 'EXTERNAL_LINKS', or select less"
      : 'it is larger than the 100 GiB that the service gives: select less, part by part'
  return new ServiceError(
    `[databricks] expected the whole result of statement ${statementId}, got ${rows} rows of more; ${remedy}`,
    { errorCode: 'TRUNCATED' },
  )
}

function unsound({ statementId }: ChunkedResult, index: number, error: DataError): DataError {
  return new DataError(
    `[databricks] expected a sound Arrow stream in chunk ${index} of the result of statement ${statementId}, got ${error.message}; run the statement again`,
    { cause: error },
  )
}

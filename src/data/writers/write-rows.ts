/** @file Writing rows to a file in one of the formats of write-formats.ts: whole, or not at all. */

import { writeFileAtomic } from '../../atomic-write.js'
import { expectPath } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { Turns } from '../../turns.js'
import { describeOrigin, rowError } from '../row-origin.js'
import { type DataSource, openSource } from '../sources/open-source.js'
import type { ReadContext, RowSource, SourceRow } from '../sources/row-source.js'
import type { FormatWriter } from './format-writer.js'
import { refuseInputs } from './refuse-inputs.js'
import { type RowSchema, SchemaFinder } from './row-schema.js'
import { RowSpool } from './row-spool.js'
import { WRITE_OPTIONS, type WriteRowsOptions, writerFor } from './write-options.js'

/** What was written. */
export interface WrittenRows {
  readonly path: string
  readonly rows: number
  readonly bytes: number
}

/**
 * Writes rows to a file: JSON Lines, CSV, Parquet or Arrow. The file is there when all of it is; until then, and where
 * something fails, its path holds what it held before.
 *
 * Columns are found by looking at all rows first: rows of a program that can be read only once wait in a file of their
 * own meanwhile. A column whose values have several types holds JSON texts.
 *
 * @throws DataError naming the row whose value the format cannot hold, and as the source does
 */
export async function writeRows(rows: DataSource, path: string, options: WriteRowsOptions = {}): Promise<WrittenRows> {
  expectPath('data', 'path', path)
  const { format, signal, onFraction = () => {} } = readOptions('data', options, WRITE_OPTIONS)
  const writer = writerFor(path, format)
  if (writer.needsSchema)
    return await withSchema(rows, path, { signal, onFraction }, (...found) => write(path, writer, ...found))
  return await write(path, writer, openSource(rows, 'rows'), new Map(), contextOf(signal, onFraction))
}

/** Where the work stands, and what ends it. */
interface Progress {
  readonly signal: AbortSignal | undefined
  readonly onFraction: (fraction: number) => void
}

/**
 * Looks at all rows, and calls `use` with their schema and with what reads them again.
 *
 * @param path Where the rows go. Rows that can be read only once wait in a file beside it.
 * @throws OptionError where rows are read from there
 */
export async function withSchema<T>(
  rows: DataSource,
  path: string,
  { signal, onFraction }: Progress,
  use: (source: RowSource, schema: RowSchema, context: ReadContext) => Promise<T>,
): Promise<T> {
  const source = openSource(rows, 'rows')
  const first = contextOf(signal, (fraction) => onFraction(fraction / 2))
  const second = contextOf(signal, (fraction) => onFraction((1 + fraction) / 2))
  const finder = new SchemaFinder()
  const expectOther = refuseInputs([path])
  if (typeof rows === 'string' || Array.isArray(rows) || isReadAgain(rows)) {
    let file: string | undefined
    for await (const row of source.rows(first)) {
      if (row.origin.file !== file) {
        file = row.origin.file
        await expectOther(file)
      }
      look(finder, row)
    }
    return await use(source, finder.schema, second)
  }
  const spool = await RowSpool.create(path)
  try {
    for await (const row of source.rows(first)) {
      look(finder, row)
      if (inRow(row.origin, () => spool.add(row))) await spool.flush()
    }
    return await use(await spool.source(source.name), finder.schema, second)
  } finally {
    await spool.close()
  }
}

function contextOf(signal: AbortSignal | undefined, onFraction: (fraction: number) => void): ReadContext {
  return { signal, turns: new Turns(signal), onFraction, onLineage: () => {}, needsHash: false }
}

const READ_AGAIN = ['rows', 'delta', 'sql']

/** Whether rows are those of a source, which reads them as often as one asks. */
function isReadAgain(rows: unknown): boolean {
  return typeof rows === 'object' && rows !== null && READ_AGAIN.some((key) => key in rows)
}

function look(finder: SchemaFinder, { value, origin }: SourceRow): void {
  inRow(origin, () => finder.add(value))
}

async function write(
  path: string,
  writer: FormatWriter,
  source: RowSource,
  schema: RowSchema,
  context: ReadContext,
): Promise<WrittenRows> {
  const encoder = await writer.open(schema)
  const { turns } = context
  let count = 0
  let bytes = 0
  let file: string | undefined
  const expectOther = refuseInputs([path])
  async function* content(): AsyncGenerator<Uint8Array> {
    for await (const { value, origin } of source.rows(context)) {
      turns.throwIfAborted()
      if (origin.file !== file) {
        file = origin.file
        await expectOther(file)
      }
      count++
      if (inRow(origin, () => encoder.add(value))) yield await encoder.take()
      if (turns.isOver) await turns.next()
    }
    yield await encoder.take()
    yield await encoder.end()
  }
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of content()) {
      bytes += piece.length
      yield piece
    }
  }
  await writeFileAtomic(path, counted())
  return { path, rows: count, bytes }
}

/** Runs `work`, whose errors name the row. */
export function inRow<T>(origin: SourceRow['origin'], work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof DataError) || error.message.startsWith('[')) throw error
    const [expected, ...got] = error.message.split(', got ')
    throw rowError(origin, `[data] expected ${expected} in ${describeOrigin(origin)}, got ${got.join(', got ')}`, {
      cause: error,
    })
  }
}

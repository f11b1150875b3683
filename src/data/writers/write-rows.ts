/** @file Writing rows to a file in one of the formats of write-formats.ts: whole, or not at all. */

import { writeFileAtomic } from '../../atomic-write.js'
import { expectPath } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { Turns } from '../../turns.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { type DataSource, openSource } from '../sources/open-source.js'
import { batchesOf } from '../sources/row-batches.js'
import type { ReadContext, RowBatch, RowSource } from '../sources/row-source.js'
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
 * The columns are those of all rows. Rows whose first thousand have other ones than all are read twice more; rows of a
 * program that can be read only once wait in a file of their own meanwhile. A column whose values have several types
 * holds JSON texts.
 *
 * @throws DataError naming the row whose value the format cannot hold, and as the source does
 */
export async function writeRows(rows: DataSource, path: string, options: WriteRowsOptions = {}): Promise<WrittenRows> {
  expectPath('data', 'path', path)
  const { format, signal, onFraction = () => {} } = readOptions('data', options, WRITE_OPTIONS)
  const writer = writerFor(path, format)
  let told = 0
  const progress = {
    signal,
    onFraction(fraction: number) {
      told = Math.max(told, fraction)
      onFraction(told)
    },
  }
  if (!writer.needsSchema) return await write(path, writer, openSource(rows, 'rows'), new Map(), contextOf(progress))
  const written = isReadAgain(rows) ? await writeAsGuessed(rows, path, writer, progress) : undefined
  return written ?? (await withSchema(rows, path, progress, (...found) => write(path, writer, ...found)))
}

/**
 * Writes rows with the columns of the first ones, and finds the columns of all rows meanwhile: mostly they are the
 * same, and rows are read once.
 *
 * @returns nothing where a later row has other columns; nothing is written then
 */
async function writeAsGuessed(
  rows: DataSource,
  path: string,
  writer: FormatWriter,
  progress: Progress,
): Promise<WrittenRows | undefined> {
  const source = openSource(rows, 'rows')
  const finder = new SchemaFinder()
  let looked = 0
  for await (const batch of batchesOf(source, contextOf({ ...progress, onFraction: () => {} }))) {
    look(finder, batch)
    looked += batch.values.length
    if (looked >= GUESS_ROWS) break
  }
  try {
    return await write(path, writer, source, finder.schema, contextOf(progress), finder)
  } catch (error) {
    if (error instanceof OtherColumns) return undefined
    throw error
  }
}

/** Rows whose columns are taken for those of all. */
const GUESS_ROWS = 1000

/** Ends the writing of rows whose columns are not those of the first ones. */
class OtherColumns extends Error {}

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
  const first = contextOf({ signal, onFraction: (fraction) => onFraction(fraction / 2) })
  const second = contextOf({ signal, onFraction: (fraction) => onFraction((1 + fraction) / 2) })
  const finder = new SchemaFinder()
  const expectOther = refuseInputs([path])
  if (isReadAgain(rows)) {
    for await (const batch of batchesOf(source, first)) {
      if (batch.values.length > 0) await expectOther(batch.origin(0).file)
      look(finder, batch)
    }
    return await use(source, finder.schema, second)
  }
  const spool = await RowSpool.create(path)
  try {
    for await (const row of source.rows(first)) {
      inRow(row.origin, () => finder.add(row.value))
      if (inRow(row.origin, () => spool.add(row))) await spool.flush()
    }
    return await use(await spool.source(source.name), finder.schema, second)
  } finally {
    await spool.close()
  }
}

function contextOf({ signal, onFraction }: Progress): ReadContext {
  return { signal, turns: new Turns(signal), onFraction, onLineage: () => {}, needsHash: false }
}

const READ_AGAIN = ['rows', 'delta', 'sql']

/** Whether rows are those of a source, which reads them as often as one asks. */
function isReadAgain(rows: unknown): boolean {
  if (typeof rows === 'string' || Array.isArray(rows)) return true
  return typeof rows === 'object' && rows !== null && READ_AGAIN.some((key) => key in rows)
}

function look(finder: SchemaFinder, batch: RowBatch): void {
  for (let index = 0; index < batch.values.length; index++) {
    try {
      finder.add(batch.values[index])
    } catch (error) {
      throw ofRow(batch.origin(index), error)
    }
  }
}

async function write(
  path: string,
  writer: FormatWriter,
  source: RowSource,
  schema: RowSchema,
  context: ReadContext,
  finder?: SchemaFinder,
): Promise<WrittenRows> {
  const encoder = await writer.open(schema)
  const { turns } = context
  let count = 0
  let bytes = 0
  const expectOther = refuseInputs([path])
  const take = (value: unknown, originOf: () => RowOrigin): boolean => {
    turns.throwIfAborted()
    count++
    try {
      if (finder?.add(value) === false) throw new OtherColumns()
      return encoder.add(value)
    } catch (error) {
      throw ofRow(originOf(), error)
    }
  }
  async function* content(): AsyncGenerator<Uint8Array> {
    if (source.batches === undefined) {
      for await (const { value, origin } of source.rows(context)) {
        if (origin.file !== undefined) await expectOther(origin.file)
        if (take(value, () => origin)) yield await encoder.take()
        if (turns.isOver) await turns.next()
      }
    } else
      for await (const batch of source.batches(context)) {
        if (batch.values.length > 0) await expectOther(batch.origin(0).file)
        for (const [index, value] of batch.values.entries()) {
          if (take(value, () => batch.origin(index))) yield await encoder.take()
          if (turns.isOver) await turns.next()
        }
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
export function inRow<T>(origin: RowOrigin, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw ofRow(origin, error)
  }
}

function ofRow(origin: RowOrigin, error: unknown): unknown {
  if (!(error instanceof DataError) || error.message.startsWith('[')) return error
  const [expected, ...got] = error.message.split(', got ')
  const message = `[data] expected ${expected} in ${describeOrigin(origin)}, got ${got.join(', got ')}`
  return rowError(origin, message, { cause: error })
}

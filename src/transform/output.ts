/**
 * @file Rows that a transformation writes, in any format, to files that take their names together once all are whole. A
 * killed process leaves what was there before.
 */

import { resolve } from 'node:path'
import { fillFilesAtomic, type StagedFile } from '../atomic-write.js'
import type { FormatWriter } from '../data/writers/format-writer.js'
import { fileId } from '../data/writers/refuse-inputs.js'
import { type RowSchema, SchemaFinder } from '../data/writers/row-schema.js'
import { RowSpool } from '../data/writers/row-spool.js'
import { isTablePath, WRITE_ENDINGS, writerOf } from '../data/writers/write-options.js'
import { inRow } from '../data/writers/write-rows.js'
import { describeValue } from '../errors.js'
import { jsonText } from '../lossless-json.js'
import { OptionError } from '../lowrank-error.js'
import { Turns } from '../turns.js'

/** What a row is made of. A Map keeps the order of its columns whatever their names are. */
type OutputRow = ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>

/** Writes rows to one of several files. */
export type WriteRow = (file: number, row: OutputRow) => Promise<void>

interface OutputOptions {
  /** Ends the work with its reason. */
  readonly signal?: AbortSignal | undefined
  /**
   * Whether the files are parts of one data set, whose columns all of them have.
   * @default false
   */
  readonly sameColumns?: boolean
}

// One write of so many characters costs little beside making them.
const PIECE_CHARACTERS = 1 << 16

/**
 * Writes rows to the files at `paths`, whose endings name their formats; none of them is changed unless all are whole.
 * A path that ends in `/` or `.delta` is a Delta table, whose rows are replaced.
 *
 * @throws OptionError where a path ends otherwise, or stands there twice
 * @throws DataError naming the row whose value a format cannot hold
 */
export async function writeRowsAtomic<T>(
  paths: readonly string[],
  fill: (write: WriteRow) => Promise<T>,
  { signal, sameColumns = false }: OutputOptions = {},
): Promise<T> {
  const writers = await writersOf(paths)
  const files = paths.filter((_, index) => writers[index] !== undefined)
  return await fillFilesAtomic(files, async (staged) => {
    const sinks: Sink[] = []
    try {
      for (const [index, path] of paths.entries())
        sinks.push(await openSink(path, writers[index], staged[files.indexOf(path)]))
      const result = await fill(async (index, row) => await (sinks[index] as Sink).add(row))
      const all = new SchemaFinder()
      const schemas = sinks.map(({ finder }) => finder?.schema)
      if (sameColumns) for (const sink of sinks) await sink.look(all)
      const other = schemas.find((schema) => schema !== undefined && schema.size > 0)
      const turns = new Turns(signal)
      // Tables come last: what they commit stays.
      for (const isTable of [false, true])
        for (const [index, sink] of sinks.entries()) {
          const own = sameColumns ? all.schema : schemas[index]
          // A file without rows has the columns of its neighbour.
          if (isTable === (writers[index] === undefined)) await sink.end(own?.size ? own : (other ?? new Map()), turns)
        }
      return result
    } finally {
      for (const sink of sinks) await sink.close()
    }
  })
}

/** @throws as `writeRowsAtomic` does for paths, before anything is made for them */
export async function expectOutputs(paths: readonly string[]): Promise<void> {
  await writersOf(paths)
}

async function writersOf(paths: readonly string[]): Promise<readonly (FormatWriter | undefined)[]> {
  const writers = paths.map(writerOfOutput)
  await expectDifferent(paths)
  for (const writer of writers) await writer?.check?.()
  return writers
}

/** Where the rows of one path go. */
interface Sink {
  /** Finds the columns of the rows; absent where the format needs none. */
  readonly finder?: SchemaFinder
  readonly add: (row: OutputRow) => Promise<void>
  readonly look: (finder: SchemaFinder) => Promise<void>
  readonly end: (schema: RowSchema, turns: Turns) => Promise<void>
  readonly close: () => Promise<void>
}

async function openSink(path: string, writer: FormatWriter | undefined, file: StagedFile | undefined): Promise<Sink> {
  if (writer?.needsSchema === false) return linesSink(file as StagedFile)
  return await waitingSink(path, async (spool, schema, turns) => {
    const source = await spool.source(path)
    const { signal } = turns
    const context = { signal, turns, onFraction: () => {}, onLineage: () => {} }
    if (writer === undefined) {
      const { writeDelta } = await import('../data/delta/write-delta.js')
      await writeDelta(source, path, { mode: 'overwrite', ...(signal && { signal }) })
      return
    }
    const encoder = await writer.open(schema)
    for await (const { value, origin } of source.rows(context)) {
      if (inRow(origin, () => encoder.add(value))) await (file as StagedFile).write(await encoder.take())
      if (turns.isOver) await turns.next()
    }
    await (file as StagedFile).write(await encoder.take())
    await (file as StagedFile).write(await encoder.end())
  })
}

/** JSON Lines are written as they come. */
function linesSink(file: StagedFile): Sink {
  let pending = ''
  const flush = async (): Promise<void> => {
    const piece = Buffer.from(pending)
    pending = ''
    if (piece.length > 0) await file.write(piece)
  }
  return {
    async add(row) {
      pending += lineOf(row)
      if (pending.length >= PIECE_CHARACTERS) await flush()
    },
    look: async () => {},
    end: flush,
    close: async () => {},
  }
}

/** Rows of formats with columns wait in a file of their own until all of them are known. */
async function waitingSink(
  path: string,
  write: (spool: RowSpool, schema: RowSchema, turns: Turns) => Promise<void>,
): Promise<Sink> {
  const spool = await RowSpool.create(resolve(path))
  const finder = new SchemaFinder()
  let rows = 0
  return {
    finder,
    async add(value) {
      rows++
      const origin = { ...(!isTablePath(path) && { file: path }), row: rows }
      const isEnough = inRow(origin, () => {
        finder.add(value)
        return spool.add({ value, origin })
      })
      if (isEnough) await spool.flush()
    },
    look: async (all) => all.include(finder),
    end: async (schema, turns) => await write(spool, schema, turns),
    close: async () => await spool.close(),
  }
}

/** The writer of a file; undefined for a Delta table. */
function writerOfOutput(path: string): FormatWriter | undefined {
  const writer = writerOf(path)
  if (writer !== undefined || isTablePath(path)) return writer
  throw new OptionError(
    `[output] expected a path that ends in ${WRITE_ENDINGS} for output, or in / for a Delta table, got ${describeValue(path)}`,
  )
}

/** @throws OptionError where two paths are the same file, also by a link */
async function expectDifferent(paths: readonly string[]): Promise<void> {
  const known = new Set<string>()
  for (const path of paths) {
    const ids = [resolve(path), await fileId(path)]
    if (ids.some((id) => id !== undefined && known.has(id)))
      throw new OptionError(`[output] expected a file of its own for each output, got ${describeValue(path)} twice`)
    for (const id of ids) if (id !== undefined) known.add(id)
  }
}

function lineOf(row: OutputRow): string {
  const text = jsonText(row)
  // UTF-8 has no form of half a pair of surrogates; JSON has.
  return `${text.replace(/\p{Surrogate}/gu, escaped)}\n`
}

function escaped(half: string): string {
  return `\\u${half.charCodeAt(0).toString(16)}`
}

/** @file The file formats that are read. A new one is a file beside this one and an entry in the list. */

import { DataError } from '../../lowrank-error.js'
import { ARROW } from './arrow.js'
import { CSV } from './csv.js'
import type { DataFile } from './data-file.js'
import type { FileFormat } from './file-format.js'
import { foreignKind } from './foreign-files.js'
import { JSON_ARRAY } from './json-array.js'
import { JSON_LINES } from './json-lines.js'
import { PARQUET } from './parquet.js'

/** In the order in which they are asked whether a file is theirs. */
const FORMATS: readonly FileFormat[] = [JSON_LINES, JSON_ARRAY, PARQUET, ARROW, CSV]

/** `JSON Lines, a JSON array, Parquet, Arrow, or CSV` */
const FORMAT_NAMES = new Intl.ListFormat('en', { type: 'disjunction' }).format(FORMATS.map(({ name }) => name))

/** `.jsonl`, `.json`, `.parquet`, ... */
export const DATA_ENDINGS: readonly string[] = FORMATS.flatMap(({ endings }) => endings)

/**
 * The format of a file.
 *
 * @throws naming what a file is whose format is not read, and what to do with it
 */
export async function formatOf(file: DataFile, signal?: AbortSignal): Promise<FileFormat> {
  const { path, name } = file
  const start = await file.start(signal)
  const format = FORMATS.find(({ recognizes }) => recognizes(start, name))
  if (format) return format
  const kind = foreignKind(start)
  if (kind)
    throw new DataError(`[data] expected ${FORMAT_NAMES} in ${path}, got ${kind.what}; ${kind.remedy}`, {
      file: path,
    })
  // What is empty has no rows. Of anything else the reader of lines says best where it is not JSON.
  return JSON_LINES
}

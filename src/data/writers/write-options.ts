/** @file How rows are written: the options of `writeRows`, and the writer that they name. */

import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { callback, oneOf } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import type { OptionTable } from '../../options/table.js'
import type { FormatWriter } from './format-writer.js'
import { WRITE_FORMATS } from './write-formats.js'

/** The name of a format in which rows are written. */
export type WriteFormat = 'jsonl' | 'csv' | 'parquet' | 'arrow'

/** How rows are written. */
export interface WriteRowsOptions {
  /**
   * The format of the file.
   * @default that of the ending of the path
   */
  format?: WriteFormat
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

/** The options of `writeRows`. */
export const WRITE_OPTIONS = {
  format: {
    rule: oneOf(['jsonl', 'csv', 'parquet', 'arrow']),
    otherwise: 'that of the ending of the path',
    help: 'format of the file: jsonl, csv, parquet or arrow',
    flag: { name: '--format', argument: 'name' },
  },
  onFraction: {
    rule: callback,
    otherwise: 'none',
    help: 'told the share of the work that is done',
  },
  signal: SIGNAL,
} as const satisfies OptionTable<WriteRowsOptions>

/** Endings of files that are written, as an error lists them. */
export const WRITE_ENDINGS = new Intl.ListFormat('en', { type: 'disjunction' }).format(
  WRITE_FORMATS.flatMap(({ endings }) => endings),
)

/** The writer of a format, or of what the ending of the path says. */
export function writerFor(path: string, format: string | undefined): FormatWriter {
  const found = format === undefined ? writerOf(path) : WRITE_FORMATS.find(({ name }) => name === format)
  if (found !== undefined) return found
  throw new OptionError(
    `[data] expected a path that ends in ${WRITE_ENDINGS}, got ${describeValue(path)}; for another ending give the format too: format, or --format`,
  )
}

/** The writer of what the ending of a path says; undefined where it says none. */
export function writerOf(path: string): FormatWriter | undefined {
  return WRITE_FORMATS.find(({ endings }) => endings.some((ending) => path.toLowerCase().endsWith(ending)))
}

/** Whether a path names a Delta table to write: a folder. */
export function isTablePath(path: string): boolean {
  return /[\\/]$|\.delta$/i.test(path)
}

/** The file of rows in a directory: `train.jsonl`. */
export function nameInFormat(name: string, format: WriteFormat): string {
  return `${name}${writerFor('', format).endings[0]}`
}

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

/** The writer of a format, or of what the ending of the path says. */
export function writerFor(path: string, format: string | undefined): FormatWriter {
  const found = WRITE_FORMATS.find(({ name, endings }) =>
    format === undefined ? endings.some((ending) => path.toLowerCase().endsWith(ending)) : name === format,
  )
  if (found !== undefined) return found
  const endings = new Intl.ListFormat('en', { type: 'disjunction' }).format(
    WRITE_FORMATS.flatMap(({ endings }) => endings),
  )
  throw new OptionError(`[data] expected a path that ends in ${endings}, got ${describeValue(path)}; or say the format`)
}

/** @file Where a row is: the one function that words it, and the errors of rows. Imports no reader. */

import { DataError } from '../lowrank-error.js'

/** Where a row is in its source. Errors call the row by it. */
export interface RowOrigin {
  /**
   * Path of the file that holds the row, or the name of another part of the source, such as a table. All rows of one
   * part have one form.
   * @default undefined: the source has one part
   */
  readonly file?: string
  /**
   * Line on which the row begins, from 1, in files that people read by lines.
   * @default undefined: the row is named by its number
   */
  readonly line?: number
  /**
   * Number of the row within `file`, from 1.
   * @default undefined: the row is named by its line
   */
  readonly row?: number
}

/** What errors call a row: `train.jsonl:17`, `train.json: row 4`, or `row 4` where it is in no file. */
export function describeOrigin({ file, line, row }: RowOrigin): string {
  if (file !== undefined && line !== undefined) return `${file}:${line}`
  const place = line !== undefined ? `line ${line}` : row !== undefined ? `row ${row}` : undefined
  if (file === undefined) return place ?? 'a row'
  return place === undefined ? file : `${file}: ${place}`
}

/** An error about the row of this origin. Its text names the row itself. */
export function rowError(
  { file, line, row }: RowOrigin,
  message: string,
  details: { readonly cause?: unknown } = {},
): DataError {
  const place = line ?? row
  return new DataError(message, {
    ...(file !== undefined && { file }),
    ...(place !== undefined && { row: place }),
    ...details,
  })
}

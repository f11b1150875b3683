/** @file The errors of rows: their text names the row as `origin`, their fields say where it is. */

import { DataError, type DataPlace } from '../lowrank-error.js'

/** An error about the row of this origin. Its text names the row itself. */
export function rowError(origin: string, message: string, details: { readonly cause?: unknown } = {}): DataError {
  return new DataError(message, { ...placeOf(origin), ...details })
}

/** Where a row of this origin is: `train.jsonl:17`, `train.json: row 4` or, of an iterable, `row 4`. */
function placeOf(origin: string): DataPlace {
  const [, file, row] = /^(?:(.*):)?(?: ?row )?(\d+)$/s.exec(origin) ?? []
  return { ...(file !== undefined && { file }), ...(row !== undefined && { row: Number(row) }) }
}

/** @file Values of rows: which count as absent, and the error for one of the wrong type. */

import { describeValue } from '../errors.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'

/** Whether there is a value: Arrow and Parquet write null for fields that are absent. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

export function wrongType(expected: string, name: string, origin: RowOrigin, got: unknown): Error {
  return rowError(
    origin,
    `[data] expected ${expected} for ${name} in ${describeOrigin(origin)}, got ${describeValue(got)}`,
  )
}

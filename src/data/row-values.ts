/** @file Values of rows: which count as absent, and the error for one of the wrong type. */

import { describeValue } from '../errors.js'
import { PythonFloat } from '../lossless-json.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'

/** Whether there is a value: Arrow and Parquet write null for fields that are absent. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

/** A weight: a number of at least 0. @throws naming the row for what is none */
export function weightValue(given: unknown, name: string, origin: RowOrigin): number {
  const value = given instanceof PythonFloat ? given.value : given
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value
  throw wrongType('a number of at least 0', name, origin, given)
}

export function wrongType(expected: string, name: string, origin: RowOrigin, got: unknown): Error {
  return rowError(
    origin,
    `[data] expected ${expected} for ${name} in ${describeOrigin(origin)}, got ${describeValue(got)}`,
  )
}

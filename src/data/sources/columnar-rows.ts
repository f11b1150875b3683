/** @file Rows made of columns, as Parquet, Arrow and Delta have them. Knows no format. */

import type { RowOrigin } from '../row-origin.js'
import type { RowBatch } from './row-source.js'

/** Some rows by columns. */
export interface ColumnBatch {
  readonly names: readonly string[]
  /** As many as `names`; each holds `length` values. */
  readonly columns: readonly ArrayLike<unknown>[]
  readonly length: number
  /** How many rows of the file come before these. */
  readonly start: number
}

/** Rows that are put together at once: enough to cost nothing, few enough to hold. */
const MOST_ROWS = 1024

/** One row of a batch, by name. */
export function rowOf({ names, columns }: ColumnBatch, index: number): object {
  // Assigned to an object, a column of this name would be its prototype.
  if (names.includes('__proto__')) return new Map(names.map((name, at) => [name, columns[at]?.[index]]))
  const row: Record<string, unknown> = {}
  for (let at = 0; at < names.length; at++) row[names[at] as string] = (columns[at] as ArrayLike<unknown>)[index]
  return row
}

/** The rows of a file, numbered from 1. */
export async function* rowBatches(
  path: string | undefined,
  batches: AsyncIterable<ColumnBatch> | Iterable<ColumnBatch>,
): AsyncGenerator<RowBatch> {
  for await (const batch of batches) {
    for (let first = 0; first < batch.length; first += MOST_ROWS) {
      const values: object[] = []
      for (let index = first; index < Math.min(batch.length, first + MOST_ROWS); index++)
        values.push(rowOf(batch, index))
      const before = batch.start + first
      yield { values, origin: (index) => originOf(path, before + index + 1) }
    }
  }
}

function originOf(file: string | undefined, row: number): RowOrigin {
  return file === undefined ? { row } : { file, row }
}

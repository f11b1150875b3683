/** @file Rows made of columns, as Parquet, Arrow and Delta have them. Knows no format. */

import type { SourceRow } from './row-source.js'

/** Some rows by columns. */
export interface ColumnBatch {
  readonly names: readonly string[]
  /** As many as `names`; each holds `length` values. */
  readonly columns: readonly ArrayLike<unknown>[]
  readonly length: number
  /** How many rows of the file come before these. */
  readonly start: number
}

/** One row of a batch, by name. */
export function rowOf({ names, columns }: ColumnBatch, index: number): object {
  // Assigned to an object, a column of this name would be its prototype.
  if (names.includes('__proto__')) return new Map(names.map((name, at) => [name, columns[at]?.[index]]))
  const row: Record<string, unknown> = {}
  for (let at = 0; at < names.length; at++) row[names[at] as string] = (columns[at] as ArrayLike<unknown>)[index]
  return row
}

/** The rows of a file, numbered from 1. */
export async function* sourceRows(
  path: string | undefined,
  batches: AsyncIterable<ColumnBatch> | Iterable<ColumnBatch>,
): AsyncGenerator<SourceRow> {
  for await (const batch of batches) {
    for (let index = 0; index < batch.length; index++)
      yield {
        value: rowOf(batch, index),
        origin: { ...(path !== undefined && { file: path }), row: batch.start + index + 1 },
      }
  }
}

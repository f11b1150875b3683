/** @file Rows of files made of columns, as Parquet, Arrow and Delta have them. Knows no format. */

import { type ColumnBatch, rowOf } from '../../arrow/column-batch.js'
import type { RowOrigin } from '../row-origin.js'
import type { RowBatch } from './row-source.js'

/** Rows that are put together at once: enough to cost nothing, few enough to hold. */
const MOST_ROWS = 1024

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
      yield { values, origin: (index) => originOf(path, before + index + 1), start: before }
    }
  }
}

function originOf(file: string | undefined, row: number): RowOrigin {
  return file === undefined ? { row } : { file, row }
}

/** @file Rows that a program gives itself: any iterable of objects. */

import { columnBatch, isArrowBatch } from './arrow-values.js'
import { sourceRows } from './columnar-rows.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'

/** The rows of an iterable. It can be read once more only where the iterable can. */
export function iterableSource(values: Iterable<object> | AsyncIterable<object>): RowSource {
  return { name: 'rows of a program', rows: (context) => numbered(values, context) }
}

async function* numbered(
  values: Iterable<object> | AsyncIterable<object>,
  { onFraction }: ReadContext,
): AsyncGenerator<SourceRow> {
  const total = Array.isArray(values) ? values.length : undefined
  let row = 0
  for await (const value of values) {
    if (isArrowBatch(value)) {
      yield* sourceRows(undefined, [columnBatch(value, row)])
      row += value.numRows
      continue
    }
    row++
    if (total !== undefined) onFraction(Math.min(1, row / total))
    yield { value, origin: { row } }
  }
}

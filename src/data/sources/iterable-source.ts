/** @file Rows that a program gives itself: any iterable of objects, or of the bytes of a file, as streams are. */

import { columnBatch } from '../../arrow/column-batch.js'
import { isArrowBatch } from '../../arrow/values.js'
import { refuse } from '../bad-rows.js'
import { rowBatches } from './columnar-rows.js'
import { DataFile } from './data-file.js'
import { formatOf } from './formats.js'
import { eachRow } from './row-batches.js'
import type { ReadContext, RowSource, SourceRow } from './row-source.js'

type AnyIterator = Iterator<object> | AsyncIterator<object>

/** What errors call the bytes of a program: `stream:17`. */
const STREAM = 'stream'

/** The rows of an iterable. It can be read once more only where the iterable can. */
export function iterableSource(values: Iterable<object> | AsyncIterable<object>): RowSource {
  // What is in a list, bytes or batches of many rows, would have to be looked at.
  const [first]: readonly unknown[] = Array.isArray(values) ? values : []
  const isOfRows = first !== undefined && !(first instanceof Uint8Array) && !isArrowBatch(first)
  return {
    name: 'rows of a program',
    ...(isOfRows && { count: async () => (values as unknown as { length: number }).length }),
    readsOnce: isReadOnce(values),
    rows: (context) => readValues(values, context),
  }
}

/** Iterators, as those of generators, and streams give what they have once. */
function isReadOnce(values: object): boolean {
  if (values instanceof ReadableStream) return true
  const { next, read, pipe } = values as { next?: unknown; read?: unknown; pipe?: unknown }
  return typeof next === 'function' || (typeof read === 'function' && typeof pipe === 'function')
}

async function* readValues(
  values: Iterable<object> | AsyncIterable<object>,
  context: ReadContext,
): AsyncGenerator<SourceRow> {
  const iterator = Symbol.asyncIterator in values ? values[Symbol.asyncIterator]() : values[Symbol.iterator]()
  const total = Array.isArray(values) ? values.length : undefined
  let isOver = false
  try {
    let row = 0
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      // A list may hold promises.
      const value = next.value instanceof Promise ? await next.value : next.value
      if (row === 0 && value instanceof Uint8Array) {
        yield* readBytes(value, iterator, context)
        break
      }
      if (isArrowBatch(value)) {
        yield* eachRow(rowBatches(undefined, [columnBatch(value, row)]))
        row += value.numRows
        continue
      }
      row++
      if (total !== undefined) context.onFraction(Math.min(1, row / total))
      yield { value, origin: { row } }
    }
    isOver = true
  } finally {
    if (!isOver) await iterator.return?.()
  }
}

/** The rows of a file whose bytes a program gives. They tell its format, also where it is packed. */
async function* readBytes(first: Uint8Array, rest: AnyIterator, context: ReadContext): AsyncGenerator<SourceRow> {
  const file = DataFile.ofBytes(STREAM, bytesOf(first, rest))
  try {
    const format = await formatOf(file)
    for await (const batch of format.read(file, context.turns, context.onBadRow ?? refuse))
      for (const [index, value] of batch.values.entries()) yield { value, origin: batch.origin(index) }
  } finally {
    await file.close()
  }
}

async function* bytesOf(first: Uint8Array, rest: AnyIterator): AsyncGenerator<Uint8Array> {
  yield first
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value as Uint8Array
}

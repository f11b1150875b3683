/**
 * @file Rows that are made many at a time, and the same rows given one after the other. An async generator would wait
 * three turns of the microtask queue for each row, which takes longer than reading a short one.
 */

import type { RowOrigin } from '../row-origin.js'
import type { IsWanted, ReadContext, RowBatch, RowSource, SourceRow } from './row-source.js'

/** Rows that have a line each, without a line in between. */
export function linesFrom(file: string, first: number, values: readonly unknown[]): RowBatch {
  return { values, origin: (index) => ({ file, line: first + index }) }
}

/** Rows of a file that people read by lines. */
export class LineBatch implements RowBatch {
  readonly values: unknown[] = []
  readonly #file: string
  readonly #lines: number[] = []

  constructor(file: string) {
    this.#file = file
  }

  add(value: unknown, line: number): void {
    this.values.push(value)
    this.#lines.push(line)
  }

  origin(index: number): RowOrigin {
    return { file: this.#file, line: this.#lines[index] as number }
  }
}

/** Rows with their origins. */
export function batchOf(rows: readonly SourceRow[]): RowBatch {
  return { values: rows.map(({ value }) => value), origin: (index) => (rows[index] as SourceRow).origin }
}

/** The rows of a source in batches, of one row each where it has no larger ones. */
export function batchesOf(source: RowSource, context: ReadContext): AsyncIterable<RowBatch> {
  return source.batches?.(context) ?? singly(source.rows(context))
}

async function* singly(rows: AsyncIterable<SourceRow>): AsyncGenerator<RowBatch> {
  for await (const { value, origin } of rows) yield { values: [value], origin: () => origin }
}

/** A row, and how many rows of its source come before it. */
export type NumberedRow = SourceRow & { readonly index: number }

/** The rows of a source by their number, without those that it passes over since none of them is needed. */
export function someRowsOf(source: RowSource, context: ReadContext, isWanted: IsWanted): AsyncIterable<NumberedRow> {
  return source.someRows?.(context, isWanted) ?? numbered(source.rows(context))
}

async function* numbered(rows: AsyncIterable<SourceRow>): AsyncGenerator<NumberedRow> {
  let index = 0
  for await (const { value, origin } of rows) yield { value, index: index++, origin }
}

/**
 * The rows of batches, in their order. `return()` ends the batches too.
 *
 * @param onUnread Told how many rows of the last batch nobody took, before the batches are ended.
 * @param isNumbered Whether rows have their number.
 */
export function eachRow(
  batches: AsyncGenerator<RowBatch>,
  onUnread: (rows: number) => void = () => {},
  isNumbered = false,
): AsyncIterableIterator<NumberedRow> {
  let batch: RowBatch | undefined
  let at = 0
  // The number of the first row of the batch.
  let start = 0
  let refill: Promise<IteratorResult<NumberedRow>> | undefined
  const take = (from: RowBatch): IteratorResult<NumberedRow> => {
    const value = from.values[at]
    const index = start + at
    const origin = from.origin(at++)
    return { done: false, value: isNumbered ? { value, origin, index } : ({ value, origin } as NumberedRow) }
  }
  const fill = async (): Promise<IteratorResult<NumberedRow>> => {
    for (;;) {
      const next = start + (batch?.values.length ?? 0)
      batch = undefined
      const { done, value } = await batches.next()
      if (done) return { done, value: undefined }
      start = value.start ?? next
      at = 0
      if (value.values.length === 0) continue
      batch = value
      return take(batch)
    }
  }
  const next = (): Promise<IteratorResult<NumberedRow>> => {
    if (refill !== undefined) return refill.then(next)
    if (batch !== undefined && at < batch.values.length) return Promise.resolve(take(batch))
    refill = fill().finally(() => {
      refill = undefined
    })
    return refill
  }
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    next,
    async return() {
      if (batch !== undefined) onUnread(batch.values.length - at)
      batch = undefined
      await batches.return(undefined)
      return { done: true, value: undefined }
    },
  }
}

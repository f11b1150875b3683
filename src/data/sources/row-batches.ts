/**
 * @file Rows that are made many at a time, and the same rows given one after the other. An async generator would wait
 * three turns of the microtask queue for each row, which takes longer than reading a short one.
 */

import type { RowOrigin } from '../row-origin.js'
import type { ReadContext, RowBatch, RowSource, SourceRow } from './row-source.js'

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

/**
 * The rows of batches, in their order. `return()` ends the batches too.
 *
 * @param onUnread Told how many rows of the last batch nobody took, before the batches are ended.
 */
export function eachRow(
  batches: AsyncGenerator<RowBatch>,
  onUnread: (rows: number) => void = () => {},
): AsyncIterableIterator<SourceRow> {
  let batch: RowBatch | undefined
  let at = 0
  let refill: Promise<IteratorResult<SourceRow>> | undefined
  const take = (from: RowBatch): IteratorResult<SourceRow> => {
    const value = from.values[at]
    return { done: false, value: { value, origin: from.origin(at++) } }
  }
  const fill = async (): Promise<IteratorResult<SourceRow>> => {
    for (;;) {
      batch = undefined
      const { done, value } = await batches.next()
      if (done) return { done, value: undefined }
      at = 0
      if (value.values.length === 0) continue
      batch = value
      return take(batch)
    }
  }
  const next = (): Promise<IteratorResult<SourceRow>> => {
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

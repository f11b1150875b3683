/**
 * @file Rows that are made many at a time, given one after the other. An async generator would wait three turns of the
 * microtask queue for each row, which takes longer than reading a short one.
 */

import type { SourceRow } from './row-source.js'

/** The rows of batches, in their order. `return()` ends the batches too. */
export function eachRow(batches: AsyncGenerator<readonly SourceRow[]>): AsyncIterableIterator<SourceRow> {
  let batch: readonly SourceRow[] = []
  let at = 0
  let refill: Promise<IteratorResult<SourceRow>> | undefined
  const fill = async (): Promise<IteratorResult<SourceRow>> => {
    for (;;) {
      const { done, value } = await batches.next()
      if (done) return { done, value: undefined }
      batch = value
      at = 0
      const row = batch[at++]
      if (row !== undefined) return { done: false, value: row }
    }
  }
  const next = (): Promise<IteratorResult<SourceRow>> => {
    if (refill !== undefined) return refill.then(next)
    const row = batch[at]
    if (row !== undefined) {
      at++
      return Promise.resolve({ done: false, value: row })
    }
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
      batch = []
      await batches.return(undefined)
      return { done: true, value: undefined }
    },
  }
}

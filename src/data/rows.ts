/**
 * @file Rows of a source with their forms: names of columns are mapped here, and nowhere else. What forms there are is
 * the objective's to say; those of supervised fine-tuning are in row-forms.ts.
 */

import type { Steps } from '../turns.js'
import { orBad } from './bad-rows.js'
import type { Columns } from './columns.js'
import type { RecognizedRow } from './row-coding.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { batchesOf } from './sources/row-batches.js'
import type { ReadContext, RowSource } from './sources/row-source.js'

/**
 * Reads rows one after the other.
 *
 * @param columns Gives the columns the names that the forms know.
 * @param recognize Tells the form of a row, and checks its columns.
 * @throws DataError naming file and line (or row) for a row that is not an object, lacks the columns of every form, has
 * one of the wrong type, or has another form than the rows before it in its file; `context.onBadRow` may leave such
 * rows out.
 */
export async function* readRows<Row extends RecognizedRow>(
  source: RowSource,
  columns: Columns,
  recognize: (value: unknown, origin: RowOrigin) => Steps<Row>,
  context: ReadContext,
): AsyncGenerator<Row> {
  const { turns, onBadRow } = context
  let first: Row | undefined
  let part: string | undefined
  function* sound(value: unknown, origin: RowOrigin): Steps<Row> {
    let row: Row
    try {
      row = yield* recognize(columns.rename(value), origin)
    } catch (error) {
      columns.expectSome(value, origin)
      throw error
    }
    if (first === undefined || row.form === first.form) return row
    throw rowError(
      origin,
      `[data] expected one form of rows in a file, got ${row.form} in ${describeOrigin(origin)} after ${first.form} in ` +
        `${describeOrigin(first.origin)}; put each form into a file of its own`,
    )
  }
  for await (const batch of batchesOf(source, context)) {
    for (const [index, value] of batch.values.entries()) {
      turns.throwIfAborted()
      const origin = batch.origin(index)
      if (origin.file !== part) first = undefined
      part = origin.file
      const row = await turns.run(orBad(sound(value, origin), onBadRow))
      if (row === undefined) continue
      first ??= row
      yield row
    }
  }
  if (first !== undefined) columns.expectAll()
}

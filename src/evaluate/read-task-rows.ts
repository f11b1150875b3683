/**
 * @file The rows of a task, read one after the other and turned into what its type needs of them. What is left out is
 * counted and told.
 */

import { Columns } from '../data/columns.js'
import { firstErrors, MOST_ERRORS } from '../data/report.js'
import type { RowOrigin } from '../data/row-origin.js'
import { readRows } from '../data/rows.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import type { SourceLineage } from '../data/sources/row-source.js'
import { limited } from '../data/sources/select-rows.js'
import { DataError } from '../lowrank-error.js'
import { type Steps, Turns } from '../turns.js'
import type { TaskWarning } from './evaluation-report.js'
import type { CommonTaskOptions } from './task-options.js'

/** A row that was read, or why it is left out. */
export type ReadRow<Row> = { readonly row: Row } | { readonly leftOut: string }

/** The rows of a task, and what became of the others. */
export interface TaskRows<Row> {
  readonly rows: readonly Row[]
  /** All that were read, those that were left out included. */
  readonly count: number
  readonly lineage: readonly SourceLineage[]
  readonly warnings: readonly TaskWarning[]
}

/**
 * Reads all rows.
 * @param read Makes of a row, its columns renamed, what the task needs; `index` counts all rows from 0.
 * @param reasons By code what happened to rows that `read` leaves out, behind `3 of 10 rows`.
 * @throws DataError for a row with a defect, unless `onError` is 'skip', and where no row is left
 */
export async function readTaskRows<Row>(
  where: string,
  {
    dataset,
    limit,
    columns,
    onError,
  }: Pick<CommonTaskOptions, 'limit' | 'onError'> & { dataset: DataSource; columns: Readonly<Record<string, string>> },
  read: (value: unknown, origin: RowOrigin, index: number) => Steps<ReadRow<Row>>,
  reasons: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<TaskRows<Row>> {
  const turns = new Turns(signal)
  const lineage: SourceLineage[] = []
  const errors: string[] = []
  let skipped = 0
  let count = 0
  const leftOut = new Map<string, number>()
  const rows: Row[] = []
  // A data set of several splits gives its held-out rows, as evalDataset of a run does.
  const opened = openSource(dataset, 'evalDataset')
  const source = limit === undefined ? opened : limited(opened, limit)
  function* recognize(value: unknown, origin: RowOrigin) {
    return { origin, form: 'row', found: yield* read(value, origin, count + skipped) }
  }
  const onBadRow = (error: DataError): void => {
    skipped++
    if (errors.length < MOST_ERRORS) errors.push(error.message)
  }
  await source.check?.(signal)
  const context = {
    signal,
    turns,
    onFraction: () => {},
    onLineage: (entry: SourceLineage) => void lineage.push(entry),
    ...(onError === 'skip' && { onBadRow }),
  }
  for await (const { found } of readRows(source, new Columns(columns), recognize, context)) {
    count++
    if ('row' in found) rows.push(found.row)
    else leftOut.set(found.leftOut, (leftOut.get(found.leftOut) ?? 0) + 1)
    if (turns.isOver) await turns.next()
  }
  const all = count + skipped
  const warnings = [...leftOut].map(([code, number]) => ({
    code,
    rows: number,
    message: `${number} of ${all} rows ${reasons[code]}`,
  }))
  if (skipped > 0) {
    const message = `${skipped} of ${all} rows skipped: they have a defect, ${firstErrors(skipped, errors)}`
    warnings.unshift({ code: 'skipped', rows: skipped, message })
  }
  if (rows.length === 0) throw noRows(where, source.name, all, warnings)
  return { rows, count: all, lineage, warnings }
}

function noRows(where: string, name: string, all: number, warnings: readonly TaskWarning[]): DataError {
  if (all === 0) return new DataError(`[${where}] expected at least one row in ${name}, got none; check the data set`)
  const reasons = warnings.map(({ message }) => message).join('; ')
  return new DataError(`[${where}] expected rows to score in ${name}, got none of ${all}; ${reasons}`)
}

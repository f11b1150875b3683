/** @file Reading all rows of a source as a run does. */

import { Columns } from '../../src/data/columns.js'
import type { RowFormName } from '../../src/data/forms/row-form.js'
import { ONE_SEQUENCE } from '../../src/data/row-coding.js'
import { type DataRow, recognizeSteps, type SequenceRow } from '../../src/data/row-forms.js'
import type { RowOrigin } from '../../src/data/row-origin.js'
import { readRows } from '../../src/data/rows.js'
import { type DataSource, openSource } from '../../src/data/sources/open-source.js'
import type { ReadContext, SourceLineage } from '../../src/data/sources/row-source.js'
import { runAtOnce, Turns } from '../../src/turns.js'

/** A context that keeps what it is told. */
export function readContext(signal?: AbortSignal): ReadContext & { fractions: number[]; lineage: SourceLineage[] } {
  const fractions: number[] = []
  const lineage: SourceLineage[] = []
  return {
    signal,
    turns: new Turns(signal),
    fractions,
    lineage,
    onFraction: (fraction) => fractions.push(fraction),
    onLineage: (entry) => lineage.push(entry),
  }
}

/** The rows of a source, their forms known. */
export async function* rowsOf(
  source: DataSource,
  columns: Readonly<Record<string, string>> = {},
  context: ReadContext = readContext(),
): AsyncGenerator<DataRow> {
  yield* readRows(openSource(source), new Columns(columns), recognizeSteps, context)
}

/** The same, as a list. */
export async function allRows(...args: Parameters<typeof rowsOf>): Promise<DataRow[]> {
  const rows: DataRow[] = []
  for await (const row of rowsOf(...args)) rows.push(row)
  return rows
}

/** A row that supervised fine-tuning takes. */
export function sequenceRow(value: unknown, origin: RowOrigin, rowForm?: RowFormName): SequenceRow {
  return runAtOnce(ONE_SEQUENCE.recognize(value, origin, rowForm)) as SequenceRow
}

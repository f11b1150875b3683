/** @file Rows of any data set as a transformation reads them: columns by name, one row at a time. Writes nothing. */

import { valueAt } from '../data/columns.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import { batchesOf } from '../data/sources/row-batches.js'
import { refuseInputs } from '../data/writers/refuse-inputs.js'
import { describeValue, listNames } from '../errors.js'
import { jsonText, PythonFloat } from '../lossless-json.js'
import { DataError } from '../lowrank-error.js'
import { Turns } from '../turns.js'
import { isObject } from '../values.js'

/** Columns of a row by name, in the order of the row. */
export type Columns = ReadonlyMap<string, unknown>

/** A row with what errors call it. */
export interface InputRow {
  readonly columns: Columns
  readonly origin: RowOrigin
  /** Number of the row in its data set, from 1. */
  readonly row: number
}

/** What every transformation takes beside its own options. */
export interface ReadingOptions {
  /** Ends the work with its reason. */
  readonly signal?: AbortSignal | undefined
  /** Files that are written: no rows are read from them. */
  readonly outputs?: readonly string[] | undefined
  /** Told the rows read so far and their share, at most ten times a second and at the end. */
  readonly onProgress?: ((rows: number, fraction: number | undefined) => void) | undefined
}

// A bar that moves ten times a second looks smooth.
const PROGRESS_MS = 100

/**
 * The rows of a data set, one after the other.
 *
 * @throws DataError naming the row that is no object
 * @throws OptionError where a row lies in one of `outputs`
 */
export async function* readInput(
  source: DataSource,
  { signal, onProgress, outputs = [] }: ReadingOptions,
  name?: string,
): AsyncGenerator<InputRow> {
  let fraction: number | undefined
  let told = performance.now()
  let row = 0
  const turns = new Turns(signal)
  const expectOther = refuseInputs(outputs)
  let file: string | undefined
  const onFraction = (read: number): void => {
    fraction = read
  }
  const context = { signal, turns, onFraction, onLineage: () => {}, needsHash: false }
  for await (const batch of batchesOf(openSource(source, name), context)) {
    for (const [index, value] of batch.values.entries()) {
      turns.throwIfAborted()
      row++
      const origin = batch.origin(index)
      if (origin.file !== file) {
        file = origin.file
        await expectOther(file)
      }
      if (onProgress && performance.now() - told > PROGRESS_MS) {
        told = performance.now()
        onProgress(row, fraction)
      }
      yield { columns: columnsOf(value, origin), origin, row }
      if (turns.isOver) await turns.next()
    }
  }
  onProgress?.(row, 1)
}

function columnsOf(value: unknown, origin: RowOrigin): Columns {
  if (value instanceof Map) return value as Columns
  if (isObject(value)) return new Map(Object.entries(value))
  throw rowError(
    origin,
    `[data] expected an object of columns in ${describeOrigin(origin)}, got ${describeValue(value)}`,
  )
}

/** A column by its name, or by a path with dots into objects; undefined where the row has none or it is missing. */
export function presentValue(columns: Columns, name: string): unknown {
  const value = valueAt(columns, name)
  return isMissingValue(value) ? undefined : value
}

/** Columns that an option names: one that no row has is misspelled, and what it was to say would not hold. */
export class NamedColumns {
  readonly #where: string
  /** Options by the columns that no row had so far. */
  readonly #lacking: Map<string, string>
  #first: Columns | undefined

  /** @param columns Pairs of an option and the column that it names, if it was given. */
  constructor(where: string, columns: readonly (readonly [option: string, column: string | undefined])[]) {
    this.#where = where
    this.#lacking = new Map(columns.flatMap(([option, column]) => (column === undefined ? [] : [[column, option]])))
  }

  see(columns: Columns): void {
    this.#first ??= columns
    for (const column of this.#lacking.keys()) if (valueAt(columns, column) !== undefined) this.#lacking.delete(column)
  }

  /** @throws DataError where there were rows, but none with some column */
  expectAll(): void {
    const [lacking] = this.#lacking
    if (lacking === undefined || this.#first === undefined) return
    const [column, option] = lacking
    throw new DataError(
      `[${this.#where}] expected the column ${describeValue(column)}, which ${option} names, in a row, got it in none; the first row has ` +
        `${listNames([...this.#first.keys()]) || 'no columns'}: correct ${option}`,
    )
  }
}

/** Whether a cell says nothing: absent, null, a number that is none, or blank text, as CSV has it for all of these. */
function isMissingValue(value: unknown): boolean {
  return (
    value === undefined || value === null || Number.isNaN(value) || (typeof value === 'string' && trimmed(value) === '')
  )
}

/** A value as text: numbers as their file wrote them, lists and objects as JSON. */
export function textOfValue(value: unknown): string {
  if (typeof value === 'string') return value
  return value instanceof PythonFloat ? value.toString() : jsonText(value)
}

// What SQL engines read as a number too, without their names for infinity.
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** The number that a value is or that its text says, also as a percentage, `13.5%`; undefined where it says none. */
export function numberOfValue(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof PythonFloat) return value.value
  if (typeof value !== 'string') return undefined
  const text = trimmed(value).replace(/%+$/, '')
  return NUMBER.test(text) ? Number(text) : undefined
}

/** Without blanks at both ends. SQL's TRIM takes no other white space. */
function trimmed(text: string): string {
  return text.replace(/^ +| +$/g, '')
}

/** @file The option `columns`: rows with other names of columns get those that the forms of rows know. */

import { describeValue, listNames } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import { isObject } from '../values.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'

/** Renames the columns of the rows of one data set. */
export class Columns {
  readonly #columns: readonly (readonly [name: string, column: string])[]
  /** The names of the option whose column was in no row yet. */
  readonly #lacking: Map<string, string>

  /** @param columns By the name that the forms know, the name that the rows have: `question`, or `input.question`. */
  constructor(columns: Readonly<Record<string, string>>) {
    this.#columns = Object.entries(columns)
    this.#lacking = new Map(this.#columns)
  }

  /**
   * The row by the names that the forms know. A column that the row lacks is absent, also where the row has one of that
   * name.
   */
  rename(row: unknown): unknown {
    const given = this.#columns.length === 0 ? undefined : columnsOf(row)
    if (given === undefined) return row
    const renamed = new Map(given)
    for (const [name, column] of this.#columns) {
      renamed.delete(given.has(column) ? column : outermost(column))
      renamed.delete(name)
    }
    for (const [name, column] of this.#columns) {
      const value = valueAt(given, column)
      if (value === undefined) continue
      renamed.set(name, value)
      this.#lacking.delete(name)
    }
    return renamed
  }

  /** Says of a row that was refused which column is missing. @throws naming a column that no row had so far */
  expectSome(row: unknown, origin: RowOrigin): void {
    const [lacking] = this.#lacking
    const given = columnsOf(row)
    if (!lacking || given === undefined) return
    throw rowError(
      origin,
      missing(lacking, `in ${describeOrigin(origin)}, got ${listNames([...given.keys()]) || 'no columns'}`),
    )
  }

  /** @throws where a column was in none of the rows: its name is misspelled */
  expectAll(): void {
    const [lacking] = this.#lacking
    if (lacking) throw new DataError(missing(lacking, 'in a row, got it in none'))
  }
}

function missing([name, column]: readonly [string, string], what: string): string {
  return `[data] expected the column ${describeValue(column)}, which columns gives for ${name}, ${what}; correct columns`
}

function columnsOf(row: unknown): ReadonlyMap<string, unknown> | undefined {
  if (row instanceof Map) return row as Map<string, unknown>
  return isObject(row) ? new Map(Object.entries(row)) : undefined
}

/** A column by its name, or by a path of names with dots within objects; undefined where there is none. */
export function valueAt(row: ReadonlyMap<string, unknown>, column: string): unknown {
  if (row.has(column)) return row.get(column)
  let value: unknown = row
  for (const key of column.split('.')) {
    if (value instanceof Map) value = value.get(key)
    else if (isObject(value) && Object.hasOwn(value, key)) value = value[key]
    else return undefined
  }
  return value
}

function outermost(column: string): string {
  return column.split('.', 1)[0] as string
}

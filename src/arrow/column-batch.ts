/** @file Rows by columns, as Parquet, Arrow and Delta have them, and those of a record batch of Arrow. */

import { DataError } from '../lowrank-error.js'
import { TYPE } from './types.js'
import { type ArrowBatch, MOST_ROWS_WITHOUT_VALUES, reader } from './values.js'

/** Some rows by columns. */
export interface ColumnBatch {
  readonly names: readonly string[]
  /** As many as `names`; each holds `length` values. */
  readonly columns: readonly ArrayLike<unknown>[]
  readonly length: number
  /** How many rows of the file come before these. */
  readonly start: number
}

/** One row of a batch, by name. */
export function rowOf({ names, columns }: ColumnBatch, index: number): object {
  // Assigned to an object, a column of this name would be its prototype.
  if (names.includes('__proto__')) return new Map(names.map((name, at) => [name, columns[at]?.[index]]))
  const row: Record<string, unknown> = {}
  for (let at = 0; at < names.length; at++) row[names[at] as string] = (columns[at] as ArrayLike<unknown>)[index]
  return row
}

/** A batch by columns. @param start how many rows come before it */
export function columnBatch({ schema: { fields }, numRows, data }: ArrowBatch, start: number): ColumnBatch {
  if (numRows > MOST_ROWS_WITHOUT_VALUES && data.children.every(({ type }) => type.typeId === TYPE.null))
    throw new DataError(`rows with values, got a batch of ${numRows} rows without any`)
  const columns = fields.map(({ name }, index) => {
    try {
      const column = data.children[index]
      if (column === undefined) throw new DataError('a column of values, got none')
      if (column.length < numRows) throw new DataError(`${numRows} values, got ${column.length}`)
      const valueAt = reader(column)
      return Array.from({ length: numRows }, (_, row) => valueAt(row))
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      throw new DataError(`${error.message} in the column ${JSON.stringify(name)}`, { cause: error })
    }
  })
  return { names: fields.map(({ name }) => name), columns, length: numRows, start }
}

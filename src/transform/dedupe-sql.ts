/** @file Rows without those that equal an earlier one, as SQL: what `dedupeRows` keeps with `threshold: false`. */

import { OptionError } from '../lowrank-error.js'
import { sqlColumn, sqlTable, sqlText } from './sql.js'

/** What tells rows apart in SQL. */
export interface DedupeSqlOptions {
  /** Columns of text that are compared. */
  columns: readonly string[]
  /** Column whose smallest value says which of several equal rows stays; no two rows have the same. */
  key: string
}

/**
 * The query that leaves out rows that are equal to one before them, white space normalised.
 *
 * @param table `main.default.rows`.
 * @throws OptionError without columns
 */
export function dedupeSql(table: string, { columns, key }: DedupeSqlOptions): string {
  if (!Array.isArray(columns) || columns.length === 0)
    throw new OptionError('[sql] expected columns to compare, got none; name at least one')
  const id = sqlColumn(key)
  const text = columns.map((name) => normalizedSql(`COALESCE(${sqlText(sqlColumn(name))}, '')`)).join(' || chr(31) || ')
  return [
    `SELECT * FROM ${sqlTable(table)}`,
    `WHERE ${id} IN (`,
    `  SELECT MIN(${id}) FROM ${sqlTable(table)}`,
    `  GROUP BY ${text}`,
    ')',
    '',
  ].join('\n')
}

/** Runs of white space as one blank: marks round each blank fall together, and what remains of them is one. */
function normalizedSql(text: string): string {
  const blanks = [9, 10, 13].reduce((all, code) => `replace(${all}, chr(${code}), ' ')`, text)
  const marked = `replace(${blanks}, ' ', chr(1) || chr(2))`
  return `TRIM(replace(replace(${marked}, chr(2) || chr(1), ''), chr(1) || chr(2), ' '))`
}

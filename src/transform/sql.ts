/**
 * @file SQL text that DuckDB and Spark SQL read the same: their common functions alone, no backslash and no quote in a
 * literal, names that need no quotes. Knows no transformation.
 */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'

// Words that one of both keeps for itself.
const RESERVED =
  /^(?:all|and|any|as|asc|between|both|case|cast|check|collate|column|create|cross|current_date|current_time|current_timestamp|current_user|default|desc|distinct|else|end|except|exists|false|fetch|filter|for|foreign|from|full|grant|group|having|in|inner|intersect|into|is|join|lateral|leading|left|like|limit|natural|not|null|offset|on|only|or|order|outer|primary|qualify|references|right|select|some|table|then|to|trailing|true|union|unique|unknown|user|using|when|where|window|with)$/i

/** A column. @throws for a name that the two dialects would quote in different ways */
export function sqlColumn(name: string): string {
  if (/^[a-z_][a-z0-9_]*$/i.test(name) && !RESERVED.test(name)) return name
  throw new OptionError(
    `[sql] expected a column of letters, digits and _ that is no word of SQL, got ${describeValue(name)}; rename the column in the table`,
  )
}

/** A table: `main.default.loans`, or what the caller writes in its place where that is no name. */
export function sqlTable(name: string): string {
  if (name.split('.').every((part) => /^[a-z_][a-z0-9_]*$/i.test(part))) return name
  throw new OptionError(
    `[sql] expected a table such as main.default.loans, got ${describeValue(name)}; make a view of that name`,
  )
}

/** A text. Spark reads escapes in literals and DuckDB does not, so what would need one is a character by its code. */
export function sqlLiteral(text: string): string {
  const pieces = text.split(/([\\'\p{Cc}])/u).filter((piece) => piece !== '')
  if (pieces.length === 0) return "''"
  const parts = pieces.map((piece) => (/^[\\'\p{Cc}]$/u.test(piece) ? `chr(${piece.charCodeAt(0)})` : `'${piece}'`))
  return parts.length === 1 ? (parts[0] as string) : `(${parts.join(' || ')})`
}

export function sqlText(expression: string): string {
  return `CAST(${expression} AS STRING)`
}

/** Whether a value is NULL or blank text. */
export function sqlIsMissing(column: string): string {
  return `(${column} IS NULL OR TRIM(${sqlText(column)}) = '')`
}

/** The number that a value is or says; NULL where it says none, and for what engines alone take for numbers. */
export function sqlNumber(column: string): string {
  const text = `TRIM(TRAILING '%' FROM TRIM(${sqlText(column)}))`
  return `CASE WHEN translate(${text}, '0123456789+-.eE', '') = '' THEN TRY_CAST(${text} AS DOUBLE) END`
}

// The short escapes of JSON.
const JSON_ESCAPES: readonly (readonly [code: number, escape: string])[] = [
  [92, '\\\\'],
  [34, '\\"'],
  [10, '\\n'],
  [13, '\\r'],
  [9, '\\t'],
  [8, '\\b'],
  [12, '\\f'],
]

/** A text as the inside of a JSON string. Control characters without a short escape stay as they are. */
export function sqlJsonEscaped(text: string): string {
  return JSON_ESCAPES.reduce((all, [code, escaped]) => `replace(${all}, chr(${code}), ${sqlLiteral(escaped)})`, text)
}

/** Expressions of text, one behind the other. */
export function sqlConcat(parts: readonly string[]): string {
  return parts.length === 0 ? "''" : parts.join(' || ')
}

/**
 * @file Rows as CSV (RFC 4180): a header, then a line for each row. Lists and objects are JSON in their cell, null is
 * an empty cell. Cells that begin like a formula are written as they are.
 */

import { describeValue } from '../../errors.js'
import { DataError } from '../../lowrank-error.js'
import { toError } from '../../values.js'
import type { RowEncoder } from './format-writer.js'
import { jsonLine } from './json-value.js'
import { entriesOf, expectText, type RowSchema } from './row-schema.js'
import { inColumn } from './row-values.js'
import { textEncoder } from './text-encoder.js'

/** Encodes rows as CSV. */
export function csvEncoder(schema: RowSchema): RowEncoder {
  const names = [...schema.keys()]
  // A line without anything would be no header.
  const header = names.map(headerCell)
  return textEncoder(`${header.join(',')}\r\n`, (row) => {
    const values = new Map(entriesOf(row))
    // Its line would be read as no row, and below a header without names.
    if (names.length === 0) throw new DataError('a row with columns, got an object without any')
    for (const name of values.keys())
      if (!schema.has(name)) throw new DataError(`the columns of the schema, got also ${describeValue(name)}`)
    const line = names.map((name) => inColumn(name, () => cell(values.get(name)))).join(',')
    // A line without anything would be no row.
    return `${line === '' ? '""' : line}\r\n`
  })
}

function headerCell(name: string): string {
  try {
    return textCell(name)
  } catch (error) {
    throw new DataError(`[data] expected names of columns as ${toError(error).message}`, { cause: error })
  }
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return textCell(value)
  const json = jsonLine(value)
  return value instanceof Date ? (JSON.parse(json) as string) : quoted(json)
}

/** @throws DataError for what readers of CSV take for the end of a text, or for UTF-16 */
function textCell(text: string): string {
  if (text.includes('\0'))
    throw new DataError(`text without null characters, which CSV has no form of, got ${describeValue(text)}`)
  return text === '' ? '""' : quoted(expectText(text))
}

function quoted(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

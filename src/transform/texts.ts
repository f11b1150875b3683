/** @file The text of a row that duplicates are found by, and how it is normalised. */

import { PythonFloat } from '../lossless-json.js'
import { isObject } from '../values.js'
import { type Columns, presentValue } from './input.js'

/** Stands between the values of a row: no text of people has it. */
const VALUE_SEPARATOR = '\u001f'

/**
 * The texts of a row in their order, also those within lists and objects.
 * @param names Columns that count; undefined: all.
 */
export function textOfRow(columns: Columns, names: readonly string[] | undefined): string {
  const texts: string[] = []
  const values = names === undefined ? columns.values() : names.map((name) => presentValue(columns, name))
  for (const value of values) {
    if (value === undefined || value === null) texts.push('')
    else collect(value, texts)
  }
  return texts.join(VALUE_SEPARATOR)
}

/** The texts that `textOfRow` joined. */
export function valuesOf(text: string): readonly string[] {
  return text.split(VALUE_SEPARATOR)
}

function collect(value: unknown, texts: string[]): void {
  if (typeof value === 'string') texts.push(value)
  else if (Array.isArray(value)) for (const item of value) collect(item, texts)
  else if (value instanceof Map) for (const item of value.values()) collect(item, texts)
  else if (isObject(value) && !isText(value)) for (const item of Object.values(value)) collect(item, texts)
  else if (value !== null && value !== undefined) texts.push(String(value))
}

/** Whether an object is one value, whose text says all of it. */
function isText(value: object): boolean {
  return value instanceof PythonFloat || value instanceof Date || ArrayBuffer.isView(value)
}

/** White space as one blank, none at the ends of a value; in small letters where case does not count. */
export function normalizedText(text: string, ignoreCase: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what stands between values.
  const spaced = text.replace(/[ \t\r\n]+/g, ' ').replace(/(?<=^|\u001f) | (?=$|\u001f)/g, '')
  return ignoreCase ? spaced.toLowerCase() : spaced
}

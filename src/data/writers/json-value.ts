/** @file A value as one line of JSON that reads back equal. */

import { describeValue } from '../../errors.js'
import { floatText, jsonString, PythonFloat } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'
import { entriesOf, expectLevels } from './row-schema.js'

/**
 * The JSON text of a value: integers keep all digits, floats their point, `Map`s are objects, dates ISO 8601.
 * @throws DataError for what JSON has no form of, such as NaN, bytes and functions
 */
export function jsonLine(value: unknown, level = 0): string {
  expectLevels(level)
  if (value === null || value === undefined) return 'null'
  switch (typeof value) {
    case 'string':
      // UTF-8 has no form of half a pair of surrogates; JSON has.
      return jsonString(value).replace(HALF_PAIR, escaped)
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'number':
      return numberText(value)
    case 'object':
      break
    default:
      throw without(value)
  }
  if (Array.isArray(value)) return `[${value.map((item) => jsonLine(item, level + 1)).join(',')}]`
  if (value instanceof PythonFloat)
    return Number.isFinite(value.value) ? floatText(value.value) : numberText(value.value)
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? numberText(Number.NaN) : jsonString(value.toISOString())
  if (ArrayBuffer.isView(value)) throw without(value)
  const fields = entriesOf(value).map(([name, entry]) => `${jsonLine(name)}:${jsonLine(entry, level + 1)}`)
  return `{${fields.join(',')}}`
}

const HALF_PAIR = /\p{Surrogate}/gu

function escaped(half: string): string {
  return `\\u${half.charCodeAt(0).toString(16)}`
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw without(value)
  return Object.is(value, -0) ? '-0.0' : String(value)
}

function without(value: unknown): DataError {
  return new DataError(`a value that JSON has, got ${describeValue(value)}`)
}

/** @file A value as one line of JSON that reads back equal. */

import { describeValue } from '../../errors.js'
import { floatText, jsonString, PythonFloat } from '../../lossless-json.js'
import { DataError } from '../../lowrank-error.js'

/**
 * The JSON text of a value: integers keep all digits, floats their point, `Map`s are objects, dates ISO 8601.
 * @throws DataError for what JSON has no form of, such as NaN, bytes and functions
 */
export function jsonLine(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  switch (typeof value) {
    case 'string':
      return jsonString(value)
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
  if (Array.isArray(value)) return `[${value.map(jsonLine).join(',')}]`
  if (value instanceof PythonFloat)
    return Number.isFinite(value.value) ? floatText(value.value) : numberText(value.value)
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? numberText(Number.NaN) : jsonString(value.toISOString())
  if (ArrayBuffer.isView(value)) throw without(value)
  const entries = value instanceof Map ? [...(value as Map<unknown, unknown>)] : Object.entries(value)
  const fields = entries.flatMap(([name, entry]) =>
    entry === undefined ? [] : [`${jsonString(String(name))}:${jsonLine(entry)}`],
  )
  return `{${fields.join(',')}}`
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw without(value)
  return Object.is(value, -0) ? '-0.0' : String(value)
}

function without(value: unknown): DataError {
  return new DataError(`a value that JSON has, got ${describeValue(value)}`)
}

/** @file Plain JavaScript data as values of a template, copied once: nothing that a template does reaches the caller. */

import { PythonFloat } from '../../lossless-json.js'
import { fail, unsupported } from './errors.js'
import { int } from './numbers.js'
import { hasLoneSurrogate } from './text.js'
import { Dict, type Value } from './values.js'

/** Levels of lists and objects in what is given to a template. */
const MAX_DEPTH = 500

/**
 * The value that Python has for plain data: integral numbers are integers, others floats; Maps and objects are dicts.
 *
 * @param where names the value in errors, for example `messages`.
 * @throws for functions, other objects, halves of surrogate pairs and nesting without end.
 */
export function fromJs(value: unknown, where: string, depth = 0): Value {
  switch (typeof value) {
    case 'string':
      return hasLoneSurrogate(value) ? unsupported(`half of a surrogate pair, as in the text of ${where},`) : value
    case 'boolean':
      return value
    case 'number':
      if (!Number.isInteger(value)) return new PythonFloat(value)
      return value === 0 ? 0 : int(BigInt(value))
    case 'bigint':
      return int(value)
    case 'undefined':
      return null
    case 'object':
      break
    default:
      return fail('TypeError', `expected plain data in ${where}, got a ${typeof value}`)
  }
  if (value === null || value instanceof PythonFloat) return value
  if (depth > MAX_DEPTH) fail('Bounds', `expected at most ${MAX_DEPTH} levels in ${where}, got more`)
  if (Array.isArray(value)) return value.map((item) => fromJs(item, where, depth + 1))
  const dict = new Dict()
  for (const [key, entry] of entriesOf(value, where)) {
    if (entry !== undefined) dict.set(fromJs(key, where), fromJs(entry, where, depth + 1))
  }
  return dict
}

/** Entries of an object or Map. @throws for objects of other kinds */
export function entriesOf(value: object, where: string): Iterable<[unknown, unknown]> {
  if (value instanceof Map) return value
  const prototype = Object.getPrototypeOf(value) as object | null
  // By its name, since an object may come from another realm.
  if (prototype !== null && prototype.constructor.name !== 'Object') {
    return fail('TypeError', `expected plain data in ${where}, got an object of class ${prototype.constructor.name}`)
  }
  return Object.entries(value)
}

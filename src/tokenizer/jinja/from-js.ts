/**
 * @file Plain JavaScript data as values of a template, copied once: nothing that a template does reaches the caller.
 */

import { PythonFloat } from '../../lossless-json.js'
import type { Steps } from '../../turns.js'
import { fail, unsupported } from './errors.js'
import { int } from './numbers.js'
import { hasLoneSurrogate } from './text.js'
import { Dict, type Value } from './values.js'

/** Levels of lists and objects in what is given to a template. */
const MAX_DEPTH = 500
// Values and characters that are copied and checked within a fraction of a millisecond.
const SIZE_OF_STEP = 1 << 13
const VALUE = 16

interface Unfilled {
  source: object
  copy: Value[] | Dict
  where: string
  depth: number
}

/**
 * Copies plain data to the values that Python has for them: integral numbers are integers, others floats; Maps and
 * objects are dicts. Lists and dicts are empty at first: `fill` copies what is in them.
 */
export class Conversion {
  #unfilled: Unfilled[] | undefined
  #size = 0

  /**
   * @param where names the value in errors, for example `messages`.
   * @throws for functions, other objects, halves of surrogate pairs and nesting without end.
   */
  value(value: unknown, where: string, depth = 0): Value {
    this.#size += VALUE
    switch (typeof value) {
      case 'string':
        this.#size += value.length >> 4
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
    const copy = Array.isArray(value) ? [] : new Dict()
    this.#unfilled ??= []
    this.#unfilled.push({ source: value, copy, where, depth: depth + 1 })
    return copy
  }

  /** Whether it is time for `fill`. */
  get isDue(): boolean {
    return this.#unfilled !== undefined || this.#size > SIZE_OF_STEP
  }

  /** Copies what is in lists and dicts so far. */
  *fill(): Steps<void> {
    for (let next = this.#unfilled?.pop(); next !== undefined; next = this.#unfilled?.pop()) {
      const { source, copy, where, depth } = next
      if (Array.isArray(copy)) {
        for (const item of source as unknown[]) {
          copy.push(this.value(item, where, depth))
          if (this.#size > SIZE_OF_STEP) yield* this.#pause()
        }
      } else {
        for (const [key, entry] of entriesOf(source, where)) {
          if (entry !== undefined) copy.set(this.#key(key, where), this.value(entry, where, depth))
          if (this.#size > SIZE_OF_STEP) yield* this.#pause()
        }
      }
    }
    this.#unfilled = undefined
    if (this.#size > SIZE_OF_STEP) yield* this.#pause()
  }

  *#pause(): Steps<void> {
    yield
    this.#size = 0
  }

  #key(key: unknown, where: string): Value {
    if (typeof key !== 'object' || key === null || key instanceof PythonFloat) return this.value(key, where)
    // Refused by the dict, whatever is in it.
    if (Array.isArray(key)) return []
    entriesOf(key, where)
    return new Dict()
  }
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

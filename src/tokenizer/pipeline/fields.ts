/**
 * @file Reading a part of tokenizer.json strictly: every field is read, known to be harmless, or an error that names it
 * with its path. Objects come from JSON.parse, or with large ones as maps from `json-slices.ts`.
 */

import { describeValue, listNames } from '../../errors.js'
import { ModelError } from '../../lowrank-error.js'

/** An object of JSON with the place where it stands. */
export interface Fields {
  readonly path: string
  has(name: string): boolean
  raw(name: string): unknown
  text(name: string, fallback?: string): string
  boolean(name: string, fallback?: boolean): boolean
  integer(name: string, fallback?: number): number
  /** Exactly one character. */
  character(name: string): string
  oneOf<T extends string>(name: string, valid: readonly T[], fallback?: T): T
  list(name: string): readonly unknown[]
  object(name: string): Fields
  /** @throws naming the fields that have not been read */
  done(harmless?: readonly string[]): void
  error(name: string, expected: string, got?: unknown): Error
}

/** Entries of an object, whether it is one of JSON.parse or a map. */
export function entriesOf(value: unknown): Iterable<[string, unknown]> | undefined {
  if (value instanceof Map) return value as Map<string, unknown>
  if (!isObject(value)) return undefined
  return Object.entries(value)
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map)
}

/** @throws when `value` is no object */
export function fieldsOf(value: unknown, path: string): Fields {
  const object = value instanceof Map ? Object.fromEntries(value) : value
  if (!isObject(object)) throw wrong(path, 'an object', value)
  const read = new Set<string>()
  const take = (name: string): unknown => {
    read.add(name)
    return Object.hasOwn(object, name) ? object[name] : undefined
  }
  const error = (name: string, expected: string, got: unknown = take(name)): Error =>
    wrong(`${path}.${name}`, expected, got)
  const value_ = <T>(
    name: string,
    expected: string,
    is: (value: unknown) => value is T,
    fallback: T | undefined,
  ): T => {
    const found = take(name)
    if (found === undefined && fallback !== undefined) return fallback
    if (!is(found)) throw error(name, expected)
    return found
  }
  const fields: Fields = {
    path,
    error,
    has: (name) => take(name) !== undefined,
    raw: take,
    text: (name, fallback) => value_(name, 'a string', isText, fallback),
    boolean: (name, fallback) => value_(name, 'true or false', isBoolean, fallback),
    integer: (name, fallback) => value_(name, 'a whole number from 0 to 2^32 - 1', isIndex, fallback),
    character: (name) => value_(name, 'one character', isCharacter, undefined),
    oneOf: (name, valid, fallback) => {
      const is = (found: unknown): found is (typeof valid)[number] => valid.includes(found as (typeof valid)[number])
      return value_(name, valid.map((one) => `"${one}"`).join(', '), is, fallback)
    },
    list: (name) => value_(name, 'a list', isList, undefined),
    object: (name) => fieldsOf(take(name), `${path}.${name}`),
    done(harmless = []) {
      const unknown = Object.keys(object).filter((name) => !read.has(name) && !harmless.includes(name))
      if (unknown.length > 0) {
        throw new ModelError(
          `[tokenizer] expected fields of ${path} that are known, got ${listNames(unknown)}; a field that is not understood may change how text ` +
            'becomes ids: use another tokenizer',
        )
      }
    },
  }
  return fields
}

/** The error for a value that is not what it should be. */
export function wrong(path: string, expected: string, got: unknown): Error {
  return new ModelError(`[tokenizer] expected ${expected} for ${path}, got ${describeValue(got)}`)
}

/** Whether a value is a token id. */
export function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

function isCharacter(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length === (value.codePointAt(0)! > 0xffff ? 2 : 1)
}

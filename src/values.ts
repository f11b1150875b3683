/** @file What a value of unknown type is: whether it is an object with keys, and what was thrown as an error. */

import { describeValue } from './errors.js'

/** Whether a value holds values by key: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Whether a value is an object whose own keys say all that it holds: no Map, Set, Date or bytes, of which they say
 * nothing.
 */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === '[object Object]'
}

/** What was thrown, as an error: callers and libraries throw anything. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new Error(typeof thrown === 'string' ? thrown : describeValue(thrown))
}

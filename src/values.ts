/** @file What a value of unknown type is: whether it is an object with keys, and what was thrown as an error. */

import { describeValue } from './errors.js'

/** Whether a value holds values by key: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What was thrown, as an error: callers and libraries throw anything. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new Error(typeof thrown === 'string' ? thrown : describeValue(thrown))
}

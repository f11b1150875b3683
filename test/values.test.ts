/** @file What values of unknown type are taken for. */

import { describe, expect, it } from 'vitest'
import { isObject, toError } from '../src/values.js'

describe('toError', () => {
  it('keeps errors, takes texts as messages, and describes whatever else was thrown', () => {
    const error = new TypeError('no')
    expect(toError(error)).toBe(error)
    const messages = ['no', undefined, null, 5, { code: 1 }, Object.create(null), Symbol('s'), () => 1].map(
      (thrown: unknown) => toError(thrown).message,
    )
    expect(messages).toEqual(['no', 'undefined', 'null', '5', '{code}', '{}', 'Symbol(s)', 'a function'])
  })
})

describe('isObject', () => {
  it('is true of what has keys alone', () => {
    expect([{}, Object.create(null), new Map()].every(isObject)).toBe(true)
    expect([null, undefined, [], 'a', 5, () => 1].some(isObject)).toBe(false)
  })
})

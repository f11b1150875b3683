/** @file The matcher that counts its steps, against RegExp itself on generated expressions. */

import { expect, test } from 'vitest'
import { BoundedRegExp, TooManySteps } from '../../src/adapters/bounded-regexp.js'
import { cases } from '../support/long.js'
import { seededRandom } from '../support/values.js'

const random = seededRandom(77)
const below = (limit: number): number => Math.floor(((random() + 1) / 2) * limit)
const oneOf = <T>(items: readonly T[]): T => items[below(items.length)] as T

const CHARACTERS = [
  'a',
  'b',
  'A',
  '.',
  '_',
  '0',
  '\\d',
  '\\w',
  '\\W',
  '\\s',
  '[ab]',
  '[^a.]',
  '[a-c\\]_]',
  '\\.',
  '\\x61',
  '😀',
  '[😀b]',
  '\\p{Lu}',
  '\\u{1F600}',
  'ſ',
]
const QUANTIFIERS = ['*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '+?', '??', '{1,2}?']

/** A valid expression; `groups` counts the capturing groups, so that references name one that is there. */
function expression(depth: number, groups: { count: number }): string {
  const kind = depth === 0 ? 0 : below(13)
  if (kind < 4) return oneOf(CHARACTERS)
  if (kind < 6) return expression(depth - 1, groups) + expression(depth - 1, groups)
  if (kind === 6) return `(?:${expression(depth - 1, groups)}|${expression(depth - 1, groups)})`
  if (kind === 7) return `(?:${expression(depth - 1, groups)})${oneOf(QUANTIFIERS)}`
  if (kind === 8) {
    groups.count++
    return `(${oneOf(['', `?<n${groups.count}>`])}${expression(depth - 1, groups)})`
  }
  if (kind === 9) return `(${oneOf(['?=', '?!', '?<=', '?<!'])}${expression(depth - 1, groups)})`
  if (kind === 10) return oneOf(['^', '$', '\\b', '\\B'])
  if (kind === 11) return groups.count > 0 ? `(?:\\${1 + below(groups.count)})` : 'b'
  return `${oneOf(CHARACTERS)}${oneOf(QUANTIFIERS)}`
}

const text = (): string =>
  Array.from({ length: below(9) }, () => oneOf(['a', 'b', 'A', '.', '_', '0', ' ', '😀', '\n', 'ſ'])).join('')

test('finds what RegExp finds, groups included, in thousands of generated expressions', () => {
  let matched = 0
  for (let round = 0; round < cases(4_000, 200_000); round++) {
    const groups = { count: 0 }
    const source = `^(?:${expression(4, groups)})(?<end>.?)${oneOf(['', '$'])}`
    const flags = oneOf(['u', 'iu', 'su', 'mu'])
    // Sticky: both begin where the text does, whatever (?m) makes of ^.
    const expected = new RegExp(source, `${flags}y`)
    const bounded = new BoundedRegExp(source, flags, { left: 1_000_000 })
    for (let i = 0; i < 6; i++) {
      const subject = text()
      expected.lastIndex = 0
      const match = expected.exec(subject)
      const what = `/${source}/${flags} on ${JSON.stringify(subject)}`
      expect(bounded.test(subject), what).toBe(match !== null)
      if (match === null) continue
      matched++
      for (const [name, value] of Object.entries(match.groups ?? {})) expect(bounded.group(name), what).toBe(value)
    }
  }
  expect(matched).toBeGreaterThan(1000)
})

test.each([
  ['^(?:a+)+b', 'a'.repeat(80)],
  ['^(?:a|aa)+$', `${'a'.repeat(80)}b`],
  ['^(?:(?:a*)*)*b', 'a'.repeat(80)],
  ['^(a?){80}a{80}b', 'a'.repeat(80)],
])('%s ends after its steps on a text on which it would never end', (source, subject) => {
  const steps = { left: 100_000 }
  expect(() => new BoundedRegExp(source, 'u', steps).test(subject)).toThrow(TooManySteps)
})

test('what is nested or repeated too deeply for the stack is refused, not a crash', () => {
  const nested = `^${'(?:'.repeat(20_000)}a${')'.repeat(20_000)}`
  expect(() => new BoundedRegExp(nested, 'u', { left: 1e9 }).test('a')).toThrow('nested too deeply')
  const repeated = new BoundedRegExp('^(?:b*){1000000}', 'u', { left: 1e9 })
  expect(() => repeated.test('a')).toThrow('nested too deeply')
})

/** @file Patterns as automata: they take the texts that RegExp takes, and refuse what is not regular by name. */

import { describe, expect, it } from 'vitest'
import { parsePattern } from '../../src/grammar/pattern-syntax.js'
import { automatonOf, intersect, takes, withLength } from '../../src/grammar/text-automaton.js'
import { runAtOnce } from '../../src/turns.js'
import { randomNumbers } from '../support/grammar.js'
import { cases } from '../support/long.js'

const automaton = (source: string, isWhole = false) => runAtOnce(automatonOf(parsePattern(source, '#'), isWhole, '#'))

const PIECES = [
  'a',
  'b',
  '\u00e9',
  '\u{1f680}',
  '.',
  '\\d',
  '\\w',
  '\\s',
  '\\S',
  '\\W',
  '[ab]',
  '[^a]',
  '[a-c\\d_]',
  '\\u0061',
  '\\x62',
  '\\n',
  '\\.',
  '\\u{e9}',
  '\\ud83d\\ude80',
  '\\p{L}',
  '\\P{Lu}',
  '[\\s\\S]',
]
const CHARS = ['a', 'b', 'c', 'A', '\u00e9', '\u{1f680}', '1', '_', ' ', '\n', '.', '\u2028']

/** An expression of up to `depth` levels, with anchors anywhere. */
function randomPattern(random: () => number, depth: number): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  if (depth === 0) return random() < 0.1 ? pick(['^', '$']) : pick(PIECES)
  const inner = (): string => randomPattern(random, depth - 1)
  switch (Math.floor(random() * 6)) {
    case 0:
      return `(?:${inner()}|${inner()})`
    case 1:
      return `(${inner()})${pick(['*', '+', '?', '{2}', '{1,3}', '{2,}', '*?', '+?', '{0}'])}`
    case 2:
      return `^${inner()}${inner()}$`
    case 3:
      return `(?<n${Math.floor(random() * 1e9)}>${inner()})|`
    default:
      return inner() + inner()
  }
}

describe('a pattern', () => {
  it('an automaton takes the texts that RegExp takes', () => {
    const random = randomNumbers(5)
    let taken = 0
    let all = 0
    for (let count = 0; count < cases(150, 10_000); count++) {
      const source = randomPattern(random, 3)
      const regex = new RegExp(source, 'u')
      const own = automaton(source)
      for (let text = 0; text < 25; text++) {
        const length = Math.floor(random() * 7)
        const value = Array.from({ length }, () => CHARS[Math.floor(random() * CHARS.length)]!).join('')
        const expected = regex.test(value)
        expect(takes(own, value), `${source} on ${JSON.stringify(value)}`).toBe(expected)
        all++
        if (expected) taken++
      }
    }
    // Neither answer is rare.
    expect(taken / all).toBeGreaterThan(0.1)
    expect(taken / all).toBeLessThan(0.95)
  })

  it('an automaton is cut with another one and bounded in length by code points', () => {
    const both = runAtOnce(intersect(automaton('^[a-f]+$'), automaton('[^a]$'), '#'))
    expect(['b', 'aab', 'ba', 'g', ''].map((text) => takes(both, text))).toEqual([true, true, false, false, false])
    const bounded = runAtOnce(withLength(automaton('^.*$'), 2, 3, '#'))
    expect(['a', 'ab', '\u{1f680}b\u{1f680}', 'abcd'].map((text) => takes(bounded, text))).toEqual([
      false,
      true,
      true,
      false,
    ])
    const none = runAtOnce(withLength(automaton('^a{4}$'), 0, 3, '#'))
    expect(none.transitions).toEqual([])
  })

  it.each([
    ['(?<=a)b', 'expected no look-behind, which is not supported,'],
    ['a(?!b)', 'expected no look-ahead, which is not supported,'],
    ['\\bword\\b', 'expected no \\b, which is not supported,'],
    ['a\\B', 'expected no \\B, which is not supported,'],
    ['(a)\\1', 'expected no references to groups, which are not supported,'],
    ['(?<n>a)\\k<n>', 'expected no references to groups, which are not supported,'],
    ['a{2', 'expected a regular expression of ECMA-262 with the flag u'],
    ['(?:a{1000}){1000}', 'expected patterns, lengths and ranges that make at most 5000 states at #, got more'],
    ['(?:a|b)*a(?:a|b){14}', 'expected patterns, lengths and ranges that make at most 5000 states at #, got more'],
    ['('.repeat(300) + ')'.repeat(300), 'expected groups that are at most 200 deep'],
    ['a'.repeat(10_001), 'expected at most 10000 characters'],
  ])('the pattern %s is refused by name', (source, message) => {
    expect(() => automaton(source)).toThrow(`[json schema] ${message}`)
  })
})

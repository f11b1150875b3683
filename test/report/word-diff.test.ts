/** @file Differences of words are the shortest, lose nothing, and hold in every script. */

import { expect, it } from 'vitest'
import { diffWords, type Stretch } from '../../src/report/word-diff.js'
import { AWKWARD, HOSTILE } from './evaluations.js'

const shown = (stretches: readonly Stretch[]): string =>
  stretches.map(({ text, isCommon }) => (isCommon ? text : `[${text}]`)).join('')

function shownBoth(first: string, second: string): [string, string] {
  const diff = diffWords(first, second)
  return [shown(diff.first), shown(diff.second)]
}

it('words that only one text has are marked, together with the blanks between them', () => {
  expect(shownBoth('the quick brown fox jumps over it', 'the slow brown fox walks over it')).toEqual([
    'the [quick] brown fox [jumps] over it',
    'the [slow] brown fox [walks] over it',
  ])
  expect(shownBoth('a big red dog', 'a dog')).toEqual(['a [big red ]dog', 'a dog'])
  expect(shownBoth('', 'all new')).toEqual(['', '[all new]'])
  expect(shownBoth('same.', 'same.')).toEqual(['same.', 'same.'])
})

it('a word that moved is common once', () => {
  expect(shownBoth('a b c', 'c a b')).toEqual(['a b[ c]', '[c ]a b'])
})

it('scripts without blanks are compared by words, and marks stay with their letters', () => {
  expect(shownBoth('日本語の文章です', '英語の文章です')).toEqual(['[日本語]の文章です', '[英語]の文章です'])
  expect(shownBoth('e\u0301 x', 'e x')).toEqual(['[e\u0301] x', '[e] x'])
})

it('the stretches of both texts together are the texts, whatever these hold', () => {
  const texts = [...AWKWARD, ...HOSTILE, '', ' ', '\n\n']
  for (const first of texts) {
    for (const second of texts) {
      const diff = diffWords(first, second)
      expect(diff.first.map(({ text }) => text).join('')).toBe(first)
      expect(diff.second.map(({ text }) => text).join('')).toBe(second)
      const common = (stretches: readonly Stretch[]): string =>
        stretches
          .filter(({ isCommon }) => isCommon)
          .map(({ text }) => text)
          .join('')
          .replace(/\s/g, '')
      expect(common(diff.first)).toBe(common(diff.second))
    }
  }
})

it('the common words are those of a longest common subsequence', () => {
  let state = 7
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((state / 2 ** 31) * below)
  }
  for (let round = 0; round < 200; round++) {
    const words = (): string[] => Array.from({ length: random(12) }, () => 'abcd'.charAt(random(4)))
    const [a, b] = [words(), words()]
    // Signs are words of their own, so that no blanks join what changed.
    const diff = diffWords(a.join('|'), b.join('|'))
    const common = diff.first.filter(({ isCommon }) => isCommon).flatMap(({ text }) => [...text])
    expect(common).toHaveLength(longest([...a.join('|')], [...b.join('|')]))
  }
})

/** The length of the longest common subsequence, by its table. */
function longest(a: readonly string[], b: readonly string[]): number {
  let before = new Array<number>(b.length + 1).fill(0)
  for (const letter of a) {
    const row = [0]
    b.forEach((other, at) => {
      row.push(letter === other ? (before[at] as number) + 1 : Math.max(before[at + 1] as number, row[at] as number))
    })
    before = row
  }
  return before.at(-1) as number
}

it('texts that have little in common are told apart in bounded time', () => {
  const many = (word: string): string => Array.from({ length: 5000 }, (_, at) => `${word}${at}`).join(' ')
  const diff = diffWords(`start ${many('a')} end`, `start ${many('b')} end`)
  expect(diff.first.at(0)).toEqual({ text: 'start ', isCommon: true })
  expect(diff.first.at(-1)).toEqual({ text: ' end', isCommon: true })
  expect(diff.first).toHaveLength(3)
})

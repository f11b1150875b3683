import { expect, test } from 'vitest'
import { Random } from '../../../src/random.js'
import { automaton } from '../../../src/tokenizer/pipeline/regex/automaton.js'
import { parseRegex } from '../../../src/tokenizer/pipeline/regex/parse.js'
import { boundedFinder } from '../../../src/tokenizer/pipeline/regex/program.js'
import { isLong } from '../../support/long.js'

const PUBLISHED = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*\p{Ll}+(?i:'s|'t)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]+\p{Ll}*(?i:'s|'t)?|\p{N}{1,3}|\s+`,
]
const SMALL = [
  'a',
  'b',
  '[ab]',
  'c?',
  'a*',
  '(?:ab|a)',
  '(?:a|ab)',
  'b+?',
  'a{1,3}',
  '(?!b)',
  '(?=a)',
  '(?:ab){0,2}',
  '[^a]',
]
const LETTERS = [..."aaabbbcS'tRe  \n\r1٣éÉ漢𝒳😀-", '\ud835', '\udc9c']

function texts(random: Random, count: number): string[] {
  return Array.from({ length: count }, () =>
    Array.from({ length: random.below(20) }, () => LETTERS[random.below(LETTERS.length)]).join(''),
  )
}

function expectSameEnds(pattern: string, text: string): void {
  const node = parseRegex(pattern)
  const endAt = automaton(node)
  if (endAt === undefined) throw new Error(`no automaton of ${pattern}`)
  const finder = boundedFinder(node, pattern)
  const units = new Uint16Array(text.length)
  for (let at = 0; at < text.length; at++) units[at] = text.charCodeAt(at)
  for (let from = 0; from <= text.length; from++) {
    if ((text.charCodeAt(from) & 0xfc00) === 0xdc00) continue
    const found = finder.find(text, from)
    const expected = found?.start === from ? found.end : -1
    expect(endAt(units, from, text.length), `${pattern} at ${from} of ${JSON.stringify(text)}`).toBe(expected)
  }
}

test('the automaton of an expression that tokenizers have ends its matches where the backtracking machine does', () => {
  const random = new Random(3)
  for (const pattern of PUBLISHED) for (const text of texts(random, isLong ? 1500 : 60)) expectSameEnds(pattern, text)
})

test('automatons of random expressions end their matches where the backtracking machine does', () => {
  const random = new Random(5)
  const part = (): string => SMALL[random.below(SMALL.length)] as string
  for (let count = 0; count < (isLong ? 4000 : 150); count++) {
    const branch = (): string => Array.from({ length: 1 + random.below(4) }, part).join('')
    const pattern = Array.from({ length: 1 + random.below(4) }, branch).join('|')
    for (const text of texts(random, 4)) expectSameEnds(pattern, text)
  }
})

test('an expression that looks behind, or at a place, has no automaton', () => {
  for (const pattern of ['(?<=a)b', '^a', String.raw`\bword`, '(?>a+)b', '(?=ab)a'])
    expect(automaton(parseRegex(pattern)), pattern).toBeUndefined()
})

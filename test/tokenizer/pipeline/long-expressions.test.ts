/** @file Expressions on texts that are looked at in windows: the matches are those of the whole text. */

import { describe, expect, test } from 'vitest'
import { SPLITS } from '../../../src/tokenizer/gguf-splits.js'
import { nativeFinder } from '../../../src/tokenizer/pipeline/regex/native.js'
import { parseRegex } from '../../../src/tokenizer/pipeline/regex/parse.js'
import { boundedFinder } from '../../../src/tokenizer/pipeline/regex/program.js'
import { regexOf } from '../../../src/tokenizer/pipeline/regex/regex.js'
import { wellFormed } from '../../../src/tokenizer/pipeline/unicode.js'
import { awkwardText, type Dice, dice } from '../../support/awkward-texts.js'
import { cases } from '../../support/long.js'

const EXPRESSIONS = [
  ...new Set(Object.values(SPLITS).flatMap(({ expressions }) => expressions)),
  String.raw`\d`,
  String.raw`\s+(?!\S)|x|\s+`,
  String.raw`[^\s]?\s*[\r\n]+|\s|\s+`,
]
const RUNS = [' ', '\n', ' \n', 'a', 'A', 'Aa', '中', '1', '.', '\u{1f98a}', '\u0301', ' a', 'é\r']

/** Awkward texts with runs that are shorter and longer than a window, and end beside its border. */
function textWithRuns(random: Dice, size: number): string {
  let text = ''
  while (text.length < size) {
    const length = random.pick([10, 3000, 65_400 + random.below(300), 131_000 + random.below(200)])
    text += awkwardText(random)
    const run = random.pick(RUNS)
    if (random.chance(0.3)) text += run.repeat(Math.ceil(length / run.length))
  }
  return text
}

function matchesOf(expression: string, text: string): string[] {
  const found: string[] = []
  for (const match of regexOf(expression).matches(text)) {
    if (match?.matched) found.push(`${match.start}-${match.end}`)
  }
  return found
}

/** The same without windows: the engine's matcher from each match to the next. */
function wholeMatchesOf(expression: string, text: string): string[] {
  const finder = nativeFinder(parseRegex(expression)) ?? boundedFinder(parseRegex(expression), expression)
  const found: string[] = []
  for (let from = 0; ; ) {
    const match = finder.find(text, from)
    if (match === undefined) return found
    found.push(`${match.start}-${match.end}`)
    from = match.end
  }
}

describe('expressions on long texts', () => {
  test('find what they find in the whole text', () => {
    for (let seed = 12; seed < 12 + cases(1, 16); seed++) {
      const text = wellFormed(textWithRuns(dice(seed), 250_000))
      for (const expression of EXPRESSIONS) {
        const found = matchesOf(expression, text)
        const wanted = wholeMatchesOf(expression, text)
        expect(found.length, expression).toBe(wanted.length)
        const differs = found.findIndex((match, at) => match !== wanted[at])
        expect(differs, `seed ${seed}, ${expression}: ${found[differs]} for ${wanted[differs]}`).toBe(-1)
      }
    }
  }, 600_000)

  test('match runs of millions of characters, for which the engine has no room', () => {
    const text = `${'a'.repeat(9_000_000)} b`
    const [expression] = SPLITS['llama-bpe']!.expressions
    expect(matchesOf(expression!, text)).toEqual(['0-9000000', '9000000-9000002'])
  }, 60_000)

  test('are matched by the machine of our own in steps where they are not linear', () => {
    const expression = '(?:ab|a)+b|(?<=c)d'
    const text = `${'ab'.repeat(200_000)}cd`
    let pauses = 0
    const found: string[] = []
    for (const match of regexOf(expression).matches(text)) {
      if (match === undefined) pauses++
      else if (match.matched) found.push(`${match.start}-${match.end}`)
    }
    expect(found).toEqual([`0-${text.length - 2}`, `${text.length - 1}-${text.length}`])
    expect(pauses).toBeGreaterThan(50)
  }, 60_000)
})

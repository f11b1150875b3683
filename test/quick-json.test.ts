/** @file The quick reader of JSON gives what the careful one gives, or leaves the text to it. */

import { describe, expect, it } from 'vitest'
import { parseLosslessJson } from '../src/lossless-json.js'
import { quickJson, quickJsonLines } from '../src/quick-json.js'
import { Random } from '../src/random.js'
import { cases } from './support/long.js'

const careful = (text: string): unknown => {
  try {
    return parseLosslessJson(text, { duplicateKeys: 'refuse' })
  } catch {
    return undefined
  }
}

const NUMBERS =
  '0 -0 1 7 10 99 100 1e2 1E2 1e+2 123 -5 2.0 -2.0 -0.0 0.5 0.50 -0.25 0.01 1e-2 0.001 1e-3 0.009 1.5e1 15e-1 12345678901234567890 9007199254740993 9007199254740991 0.1234567890123456789 123456789012345 1234567890123456 1e400 1e5 100000 3.10 1234.5678 4.35 2147483648.5'.split(
    ' ',
  )
const STRINGS =
  '"" "a" "1" "10" "__proto__" "\\u005f_proto__" "\\n" "\\\\" "\\"" "\\u00e9" "é" "🚀" "a:b" "k" "K" "{\\"k\\":1,\\"k\\":2}" " : "'
    .split(' ')
    .concat('" , "', '": "')

/** A text of JSON in the manner of any writer, with what a quick look misses. */
function randomText(random: Random, depth = 0): string {
  const pick = (list: readonly string[]): string => list[random.below(list.length)] as string
  const space = (): string => (random.below(6) === 0 ? pick([' ', '\t', '  ', '\r']) : '')
  const kind = random.below(depth > 3 ? 3 : 6)
  if (kind === 0) return pick(NUMBERS)
  if (kind === 1) return pick(STRINGS)
  if (kind === 2) return pick(['true', 'false', 'null'])
  const isPython = random.below(2) === 0
  const [comma, colon] = isPython ? [', ', ': '] : [',', ':']
  const items = Array.from({ length: random.below(4) }, () => randomText(random, depth + 1) + space())
  if (kind === 3) return `[${items.join(comma)}]`
  return `{${items.map((item) => pick(STRINGS) + space() + colon + item).join(comma)}}`
}

describe('quickJson', () => {
  it('gives what the careful reader gives, or nothing, for any text', () => {
    const random = new Random(17)
    let quick = 0
    for (let round = 0; round < cases(20_000, 1_000_000); round++) {
      const text = randomText(random)
      const value = quickJson(text)
      if (value === undefined) continue
      quick++
      expect(value, text).toStrictEqual(careful(text))
    }
    expect(quick).toBeGreaterThan(2_000)
  })

  it.each([
    ['a key twice', '{"a":1,"a":2}'],
    ['a key twice with a space behind the first', '{"a" :1,"a":2}'],
    ['a key twice where other spaces make up for it', '{"a": 1,"b":2,"b":2,"c":3}'],
    ['a key twice in other letters', '{"a":1,"\\u0061":2}'],
    ['a float without a fraction', '{"a":2.0}'],
    ['an exponent as long as its digits', '{"a":1e2}'],
    ['an integer beyond 2^53', '{"a":9007199254740993}'],
    ['a negative zero', '{"a":-0}'],
    ['whole numbers as keys', '{"b":1,"10":2}'],
    ['a prototype', '{"__proto__":1}'],
    ['what is no JSON', '{a:1}'],
    ['501 levels', `${'['.repeat(501)}${']'.repeat(501)}`],
  ])('leaves to the careful reader what it would lose or has to refuse: %s', (_, text) => {
    expect(quickJson(text)).toBeUndefined()
  })

  it('takes rows as JavaScript and Python write them', () => {
    const row = { id: 1234, messages: [{ role: 'user', content: 'a "b"\n\\ é 🚀' }], score: 0.123, none: null }
    const text = JSON.stringify(row)
    expect(quickJson(text)).toEqual(row)
    expect(quickJson(text.replaceAll(',"', ', "').replaceAll('":', '": '))).toEqual(row)
  })
})

describe('quickJsonLines', () => {
  const lines = (...texts: string[]) => quickJsonLines(texts.join('\n'), texts.length)

  it('gives for every line what the careful reader gives, or nothing, also where lines are no JSON by themselves', () => {
    const random = new Random(18)
    // A line break in place of a comma may make of one text what is no JSON, but is some beside another.
    const torn = (text: string): string[] => {
      const places = [...text.matchAll(/,/g)].map(({ index }) => index)
      const at = places[random.below(Math.max(1, places.length))]
      return at === undefined || random.below(40) > 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
    }
    let values = 0
    let refused = 0
    for (let round = 0; round < cases(4_000, 200_000); round++) {
      const whole = Array.from({ length: 1 + random.below(5) }, () => randomText(random))
      if (random.below(40) === 0) whole.splice(0, 2, whole.slice(0, 2).join(','))
      const texts = whole.flatMap(torn).map((text) => (random.below(20) === 0 ? `${text}\r` : text))
      const found = lines(...texts)
      if (found === undefined) refused++
      else expect(found.length).toBe(texts.length)
      for (const [index, value] of (found ?? []).entries()) {
        const text = texts[index] as string
        if (value === undefined) expect(() => JSON.parse(text), texts.join('\n')).not.toThrow()
        else expect(value, texts.join('\n')).toStrictEqual(careful(text))
        if (value !== undefined) values++
      }
    }
    expect(values).toBeGreaterThan(2_000)
    expect(refused).toBeGreaterThan(100)
  })

  it.each([
    ['a value that goes on in the next line', ['{"p":1},{"q":2}', '{"b":[1', '2]}']],
    ['two lines that make as many values in other places', ['{"a":1},{"b":[1', '2]}']],
    ['a value that a key in two places makes as short as its line', ['{"x":1},{"y":5}', '{"b":[1', '2],"b":[]}']],
    ['a blank line', ['{"a":1}', '', '{"b":2}']],
    ['what is no JSON', ['{"a":1}', '{a:1}']],
  ])('refuses lines of which one is not one JSON text: %s', (_, texts) => {
    expect(lines(...texts)).toBeUndefined()
  })

  it('leaves out the value of a line that JSON.parse would lose something of, and of no other', () => {
    const row = { id: 300, text: 'a "b"\n\\ é 🚀', score: 0.01234567890123, tiny: 0.00001234 }
    const text = JSON.stringify(row)
    expect(lines(text, '{"a":2.0}', `${text}\r`, '{"a":1,"a":2}', '{ "a": 1 }')).toEqual([
      row,
      undefined,
      row,
      undefined,
      { a: 1 },
    ])
  })
})

/**
 * @file The YAML that the library writes itself is read by others as what it was, and the texts that it reads are those
 * that others read.
 */

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readYamlTexts, yamlText } from '../src/yaml-text.js'
import { isLong } from './support/long.js'

const TEXTS = [
  'plain',
  'two words',
  '',
  ' ',
  ' a',
  'a ',
  'true',
  'No',
  'null',
  '~',
  '1',
  '1e-8',
  '0x1f',
  '.inf',
  '-',
  '- a',
  '?',
  ': ',
  'a: b',
  'a:',
  '#',
  'a #b',
  '"',
  "'",
  "it's",
  '\\',
  '\\n',
  'a\nb',
  '\ttab',
  '{}',
  '[]',
  '{{ x }}',
  '{% y %}',
  '|',
  '>',
  '&a',
  '*a',
  '!a',
  '%a',
  '@a',
  '`a',
  ',',
  '---',
  '...',
  'é',
  '\u2028',
  '\u0085',
  '\ud83d\ude00',
  '\x7f',
  '\x00',
  '\ufeff',
  'a\r\nb',
  'org/name@main',
  '/path/to (1)/x.jsonl',
  '=',
  '<<',
  '2024-01-01',
  '1:30',
  'x'.repeat(500),
]
const SCALARS = [...TEXTS, 0, -1, 0.05, 1e-8, 2e-4, 1e21, 16, true, false, null, [], {}]

/** A small generator of plain values, the same for a seed. */
function plainValue(next: () => number, depth: number): unknown {
  const kind = next() % 6
  if (depth === 0 || kind < 3) return SCALARS[next() % SCALARS.length]
  const size = next() % 4
  if (kind === 3) return Array.from({ length: size }, () => plainValue(next, depth - 1))
  const keys = Array.from({ length: size }, () => TEXTS[next() % TEXTS.length] as string).filter((key) => key !== '<<')
  return Object.fromEntries(keys.map((key) => [key, plainValue(next, depth - 1)]))
}

describe('yamlText', () => {
  it('is read as the value that it was made of', () => {
    let state = 12345
    const next = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return state >>> 8
    }
    for (let i = 0; i < (isLong ? 20_000 : 1000); i++) {
      const value = plainValue(next, 4)
      const text = yamlText(value)
      expect(parse(text), text).toEqual(value)
    }
  })

  it('is written as people write it', () => {
    const value = {
      model: 'org/name',
      lora: { r: 16, targetModules: ['q_proj', 'v_proj'], rankPattern: {} },
      rows: [{ a: 1, b: [2] }],
    }
    expect(yamlText(value)).toBe(
      'model: org/name\nlora:\n  r: 16\n  targetModules:\n    - q_proj\n    - v_proj\n  rankPattern: {}\nrows:\n  - a: 1\n    b:\n      - 2\n',
    )
  })
})

describe('readYamlTexts', () => {
  it.each([
    'license: mit',
    'license: "a \\u00e9 b" # comment',
    "license: 'it''s'",
    'license: llama3.2   # x',
    'license: https://example.org/a#b',
    'license: [mit, "apache-2.0"]',
    'license:\n- mit\n- apache-2.0\nother: 1',
    'license:\n  - mit',
    'other:\n  license: inner\nlicense: outer',
    'license: cc-by-nc-4.0\r\ntags:\r\n- x',
    'license: -x',
  ])('reads %j as a whole reader does', (yaml) => {
    expect(readYamlTexts(yaml, ['license'])).toEqual({ license: parse(yaml).license })
  })

  it.each([
    'license: |\n  mit',
    'license: &a mit',
    'license: *a',
    'license: {a: b}',
    'license: [',
    'license: "\\q"',
    'license: a: b',
    'license:',
    'license: # x',
    '# license: mit',
    'xlicense: mit',
  ])('leaves out %j', (yaml) => {
    expect(readYamlTexts(yaml, ['license'])).toEqual({})
  })
})

/** @file Wording of errors: values shown short, nearest names. */

import { expect, test } from 'vitest'
import { describeKind, describeValue, listNames, nearestName, unknownOption, withoutSecrets } from '../src/errors.js'

test('values are shown as JSON, shortened', () => {
  const shown: [unknown, string][] = [
    ['a"b', '"a\\"b"'],
    [undefined, 'undefined'],
    [null, 'null'],
    [Number.NaN, 'NaN'],
    [10n, '10n'],
    [[1, 'a', [2]], '[1, "a", [...]]'],
    [Array.from({ length: 11 }, (_, i) => i), '[0, 1, 2, 3, 4, 5, 6, 7, ...]'],
    [{ a: 1, b: 2 }, '{a, b}'],
    [new Float32Array(3), 'Float32Array of 12 bytes'],
    [() => 1, 'a function'],
  ]
  for (const [value, text] of shown) expect(describeValue(value)).toBe(text)
  expect([new Map([['r', 4]]), new Map(), new Set(['r']), new Date(0), /r/].map(describeValue)).toEqual([
    'a Map {r}',
    'a Map',
    'a Set',
    'a Date',
    'a RegExp',
  ])
  expect(describeValue('x'.repeat(1e6)).length).toBeLessThan(100)
  expect(describeValue({ ['x'.repeat(1e6)]: 1 }).length).toBeLessThan(200)
  expect(describeValue(Array(9).fill('x'.repeat(1e6))).length).toBeLessThan(200)
})

test('a list of names says how many it leaves out', () => {
  expect(listNames(['a', 'b'])).toBe('a, b')
  expect(listNames(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more')
})

test('the nearest name allows for slips of the finger, case and joining, not for other words', () => {
  const names = ['loraAlpha', 'loraDropout', 'r', 'targetModules', 'useRslora']
  const nearest: [string, string | undefined][] = [
    ['lorAlpha', 'loraAlpha'],
    ['lora_alhpa', 'loraAlpha'],
    ['LORA-DROPOUT', 'loraDropout'],
    ['targetModule', 'targetModules'],
    ['rank', undefined],
    ['somethingElse', undefined],
  ]
  for (const [name, expected] of nearest) expect(nearestName(name, names)).toBe(expected)
})

test('an unknown option names the nearest and lists all', () => {
  expect(unknownOption('lora', 'lora_alfa', ['loraAlpha', 'r']).message).toBe(
    '[lora] unknown option "lora_alfa"; did you mean "loraAlpha"? valid options: loraAlpha, r',
  )
  expect(unknownOption('lora', 'frequency', ['loraAlpha', 'r']).message).toBe(
    '[lora] unknown option "frequency"; valid options: loraAlpha, r',
  )
})

test('secrets are told by their form, by the place in an address, or because they are known', () => {
  const hidden: [string, string][] = [
    ['model hf_abcdefghijKLMNOP0123456789 is', 'model *** is'],
    ['hf_abcdefghijklmnop', '***'],
    ['hf_abcDEF12', '***'],
    ['api_org_abcdefgh12345678', '***'],
    ['ghp_abcdefghijklmnop0123, github_pat_11AAAAAAA0abcdefgh', '***, ***'],
    ['https://user:pa%20ss@host/a@b', 'https://***@host/a@b'],
    ['https://h/x?a=1&X-Amz-Signature=abc&b=2', 'https://h/x?a=1&X-Amz-Signature=***&b=2'],
  ]
  for (const [text, shown] of hidden) expect(withoutSecrets(text)).toBe(shown)
  for (const text of [
    'hf_models/hf_transfer',
    'my-hf_model',
    'user@host',
    'a://b',
    'uc://a.b.c@v3',
    'tokens=5',
    'sk-learn',
  ])
    expect(withoutSecrets(text)).toBe(text)
  expect(withoutSecrets('Bearer plain-word', ['plain-word', 'a', ''])).toBe('Bearer ***')
  expect(describeValue('hf_abcdefghijKLMNOP')).toBe('"***"')
  expect(describeValue([{ hf_abcdefghijKLMNOP: 1 }])).toBe('[{***}]')
})

test('the kind of a value says nothing of the value', () => {
  const kinds: [unknown, string][] = [
    ['x', 'a text'],
    [' ', 'an empty text'],
    [['x'], 'a list'],
    [{ x: 1 }, 'an object'],
    [7, 'a number'],
    [null, 'null'],
    [undefined, 'undefined'],
  ]
  for (const [value, kind] of kinds) expect(describeKind(value)).toBe(kind)
})

/** @file Wording of errors: values shown short, nearest names. */

import { expect, test } from 'vitest'
import { describeValue, listNames, nearestName, unknownOption } from '../src/errors.js'

test('values are shown as JSON, shortened', () => {
  const shown: [unknown, string][] = [
    ['a"b', '"a\\"b"'],
    [undefined, 'undefined'],
    [null, 'null'],
    [Number.NaN, 'NaN'],
    [10n, '10'],
    [[1, 'a', [2]], '[1, "a", [...]]'],
    [Array.from({ length: 11 }, (_, i) => i), '[0, 1, 2, 3, 4, 5, 6, 7, ...]'],
    [{ a: 1, b: 2 }, '{a, b}'],
    [new Float32Array(3), 'Float32Array of 12 bytes'],
    [() => 1, 'a function'],
  ]
  for (const [value, text] of shown) expect(describeValue(value)).toBe(text)
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

import { describe, expect, test } from 'vitest'
import { floatText, jsonText, PythonFloat, parseLosslessJson, plainJson } from '../src/lossless-json.js'

describe('parseLosslessJson', () => {
  test('gives plain values where nothing is lost by them', () => {
    const text = '{"a": [1, -2, 0.5, true, false, null, "x\\n\\u00e9\\ud83d\\ude00"], "b": {}, "c": [], " d ": "\\\\"}'
    expect(parseLosslessJson(text)).toEqual(JSON.parse(text))
    expect(parseLosslessJson(' \n\t"x" ')).toBe('x')
    expect(Object.is(parseLosslessJson('-0'), 0)).toBe(true)
  })

  test('keeps integers beyond 2^53 and floats with integral values', () => {
    expect(parseLosslessJson('[9007199254740993, -123456789012345678901234567890]')).toEqual([
      9007199254740993n,
      -123456789012345678901234567890n,
    ])
    const floats = parseLosslessJson('[2.0, 1e3, -0.0, 1E-2, 1e400]') as unknown[]
    expect(floats.map(String)).toEqual(['2.0', '1000.0', '-0.0', '0.01', 'Infinity'])
    expect(floats.map((value) => value instanceof PythonFloat)).toEqual([true, true, true, false, false])
  })

  test('keeps the order of keys that JavaScript would sort, in a Map where an object cannot', () => {
    expect([...(parseLosslessJson('{"b": 1, "10": 2, "2": 3}') as Map<string, unknown>).keys()]).toEqual([
      'b',
      '10',
      '2',
    ])
    expect(parseLosslessJson('{"1": 1, "2": 2, "b": 3}')).toEqual({ 1: 1, 2: 2, b: 3 })
    const proto = parseLosslessJson('{"__proto__": {"polluted": true}}')
    expect(proto).toBeInstanceOf(Map)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test('lets the last of two equal keys win, or refuses them on request', () => {
    expect(parseLosslessJson('{"a": 1, "b": 2, "a": 3}')).toEqual({ a: 3, b: 2 })
    expect(() => parseLosslessJson('{"a": 1, "a": 3}', { duplicateKeys: 'refuse' })).toThrow(
      'expected the key "a" only once, got "\\"a\\": 3}" at column 10',
    )
  })

  test.each([
    ['', 'expected a JSON value, got the end of the text at column 1'],
    ['{"a": 1,}', 'expected a key in quotes, got "}" at column 9'],
    ['[1 2]', 'expected "," or "]", got "2]" at column 4'],
    ['{"a" 1}', 'expected ":", got "1}" at column 6'],
    ['[01]', 'expected "," or "]", got "1]" at column 3'],
    ['[NaN]', 'expected a JSON value, got "NaN]" at column 2'],
    ['{}\nx', 'expected nothing after the value, got "x" at line 2 column 1'],
    ['"a\nb"', 'expected no control character within a string, got "\\nb\\"" at column 3'],
    ['"\\x"', 'expected a string with valid escapes'],
    ['"abc\\"', 'expected a closing quote, got the end of the text at column 7'],
    ['+1', 'expected a JSON value'],
    ['[1', 'expected "," or "]", got the end of the text'],
  ])('refuses %j with the place', (text, message) => {
    expect(() => parseLosslessJson(text)).toThrow(message)
  })

  test('refuses a million levels and 10,000 digits at once', () => {
    expect(() => parseLosslessJson('['.repeat(1_000_000))).toThrow('expected at most 500 levels of arrays and objects')
    expect(() => parseLosslessJson('{"a":'.repeat(1_000_000))).toThrow('at most 500 levels')
    expect(() => parseLosslessJson('9'.repeat(10_000))).toThrow('expected an integer of at most 4300 digits')
    expect(parseLosslessJson('['.repeat(500) + ']'.repeat(500))).toHaveLength(1)
  })

  test('takes time that grows with the length alone', () => {
    const text = JSON.stringify(Array.from({ length: 50_000 }, (_, index) => ({ index, text: '\\"'.repeat(10) })))
    const begin = process.cpuUsage()
    expect(parseLosslessJson(text)).toHaveLength(50_000)
    expect(process.cpuUsage(begin).user).toBeLessThan(3_000_000)
  })
})

test('jsonText writes what json.dumps writes', () => {
  const text = '{"b": [1, 2.0, 1e+16, 1e-05, 12345678901234567890], "10": {"é\\n\\u0001": null}, "2": true, "c": []}'
  expect(jsonText(parseLosslessJson(text))).toBe(text)
  expect(jsonText({ a: Number.NaN, b: Number.POSITIVE_INFINITY, c: 1e21 })).toBe(
    '{"a": NaN, "b": Infinity, "c": 1000000000000000000000}',
  )
  expect(() => jsonText(() => 1)).toThrow('expected a JSON value, got a function')
})

test.each([
  [0.1, '0.1'],
  [1e16, '1e+16'],
  [123456789012345680, '1.2345678901234568e+17'],
  [9999999999999998, '9999999999999998.0'],
  [0.0001, '0.0001'],
  [0.00001234, '1.234e-05'],
  [-2.5e-7, '-2.5e-07'],
  [1e100, '1e+100'],
  [5e-324, '5e-324'],
  [-0, '-0.0'],
  [100, '100.0'],
])('floatText(%d) is the repr of the Python float', (value, expected) => {
  expect(floatText(value)).toBe(expected)
})

test('plainJson gives back what JSON.parse would have given', () => {
  const text = '{"b": [2.0, 123456789012345678901], "1": {"__proto__": 1}, "c": null}'
  expect(plainJson(parseLosslessJson(text))).toEqual(JSON.parse(text))
})

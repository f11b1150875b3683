/** @file Metrics of texts by name: what every one of them promises, and what is refused. */

import { describe, expect, it } from 'vitest'
import { exactMatch } from '../../src/metrics/exact-match.js'
import { jsonValidity } from '../../src/metrics/json-validity.js'
import { TEXT_METRICS, textMetric } from '../../src/metrics/text-metrics.js'
import { scoreOf, sumOf } from '../../src/metrics/text-row.js'
import { tokenF1 } from '../../src/metrics/token-f1.js'
import { PERPLEXITY, TOKEN_ACCURACY } from '../../src/metrics/token-metrics.js'

const ROWS = [
  { prediction: 'The cat sat on the mat.', references: ['The cat sat on the mat.', 'A cat sat down.'] },
  { prediction: '', references: ['something'] },
  { prediction: 'a dog, 1,000 dogs', references: ['1,000 dogs and a dog'] },
]

describe.each(Object.keys(TEXT_METRICS))('the metric %s', (name) => {
  it('has its name, and scores sums of the statistics of rows', () => {
    const metric = textMetric('test', name)
    expect(metric.name).toBe(name)
    expect(metric.higherIsBetter).toBe(true)
    const lengths = ROWS.map((row) => metric.statistics(row).length)
    expect(new Set(lengths).size).toBe(1)
    const sums = sumOf(metric, ROWS)!
    const twice = sumOf(metric, [...ROWS, ...ROWS])!
    expect([...twice]).toEqual([...sums].map((sum) => 2 * sum))
    expect(metric.score(twice)).toBeCloseTo(metric.score(sums), 12)
  })

  it('scores a row by itself, and leaves statistics as they are', () => {
    const metric = textMetric('test', name)
    const statistics = metric.statistics(ROWS[0]!)
    const before = [...statistics]
    expect(metric.scoreRow(statistics)).toBeGreaterThanOrEqual(0)
    metric.score(statistics)
    expect([...statistics]).toEqual(before)
  })

  it('gives NaN where there is no row', () => {
    const metric = textMetric('test', name)
    expect(scoreOf(metric, [])).toBeNaN()
    const width = metric.statistics(ROWS[0]!).length
    expect(metric.score(new Float64Array(width))).toBeNaN()
  })

  it('refuses an option that it does not have', () => {
    expect(() => textMetric('test', name, { noSuchOption: 1 })).toThrow(/unknown option "noSuchOption"/)
  })
})

it('a name that no metric has is answered with the nearest', () => {
  expect(() => textMetric('tasks', 'exactmatch')).toThrow(
    /^\[tasks\] expected one of .* for metric, got "exactmatch"; did you mean "exact_match"\?$/,
  )
  expect(() => textMetric('tasks', 'constructor')).toThrow(/^\[tasks\] expected one of .* got "constructor"$/)
})

describe('predictions and references that do not fit', () => {
  it('are refused with what to do', () => {
    expect(() => exactMatch(['a', 'b'], ['a'])).toThrow(
      '[exact match] expected as many references as predictions, got 1 for 2; give for each prediction one reference or a list of them',
    )
    expect(() => exactMatch(['a'], [[]])).toThrow(
      '[exact match] expected at least one reference for references[0], got none; leave out rows that have no reference',
    )
    expect(() => exactMatch('a' as never, ['a'])).toThrow(
      '[exact match] expected a list for predictions, got "a"; put it into a list',
    )
    expect(() => tokenF1([3 as never], ['a'])).toThrow('[token F1] expected text for predictions[0], got 3')
    expect(() => tokenF1(['a'], [['a', null as never]])).toThrow(
      '[token F1] expected text for references[0][1], got null',
    )
    expect(() => jsonValidity([undefined as never])).toThrow(
      '[JSON validity] expected text for predictions[0], got undefined',
    )
  })

  it('are refused by a metric, too, where a row has no reference', () => {
    for (const name of Object.keys(TEXT_METRICS).filter((name) => name !== 'json_validity')) {
      expect(() => textMetric('test', name).statistics({ prediction: 'a', references: [] })).toThrow(
        /expected at least one reference for references, got none/,
      )
    }
  })
})

describe('exact match', () => {
  it('counts every character, and any of the references', () => {
    expect(exactMatch(['Paris', 'paris', 'Rome'], ['Paris', 'Paris', ['Milan', 'Rome']])).toBe(2 / 3)
    expect(exactMatch(['Paris '], ['Paris'])).toBe(0)
    expect(exactMatch([], [])).toBeNaN()
  })

  it('leaves out case, punctuation, articles and white space as SQuAD does', () => {
    const squad = { normalize: 'squad' } as const
    expect(exactMatch(['  The  "Eiffel" tower!', 'theater'], ['Eiffel Tower', 'ater'], squad)).toBe(0.5)
    // Letters of other scripts are parts of words: an article beside one is none.
    expect(exactMatch(['aé', 'éa', 'é a', 'a é'], ['é', 'é', 'é', 'é'], squad)).toBe(0.5)
    expect(exactMatch(['the'], [['a', 'cat']], squad)).toBe(0)
    expect(exactMatch(['the'], [['a', 'cat']], { ...squad, squadVersion: '1.1' })).toBe(1)
  })

  it('refuses other ways to normalize', () => {
    expect(() => exactMatch([], [], { normalize: 'lower' as never })).toThrow(
      "[exact match] expected 'none', 'squad' for normalize, got \"lower\"",
    )
  })
})

describe('token F1', () => {
  it('is the best over the references, of words counted as often as both have them', () => {
    // Shared: cat, cat. Precision 2/3, recall 2/2.
    expect(tokenF1(['the cat cat cat'], ['cat cat'])).toBeCloseTo(0.8, 15)
    expect(tokenF1(['Barack Obama'], [['Obama', 'President Barack Obama']])).toBeCloseTo(0.8, 15)
    expect(tokenF1(['yes'], ['no'])).toBe(0)
  })

  it('gives 1 where neither has words in SQuAD 2.0, and 0 in SQuAD 1.1', () => {
    expect(tokenF1(['', 'the', 'cat', ''], ['', '!', '', 'cat'])).toBe(0.5)
    expect(tokenF1(['', 'the', 'cat', ''], ['', '!', '', 'cat'], { squadVersion: '1.1' })).toBe(0)
  })
})

describe('JSON validity', () => {
  it('takes what RFC 8259 calls JSON and nothing else', () => {
    const valid = ['{}', ' [1, 2]\n', '"\\u00e9"', 'null', '-0.5e3', '{"a": {"a": 1}}']
    const invalid = [
      '',
      '{a: 1}',
      "{'a': 1}",
      '[1,]',
      'NaN',
      '01',
      '```json\n{}\n```',
      '{} {}',
      '\ufeff{}',
      '"\n"',
      '+1',
    ]
    for (const text of valid) expect(jsonValidity([text]), text).toBe(1)
    for (const text of invalid) expect(jsonValidity([text]), text).toBe(0)
    expect(jsonValidity([...valid, ...invalid])).toBe(valid.length / (valid.length + invalid.length))
    expect(jsonValidity([`${'['.repeat(100_000)}${']'.repeat(100_000)}`])).toBe(1)
  })

  it('asks for an object with the required keys', () => {
    const requiredKeys = ['name', 'constructor']
    expect(jsonValidity(['{"name": null, "constructor": 1}'], { requiredKeys })).toBe(1)
    expect(jsonValidity(['{"name": 1}', '[]', '"name"', 'null', '{"nested": {"name": 1}}'], { requiredKeys })).toBe(0)
    expect(() => jsonValidity([], { requiredKeys: 'name' as never })).toThrow(
      '[JSON validity] expected a list of keys for requiredKeys, got "name"',
    )
  })
})

describe('metrics of tokens', () => {
  it('weigh every token alike, whatever its text', () => {
    const rows = [
      { nll: 2, tokens: 1 },
      { nll: 1, tokens: 5 },
    ]
    expect(scoreOf(PERPLEXITY, rows)).toBeCloseTo(Math.exp(0.5), 15)
    expect(PERPLEXITY.higherIsBetter).toBe(false)
    expect(
      scoreOf(TOKEN_ACCURACY, [
        { correct: 1, tokens: 1 },
        { correct: 2, tokens: 5 },
      ]),
    ).toBe(0.5)
    expect(scoreOf(PERPLEXITY, [{ nll: 0, tokens: 0 }])).toBeNaN()
  })
})

/**
 * @file Metrics of texts beside sacrebleu 2.6.0, rouge_score 0.1.2 and the rules of SQuAD: 200 stored cases each, empty
 * answers, other scripts, ties and odd white space among them. test/golden/text_metrics.py made them.
 */

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { stem } from '../../src/metrics/porter-stemmer.js'
import { COMPUTE, differences, type TextMetricCase } from '../support/text-metric-cases.js'

function readGolden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/text-metrics/${name}.json`, import.meta.url), 'utf8'))
}

describe.each(Object.keys(COMPUTE))('%s', (name) => {
  it('gives the stored numbers to 1e-9 in 200 cases', () => {
    const given = readGolden(name) as readonly TextMetricCase[]
    expect(given).toHaveLength(200)
    for (const [index, example] of given.entries())
      expect(differences(COMPUTE[name]!(example), example.result), `case ${index}`).toEqual([])
  })
})

describe('the stemmer', () => {
  it('gives the stems of NLTK for 2000 words', () => {
    const stems = readGolden('stems') as Readonly<Record<string, string>>
    expect(Object.keys(stems)).toHaveLength(2000)
    expect(Object.fromEntries(Object.keys(stems).map((word) => [word, stem(word)]))).toEqual(stems)
  })
})

it('a number that is not the expected one is seen', () => {
  expect(differences({ a: [1, 2] }, { a: [1, 3] })).toEqual(['.a.1: 2 and not 3'])
  expect(differences(Number.NaN, 1)).toEqual([': NaN and not 1'])
  expect(differences({ a: 1 }, { a: 1, b: 2 })).toEqual([': has a and not a,b'])
})

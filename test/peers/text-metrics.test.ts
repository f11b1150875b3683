/**
 * @file Metrics of texts beside sacrebleu, rouge_score, NLTK and the rules of SQuAD on fresh random texts: scripts, odd
 * white space, punctuation, any assigned character. A failure names its seed; LOWRANK_TEXT_METRICS_SEED gives it again.
 */

import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { stem } from '../../src/metrics/porter-stemmer.js'
import { cases, isLong } from '../support/long.js'
import { COMPUTE, differences, type TextMetricCase } from '../support/text-metric-cases.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = fileURLToPath(new URL('../golden/text_metrics.py', import.meta.url))
const seed =
  process.env.LOWRANK_TEXT_METRICS_SEED ?? (isLong ? String(Math.floor(Math.random() * 2 ** 32)) : '20261130')
const COUNT = cases(1000, 5000)

describeWithPython(`${COUNT} fresh texts of seed ${seed}`, () => {
  let fresh: Readonly<Record<string, readonly TextMetricCase[]>> & { readonly stems: Readonly<Record<string, string>> }
  beforeAll(async () => {
    const { code, stdout, stderr } = await runPython([SCRIPT, seed, String(COUNT)])
    expect(code, stderr).toBe(0)
    fresh = JSON.parse(stdout)
  })

  it.each(Object.keys(COMPUTE))('score by %s as the library scores them', (name) => {
    expect(fresh[name]).toHaveLength(COUNT)
    for (const example of fresh[name]!)
      expect(differences(COMPUTE[name]!(example), example.result), JSON.stringify(example)).toEqual([])
  })

  it('have the stems of NLTK', () => {
    const words = Object.keys(fresh.stems)
    expect(words.length).toBeGreaterThanOrEqual(20 * COUNT)
    expect(Object.fromEntries(words.map((word) => [word, stem(word)]))).toEqual(fresh.stems)
  })
})

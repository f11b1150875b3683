/** @file Compares metrics of texts with what Python's libraries gave: cases of test/golden/text_metrics.py. */

import { expect } from 'vitest'
import { bleu, sentenceBleu } from '../../src/metrics/bleu.js'
import { chrf, sentenceChrf } from '../../src/metrics/chrf.js'
import { exactMatch } from '../../src/metrics/exact-match.js'
import { jsonValidity } from '../../src/metrics/json-validity.js'
import { sentenceRouge } from '../../src/metrics/rouge.js'
import { tokenF1 } from '../../src/metrics/token-f1.js'

/** Texts, options, and what the library made of them. */
export interface TextMetricCase {
  readonly options: Readonly<Record<string, never>>
  readonly predictions: readonly string[]
  readonly references: readonly (readonly string[])[]
  readonly result: unknown
}

type Compute = (given: TextMetricCase) => unknown

/** What lowrank makes of a case, by the name of the cases. */
export const COMPUTE: Readonly<Record<string, Compute>> = {
  bleu: ({ predictions, references, options }) => bleu(predictions, references, options),
  'sentence-bleu': ({ predictions, references, options }) => sentenceBleu(predictions[0]!, references[0]!, options),
  chrf: scoreChrf,
  'chrf-plus-plus': scoreChrf,
  rouge: ({ predictions, references, options }) => sentenceRouge(predictions[0]!, references[0]!, options),
  'exact-match': ({ predictions, references, options }) => exactMatch(predictions, references, options),
  f1: ({ predictions, references, options }) => tokenF1(predictions, references, options),
  'json-validity': ({ predictions, options }) => jsonValidity(predictions, options),
}

function scoreChrf({ predictions, references, options }: TextMetricCase): number {
  const { score } = chrf(predictions, references, options)
  if (predictions.length === 1) expect(sentenceChrf(predictions[0]!, references[0]!, options).score).toBe(score)
  return score
}

/** Both sides add and divide alike in float64; exp and log of C and of V8 differ in the last bit. */
const TOLERANCE = 1e-9

/** What is not as the library gave it, a line for each number; empty where all is. */
export function differences(actual: unknown, expected: unknown, path = ''): string[] {
  if (typeof expected === 'number') {
    const isNear = typeof actual === 'number' && Math.abs(actual - expected) <= TOLERANCE
    return isNear ? [] : [`${path}: ${actual} and not ${expected}`]
  }
  const entries = Object.entries(expected as object)
  const names = Object.keys(actual as object)
  if (names.length !== entries.length) return [`${path}: has ${names} and not ${Object.keys(expected as object)}`]
  return entries.flatMap(([name, value]) =>
    differences((actual as Record<string, unknown>)[name], value, `${path}.${name}`),
  )
}

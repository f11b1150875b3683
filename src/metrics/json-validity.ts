/** @file JSON validity: the share of answers that are JSON, and have the keys that they must have. */

import { listOf, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { expectList, expectText, meanMetric, scoreOf, type TextMetric } from './text-row.js'

/** What a valid answer must have. */
export interface JsonValidityOptions {
  /**
   * Keys that the object must have. Where there are any, an answer that is no object is not valid.
   * @default []
   */
  requiredKeys?: readonly string[]
}

/** The options of `jsonValidity`. */
export const JSON_VALIDITY_OPTIONS = {
  requiredKeys: {
    rule: listOf(text, 'a list of keys'),
    default: [],
    help: 'keys that a valid answer must have; where there are any, it must be an object',
  },
} as const satisfies OptionTable<JsonValidityOptions>

/**
 * JSON validity as a metric, 0 to 1. It does not look at references.
 * @throws OptionError on a wrong option
 */
export function jsonValidityMetric(options: JsonValidityOptions = {}): TextMetric {
  const { requiredKeys } = readOptions('JSON validity', options, JSON_VALIDITY_OPTIONS)
  return meanMetric('json_validity', ({ prediction }) => (isValid(prediction, requiredKeys) ? 1 : 0))
}

/**
 * The share of predictions that are JSON as RFC 8259 has it, 0 to 1; NaN without predictions. White space around the
 * value is part of JSON; a fence of Markdown, a comment, NaN or a comma behind the last item is not.
 *
 * @throws OptionError on a wrong option
 * @throws LowrankError where predictions are no list of texts
 */
export function jsonValidity(predictions: readonly string[], options: JsonValidityOptions = {}): number {
  const metric = jsonValidityMetric(options)
  expectList('JSON validity', 'predictions', predictions)
  for (const [index, prediction] of predictions.entries())
    expectText('JSON validity', `predictions[${index}]`, prediction)
  return scoreOf(
    metric,
    predictions.map((prediction) => ({ prediction, references: [] })),
  )
}

function isValid(answer: string, requiredKeys: readonly string[]): boolean {
  let value: unknown
  try {
    value = JSON.parse(answer)
  } catch {
    return false
  }
  return requiredKeys.length === 0 || (isPlainObject(value) && requiredKeys.every((key) => Object.hasOwn(value, key)))
}

/** @file Exact match: the share of answers that equal one of their references. */

import { oneOf } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { normalizeAnswer, SQUAD_VERSION, type SquadVersion, squadReferences } from './squad.js'
import { expectReferences, meanMetric, readRows, scoreOf, type TextMetric } from './text-row.js'

/** How answers are compared before they count as equal. */
const NORMALIZATIONS = ['none', 'squad'] as const
/** How answers are compared before they count as equal. */
export type AnswerNormalization = (typeof NORMALIZATIONS)[number]

/** What counts as equal. */
export interface ExactMatchOptions {
  /**
   * `none`: every character counts. `squad`: case, ASCII punctuation, the articles a, an and the, and white space do
   * not count.
   * @default 'none'
   */
  normalize?: AnswerNormalization
  /**
   * With `normalize: 'squad'`, the edition of its evaluation. 2.0 leaves out references that have no words, unless all
   * are such.
   * @default '2.0'
   */
  squadVersion?: SquadVersion
}

/** The options of `exactMatch`. */
export const EXACT_MATCH_OPTIONS = {
  normalize: {
    rule: oneOf(NORMALIZATIONS),
    default: 'none',
    help: 'what does not count: nothing, or what SQuAD leaves out (case, punctuation, articles, white space)',
  },
  squadVersion: SQUAD_VERSION,
} as const satisfies OptionTable<ExactMatchOptions>

/**
 * Exact match as a metric, 0 to 1.
 * @throws OptionError on a wrong option
 */
export function exactMatchMetric(options: ExactMatchOptions = {}): TextMetric {
  const { normalize, squadVersion } = readOptions('exact match', options, EXACT_MATCH_OPTIONS)
  return meanMetric('exact_match', ({ prediction, references }) => {
    expectReferences('exact match', references)
    if (normalize === 'none') return references.includes(prediction) ? 1 : 0
    const answer = normalizeAnswer(prediction)
    return squadReferences(references, squadVersion).some((reference) => normalizeAnswer(reference) === answer) ? 1 : 0
  })
}

/**
 * The share of predictions that equal one of their references, 0 to 1; NaN without predictions. With
 * `normalize: 'squad'` it is the exact match of https://arxiv.org/abs/1606.05250.
 *
 * @param references for each prediction one reference, or a list of several any of which is right
 * @throws OptionError on a wrong option
 * @throws LowrankError where references do not fit the predictions
 */
export function exactMatch(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  options: ExactMatchOptions = {},
): number {
  return scoreOf(exactMatchMetric(options), readRows('exact match', predictions, references))
}

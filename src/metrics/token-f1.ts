/** @file F1 over the words that an answer shares with a reference, as SQuAD computes it. */

import { type OptionTable, readOptions } from '../options/table.js'
import { SQUAD_VERSION, type SquadVersion, squadReferences, squadWords } from './squad.js'
import { expectReferences, meanMetric, readRows, scoreOf, type TextMetric } from './text-row.js'

/** How SQuAD's F1 treats answers without words. */
export interface TokenF1Options {
  /**
   * The edition of SQuAD's evaluation. They differ where an answer has no words once punctuation and articles are
   * gone: 2.0 gives 1 where the reference has none either; 1.1 gives 0. 2.0 also leaves out references that have no
   * words, unless all are such.
   * @default '2.0'
   */
  squadVersion?: SquadVersion
}

/** The options of `tokenF1`. */
export const TOKEN_F1_OPTIONS = {
  squadVersion: SQUAD_VERSION,
} as const satisfies OptionTable<TokenF1Options>

/**
 * F1 over words as a metric, 0 to 1.
 * @throws OptionError on a wrong option
 */
export function tokenF1Metric(options: TokenF1Options = {}): TextMetric {
  const { squadVersion } = readOptions('token F1', options, TOKEN_F1_OPTIONS)
  return meanMetric('f1', ({ prediction, references }) => {
    expectReferences('token F1', references)
    const answer = squadWords(prediction)
    return Math.max(
      ...squadReferences(references, squadVersion).map((reference) => f1(answer, squadWords(reference), squadVersion)),
    )
  })
}

/**
 * The mean F1 over the words that a prediction shares with its best reference, 0 to 1; NaN without predictions. Case,
 * ASCII punctuation and the articles a, an and the do not count: https://arxiv.org/abs/1606.05250.
 *
 * @param references for each prediction one reference, or a list of several of which the best counts
 * @throws OptionError on a wrong option
 * @throws LowrankError where references do not fit the predictions
 */
export function tokenF1(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  options: TokenF1Options = {},
): number {
  return scoreOf(tokenF1Metric(options), readRows('token F1', predictions, references))
}

function f1(answer: readonly string[], reference: readonly string[], version: SquadVersion): number {
  if (version === '2.0' && (answer.length === 0 || reference.length === 0))
    return answer.length === reference.length ? 1 : 0
  const left = new Map<string, number>()
  for (const word of reference) left.set(word, (left.get(word) ?? 0) + 1)
  let shared = 0
  for (const word of answer) {
    const count = left.get(word) ?? 0
    if (count === 0) continue
    shared++
    left.set(word, count - 1)
  }
  if (shared === 0) return 0
  const precision = shared / answer.length
  const recall = shared / reference.length
  return (2 * precision * recall) / (precision + recall)
}

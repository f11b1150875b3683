/**
 * @file Answers as SQuAD's evaluation compares them: https://rajpurkar.github.io/SQuAD-explorer/. Without case, ASCII
 * punctuation, the articles a, an and the, and differences of white space.
 */

import { oneOf } from '../options/rules.js'
import type { OptionEntry } from '../options/table.js'
import { PUNCTUATION, splitWords, WORD_CHARACTER } from './python-text.js'

const ANY_PUNCTUATION = new RegExp(`[${PUNCTUATION}]`, 'g')
// Python's \b, which knows letters of all scripts.
const ARTICLES = new RegExp(`(?<![${WORD_CHARACTER}])(?:a|an|the)(?![${WORD_CHARACTER}])`, 'gu')

/** The words that SQuAD compares. */
export function squadWords(text: string): string[] {
  return splitWords(text.toLowerCase().replace(ANY_PUNCTUATION, '').replace(ARTICLES, ' '))
}

/** `normalize_answer` of SQuAD's evaluation. */
export function normalizeAnswer(text: string): string {
  return squadWords(text).join(' ')
}

/** The editions of SQuAD's evaluation. */
export const SQUAD_VERSIONS = ['2.0', '1.1'] as const
/** An edition of SQuAD's evaluation. */
export type SquadVersion = (typeof SQUAD_VERSIONS)[number]

export const SQUAD_VERSION = {
  rule: oneOf(SQUAD_VERSIONS),
  default: '2.0',
  help: 'edition of SQuAD: they differ where an answer or a reference has no words',
} as const satisfies OptionEntry<SquadVersion>

/** The references that an edition compares with. SQuAD 2.0 leaves out those without words, unless all are. */
export function squadReferences(references: readonly string[], version: SquadVersion): readonly string[] {
  if (version === '1.1') return references
  const worded = references.filter((reference) => squadWords(reference).length > 0)
  return worded.length > 0 ? worded : ['']
}

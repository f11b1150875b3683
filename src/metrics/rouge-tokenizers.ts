/** @file How ROUGE cuts texts into words. */

import { stem } from './porter-stemmer.js'

/** The names of the tokenizers. */
export const ROUGE_TOKENIZERS = ['ascii', 'unicode'] as const
/** How ROUGE cuts texts into words. */
export type RougeTokenizer = (typeof ROUGE_TOKENIZERS)[number]

/** Scripts that have no spaces between words. */
const UNSPACED = ['Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar', 'Tibetan']
  .map((script) => `\\p{Script=${script}}`)
  .join('')
const UNICODE_WORDS = new RegExp(
  `(?=[\\p{L}\\p{N}])[${UNSPACED}]\\p{M}*|(?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}])+`,
  'gu',
)

/**
 * The words of a text, by tokenizer. `ascii` is that of rouge_score: runs of a to z and 0 to 9, so that a text in
 * another script has no words. `unicode` takes letters, marks and digits of all scripts, and single characters of
 * scripts without spaces.
 */
const TOKENIZE: Readonly<Record<RougeTokenizer, (text: string) => readonly string[]>> = {
  ascii: (text) => text.toLowerCase().match(/[a-z0-9]+/g) ?? [],
  unicode: (text) => text.normalize('NFC').toLowerCase().match(UNICODE_WORDS) ?? [],
}

/** The words of a text; with `useStemmer` the stems of those of more than three letters. */
export function rougeWords(text: string, tokenizer: RougeTokenizer, useStemmer: boolean): readonly string[] {
  const words = TOKENIZE[tokenizer](text)
  return useStemmer ? words.map((word) => (/^[a-z0-9]{4,}$/.test(word) ? stem(word) : word)) : words
}

/**
 * @file How BLEU cuts texts into words: the tokenizers of sacrebleu, which others' scores are comparable with. Each
 * takes a text without white space at its end.
 */

import { splitWords, trim } from './python-text.js'

/** The names of the tokenizers, as sacrebleu has them. */
export const BLEU_TOKENIZERS = ['13a', 'intl', 'zh', 'char', 'none'] as const
/** How BLEU cuts texts into words. */
export type BleuTokenizer = (typeof BLEU_TOKENIZERS)[number]

/** The words of a text, by tokenizer. */
export const TOKENIZE: Readonly<Record<BleuTokenizer, (text: string) => string[]>> = {
  '13a': tokenize13a,
  intl: tokenizeInternational,
  zh: tokenizeChinese,
  char: (text) => splitWords([...text].join(' ')),
  none: splitWords,
}

/** The tokenizer of mteval-v13a.pl, which the scores of WMT are made with. */
function tokenize13a(text: string): string[] {
  const line = text.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ')
  return splitPunctuation(` ${unescapeEntities(line)} `)
}

function unescapeEntities(text: string): string {
  if (!text.includes('&')) return text
  return text.replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
}

/** Splits ASCII punctuation off, but for dots and commas within numbers, hyphens and apostrophes. */
function splitPunctuation(text: string): string[] {
  return splitWords(
    text
      .replace(/[{-~[-` -&(-+:-@/]/g, ' $& ')
      .replace(/([^0-9])([.,])/g, '$1 $2 ')
      .replace(/([.,])([^0-9])/g, ' $1 $2')
      .replace(/([0-9])(-)/g, '$1 $2 '),
  )
}

/** The tokenizer of mteval-v14.pl: punctuation and symbols of all scripts. */
function tokenizeInternational(text: string): string[] {
  return splitWords(
    text
      .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
      .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
      .replace(/\p{S}/gu, ' $& '),
  )
}

/**
 * What the tokenizer for Chinese takes for a Chinese character. U+2001 to U+2A6D, punctuation and arrows among others,
 * are in the list by a slip of sacrebleu, which means U+20000 to U+2A6D6; so no character beyond U+FFFF is.
 */
const CHINESE =
  /[\u2001-\u2a6d\u2e80-\u2eff\u2f00-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef\u3200-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef]/g

/** Every Chinese character is a word; the rest is cut as with 13a. */
function tokenizeChinese(text: string): string[] {
  return splitPunctuation(trim(text).replace(CHINESE, ' $& '))
}

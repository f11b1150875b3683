/**
 * @file Texts as Python's functions see them, where JavaScript's see them otherwise: what counts as white space and
 * what as part of a word. The libraries that the metrics follow are written in Python. Both languages agree about
 * lower case. Characters that only a newer edition of Unicode has are as the edition of Node.js knows them.
 */

/**
 * White space of `str.split()`. Unlike \s it has the separators U+001C to U+001F and U+0085, and not the byte order
 * mark.
 */
const SPACE = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const SPACES = new RegExp(`[${SPACE}]+`, 'g')
const OTHER = new RegExp(`[^${SPACE}]+`, 'g')
const LEADING_SPACES = new RegExp(`^[${SPACE}]+`)
const IS_SPACE = new RegExp(`[${SPACE}]`)

/** `text.split()`: the runs of characters that are no white space. */
export function splitWords(text: string): string[] {
  return text.match(OTHER) ?? []
}

/** `''.join(text.split())` */
export function withoutSpaces(text: string): string {
  return text.replace(SPACES, '')
}

/** `text.rstrip()` */
export function trimEnd(text: string): string {
  // No regular expression: one that ends in $ takes quadratic time on long runs of spaces.
  let end = text.length
  while (end > 0 && IS_SPACE.test(text[end - 1]!)) end--
  return text.slice(0, end)
}

/** `text.strip()` */
export function trim(text: string): string {
  return trimEnd(text).replace(LEADING_SPACES, '')
}

/** ASCII punctuation: `string.punctuation`, as a class of a regular expression. */
export const PUNCTUATION = '!-/:-@\\[-`{-~'

/** What `\w` matches, as a class of a regular expression with the flag u. */
export const WORD_CHARACTER = '\\p{L}\\p{N}_'

/** @file The pattern of Split and Replace: a text, or a regular expression. */

import type { Steps } from '../../turns.js'
import type { Match, Pausable } from './aligned-text.js'
import { entriesOf, type Fields } from './fields.js'
import { type Regex, regexOf } from './regex/regex.js'
import { textMatches } from './split.js'
import { TextParts } from './text-output.js'

export interface Pattern {
  /** The text itself, where it is one. */
  readonly text: string | undefined
  readonly canBeEmpty: boolean
  matches(text: string): Pausable<Match>
  /** The same for a short text, at a stretch; undefined where that could take long. */
  readonly cut: Regex['cut']
}

/** @throws naming the pattern that is damaged or not translated */
export function readPattern(fields: Fields, name: string): Pattern {
  const entries = [...(entriesOf(fields.raw(name)) ?? [])]
  const [kind, value] = entries[0] ?? []
  if (entries.length !== 1 || typeof value !== 'string' || (kind !== 'String' && kind !== 'Regex')) {
    throw fields.error(name, '{ "String": text } or { "Regex": expression }')
  }
  // An empty text matches between all characters, as an expression does.
  if (kind === 'String' && value !== '') {
    return { text: value, canBeEmpty: false, matches: (text) => textMatches(text, value), cut: undefined }
  }
  const regex = regexOf(value)
  return {
    text: undefined,
    canBeEmpty: regex.canBeEmpty,
    matches: (text) => regex.matches(text),
    cut: regex.cut,
  }
}

/** The text with `content` in the place of each match. */
export function* replaceIn(text: string, matches: Pausable<Match>, content: string): Steps<string> {
  const parts = new TextParts()
  for (const match of matches) {
    if (match === undefined) yield
    else parts.push(match.matched ? content : text.slice(match.start, match.end))
  }
  return parts.finish()
}

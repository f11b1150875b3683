/** @file Added tokens: texts that are found before a text is normalized and cut, or after it is normalized. */

import { describeValue } from '../../errors.js'
import { ModelError } from '../../lowrank-error.js'
import { runAtOnce } from '../../turns.js'
import { alignedText, type Pausable } from './aligned-text.js'
import { type Fields, fieldsOf } from './fields.js'
import type { Vocabulary } from './models/model.js'
import type { Normalizer } from './normalizers.js'
import { type TextFinder, textFinder } from './text-finder.js'
import { UNITS_PER_STEP } from './text-output.js'
import { crateSpace, crateWord } from './unicode.js'

/** A token as the file has it. */
export interface AddedToken {
  readonly content: string
  readonly singleWord: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  readonly normalized: boolean
  readonly special: boolean
}

/** A part of a text: what an added token stands for, or what lies between. */
export interface Part {
  readonly start: number
  readonly end: number
  readonly id: number | undefined
}

export interface AddedTokens {
  readonly byId: ReadonlyMap<number, AddedToken>
  /** Ids by content. */
  readonly ids: ReadonlyMap<string, number>
  /** Texts of special tokens. */
  readonly special: ReadonlySet<string>
  /** What a token's id means as text: of tokens that are found after normalizing, what that makes of them. */
  textOf(id: number): string | undefined
  /** Parts of a text that is not normalized yet, by tokens that are not. */
  split(text: string): Pausable<Part>
  /** Parts of a normalized text, by tokens that are. */
  splitNormalized(text: string): Pausable<Part>
  readonly hasNormalized: boolean
}

/** @throws naming the token that is damaged */
export function readAddedTokens(fields: Fields): AddedToken[] {
  if (!fields.has('added_tokens') || fields.raw('added_tokens') === null) return []
  return fields.list('added_tokens').map((value, at) => {
    const entry = fieldsOf(value, `${fields.path}.added_tokens[${at}]`)
    entry.integer('id')
    const token = readAddedToken(entry)
    entry.done()
    return token
  })
}

/** The fields of a token, all but its id. */
export function readAddedToken(entry: Fields): AddedToken {
  return {
    content: entry.text('content'),
    singleWord: entry.boolean('single_word'),
    lstrip: entry.boolean('lstrip'),
    rstrip: entry.boolean('rstrip'),
    normalized: entry.boolean('normalized'),
    special: entry.boolean('special'),
  }
}

/**
 * Ids are those of the vocabulary, and for the others the next ones, as the Rust library counts: the ids in the file
 * only say what is expected.
 */
export function addTokens(
  tokens: readonly AddedToken[],
  vocabulary: Vocabulary,
  normalizer: Normalizer | undefined,
): AddedTokens {
  const byId = new Map<number, AddedToken>()
  const ids = new Map<string, number>()
  const special = new Set<string>()
  const normalizedTexts = new Map<number, string>()
  let nextId = vocabulary.size
  for (const token of tokens) {
    const { content } = token
    if (content === '') continue
    const id = ids.get(content) ?? vocabulary.ids.get(content) ?? nextId
    if (id === nextId) nextId++
    if (token.normalized && normalizer !== undefined) {
      const normalized = runAtOnce(normalizer.apply(alignedText(content))).text
      if (normalized !== content) normalizedTexts.set(id, normalized)
    }
    ids.set(content, id)
    if (token.special) special.add(content)
    byId.set(id, token)
  }
  const finderOf = (normalized: boolean): TextFinder | undefined => {
    const texts = [...byId].filter(([, token]) => token.normalized === normalized)
    if (texts.length === 0) return undefined
    const patterns = texts.map(
      ([id, { content }]) => [(normalized ? normalizedTexts.get(id) : undefined) ?? content, id] as const,
    )
    checkPatterns(patterns, byId)
    return textFinder(patterns)
  }
  const plain = finderOf(false)
  const normalized = finderOf(true)
  return {
    byId,
    ids,
    special,
    textOf: (id) => normalizedTexts.get(id) ?? byId.get(id)?.content,
    split: (text) => partsOf(text, plain, byId),
    splitNormalized: (text) => partsOf(text, normalized, byId),
    hasNormalized: normalized !== undefined,
  }
}

function checkPatterns(patterns: readonly (readonly [string, number])[], byId: ReadonlyMap<number, AddedToken>): void {
  const seen = new Map<string, number>()
  for (const [text, id] of patterns) {
    const other = seen.get(text)
    // Which of two the library finds is left to the order of its hash table, and where it finds nothing to its
    // automaton.
    if (text === '' || other !== undefined) {
      const what = text === '' ? 'nothing' : `the same as ${describeValue(byId.get(other!)?.content)}`
      throw new ModelError(
        `[tokenizer] expected added tokens that differ after normalizing, got ${describeValue(byId.get(id)?.content)}, which becomes ${what}`,
      )
    }
    seen.set(text, id)
  }
}

function* partsOf(text: string, finder: TextFinder | undefined, byId: ReadonlyMap<number, AddedToken>): Pausable<Part> {
  if (finder === undefined) {
    yield { start: 0, end: text.length, id: undefined }
    return
  }
  let done = 0
  const isSpace = (at: number): boolean => crateSpace().has(text.charCodeAt(at))
  for (const found of finder.find(text)) {
    if (found === undefined) {
      yield undefined
      continue
    }
    const token = byId.get(found.id)!
    let { start, end } = found
    if (token.singleWord && (isWordBefore(text, start) || isWordAt(text, end))) continue
    // White space beside the token belongs to it; what an earlier token has taken does not.
    while (token.lstrip && start > done && isSpace(start - 1)) if (--start % UNITS_PER_STEP === 0) yield undefined
    if (token.lstrip) start = Math.max(start, done)
    while (token.rstrip && end < text.length && isSpace(end)) if (++end % UNITS_PER_STEP === 0) yield undefined
    if (start > end) throw backwards(token.content)
    if (done < start) yield { start: done, end: start, id: undefined }
    if (start < end) yield { start, end, id: found.id }
    done = end
  }
  if (done !== text.length) yield { start: done, end: text.length, id: undefined }
}

function backwards(content: string): Error {
  return new ModelError(
    `[tokenizer] expected added tokens that take white space once, got ${describeValue(content)} behind one that has taken it (the Rust library fails ` +
      'there too); remove the white space round it',
  )
}

function isWordAt(text: string, at: number): boolean {
  return at < text.length && crateWord().has(text.codePointAt(at)!)
}

function isWordBefore(text: string, at: number): boolean {
  if (at === 0) return false
  const isLow = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00
  return crateWord().has(text.codePointAt(at - (isLow && at > 1 ? 2 : 1))!)
}

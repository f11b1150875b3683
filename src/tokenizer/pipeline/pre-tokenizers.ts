/** @file Pre-tokenizers: how a text is cut into the pieces that the model sees. */

import type { Steps } from '../../turns.js'
import {
  type AlignedText,
  type Match,
  type Pausable,
  prepend,
  replaceMatches,
  replaceUnit,
  replaceUnitIn,
  slice,
} from './aligned-text.js'
import { inByteLetters, shortInByteLetters } from './byte-level.js'
import { toByteLetters, toByteLettersInSteps } from './bytes.js'
import { type Fields, fieldsOf, isObject } from './fields.js'
import { readPattern } from './patterns.js'
import { type CutText, regexOf } from './regex/regex.js'
import {
  BEHAVIORS,
  type Behavior,
  characterMatches,
  cutAt,
  inverted,
  type Range,
  setMatches,
  textMatches,
} from './split.js'
import { UNITS_PER_STEP } from './text-output.js'
import { codesOf, crateSpace, crateWord, lazy, numeric, punctuation, scriptToCut, whiteSpace } from './unicode.js'

/** One step, or several. */
export interface PreTokenizer {
  apply(pieces: Pausable<AlignedText>): Pausable<AlignedText>
  /**
   * The same for the texts alone; undefined where the alignment is needed. `first` says whether the first piece begins
   * where the original does.
   */
  readonly plain: ((pieces: Pausable<string>, first: boolean) => Pausable<string>) | undefined
  /** Whether `first` makes a difference. */
  readonly usesFirst: boolean
  /** Where all that happens to a piece is that it is cut, and perhaps that its bytes become letters. */
  readonly cuts?: Cuts | undefined
}

interface Cuts {
  readonly inByteLetters: boolean
  /** For texts of at most UNITS_PER_STEP. */
  readonly cut: CutText
}

/** A step that cuts each piece and leaves its characters as they are. */
function cutting(rangesOf: (text: string) => Pausable<Range>): PreTokenizer & { plain: object } {
  return {
    *apply(pieces) {
      for (const piece of pieces) {
        if (piece === undefined) yield undefined
        else
          for (const range of rangesOf(piece.text)) {
            if (range === undefined) yield undefined
            else if (range.end > range.start) yield slice(piece, range.start, range.end)
          }
      }
    },
    *plain(pieces) {
      for (const piece of pieces) {
        if (piece === undefined) yield undefined
        else
          for (const range of rangesOf(piece)) {
            if (range === undefined) yield undefined
            else if (range.end > range.start) yield piece.slice(range.start, range.end)
          }
      }
    },
    usesFirst: false,
  }
}

const splitting = (matchesOf: (text: string) => Pausable<Match>, behavior: Behavior): PreTokenizer =>
  cutting((text) => cutAt(matchesOf(text), behavior))

/** The matches of an expression and what lies between, each by itself. */
function isolating(cut: CutText | undefined, inByteLetters: boolean): Cuts | undefined {
  return cut && { inByteLetters, cut }
}

/** One after the other; letters for bytes come last, since no other step would see the text. */
function cutsInOrder(steps: readonly PreTokenizer[]): Cuts | undefined {
  return steps
    .map((step) => step.cuts)
    .reduce((before, next) => {
      if (before === undefined || next === undefined || before.inByteLetters) return undefined
      return { inByteLetters: next.inByteLetters, cut: next.cut === leaveWhole ? before.cut : cutTwice(before, next) }
    })
}

const leaveWhole: CutText = (_, from, to, ends, count) => {
  if (from === to) return count
  ends[count] = to
  return count + 1
}

function cutTwice(before: Cuts, next: Cuts): CutText {
  let outer: Int32Array | undefined
  return (text, from, to, ends, done) => {
    outer ??= new Int32Array(UNITS_PER_STEP)
    const parts = before.cut(text, from, to, outer, 0)
    let count = done
    let start = from
    for (let part = 0; part < parts; part++) {
      const end = outer[part]!
      count = next.cut(text, start, end, ends, count)
      start = end
    }
    return count
  }
}

function inOrder(steps: readonly PreTokenizer[]): PreTokenizer {
  const plain = steps.map((step) => step.plain)
  return {
    cuts: steps.length === 0 ? undefined : cutsInOrder(steps),
    apply: (pieces) => steps.reduce((last, step) => step.apply(last), pieces),
    plain: plain.includes(undefined)
      ? undefined
      : (pieces, first) => plain.reduce((last, step) => step!(last, first), pieces),
    usesFirst: steps.some((step) => step.usesFirst),
  }
}

/** @throws naming the part that is unknown or damaged */
export function readPreTokenizer(value: unknown, path: string): PreTokenizer | undefined {
  if (value === null || value === undefined) return undefined
  return readAt(value, path, true)
}

function readAt(value: unknown, path: string, isFirst: boolean): PreTokenizer {
  const fields = fieldsOf(value, path)
  const preTokenizer = readOne(fields, isFirst)
  fields.done()
  return preTokenizer
}

function readOne(fields: Fields, isFirst: boolean): PreTokenizer {
  const type = fields.raw('type')
  switch (type) {
    case 'Sequence':
      return inOrder(
        fields.list('pretokenizers').map((entry, at) => {
          const name = `pretokenizers[${at}]`
          if (!isObject(entry)) throw fields.error(name, 'an object', entry)
          return readAt(entry, `${fields.path}.${name}`, isFirst && at === 0)
        }),
      )
    case 'ByteLevel':
      return byteLevel(fields)
    case 'Metaspace':
      return metaspace(fields, isFirst)
    case 'Split': {
      const pattern = readPattern(fields, 'pattern')
      const behavior = fields.oneOf('behavior', BEHAVIORS)
      const invert = fields.boolean('invert')
      return {
        ...splitting((text) => (invert ? inverted(pattern.matches(text)) : pattern.matches(text)), behavior),
        cuts: behavior === 'Isolated' ? isolating(pattern.cut, false) : undefined,
      }
    }
    case 'Whitespace':
      return splitting(wordMatches, 'Removed')
    case 'WhitespaceSplit':
      return splitting((text) => setMatches(text, whiteSpace()), 'Removed')
    case 'BertPreTokenizer':
      return inOrder([
        splitting((text) => setMatches(text, whiteSpace()), 'Removed'),
        splitting((text) => setMatches(text, punctuation()), 'Isolated'),
      ])
    case 'Punctuation': {
      const behavior = fields.oneOf('behavior', BEHAVIORS, 'Isolated')
      return splitting((text) => setMatches(text, punctuation()), behavior)
    }
    case 'Digits': {
      const behavior = fields.boolean('individual_digits') ? 'Isolated' : 'Contiguous'
      return splitting((text) => setMatches(text, numeric()), behavior)
    }
    case 'CharDelimiterSplit': {
      const delimiter = fields.character('delimiter').codePointAt(0)!
      return splitting((text) => characterMatches(text, (code) => code === delimiter), 'Removed')
    }
    case 'UnicodeScripts':
      return cutting(scriptRanges)
    case 'FixedLength': {
      const length = fields.integer('length', 5)
      if (length === 0) throw fields.error('length', 'a length above 0')
      return cutting((text) => fixedRanges(text, length))
    }
    default:
      throw fields.error('type', 'a pre-tokenizer that is known', type)
  }
}

const GPT2 = lazy(() => regexOf(String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`))

function byteLevel(fields: Fields): PreTokenizer {
  const addPrefixSpace = fields.boolean('add_prefix_space')
  const useRegex = fields.boolean('use_regex', true)
  fields.boolean('trim_offsets')
  const cut = useRegex ? cutting((text) => GPT2().matches(text)) : undefined
  const whole: Cuts = { inByteLetters: true, cut: leaveWhole }
  return {
    cuts: addPrefixSpace ? undefined : useRegex ? isolating(GPT2().cut, true) : whole,
    *apply(pieces) {
      const spaced = addPrefixSpace
        ? mapped(pieces, (piece) => (piece.text.startsWith(' ') ? piece : prepend(piece, [0x20])))
        : pieces
      yield* inLetters(cut === undefined ? spaced : cut.apply(spaced))
    },
    *plain(pieces, first) {
      const spaced = addPrefixSpace ? mapped(pieces, (piece) => (piece.startsWith(' ') ? piece : ` ${piece}`)) : pieces
      for (const piece of cut === undefined ? spaced : cut.plain(spaced, first)) {
        if (piece === undefined) yield undefined
        else yield piece.length > UNITS_PER_STEP ? yield* toByteLettersInSteps(piece) : toByteLetters(piece)
      }
    },
    usesFirst: false,
  }
}

/** The bytes of pieces as letters, and nothing else. */
export function* inLetters(pieces: Pausable<AlignedText>): Pausable<AlignedText> {
  for (const piece of pieces) yield piece && (shortInByteLetters(piece) ?? (yield* inByteLetters(piece)))
}

/** Each value as `map` makes it, in steps where that takes long. */
function* mapped<T extends object | string>(values: Pausable<T>, map: (value: T) => T | Steps<T>): Pausable<T> {
  for (const value of values) {
    if (value === undefined) {
      yield undefined
      continue
    }
    const made = map(value)
    yield isSteps(made) ? yield* made : made
  }
}

function isSteps<T extends object | string>(value: T | Steps<T>): value is Steps<T> {
  return typeof value === 'object' && 'next' in value
}

function metaspace(fields: Fields, isFirst: boolean): PreTokenizer {
  const replacement = fields.character('replacement')
  let scheme = fields.oneOf('prepend_scheme', ['first', 'never', 'always'], 'always')
  const splits = fields.raw('split') ?? true
  const addPrefixSpace = fields.raw('add_prefix_space')
  const text = fields.raw('str_rep')
  if (typeof splits !== 'boolean') throw fields.error('split', 'true or false')
  if (addPrefixSpace !== undefined && addPrefixSpace !== null && typeof addPrefixSpace !== 'boolean') {
    throw fields.error('add_prefix_space', 'true, false or null')
  }
  if (text !== undefined && text !== null && typeof text !== 'string') throw fields.error('str_rep', 'a string')
  if (addPrefixSpace === false) {
    if (scheme !== 'never') throw fields.error('add_prefix_space', 'a value that agrees with prepend_scheme')
    scheme = 'never'
  }
  const codes = codesOf(replacement)
  const cut = splits ? cutting((piece) => cutAt(textMatches(piece, replacement), 'MergedWithNext')) : undefined
  const replace = function* (piece: AlignedText): Steps<AlignedText> {
    const replaced =
      replacement.length === 1
        ? yield* replaceUnit(piece, ' ', replacement)
        : yield* replaceMatches(piece, textMatches(piece.text, ' '), replacement)
    const wanted = scheme === 'always' || (scheme === 'first' && replaced.from === 0)
    return wanted && !replaced.text.startsWith(replacement) ? yield* prepend(replaced, codes) : replaced
  }
  const replacePlain = function* (pieces: Pausable<string>, first: boolean): Pausable<string> {
    let atStart = first
    for (const piece of pieces) {
      if (piece === undefined) {
        yield undefined
        continue
      }
      const replaced = yield* replaceUnitIn(piece, ' ', replacement)
      const wanted = scheme === 'always' || (scheme === 'first' && atStart)
      yield wanted && !replaced.startsWith(replacement) ? replacement + replaced : replaced
      atStart = false
    }
  }
  return {
    apply: (pieces) => (cut === undefined ? mapped(pieces, replace) : cut.apply(mapped(pieces, replace))),
    // Pieces in the middle may come from the beginning of the text as well, which only the alignment knows.
    plain:
      scheme === 'first' && !isFirst
        ? undefined
        : (pieces, first) =>
            cut === undefined ? replacePlain(pieces, first) : cut.plain(replacePlain(pieces, first), first),
    usesFirst: scheme === 'first',
  }
}

/** Whitespace keeps runs of word characters and runs of what is neither a word nor white space. */
function* wordMatches(text: string): Pausable<Match> {
  const word = crateWord()
  const space = crateSpace()
  const kindOf = (code: number): number => (word.has(code) ? 1 : space.has(code) ? 0 : 2)
  let start = 0
  let kind = -1
  let next = UNITS_PER_STEP
  for (let at = 0; at < text.length; ) {
    if (at > next) {
      next = at + UNITS_PER_STEP
      yield undefined
    }
    const code = text.codePointAt(at)!
    const here = kindOf(code)
    if (here !== kind && at > start) {
      yield { start, end: at, matched: kind === 0 }
      start = at
    }
    kind = here
    at += code > 0xffff ? 2 : 1
  }
  if (start < text.length) yield { start, end: text.length, matched: kind === 0 }
}

/**
 * The first character that has a script begins no new piece, nor does one that has none; what stands before the first
 * cut is lost.
 */
function* scriptRanges(text: string): Pausable<Range> {
  const scriptOf = scriptToCut()
  let start = -1
  let last: number | undefined
  let next = UNITS_PER_STEP
  for (let at = 0; at < text.length; ) {
    if (at > next) {
      next = at + UNITS_PER_STEP
      yield undefined
    }
    const code = text.codePointAt(at)!
    const script = scriptOf(code)
    if (script !== 0) {
      if (script !== last) {
        if (start >= 0) yield { start, end: at }
        start = at
      }
      last = script
    }
    at += code > 0xffff ? 2 : 1
  }
  if (start >= 0) yield { start, end: text.length }
}

function* fixedRanges(text: string, length: number): Pausable<Range> {
  let start = 0
  let count = 0
  let next = UNITS_PER_STEP
  for (let at = 0; at < text.length; ) {
    if (at > next) {
      next = at + UNITS_PER_STEP
      yield undefined
    }
    at += text.codePointAt(at)! > 0xffff ? 2 : 1
    if (++count === length || at >= text.length) {
      yield { start, end: at }
      start = at
      count = 0
    }
  }
}

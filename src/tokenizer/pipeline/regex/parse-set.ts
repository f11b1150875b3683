/** @file Sets of characters in a regular expression: brackets, types such as \s, and properties such as \p{L}. */

import {
  type CodeSet,
  categoryRanges,
  codeSet,
  complement,
  mergeRanges,
  namedSet,
  pairsOf,
  propertyKey,
  scriptRanges,
} from '../unicode.js'

/** What reading a set needs of the parser. */
export interface SetReader {
  readonly pattern: string
  at: number
  error(expected: string, got: string): Error
  unsupported(what: string): Error
  escapedCode(inSet: boolean): number
}

const POSIX: Readonly<Record<string, () => readonly number[]>> = {
  alnum: () => union(namedSet('alphabetic').ranges, categoryRanges('Nd')!),
  alpha: () => namedSet('alphabetic').ranges,
  ascii: () => [0, 0x7f],
  blank: () => union(categoryRanges('Zs')!, [9, 9]),
  cntrl: () => categoryRanges('Cc')!,
  digit: () => categoryRanges('Nd')!,
  graph: () => namedSet('graph').ranges,
  lower: () => namedSet('lowercase').ranges,
  print: () => namedSet('print').ranges,
  punct: () => namedSet('punct').ranges,
  space: () => namedSet('space').ranges,
  upper: () => namedSet('uppercase').ranges,
  xdigit: () => [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
  word: () => namedSet('word').ranges,
}

const LONG_CATEGORIES: Readonly<Record<string, string>> = {
  letter: 'L',
  uppercaseletter: 'Lu',
  lowercaseletter: 'Ll',
  titlecaseletter: 'Lt',
  modifierletter: 'Lm',
  otherletter: 'Lo',
  mark: 'M',
  nonspacingmark: 'Mn',
  spacingmark: 'Mc',
  enclosingmark: 'Me',
  number: 'N',
  decimalnumber: 'Nd',
  letternumber: 'Nl',
  othernumber: 'No',
  punctuation: 'P',
  symbol: 'S',
  separator: 'Z',
  spaceseparator: 'Zs',
  control: 'Cc',
}

const OTHER_NAMES: Readonly<Record<string, string>> = {
  alphabetic: 'alpha',
  lowercase: 'lower',
  uppercase: 'upper',
  whitespace: 'space',
}

function union(...sets: (readonly number[])[]): number[] {
  return mergeRanges(sets.flatMap(pairsOf))
}

function intersection(left: readonly number[], right: readonly number[]): number[] {
  return complement(union(complement(left), complement(right)))
}

/** \w, \s, \d, \h and their opposites. */
export function typeSet(reader: SetReader): CodeSet | undefined {
  const letter = reader.pattern[reader.at + 1]!
  const types: Record<string, string> = { w: 'word', s: 'space', d: 'digit', h: 'xdigit' }
  const name = types[letter.toLowerCase()]
  if (name === undefined || !/[A-Za-z]/.test(letter)) return undefined
  reader.at += 2
  const ranges = POSIX[name]!()
  return codeSet(letter === letter.toLowerCase() ? ranges : complement(ranges))
}

/** \p{...}, \P{...}, \pL. */
export function propertySet(reader: SetReader): CodeSet | undefined {
  const match = /^\\([pP])(?:\{(\^?)([A-Za-z0-9_ -]+)\}|([CLMNPSZ]))/.exec(
    reader.pattern.slice(reader.at, reader.at + 80),
  )
  if (match === null) return undefined
  const [whole, letter, caret, braced, single] = match
  const name = braced ?? single!
  const key = propertyKey(name)
  const category = /^[a-z]{1,2}$/.test(key) ? categoryRanges(key[0]!.toUpperCase() + key.slice(1)) : undefined
  const ranges =
    category ??
    (Object.hasOwn(LONG_CATEGORIES, key) ? categoryRanges(LONG_CATEGORIES[key]!) : undefined) ??
    (Object.hasOwn(POSIX, key) ? POSIX[key]!() : undefined) ??
    (Object.hasOwn(OTHER_NAMES, key) ? POSIX[OTHER_NAMES[key]!]!() : undefined) ??
    (key === 'unknown' ? undefined : scriptRanges(name))
  if (ranges === undefined) throw reader.unsupported(`the property ${name}`)
  reader.at += whole.length
  return codeSet((letter === 'P') !== (caret === '^') ? complement(ranges) : ranges)
}

/** A set in brackets, from the opening one on. */
export function parseSet(reader: SetReader, depth = 0): CodeSet {
  if (depth > 20) throw reader.unsupported('a set within more than 20 sets')
  const { pattern } = reader
  reader.at++
  const negated = pattern[reader.at] === '^'
  if (negated) reader.at++
  let ranges: [number, number][] = []
  let whole: readonly number[] | undefined
  const start = reader.at
  const and = (): readonly number[] => {
    const part = mergeRanges(ranges)
    return whole === undefined ? part : intersection(whole, part)
  }
  for (;;) {
    const char = pattern[reader.at]
    if (char === undefined) throw reader.error('an end of the set', 'the end')
    if (char === ']' && reader.at > start) break
    if (pattern.startsWith('&&', reader.at)) {
      whole = and()
      ranges = []
      reader.at += 2
      continue
    }
    if (char === '[') {
      ranges.push(...pairsOf((posixSet(reader) ?? parseSet(reader, depth + 1)).ranges))
      continue
    }
    const type = char === '\\' ? setEscape(reader) : undefined
    if (type !== undefined) {
      ranges.push(...pairsOf(type.ranges))
      // A hyphen behind a type would begin a range there that cannot be.
      if (pattern[reader.at] === '-' && pattern[reader.at + 1] !== ']')
        throw reader.unsupported('a hyphen behind a type of characters')
      continue
    }
    const first = oneCode(reader)
    if (pattern[reader.at] !== '-' || pattern[reader.at + 1] === ']' || pattern[reader.at + 1] === undefined) {
      ranges.push([first, first])
      continue
    }
    reader.at++
    if (pattern[reader.at] === '[' || pattern.startsWith('&&', reader.at))
      throw reader.unsupported('a range that ends in a set')
    if (pattern[reader.at] === '\\' && setEscape({ ...view(reader) }) !== undefined) {
      throw reader.error('a character at the end of a range', 'a type of characters')
    }
    const last = oneCode(reader)
    if (last < first) throw reader.error('a range from low to high', `${first} to ${last}`)
    ranges.push([first, last])
  }
  if (whole !== undefined && ranges.length === 0) throw reader.unsupported('an empty side of &&')
  const all = and()
  reader.at++
  return codeSet(negated ? complement(all) : all)
}

/** A reader that can look ahead without moving the first. */
function view(reader: SetReader): SetReader {
  return {
    pattern: reader.pattern,
    at: reader.at,
    error: (expected, got) => reader.error(expected, got),
    unsupported: (what) => reader.unsupported(what),
    escapedCode: (inSet) => reader.escapedCode(inSet),
  }
}

function setEscape(reader: SetReader): CodeSet | undefined {
  if (reader.pattern[reader.at + 1] === undefined) throw reader.error('a character behind the backslash', 'the end')
  return typeSet(reader) ?? propertySet(reader)
}

function oneCode(reader: SetReader): number {
  if (reader.pattern[reader.at] === '\\') return reader.escapedCode(true)
  const code = reader.pattern.codePointAt(reader.at)!
  reader.at += code > 0xffff ? 2 : 1
  return code
}

function posixSet(reader: SetReader): CodeSet | undefined {
  const match = /^\[:(\^?)([a-z]+):\]/.exec(reader.pattern.slice(reader.at, reader.at + 20))
  if (match === null) {
    if (reader.pattern.startsWith('[:', reader.at)) throw reader.unsupported('a set that begins with [:')
    return undefined
  }
  if (!Object.hasOwn(POSIX, match[2]!)) throw reader.unsupported(match[0])
  reader.at += match[0].length
  const ranges = POSIX[match[2]!]!()
  return codeSet(match[1] === '^' ? complement(ranges) : ranges)
}

/**
 * @file What a character is: the sets and mappings that the parts of a tokenizer ask, as the Rust library `tokenizers`
 * has them. JavaScript's own follow the version of Node, so that they would change a model's input from one Node to the
 * next.
 */

import * as data from './unicode-data.js'

/** A set of code points. */
export interface CodeSet {
  has(code: number): boolean
  /** First and last of each range, in order. */
  readonly ranges: readonly number[]
}

const LAST_CODE = 0x10ffff
const BMP = 0x10000

/** Looks the lower plane up in bits and searches the ranges of the others. */
export function codeSet(ranges: readonly number[]): CodeSet {
  const bits = new Uint32Array(BMP / 32)
  let firstHigh = ranges.length
  for (let at = 0; at < ranges.length; at += 2) {
    const last = Math.min(ranges[at + 1]!, BMP - 1)
    for (let code = ranges[at]!; code <= last; code++) bits[code >> 5]! |= 1 << (code & 31)
    if (ranges[at + 1]! >= BMP) firstHigh = Math.min(firstHigh, at)
  }
  const has = (code: number): boolean => {
    if (code < BMP) return (bits[code >> 5]! & (1 << (code & 31))) !== 0
    let low = firstHigh
    let high = ranges.length - 2
    while (low <= high) {
      const middle = ((low + high) >> 2) << 1
      if (code < ranges[middle]!) high = middle - 2
      else if (code > ranges[middle + 1]!) low = middle + 2
      else return true
    }
    return false
  }
  return { has, ranges }
}

/** Ranges in any order, with overlaps, as a set has them. */
export function mergeRanges(ranges: readonly (readonly [number, number])[]): number[] {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0])
  const merged: number[] = []
  for (const [first, last] of sorted) {
    const end = merged.length - 1
    if (end > 0 && first <= merged[end]! + 1) merged[end] = Math.max(merged[end]!, last)
    else merged.push(first, last)
  }
  return merged
}

export function complement(ranges: readonly number[]): number[] {
  const out: number[] = []
  let next = 0
  for (let at = 0; at < ranges.length; at += 2) {
    if (ranges[at]! > next) out.push(next, ranges[at]! - 1)
    next = ranges[at + 1]! + 1
  }
  if (next <= LAST_CODE) out.push(next, LAST_CODE)
  return out
}

export function pairsOf(ranges: readonly number[]): [number, number][] {
  return Array.from({ length: ranges.length / 2 }, (_, at) => [ranges[2 * at]!, ranges[2 * at + 1]!])
}

function unpackSet(packed: string): number[] {
  const ranges: number[] = []
  let next = 0
  const numbers = packed === '' ? [] : packed.split(' ')
  for (let at = 0; at < numbers.length; at += 2) {
    const first = next + Number.parseInt(numbers[at]!, 36)
    next = first + Number.parseInt(numbers[at + 1]!, 36)
    ranges.push(first, next - 1)
  }
  return ranges
}

/** Calls for each run of code points of one value; the first run begins at 0. */
function eachRun(packed: string, visit: (value: number, first: number, last: number) => void): void {
  const numbers = packed.split(' ')
  let next = 0
  for (let at = 0; at < numbers.length; at += 2) {
    const length = Number.parseInt(numbers[at + 1]!, 36)
    visit(Number.parseInt(numbers[at]!, 36), next, next + length - 1)
    next += length
  }
}

/** A value that is made when it is first asked for. */
export function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

const setOf = (packed: string): (() => CodeSet) => lazy(() => codeSet(unpackSet(packed)))

/** `char::is_whitespace` of Rust. */
export const whiteSpace = setOf(data.WHITE_SPACE)
/** `char::is_numeric` of Rust. */
export const numeric = setOf(data.NUMERIC)
/** What Punctuation and BertPreTokenizer cut at. */
export const punctuation = setOf(data.PUNCTUATION)
/** What BertNormalizer removes when it cleans a text. */
export const cleanedAway = setOf(data.CLEANED_AWAY)
/** What BertNormalizer removes as accents. */
export const nonspacingMark = setOf(data.NONSPACING_MARK)
/** What StripAccents removes. */
export const combiningMark = setOf(data.COMBINING_MARK)
/** `\w` and `\s` of Rust's regex crate, which Whitespace and single words go by. */
export const crateWord = setOf(data.REGEX_CRATE_WORD)
export const crateSpace = setOf(data.REGEX_CRATE_SPACE)
/** What joins with the character before, and with the one behind, into a grapheme cluster. */
export const graphemeAttach = setOf(data.GRAPHEME_ATTACH)
export const graphemePrepend = setOf(data.GRAPHEME_PREPEND)
/** What canonical and compatibility decomposition change. */
export const canonical = setOf(data.CANONICAL)
export const compatible = setOf(data.COMPATIBLE)

function runsByValue(packed: string): Map<number, number[]> {
  const byValue = new Map<number, number[]>()
  eachRun(packed, (value, first, last) => {
    const ranges = byValue.get(value)
    if (ranges === undefined) byValue.set(value, [first, last])
    else ranges.push(first, last)
  })
  return byValue
}

const categories = lazy(() => {
  const runs = runsByValue(data.CATEGORY_RUNS)
  return new Map(data.CATEGORY_NAMES.split(' ').map((name, value) => [name, runs.get(value) ?? []]))
})
const scripts = lazy(() => {
  const runs = runsByValue(data.SCRIPT_RUNS)
  return new Map(data.SCRIPT_NAMES.split(' ').map((name, value) => [propertyKey(name), runs.get(value) ?? []]))
})

/** Ranges of a general category (`Lu`, `L`...); undefined where there is none of that name. */
export function categoryRanges(name: string): number[] | undefined {
  const exact = categories().get(name)
  if (exact !== undefined) return exact
  const parts = [...categories()].filter(([category]) => category.startsWith(name))
  if (name.length !== 1 || parts.length === 0) return undefined
  return mergeRanges(parts.flatMap(([, ranges]) => pairsOf(ranges)))
}

/** Property names compare without case, spaces, hyphens and underscores. */
export function propertyKey(name: string): string {
  return name.toLowerCase().replace(/[ _-]/g, '')
}

export function scriptRanges(name: string): number[] | undefined {
  return scripts().get(propertyKey(name))
}

const NAMED: Readonly<Record<string, () => CodeSet>> = {
  alphabetic: setOf(data.ALPHABETIC),
  lowercase: setOf(data.LOWERCASE),
  uppercase: setOf(data.UPPERCASE),
  word: setOf(data.WORD),
  space: setOf(data.SPACE),
  punct: setOf(data.PUNCT),
  graph: setOf(data.GRAPH),
  print: setOf(data.PRINT),
}

/** Sets of Oniguruma: `word` and `space` are its \w and \s. */
export function namedSet(
  name: 'alphabetic' | 'lowercase' | 'uppercase' | 'word' | 'space' | 'punct' | 'graph' | 'print',
): CodeSet {
  return NAMED[name]!()
}

/** A value for each code point, looked up by page. */
function pagedTable(packed: string): (code: number) => number {
  const pages: (Uint8Array | undefined)[] = []
  eachRun(packed, (value, first, last) => {
    if (value === 0) return
    for (let code = first; code <= last; code++) {
      let page = pages[code >> 8]
      if (page === undefined) {
        page = new Uint8Array(256)
        pages[code >> 8] = page
      }
      page[code & 255] = value
    }
  })
  return (code) => pages[code >> 8]?.[code & 255] ?? 0
}

/** Canonical combining classes in their order; 0 for starters. */
export const combiningClass = lazy(() => pagedTable(data.COMBINING_RUNS))
/** What UnicodeScripts tells apart; 0 joins with everything. */
export const scriptToCut = lazy(() => pagedTable(data.SCRIPT_CUT_RUNS))

/** Lower-case forms of the characters that have one, as code points: `char::to_lowercase` of Rust. */
export const lowerCase = lazy(() => {
  const map = new Map<number, readonly number[]>()
  let code = 0
  for (const entry of data.LOWER_MAP.split(' ')) {
    const [difference, made] = entry.split(':') as [string, string]
    code += Number.parseInt(difference, 36)
    map.set(
      code,
      made.split(',').map((part) => code + Number.parseInt(part, 36)),
    )
  }
  return map
})

/** Code points of a text; lone surrogates have been replaced before. */
export function codesOf(text: string): number[] {
  const codes: number[] = []
  for (let at = 0; at < text.length; at++) {
    const code = text.codePointAt(at)!
    if (code > 0xffff) at++
    codes.push(code)
  }
  return codes
}

export function textOf(codes: readonly number[]): string {
  if (codes.length < 4096) return String.fromCodePoint(...codes)
  const parts: string[] = []
  for (let at = 0; at < codes.length; at += 4096) parts.push(String.fromCodePoint(...codes.slice(at, at + 4096)))
  return parts.join('')
}

/** The text as it is where it is written in UTF-8: lone halves of surrogate pairs become replacement characters. */
export function wellFormed(text: string): string {
  // Every Node that is supported has both; the declarations are of a later year.
  const asked = text as unknown as { isWellFormed(): boolean; toWellFormed(): string }
  return asked.isWellFormed() ? text : asked.toWellFormed()
}

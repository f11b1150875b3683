/** @file Sets of code points, as ranges in order that do not touch. Surrogates are in none: texts are well-formed. */

/** Both ends included. */
export type CodeRange = readonly [low: number, high: number]
export type CodeSet = readonly CodeRange[]

const LAST = 0x10ffff
export const ANY_CODE: CodeSet = [
  [0, 0xd7ff],
  [0xe000, LAST],
]

/** A set of ranges in any order; surrogates are left out. */
export function codeSet(ranges: Iterable<CodeRange>): CodeSet {
  const sorted = [...ranges].filter(([low, high]) => low <= high).sort(([a], [b]) => a - b)
  const merged: [number, number][] = []
  for (const [low, high] of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high)
    else merged.push([low, high])
  }
  return merged.flatMap(([low, high]): CodeRange[] => {
    const below: CodeRange = [low, Math.min(high, 0xd7ff)]
    const above: CodeRange = [Math.max(low, 0xe000), high]
    return [below, above].filter(([first, last]) => first <= last)
  })
}

/** All code points that are not in a set. */
export function complement(set: CodeSet): CodeSet {
  const gaps: CodeRange[] = []
  let next = 0
  for (const [low, high] of set) {
    gaps.push([next, low - 1])
    next = high + 1
  }
  gaps.push([next, LAST])
  return codeSet(gaps)
}

export function contains(set: CodeSet, code: number): boolean {
  return set.some(([low, high]) => low <= code && code <= high)
}

export const DIGIT: CodeSet = [[0x30, 0x39]]
export const WORD: CodeSet = codeSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
])
/** WhiteSpace and LineTerminator of ECMA-262. */
export const SPACE: CodeSet = codeSet([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
])
/** What a dot does not match. */
export const LINE_TERMINATOR: CodeSet = codeSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
])

/**
 * @file Regular expressions of tokenizers: read once, matched in bounded time, with the matches that the Rust library
 * finds.
 */

import type { Match, Pausable } from '../aligned-text.js'
import { UNITS_PER_STEP } from '../text-output.js'
import type { MatchEnd } from './automaton.js'
import { LONG_TEXT } from './long-text.js'
import { nativeFinder } from './native.js'
import { parseRegex } from './parse.js'
import { boundedFinder, type Finder, type Scanner } from './program.js'
import { lengthOf } from './syntax.js'

export interface Regex {
  /** Whether it matches nothing somewhere, which inserts text instead of replacing it. */
  readonly canBeEmpty: boolean
  /** All of the text in order: what matched and what lies between. */
  matches(text: string): Pausable<Match>
  /** The same for a short text, at a stretch. Undefined where that could take long. */
  readonly cut: CutText | undefined
}

/** A text and its units, which are read faster than those of a string. */
export interface UnitText {
  readonly text: string
  readonly units: Uint16Array
}

/**
 * Writes where each part of `[from, to)` of a text ends, empty ones left out, from `count` on, and gives how many ends
 * there are then. What stands before `from` and behind `to` is not looked at.
 */
export type CutText = (text: UnitText, from: number, to: number, ends: Int32Array, count: number) => number

// Tokenizers of one family have the same few expressions, and their sets take a while to write out.
const known = new Map<string, Regex>()
const KNOWN = 64

/** @throws naming the part of the expression that is not translated */
export function regexOf(pattern: string): Regex {
  const before = known.get(pattern)
  if (before !== undefined) return before
  const node = parseRegex(pattern)
  const finder = nativeFinder(node) ?? boundedFinder(node, pattern)
  const regex: Regex = {
    canBeEmpty: lengthOf(node).min === 0,
    matches: (text) => (text.length > LONG_TEXT ? matchesInLong(finder.scan(text), text) : matchesOf(finder, text)),
    cut: finder.endAt && cutAtMatches(finder, finder.endAt),
  }
  if (known.size >= KNOWN) known.clear()
  known.set(pattern, regex)
  return regex
}

function* matchesOf(finder: Finder, text: string): Pausable<Match> {
  let done = 0
  let next = UNITS_PER_STEP
  let from = 0
  let lastEnd = -1
  while (from <= text.length) {
    const found = finder.find(text, from)
    if (found === undefined) break
    const { start, end } = found
    if (start === end && end === lastEnd) {
      // An empty match behind a match is none: the search goes on a character later.
      from += text.codePointAt(from)! > 0xffff ? 2 : 1
      continue
    }
    if (start > done) yield { start: done, end: start, matched: false }
    yield { start, end, matched: true }
    done = end
    from = end
    lastEnd = end
    if (end > next) {
      next = end + UNITS_PER_STEP
      yield undefined
    }
  }
  if (done < text.length || text.length === 0) yield { start: done, end: text.length, matched: false }
}

/** The same without pauses. Most matches begin where the last one ended. */
function cutAtMatches(finder: Finder, endAt: MatchEnd): CutText {
  return ({ text, units }, first, to, ends, before) => {
    let count = before
    let done = first
    let from = first
    let lastEnd = -1
    while (from <= to) {
      let start = from
      let end = endAt(units, from, to)
      if (end < 0) {
        const found = finder.find(text.slice(first, to), from - first)
        if (found === undefined) break
        start = first + found.start
        end = first + found.end
      }
      if (start === end && end === lastEnd) {
        from += text.codePointAt(from)! > 0xffff ? 2 : 1
        continue
      }
      if (start > done) ends[count++] = start
      if (end > start) ends[count++] = end
      done = end
      from = end
      lastEnd = end
    }
    if (done < to) ends[count++] = to
    return count
  }
}

/** The same for long texts; apart, since it would slow the other down. */
function* matchesInLong(scanner: Scanner, text: string): Pausable<Match> {
  let done = 0
  let next = UNITS_PER_STEP
  let from = 0
  let lastEnd = -1
  while (from <= text.length) {
    const found = scanner.near(from) ?? (yield* scanner.far(from))
    if (found === undefined) break
    const { start, end } = found
    if (start === end && end === lastEnd) {
      // An empty match behind a match is none: the search goes on a character later.
      from += text.codePointAt(from)! > 0xffff ? 2 : 1
      continue
    }
    if (start > done) yield { start: done, end: start, matched: false }
    yield { start, end, matched: true }
    done = end
    from = end
    lastEnd = end
    if (end > next) {
      next = end + UNITS_PER_STEP
      yield undefined
    }
  }
  if (done < text.length || text.length === 0) yield { start: done, end: text.length, matched: false }
}

/** @file Cutting a text at the matches of a pattern, in each of the ways that pre-tokenizers know. */

import type { Match } from './aligned-text.js'
import type { CodeSet } from './unicode.js'

export const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
export type Behavior = (typeof BEHAVIORS)[number]

/** A part of a text. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Each character of the set matches by itself. */
export function* characterMatches(text: string, matchesCode: (code: number) => boolean): Iterable<Match> {
  let done = 0
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at)!
    const end = at + (code > 0xffff ? 2 : 1)
    if (matchesCode(code)) {
      if (done < at) yield { start: done, end: at, matched: false }
      yield { start: at, end, matched: true }
      done = end
    }
    at = end
  }
  if (done < text.length) yield { start: done, end: text.length, matched: false }
}

export function setMatches(text: string, set: CodeSet): Iterable<Match> {
  return characterMatches(text, (code) => set.has(code))
}

/** The occurrences of a text, one behind the other. */
export function* textMatches(text: string, pattern: string): Iterable<Match> {
  let done = 0
  for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, done)) {
    if (done < at) yield { start: done, end: at, matched: false }
    done = at + pattern.length
    yield { start: at, end: done, matched: true }
  }
  if (done < text.length || text.length === 0) yield { start: done, end: text.length, matched: false }
}

export function* inverted(matches: Iterable<Match>): Iterable<Match> {
  for (const { start, end, matched } of matches) yield { start, end, matched: !matched }
}

/** The parts that are left, in order; empty ones included. */
export function* cutAt(matches: Iterable<Match>, behavior: Behavior): Iterable<Range> {
  if (behavior === 'Removed' || behavior === 'Isolated') {
    for (const match of matches) if (behavior === 'Isolated' || !match.matched) yield match
    return
  }
  let open: { start: number; end: number } | undefined
  let previous = false
  for (const { start, end, matched } of matches) {
    if (open !== undefined && joins(behavior, matched, previous)) open.end = end
    else {
      if (open !== undefined) yield open
      open = { start, end }
    }
    previous = matched
  }
  if (open !== undefined) yield open
}

/** Whether a part goes on what stands before it. Seen from the end, a match joins what comes behind unless that is a match as well. */
function joins(behavior: Exclude<Behavior, 'Removed' | 'Isolated'>, matched: boolean, previous: boolean): boolean {
  switch (behavior) {
    case 'Contiguous':
      return matched === previous
    case 'MergedWithPrevious':
      return matched && !previous
    case 'MergedWithNext':
      return !matched && previous
    default:
      return behavior satisfies never
  }
}

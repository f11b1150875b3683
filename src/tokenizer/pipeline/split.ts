/** @file Cutting a text at the matches of a pattern, in each of the ways that pre-tokenizers know. */

import type { Match, Pausable } from './aligned-text.js'
import { UNITS_PER_STEP } from './text-output.js'
import type { CodeSet } from './unicode.js'

export const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
export type Behavior = (typeof BEHAVIORS)[number]

/** A part of a text. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Each character of the set matches by itself. */
export function* characterMatches(text: string, matchesCode: (code: number) => boolean): Pausable<Match> {
  let done = 0
  let next = UNITS_PER_STEP
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at)!
    const end = at + (code > 0xffff ? 2 : 1)
    if (matchesCode(code)) {
      if (done < at) yield { start: done, end: at, matched: false }
      yield { start: at, end, matched: true }
      done = end
    }
    at = end
    if (at > next) {
      next = at + UNITS_PER_STEP
      yield undefined
    }
  }
  if (done < text.length) yield { start: done, end: text.length, matched: false }
}

export function setMatches(text: string, set: CodeSet): Pausable<Match> {
  return characterMatches(text, (code) => set.has(code))
}

/** The occurrences of a text, one behind the other. */
export function* textMatches(text: string, pattern: string): Pausable<Match> {
  let done = 0
  let next = UNITS_PER_STEP
  for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, done)) {
    if (done < at) yield { start: done, end: at, matched: false }
    done = at + pattern.length
    yield { start: at, end: done, matched: true }
    if (done > next) {
      next = done + UNITS_PER_STEP
      yield undefined
    }
  }
  if (done < text.length || text.length === 0) yield { start: done, end: text.length, matched: false }
}

export function* inverted(matches: Pausable<Match>): Pausable<Match> {
  for (const match of matches) yield match && { start: match.start, end: match.end, matched: !match.matched }
}

/** The parts that are left, in order; empty ones included. */
export function* cutAt(matches: Pausable<Match>, behavior: Behavior): Pausable<Range> {
  if (behavior === 'Removed' || behavior === 'Isolated') {
    for (const match of matches) if (match === undefined || behavior === 'Isolated' || !match.matched) yield match
    return
  }
  let open: { start: number; end: number } | undefined
  let previous = false
  for (const match of matches) {
    if (match === undefined) {
      yield undefined
      continue
    }
    const { start, end, matched } = match
    if (open !== undefined && joins(behavior, matched, previous)) open.end = end
    else {
      if (open !== undefined) yield open
      open = { start, end }
    }
    previous = matched
  }
  if (open !== undefined) yield open
}

/**
 * Whether a part goes on what stands before it. Seen from the end, a match joins what comes behind unless that is a
 * match as well.
 */
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

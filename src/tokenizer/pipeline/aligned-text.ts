/**
 * @file A text on its way through normalizers and pre-tokenizers, which knows for each of its characters where it comes from. The rules are
 * those of `NormalizedString` in the Rust library, the surprising ones included: offsets have to be equal.
 */

import { textOf } from './unicode.js'

/** Characters `[start, end)` of a text and whether they matched. */
export interface Match {
  readonly start: number
  readonly end: number
  readonly matched: boolean
}

/** New characters with what each does to the old ones: 0 replaces one, 1 is inserted, -n replaces one and removes the n behind it. */
export interface Changes {
  readonly codes: number[]
  readonly changes: number[]
}

/** Positions are UTF-16 units; both units of a pair are aligned with the whole character that they come from. */
export interface AlignedText {
  readonly text: string
  /** For each unit the start and the end of its origin; undefined where every unit comes from itself. */
  readonly starts: Int32Array | undefined
  readonly ends: Int32Array | undefined
  /** The part of the original that this text stands for. */
  readonly from: number
  readonly to: number
}

export function alignedText(text: string): AlignedText {
  return { text, starts: undefined, ends: undefined, from: 0, to: text.length }
}

/** Start of the origin of a unit. */
export function originStart(aligned: AlignedText, at: number): number {
  if (aligned.starts !== undefined) return aligned.starts[at]!
  return aligned.from + (isLow(aligned.text, at) ? at - 1 : at)
}

/** End of the origin of a unit. */
export function originEnd(aligned: AlignedText, at: number): number {
  if (aligned.ends !== undefined) return aligned.ends[at]!
  return aligned.from + (isHigh(aligned.text, at) ? at + 2 : at + 1)
}

function isLow(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xdc00
}

function isHigh(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800
}

/** A part of the text; it stands for what its characters come from. */
export function slice(aligned: AlignedText, start: number, end: number): AlignedText {
  if (start === 0 && end === aligned.text.length && end > 0 && aligned.starts === undefined) return aligned
  const text = aligned.text.slice(start, end)
  if (start >= end) return { text, starts: undefined, ends: undefined, from: aligned.from, to: aligned.from }
  return {
    text,
    starts: aligned.starts?.subarray(start, end),
    ends: aligned.ends?.subarray(start, end),
    from: originStart(aligned, start),
    to: originEnd(aligned, end - 1),
  }
}

/** Replaces all of the text. */
export function transform(aligned: AlignedText, changes: Changes, removedFirst = 0): AlignedText {
  const { text } = aligned
  // The library looks for the part of the text that comes from the whole original: inserted characters at the beginning are none.
  let start = 0
  if (aligned.from === aligned.to) return transformRange(aligned, 0, 0, changes, removedFirst)
  if (text.length === 0) return aligned
  while (start < text.length && originStart(aligned, start) === originEnd(aligned, start)) start++
  return transformRange(aligned, start, text.length, changes, removedFirst)
}

/** @throws where the Rust library ends in a panic */
function transformRange(
  aligned: AlignedText,
  start: number,
  end: number,
  { codes, changes }: Changes,
  removedFirst = 0,
): AlignedText {
  const { text } = aligned
  let at = start
  const skip = (count: number): void => {
    for (let left = count; left > 0 && at < end; left--) at += isHigh(text, at) ? 2 : 1
  }
  skip(removedFirst)
  const made = textOf(codes)
  const starts = new Int32Array(start + made.length + text.length - end)
  const ends = new Int32Array(starts.length)
  copyOrigins(aligned, 0, start, starts, ends, 0)
  let to = start
  for (let index = 0; index < codes.length; index++) {
    const change = changes[index]!
    let first = aligned.from
    let last = aligned.from
    if (change > 0) {
      if (at > 0) {
        first = originStart(aligned, at - 1)
        last = originEnd(aligned, at - 1)
      }
    } else {
      if (at >= text.length) throw misaligned()
      first = originStart(aligned, at)
      last = originEnd(aligned, at)
      skip(1 - change)
    }
    starts[to] = first
    ends[to++] = last
    if (codes[index]! > 0xffff) {
      starts[to] = first
      ends[to++] = last
    }
  }
  copyOrigins(aligned, end, text.length, starts, ends, to)
  return { text: text.slice(0, start) + made + text.slice(end), starts, ends, from: aligned.from, to: aligned.to }
}

/** Origins of the units `[first, last)`, to place `to` on. */
function copyOrigins(
  aligned: AlignedText,
  first: number,
  last: number,
  starts: Int32Array,
  ends: Int32Array,
  to: number,
): void {
  const { text, from } = aligned
  if (aligned.starts !== undefined && aligned.ends !== undefined) {
    starts.set(aligned.starts.subarray(first, last), to)
    ends.set(aligned.ends.subarray(first, last), to)
    return
  }
  for (let unit = first; unit < last; unit++) {
    const surrogate = text.charCodeAt(unit) & 0xfc00
    starts[to + unit - first] = from + unit - (surrogate === 0xdc00 ? 1 : 0)
    ends[to + unit - first] = from + unit + (surrogate === 0xd800 ? 2 : 1)
  }
}

function misaligned(): Error {
  return new Error(
    '[tokenizer] expected a normalizer whose changes can be followed, got one that inserts text at the beginning without replacing any, ' +
      'before one that changes characters (the Rust library fails there too); use another tokenizer',
  )
}

/** Puts text before the first character. */
export function prepend(aligned: AlignedText, codes: readonly number[]): AlignedText {
  if (aligned.text.length === 0) return aligned
  const first = aligned.text.codePointAt(0)!
  const changes = [...codes.map((_, index) => (index === 0 ? 0 : 1)), 1]
  return transformRange(aligned, 0, first > 0xffff ? 2 : 1, { codes: [...codes, first], changes })
}

/** One unit in the place of another: what it comes from stays the same. */
export function replaceUnit(aligned: AlignedText, unit: string, content: string): AlignedText {
  return aligned.text.includes(unit) ? { ...aligned, text: aligned.text.replaceAll(unit, () => content) } : aligned
}

/** Puts `content` in the place of each match. */
export function replaceMatches(aligned: AlignedText, matches: Iterable<Match>, content: string): AlignedText {
  const { text } = aligned
  const parts: string[] = []
  const starts: number[] = []
  const ends: number[] = []
  for (const { start, end, matched } of matches) {
    if (!matched) {
      parts.push(text.slice(start, end))
      for (let at = start; at < end; at++) {
        starts.push(originStart(aligned, at))
        ends.push(originEnd(aligned, at))
      }
      continue
    }
    parts.push(content)
    const first = end < 1 ? aligned.from : originStart(aligned, end - 1)
    const last = end < 1 ? aligned.from : originEnd(aligned, end - 1)
    for (let at = 0; at < content.length; at++) {
      starts.push(first)
      ends.push(last)
    }
  }
  return {
    text: parts.join(''),
    starts: Int32Array.from(starts),
    ends: Int32Array.from(ends),
    from: aligned.from,
    to: aligned.to,
  }
}

/** Keeps the characters that `keep` takes. */
export function filterChanges(
  codes: readonly number[],
  keep: (code: number) => boolean,
): Changes & { removedFirst: number } {
  const kept: number[] = []
  const changes: number[] = []
  let removed = 0
  let removedFirst = 0
  for (const code of codes) {
    if (!keep(code)) {
      removed++
      continue
    }
    if (kept.length === 0) removedFirst = removed
    else changes.push(-removed)
    kept.push(code)
    removed = 0
  }
  if (kept.length > 0) changes.push(-removed)
  return { codes: kept, changes, removedFirst }
}

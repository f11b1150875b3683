/**
 * @file A text on its way through normalizers and pre-tokenizers, which knows for each of its characters where it comes
 * from. The rules are those of `NormalizedString` in the Rust library, the surprising ones included: offsets have to be
 * equal.
 */

import { ModelError } from '../../lowrank-error.js'
import type { Steps } from '../../turns.js'
import { NumberList } from './number-list.js'
import { type Changing, type Output, TextOutput, TextParts, UNITS_PER_STEP } from './text-output.js'

/** Characters `[start, end)` of a text and whether they matched. */
export interface Match {
  readonly start: number
  readonly end: number
  readonly matched: boolean
}

/** Values in order, and undefined now and then, where the work may be interrupted. */
export type Pausable<T extends object | string> = Iterable<T | undefined>

/** Start and end of the origin of each unit. */
interface Origins {
  readonly starts: NumberList
  readonly ends: NumberList
}

/**
 * Positions are UTF-16 units; both units of a pair are aligned with the whole character that they come from. Units come
 * one from each other mostly, so that origins are written down up to the last that does not; `slice` shares them.
 */
export interface AlignedText {
  readonly text: string
  readonly origins: Origins | undefined
  /** Where those of the first unit stand in `origins`. */
  readonly offset: number
  /** What a unit beyond `origins` lies behind its place in the text. */
  readonly shift: number
  /** The part of the original that this text stands for. */
  readonly from: number
  readonly to: number
}

export function alignedText(text: string): AlignedText {
  return { text, origins: undefined, offset: 0, shift: 0, from: 0, to: text.length }
}

/** Start of the origin of a unit. */
export function originStart({ text, origins, offset, shift }: AlignedText, at: number): number {
  if (origins !== undefined && offset + at < origins.starts.length) return origins.starts.get(offset + at)
  return shift + (isLow(text, at) ? at - 1 : at)
}

/** End of the origin of a unit. */
export function originEnd({ text, origins, offset, shift }: AlignedText, at: number): number {
  if (origins !== undefined && offset + at < origins.ends.length) return origins.ends.get(offset + at)
  return shift + (isHigh(text, at) ? at + 2 : at + 1)
}

/** Whether each character of the text comes from the one that is as far behind `shift`. */
export function isUnmoved({ origins, offset }: AlignedText): boolean {
  return origins === undefined || offset >= origins.starts.length
}

function isLow(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xdc00
}

function isHigh(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800
}

/** A part of the text; it stands for what its characters come from. */
export function slice(aligned: AlignedText, start: number, end: number): AlignedText {
  const { origins, offset, shift, from, to } = aligned
  if (start === 0 && end > 0 && end === aligned.text.length && origins === undefined) {
    if (from === shift && to === shift + end) return aligned
  }
  const text = aligned.text.slice(start, end)
  if (start >= end) return { text, origins: undefined, offset: 0, shift: from, from, to: from }
  return {
    text,
    origins: origins !== undefined && offset + start < origins.starts.length ? origins : undefined,
    offset: offset + start,
    shift: shift + start,
    from: originStart(aligned, start),
    to: originEnd(aligned, end - 1),
  }
}

/** The part `[start, end)` of a text with the same place in the original, as when the rest is removed. */
export function keepRange(aligned: AlignedText, start: number, end: number): AlignedText {
  return { ...slice(aligned, start, end), from: aligned.from, to: aligned.to }
}

/** Whether changes of all of the text begin at its first unit. */
export function isReplacedWhole(aligned: AlignedText): boolean {
  return aligned.text !== '' && aligned.from !== aligned.to && originStart(aligned, 0) !== originEnd(aligned, 0)
}

/** Replaces all of the text by what `change` puts; the same text where that says false. */
export function* transform(aligned: AlignedText, change: Changing): Steps<AlignedText> {
  const { text } = aligned
  let start = 0
  let end = text.length
  if (aligned.from === aligned.to) end = 0
  else if (text.length === 0) return aligned
  // The library looks for the part of the text that comes from the whole original: inserted characters at the beginning
  // are none.
  else while (start < text.length && originStart(aligned, start) === originEnd(aligned, start)) start++
  const output = new AlignedOutput(aligned, start, end)
  if (!(yield* change(text, output))) return aligned
  return yield* output.finish()
}

/** Puts characters in the place of those in `[start, end)` of a text. */
class AlignedOutput implements Output {
  readonly #aligned: AlignedText
  readonly #start: number
  readonly #end: number
  readonly #text = new TextOutput()
  readonly #origins: Origins = { starts: new NumberList(), ends: new NumberList() }
  #at: number
  #isMisaligned = false

  constructor(aligned: AlignedText, start: number, end: number) {
    this.#aligned = aligned
    this.#start = start
    this.#end = end
    this.#at = start
    for (let at = 0; at < start; at++) this.#push(originStart(aligned, at), originEnd(aligned, at))
  }

  put(code: number, change: number): void {
    const aligned = this.#aligned
    const at = this.#at
    let first = aligned.from
    let last = aligned.from
    if (change > 0) {
      if (at > 0) {
        first = originStart(aligned, at - 1)
        last = originEnd(aligned, at - 1)
      }
    } else if (at >= aligned.text.length) {
      this.#isMisaligned = true
    } else {
      first = originStart(aligned, at)
      last = originEnd(aligned, at)
      this.remove(1 - change)
    }
    this.#push(first, last)
    if (code > 0xffff) this.#push(first, last)
    this.#text.put(code)
  }

  remove(count: number): void {
    const { text } = this.#aligned
    for (let left = count; left > 0 && this.#at < this.#end; left--) this.#at += isHigh(text, this.#at) ? 2 : 1
  }

  #push(first: number, last: number): void {
    this.#origins.starts.push(first)
    this.#origins.ends.push(last)
  }

  /** @throws where the Rust library ends in a panic */
  *finish(): Steps<AlignedText> {
    if (this.#isMisaligned) throw misaligned()
    const aligned = this.#aligned
    const { text } = aligned
    let rest = this.#end
    for (; aligned.origins !== undefined && rest < text.length; rest++) {
      if (aligned.offset + rest >= aligned.origins.starts.length) break
      this.#push(originStart(aligned, rest), originEnd(aligned, rest))
      if (rest % UNITS_PER_STEP === 0) yield
    }
    return {
      text: text.slice(0, this.#start) + this.#text.finish() + text.slice(this.#end),
      origins: this.#origins,
      offset: 0,
      shift: aligned.shift + rest - this.#origins.starts.length,
      from: aligned.from,
      to: aligned.to,
    }
  }
}

function misaligned(): Error {
  return new ModelError(
    '[tokenizer] expected a normalizer whose changes can be followed, got one that inserts text at the beginning without replacing any, ' +
      'before one that changes characters (the Rust library fails there too); use another tokenizer',
  )
}

/** Another text in the place of one, with the origins of all of its units. */
export function fromOrigins(aligned: AlignedText, text: string, starts: NumberList, ends: NumberList): AlignedText {
  return { text, origins: { starts, ends }, offset: 0, shift: 0, from: aligned.from, to: aligned.to }
}

/** Puts text before the first character. */
export function* prepend(aligned: AlignedText, codes: readonly number[]): Steps<AlignedText> {
  if (aligned.text.length === 0) return aligned
  const first = aligned.text.codePointAt(0)!
  const output = new AlignedOutput(aligned, 0, first > 0xffff ? 2 : 1)
  for (let index = 0; index < codes.length; index++) output.put(codes[index]!, index === 0 ? 0 : 1)
  output.put(first, 1)
  return yield* output.finish()
}

/** One unit in the place of another: what it comes from stays the same. */
export function* replaceUnit(aligned: AlignedText, unit: string, content: string): Steps<AlignedText> {
  if (!aligned.text.includes(unit)) return aligned
  return { ...aligned, text: yield* replaceUnitIn(aligned.text, unit, content) }
}

/** A text in the place of one unit, in a text of any length. */
export function* replaceUnitIn(text: string, unit: string, content: string): Steps<string> {
  // Joining makes one flat string, where `replaceAll` makes a tree of pieces that has to be flattened later, at a
  // stretch.
  if (text.length <= UNITS_PER_STEP) return text.split(unit).join(content)
  const parts: string[] = []
  for (let at = 0; at < text.length; at += UNITS_PER_STEP) {
    const part = text.slice(at, at + UNITS_PER_STEP)
    parts.push(part.split(unit).join(content))
    yield
  }
  return parts.join('')
}

/** Puts `content` in the place of each match. */
export function* replaceMatches(aligned: AlignedText, matches: Pausable<Match>, content: string): Steps<AlignedText> {
  const { text } = aligned
  const parts = new TextParts()
  const starts = new NumberList()
  const ends = new NumberList()
  let work = 0
  let isChanged = false
  for (const match of matches) {
    if (match === undefined) {
      yield
      continue
    }
    const { start, end, matched } = match
    isChanged ||= matched
    const first = !matched || end < 1 ? aligned.from : originStart(aligned, end - 1)
    const last = !matched || end < 1 ? aligned.from : originEnd(aligned, end - 1)
    parts.push(matched ? content : text.slice(start, end))
    const count = matched ? content.length : end - start
    for (let index = 0; index < count; index++) {
      starts.push(matched ? first : originStart(aligned, start + index))
      ends.push(matched ? last : originEnd(aligned, start + index))
      if (++work % UNITS_PER_STEP === 0) yield
    }
  }
  return isChanged ? fromOrigins(aligned, parts.finish(), starts, ends) : aligned
}

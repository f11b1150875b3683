/** @file The filter wordwrap, as Python's textwrap breaks lines. */

import { bind, plainText } from './arguments.js'
import { valueError } from './errors.js'
import type { Filter } from './filters.js'
import { asCount } from './numbers.js'
import { isSpace, splitLines } from './text.js'
import { isTrue, typeName } from './values.js'

const WHITE = /([\t\n\v\f\r ]+)/
const WORD = '[\\p{L}\\p{N}_]'
const LETTER = '[\\p{L}\\p{Nl}\\p{No}_]'
const MARK = `[\\p{L}\\p{N}_!"'&.,?]`
const BLANK = '[\\t\\n\\v\\f\\r ]'
/** White space, a dash between words, or a word up to its end, to a hyphen between letters, or to a dash. */
const PIECES = new RegExp(
  `(${BLANK}+|(?<=${MARK})-{2,}(?=${WORD})|[^\\t\\n\\v\\f\\r ]+?(?:-(?:(?<=${LETTER}{2}-)|(?<=${LETTER}-${MARK}-))` +
    `(?=${LETTER}-?${LETTER})|(?=${BLANK}|$)|(?<=${MARK})(?=-{2,}${WORD})))`,
  'u',
)

export const wordWrap: Filter = (rt, value, given) => {
  const [widthGiven = 79, breakLong = true, wrapGiven = null, breakOnHyphens = true] = bind(
    'wordwrap',
    given,
    'width?',
    'break_long_words?',
    'wrapstring?',
    'break_on_hyphens?',
  )
  const width = asCount(widthGiven, typeName(widthGiven))
  const by = wrapGiven === null ? '\n' : plainText(wrapGiven)
  const text = plainText(value)
  rt.step(text.length)
  if (width <= 0) return splitLines(text).length === 0 ? '' : valueError(`invalid width ${width} (must be > 0)`)
  return splitLines(text)
    .map((line) => wrapLine(line, width, isTrue(breakLong), isTrue(breakOnHyphens)).join(by))
    .join(by)
}

/** A word or white space; `from` is where its rest begins once a line took its beginning. */
interface Chunk {
  points: readonly string[]
  from: number
}

function wrapLine(line: string, width: number, breakLong: boolean, breakOnHyphens: boolean): string[] {
  const chunks: Chunk[] = line
    .split(breakOnHyphens && line.includes('-') ? PIECES : WHITE)
    .filter((chunk) => chunk !== '')
    .map((chunk) => ({ points: Array.from(chunk), from: 0 }))
    .reverse()
  const lines: string[] = []
  while (chunks.length > 0) {
    const current: (readonly string[])[] = []
    let length = 0
    if (lines.length > 0 && isBlank(rest(chunks.at(-1)))) chunks.pop()
    for (let next = chunks.at(-1); next !== undefined && length + sizeOf(next) <= width; next = chunks.at(-1)) {
      current.push(next.points.slice(next.from))
      length += sizeOf(next)
      chunks.pop()
    }
    const next = chunks.at(-1)
    if (next !== undefined && sizeOf(next) > width) {
      if (breakLong) {
        const end = next.from + roomIn(next, width - length, breakOnHyphens)
        current.push(next.points.slice(next.from, end))
        next.from = end
      } else if (current.length === 0) {
        current.push(next.points)
        chunks.pop()
      }
    }
    if (isBlank(current.at(-1) ?? [])) current.pop()
    if (current.length > 0) lines.push(current.flat().join(''))
  }
  return lines
}

function sizeOf({ points, from }: Chunk): number {
  return points.length - from
}

/** How much of a word that is too long a line takes: up to the last hyphen that has another character before it. */
function roomIn({ points, from }: Chunk, room: number, breakOnHyphens: boolean): number {
  const part = points.slice(from, from + room)
  const hyphen = breakOnHyphens ? part.lastIndexOf('-') : -1
  return hyphen > 0 && part.slice(0, hyphen).some((character) => character !== '-') ? hyphen + 1 : room
}

function* rest(chunk: Chunk | undefined): Generator<string> {
  for (let at = chunk?.from ?? 0; at < (chunk?.points.length ?? 0); at++) yield chunk?.points[at] as string
}

/** Whether there is white space alone; looks no further than the first character that is none. */
function isBlank(points: Iterable<string>): boolean {
  let any = false
  for (const point of points) {
    if (!isSpace(point.codePointAt(0) as number)) return false
    any = true
  }
  return any
}

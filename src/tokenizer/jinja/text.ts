/**
 * @file Text as Python sees it: counted in code points, with Python's white space and line ends. Strings here are
 * well-formed UTF-16, which the interpreter makes sure of where values enter.
 */

const ASTRAL = /[\ud800-\udfff]/
/** White space of `str.isspace`, `strip()`, `split()` and of `\s`; JavaScript's set is another one. */
export const SPACE_CLASS =
  '\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

export function isSpace(code: number): boolean {
  if (code <= 32) return code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31)
  if (code < 0x85) return false
  return (
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

export function hasAstral(text: string): boolean {
  return ASTRAL.test(text)
}

/** Whether text has halves of surrogate pairs, which no tokenizer can encode. */
export function hasLoneSurrogate(text: string): boolean {
  // Every Node that is supported has it; the declarations are of a later year. An expression takes a second per 100 MB.
  return !(text as unknown as { isWellFormed(): boolean }).isWellFormed()
}

/** `len(text)`. */
export function codePointLength(text: string): number {
  if (!ASTRAL.test(text)) return text.length
  let pairs = 0
  for (let at = 0; at < text.length; at++) if ((text.charCodeAt(at) & 0xfc00) === 0xd800) pairs++
  return text.length - pairs
}

// Templates index one string again and again (text[0], text[1]): its code points are kept.
let lastText = ''
let lastPoints: string[] = []

/** The characters of a text, as Python iterates over them. */
export function codePoints(text: string): string[] {
  if (text !== lastText) {
    lastPoints = Array.from(text)
    lastText = text
  }
  return lastPoints
}

/** Place in UTF-16 units of the character with number `index` (0 <= index <= length). */
export function unitIndex(text: string, index: number): number {
  if (!ASTRAL.test(text)) return index
  let unit = 0
  for (let count = 0; count < index; count++) unit += (text.charCodeAt(unit) & 0xfc00) === 0xd800 ? 2 : 1
  return unit
}

/** Number of the character at a place in UTF-16 units. */
export function pointIndex(text: string, unit: number): number {
  return ASTRAL.test(text) ? codePointLength(text.slice(0, unit)) : unit
}

/** Compares by code points, as Python orders strings. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  if (!ASTRAL.test(a) && !ASTRAL.test(b)) return a < b ? -1 : 1
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at)
    const y = b.charCodeAt(at)
    if (x === y) continue
    // Surrogates stand for characters above all others.
    const high = (code: number): number => ((code & 0xf800) === 0xd800 ? code + 0x10000 : code)
    return high(x) - high(y)
  }
  return a.length - b.length
}

/** `text.strip(chars)` on the chosen sides; `chars` undefined means white space. */
export function strip(text: string, left: boolean, right: boolean, chars?: string): string {
  let start = 0
  let end = text.length
  if (chars === undefined || !ASTRAL.test(text)) {
    const drop = (code: number): boolean =>
      chars === undefined ? isSpace(code) : chars.includes(String.fromCharCode(code)) && (code & 0xf800) !== 0xd800
    if (left) while (start < end && drop(text.charCodeAt(start))) start++
    if (right) while (end > start && drop(text.charCodeAt(end - 1))) end--
    return text.slice(start, end)
  }
  const set = new Set(chars)
  if (left) {
    for (const point of text) {
      if (!set.has(point)) break
      start += point.length
    }
  }
  while (right && end > start) {
    const width = end - start >= 2 && (text.charCodeAt(end - 1) & 0xfc00) === 0xdc00 ? 2 : 1
    if (!set.has(text.slice(end - width, end))) break
    end -= width
  }
  return text.slice(start, end)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts these as line ends.
const LINE_END = /\r\n|[\n\r\v\f\u001c-\u001e\u0085\u2028\u2029]/g

/** `text.splitlines(keepends)`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = []
  let start = 0
  for (const match of text.matchAll(LINE_END)) {
    const end = match.index + match[0].length
    lines.push(text.slice(start, keepEnds ? end : match.index))
    start = end
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}

/** `text.split(None, maxsplit)`; a negative `maxsplit` has no bound. */
export function splitSpace(text: string, maxSplit: number): string[] {
  const parts: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && isSpace(text.charCodeAt(at))) at++
    if (at >= text.length) return parts
    if (maxSplit >= 0 && parts.length >= maxSplit) {
      parts.push(text.slice(at))
      return parts
    }
    const start = at
    while (at < text.length && !isSpace(text.charCodeAt(at))) at++
    parts.push(text.slice(start, at))
  }
}

/** `text.rsplit(None, maxsplit)`. */
export function rsplitSpace(text: string, maxSplit: number): string[] {
  const parts: string[] = []
  let end = text.length
  for (;;) {
    while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--
    if (end === 0) return parts.reverse()
    if (maxSplit >= 0 && parts.length >= maxSplit) {
      parts.push(text.slice(0, end))
      return parts.reverse()
    }
    const stop = end
    while (end > 0 && !isSpace(text.charCodeAt(end - 1))) end--
    parts.push(text.slice(end, stop))
  }
}

/** `text.split(separator, maxsplit)` from the left or the right. */
export function splitAt(text: string, separator: string, maxSplit: number, fromRight: boolean): string[] {
  if (maxSplit < 0 && !fromRight) return text.split(separator)
  const parts: string[] = []
  if (!fromRight) {
    let start = 0
    while (parts.length < maxSplit) {
      const at = text.indexOf(separator, start)
      if (at < 0) break
      parts.push(text.slice(start, at))
      start = at + separator.length
    }
    parts.push(text.slice(start))
    return parts
  }
  let end = text.length
  while (maxSplit < 0 || parts.length < maxSplit) {
    const at = end < separator.length ? -1 : text.lastIndexOf(separator, end - separator.length)
    if (at < 0) break
    parts.push(text.slice(at + separator.length, end))
    end = at
  }
  parts.push(text.slice(0, end))
  return parts.reverse()
}

/** `text.replace(old, new, count)`; a negative count has no bound. */
export function replaceText(text: string, old: string, by: string, count: number): string {
  if (count === 0) return text
  if (old === '') {
    const points = codePoints(text)
    const most = count < 0 ? points.length + 1 : Math.min(count, points.length + 1)
    let result = ''
    for (let at = 0; at < points.length; at++) result += (at < most ? by : '') + (points[at] as string)
    return most > points.length ? result + by : result
  }
  return splitAt(text, old, count, false).join(by)
}

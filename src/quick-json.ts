/**
 * @file `JSON.parse` for texts of which it loses nothing, several times as fast as lossless-json.ts. What it may lose
 * (a key that occurs twice, `2.0`, integers beyond 2^53, the order of keys like "10") is proven absent, never guessed.
 */

import type { LosslessJson } from './lossless-json.js'

const LINE_FEED = 10
const RETURN = 13
const SPACE = 32
const QUOTE = 34
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57
const COLON = 58
const UPPER_E = 69
const BACKSLASH = 92
const LOWER_E = 101
const LOWER_U = 117
/** What lossless-json.ts permits. */
const MAX_DEPTH = 500
/** Digits that a number keeps in every case. */
const EXACT_DIGITS = 15
/** Makes every sum negative: no text is so long. */
const UNKNOWN = -(2 ** 30)
/** Lines that are parsed anew before it counts how many they are. */
const MOST_UNPROVEN = 8

/**
 * The value of a JSON text, or undefined where `JSON.parse` may lose something of it or refuses it: the careful reader
 * then says which.
 */
export function quickJson(text: string): LosslessJson | undefined {
  let value: LosslessJson
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  // A text with a space behind its first key has them everywhere.
  const isCompact = text.charCodeAt(text.indexOf(':') + 1) !== SPACE
  if (isCompact && lengthOf(value) + escapedLength(text) === text.length && !mayHaveExponent(text)) return value
  const keys = countKeys(value, 1)
  return keys >= 0 && keys === safeKeys(text) ? value : undefined
}

/**
 * The values of lines that are each one JSON text, parsed all together. A value that `JSON.parse` may lose something of
 * is undefined: its line is one JSON text all the same. The result is undefined where a line is none, or where it would
 * be faster to read the lines one by one.
 *
 * Lines that are no JSON by themselves may be some together, as `{"a":[1` and `2]}` are with a comma for the break.
 * That is found out: the values are as many as the lines. Were one of them not in the line of its number alone, then
 * there is a first line that is longer or shorter than its value, or a later one in which more than its value stands.
 * The shorter text of a value is never longer than the value was, so in one of these lines it has another length.
 *
 * @param text Without a break behind its last line.
 * @param lines How many there are.
 */
export function quickJsonLines(text: string, lines: number): (LosslessJson | undefined)[] | undefined {
  let values: (LosslessJson | undefined)[]
  try {
    values = JSON.parse(`[${text.replaceAll('\n', ',')}]`)
  } catch {
    return undefined
  }
  if (values.length !== lines) return undefined
  let backslash = text.indexOf('\\')
  let start = 0
  let unproven = 0
  for (let index = 0; index < lines; index++) {
    const length = lengthOf(values[index] as LosslessJson)
    let end = start + length
    for (; backslash >= 0 && backslash < end; backslash = text.indexOf('\\', backslash)) {
      const isUnicode = text.charCodeAt(backslash + 1) === LOWER_U
      end += isUnicode ? 5 : 1
      backslash += isUnicode ? 6 : 2
    }
    if (text.charCodeAt(end) === RETURN) end++
    const isWhole = length >= 0 && (end === text.length || text.charCodeAt(end) === LINE_FEED)
    if (!isWhole || mayHaveExponent(text, start, end)) {
      if (++unproven > MOST_UNPROVEN && unproven > lines / 4) return undefined
      end = text.indexOf('\n', start)
      if (end < 0) end = text.length
      const line = text.slice(start, end)
      values[index] = quickJson(line)
      if (values[index] === undefined && !isJson(line)) return undefined
      backslash = text.indexOf('\\', end)
    }
    start = end + 1
  }
  return values
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Whether the last value that was measured has a number that is as short, or shorter, with an exponent. */
let hasRound = false

/** What `compactLength` says of a value; it holds for `hasRound` only where the text has no exponents. */
function lengthOf(value: LosslessJson): number {
  hasRound = false
  return compactLength(value, 1)
}

function mayHaveExponent(text: string, start = 0, end = text.length): boolean {
  return hasRound && /\d[eE]/.test(text.slice(start, end))
}

/** Characters of the shortest text that a value can have been, without its escapes; negative where that is unknown. */
function compactLength(value: LosslessJson, depth: number): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value === 'number') return shortestLength(value)
  if (value === null || value === true) return 4
  if (value === false) return 5
  if (depth > MAX_DEPTH) return UNKNOWN
  let length = 0
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      length += 1 + compactLength(value[index] as LosslessJson, depth + 1)
      if (length < 0) return UNKNOWN
    }
  } else {
    const object = value as { readonly [key: string]: LosslessJson }
    for (const key in object) {
      length += key.length + 4 + compactLength(object[key] as LosslessJson, depth + 1)
      if (length < 0 || !keepsKey(key)) return UNKNOWN
    }
  }
  // Brackets, and a comma less than there are entries.
  return length === 0 ? 2 : length + 1
}

/** How many keys the objects of a value have; negative where an object has one whose place or meaning it changes. */
function countKeys(value: LosslessJson, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > MAX_DEPTH) return UNKNOWN
  let keys = 0
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      keys += countKeys(value[index] as LosslessJson, depth + 1)
      if (keys < 0) return UNKNOWN
    }
  } else {
    const object = value as { readonly [key: string]: LosslessJson }
    for (const key in object) {
      keys += 1 + countKeys(object[key] as LosslessJson, depth + 1)
      if (keys < 0 || !keepsKey(key)) return UNKNOWN
    }
  }
  return keys
}

/** Whether an object has a key where the text has it: it orders whole numbers first. */
function keepsKey(key: string): boolean {
  const code = key.charCodeAt(0)
  return !(code >= ZERO && code <= NINE) && key !== '__proto__'
}

/** Characters of the shortest text of a number, in which an exponent counts only where there is no other text. */
function shortestLength(value: number): number {
  if (Number.isInteger(value)) {
    if (value >= 0 && value < 100) return value < 10 ? 1 : 2
    if (!Number.isSafeInteger(value)) return UNKNOWN
    if (value % 100 === 0) hasRound = true
    return digitsOf(Math.abs(value)) + (value < 0 ? 1 : 0)
  }
  const size = Math.abs(value)
  if (!(size >= 0.01 && size < 2 ** 31)) {
    if (!(size >= 1e-6)) return UNKNOWN
    hasRound = true
    return String(value).length
  }
  // To write a number takes long; most have few decimals, and a quotient is rounded as its text is.
  if (Math.round(size * 1e6) / 1e6 !== size) return String(value).length
  let decimals = 1
  for (let power = 10; Math.round(size * power) / power !== size; power *= 10) decimals++
  return digitsOf(Math.floor(size)) + 1 + decimals + (value < 0 ? 1 : 0)
}

function digitsOf(whole: number): number {
  let digits = 1
  for (let bound = 10; whole >= bound; bound *= 10) digits++
  return digits
}

/**
 * By how many characters escapes make a text longer. A text that is exactly as long as the shortest one for its value,
 * has no key twice, no space between its values, and every number as JavaScript writes it.
 */
function escapedLength(text: string): number {
  let more = 0
  for (let at = text.indexOf('\\'); at >= 0; ) {
    const isUnicode = text.charCodeAt(at + 1) === LOWER_U
    more += isUnicode ? 5 : 1
    at = text.indexOf('\\', at + (isUnicode ? 6 : 2))
  }
  return more
}

/** How many keys a text has, or -1 where one of its numbers may lose something. Slower, for texts with spaces. */
function safeKeys(text: string): number {
  let keys = 0
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      at = endOfExactNumber(text, at)
      if (at < 0) return -1
    } else {
      if (code === COLON) keys++
      at++
    }
  }
  return keys
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let first = end
    while (text.charCodeAt(first - 1) === BACKSLASH) first--
    if ((end - first) % 2 === 0) return end + 1
  }
}

/** Where a number ends; negative where JavaScript may not print it as it is written. */
function endOfExactNumber(text: string, start: number): number {
  let end = text.charCodeAt(start) === MINUS ? start + 1 : start
  if (end > start && text.charCodeAt(end) === ZERO && text.charCodeAt(end + 1) !== POINT) return -1
  let isWhole = true
  let isExact = true
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (code >= ZERO && code <= NINE) {
      if (!isWhole && code !== ZERO) isExact = true
    } else if (code === POINT) {
      isWhole = false
      // Until a digit other than 0 comes, it may be a whole number.
      isExact = false
    } else if (code === LOWER_E || code === UPPER_E) return -1
    else break
  }
  if (end - start <= EXACT_DIGITS) return isExact ? end : -1
  const value = Number(text.slice(start, end))
  return (isWhole ? Number.isSafeInteger(value) : !Number.isInteger(value)) ? end : -1
}

/**
 * @file `JSON.parse` for texts of which it loses nothing, several times as fast as lossless-json.ts. What it may lose
 * (a key that occurs twice, `2.0`, integers beyond 2^53, the order of keys like "10") is proven absent, never guessed.
 */

import type { LosslessJson } from './lossless-json.js'

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
  if (isCompact && compactLength(value, 1) + escapedLength(text) === text.length) return value
  const keys = countKeys(value, 1)
  return keys >= 0 && keys === safeKeys(text) ? value : undefined
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

/** Characters of the shortest text of a number; negative where an exponent may be as short as its digits. */
function shortestLength(value: number): number {
  if (Number.isInteger(value)) {
    if (value >= 0 && value < 100) return value < 10 ? 1 : 2
    return Number.isSafeInteger(value) && value % 100 !== 0 ? digitsOf(Math.abs(value)) + (value < 0 ? 1 : 0) : UNKNOWN
  }
  const size = Math.abs(value)
  if (!(size >= 0.01 && size < 2 ** 31)) return UNKNOWN
  // To write a number takes long; most have few decimals, and a quotient is rounded as its text is.
  for (let decimals = 1, power = 10; decimals <= 6; decimals++, power *= 10) {
    if (Math.round(size * power) / power === size)
      return digitsOf(Math.floor(size)) + 1 + decimals + (value < 0 ? 1 : 0)
  }
  return String(value).length
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
  return isExact && end - start <= EXACT_DIGITS ? end : -1
}

/** @file GPT-2's printable stand-ins for the 256 bytes, and lengths in UTF-8. */

import type { Steps } from '../../turns.js'
import { lazy } from './unicode.js'

/** Code of the letter for each byte. */
export const byteLetters = lazy(() => {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return printable ? byte : next++
  })
})

/** Byte of each letter, by its code; -1 for other characters. */
export const letterBytes = lazy(() => {
  const bytes = new Int16Array(512).fill(-1)
  byteLetters().forEach((letter, byte) => {
    bytes[letter] = byte
  })
  return bytes
})

const encoder = new TextEncoder()
const LETTERS = lazy(() => byteLetters().map((code) => String.fromCharCode(code)))

/** The text with each byte of its UTF-8 as a letter. */
export function toByteLetters(text: string): string {
  const letters = LETTERS()
  let made = ''
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return made + lettersOf(encoder.encode(text.slice(at)))
    made += letters[code]
  }
  return made
}

const UNITS_PER_STEP = 8192

/** The same for a text of any length. */
export function* toByteLettersInSteps(text: string): Steps<string> {
  if (text.length <= UNITS_PER_STEP) return toByteLetters(text)
  const parts: string[] = []
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + UNITS_PER_STEP)
    if ((text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end++
    parts.push(toByteLetters(text.slice(at, end)))
    at = end
    yield
  }
  return parts.join('')
}

function lettersOf(bytes: Uint8Array): string {
  const letters = LETTERS()
  let made = ''
  for (const byte of bytes) made += letters[byte]
  return made
}

/** Bytes of a code point in UTF-8. */
export function utf8Length(code: number): number {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
}

export function byteLength(text: string): number {
  if (text.length > 64) return Buffer.byteLength(text)
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.codePointAt(at)!
    if (code > 0xffff) at++
    length += utf8Length(code)
  }
  return length
}

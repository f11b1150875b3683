/** @file A text with each byte of its UTF-8 as a letter, where each letter comes from the character of its byte. */

import type { Steps } from '../../turns.js'
import { type AlignedText, fromOrigins, isReplacedWhole, originEnd, originStart, transform } from './aligned-text.js'
import { byteLetters, toByteLetters, utf8Length } from './bytes.js'
import { NumberList } from './number-list.js'
import { type Changing, eachCode } from './text-output.js'

/** Puts each byte of a text's UTF-8 as a letter. */
export const putByteLetters: Changing = function* (text, output) {
  if (text === '') return false
  const letters = byteLetters()
  yield* eachCode(text, (code) => {
    if (code < 0x80) output.put(letters[code]!, 0)
    else if (code < 0x800) output.put(letters[0xc0 | (code >> 6)]!, 0)
    else if (code < 0x10000) output.put(letters[0xe0 | (code >> 12)]!, 0)
    else output.put(letters[0xf0 | (code >> 18)]!, 0)
    if (code >= 0x10000) output.put(letters[0x80 | ((code >> 12) & 63)]!, 1)
    if (code >= 0x800) output.put(letters[0x80 | ((code >> 6) & 63)]!, 1)
    if (code >= 0x80) output.put(letters[0x80 | (code & 63)]!, 1)
  })
  return true
}

/** Pieces above this length are rewritten in steps. */
const LONG = 4096

/** A piece in byte letters; undefined where that has to be done in steps. */
export function shortInByteLetters(piece: AlignedText): AlignedText | undefined {
  const { text } = piece
  if (text.length > LONG || !isReplacedWhole(piece)) return undefined
  const made = toByteLetters(text)
  // Letters of ASCII come from where their characters came from.
  if (made.length === text.length) return { ...piece, text: made }
  const starts = new NumberList()
  const ends = new NumberList()
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at)!
    const start = originStart(piece, at)
    const end = originEnd(piece, at)
    for (let left = utf8Length(code); left > 0; left--) {
      starts.push(start)
      ends.push(end)
    }
    at += code > 0xffff ? 2 : 1
  }
  return fromOrigins(piece, made, starts, ends)
}

/** The same for pieces of any length. */
export function inByteLetters(piece: AlignedText): Steps<AlignedText> {
  return transform(piece, putByteLetters)
}

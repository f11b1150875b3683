/**
 * @file The bytes that a token stands for inside a text, read from the decoder of tokenizer.json. Decoders work on
 * whole texts and replace broken characters; here a token may be a part of a character.
 */

import { letterBytes } from './bytes.js'
import { type Fields, fieldsOf, isObject } from './fields.js'
import { readPattern } from './patterns.js'

/** Bytes of UTF-8 that a token's text stands for, wherever the token stands but at the beginning of a text. */
export type TokenBytes = (token: string) => Uint8Array

/** What a step makes of a token: still text, or already bytes. */
type Piece = string | Uint8Array
type Step = (token: string) => Piece

const encoder = new TextEncoder()

/** The function of a decoder; undefined for decoders whose tokens mean other bytes in other places. */
export function tokenBytesOf(decoder: unknown): TokenBytes | undefined {
  if (decoder === null || decoder === undefined) return undefined
  const steps = stepsOf(fieldsOf(decoder, 'tokenizer.json.decoder'))
  if (steps === undefined) return undefined
  return (token) => {
    let piece: Piece = token
    for (const step of steps) {
      if (typeof piece !== 'string') break
      piece = step(piece)
    }
    return typeof piece === 'string' ? encoder.encode(piece) : piece
  }
}

function stepsOf(fields: Fields): Step[] | undefined {
  switch (fields.raw('type')) {
    case 'Sequence': {
      const all: Step[] = []
      let isFused = false
      for (const entry of fields.list('decoders')) {
        if (!isObject(entry) && !(entry instanceof Map)) return undefined
        const inner = fieldsOf(entry, `${fields.path}.decoders`)
        // Behind Fuse there is one text: what strips its ends does nothing to tokens inside.
        if (isFused && inner.raw('type') === 'Strip') continue
        if (inner.raw('type') === 'Fuse') isFused = true
        const steps = stepsOf(inner)
        if (steps === undefined) return undefined
        all.push(...steps)
      }
      return all
    }
    case 'ByteLevel':
      return [fromByteLetters]
    case 'ByteFallback':
      return [fromByteToken]
    case 'Fuse':
      return []
    case 'Metaspace': {
      const replacement = fields.character('replacement')
      return [(token) => token.replaceAll(replacement, ' ')]
    }
    case 'Replace': {
      const { text } = readPattern(fields, 'pattern')
      const content = fields.text('content')
      return text === undefined ? undefined : [(token) => token.replaceAll(text, () => content)]
    }
    default:
      return undefined
  }
}

function fromByteLetters(token: string): Piece {
  const letters = letterBytes()
  const bytes = new Uint8Array(token.length)
  for (let unit = 0; unit < token.length; unit++) {
    const byte = letters[token.charCodeAt(unit)] ?? -1
    if (byte < 0) return token
    bytes[unit] = byte
  }
  return bytes
}

function fromByteToken(token: string): Piece {
  const [, digits] = /^<0x([0-9A-Fa-f]{2})>$/.exec(token) ?? []
  return digits === undefined ? token : Uint8Array.of(Number.parseInt(digits, 16))
}

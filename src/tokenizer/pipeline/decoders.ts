/** @file Decoders: how the texts of tokens become text again. */

import { runAtOnce } from '../../turns.js'
import { letterBytes } from './bytes.js'
import { cleanUp } from './clean-up.js'
import { type Fields, fieldsOf, isObject } from './fields.js'
import { readPattern, replaceIn } from './patterns.js'

export type Decoder = (tokens: readonly string[]) => readonly string[]

/** @throws naming the part that is unknown or damaged */
export function readDecoder(value: unknown, path: string): Decoder | undefined {
  if (value === null || value === undefined) return undefined
  const fields = fieldsOf(value, path)
  const decoder = readOne(fields)
  fields.done()
  return decoder
}

function readOne(fields: Fields): Decoder {
  const type = fields.raw('type')
  switch (type) {
    case 'Sequence': {
      const steps = fields.list('decoders').map((entry, at) => {
        const name = `decoders[${at}]`
        if (!isObject(entry)) throw fields.error(name, 'an object', entry)
        return readDecoder(entry, `${fields.path}.${name}`)!
      })
      return (tokens) => steps.reduce((last, step) => step(last), tokens)
    }
    case 'ByteLevel':
      fields.boolean('add_prefix_space')
      fields.boolean('trim_offsets')
      fields.boolean('use_regex', true)
      return (tokens) => [fromByteLetters(tokens)]
    case 'ByteFallback':
      return joinBytes
    case 'Fuse':
      return (tokens) => [tokens.join('')]
    case 'Metaspace':
      return metaspace(fields)
    case 'WordPiece':
      return wordPiece(fields.text('prefix'), fields.boolean('cleanup'))
    case 'BPEDecoder': {
      const suffix = fields.text('suffix')
      return (tokens) => tokens.map((token, at) => replaceText(token, suffix, at === tokens.length - 1 ? '' : ' '))
    }
    case 'CTC':
      return ctc(fields.text('pad_token'), fields.text('word_delimiter_token'), fields.boolean('cleanup'))
    case 'Strip':
      return strip(fields.character('content'), fields.integer('start'), fields.integer('stop'))
    case 'Replace': {
      const pattern = readPattern(fields, 'pattern')
      const content = fields.text('content')
      // Nothing matches in a token that is empty, as after Strip: the Rust library does not look into it.
      return (tokens) =>
        tokens.map((token) => (token === '' ? '' : runAtOnce(replaceIn(token, pattern.matches(token), content))))
    }
    default:
      throw fields.error('type', 'a decoder that is known', type)
  }
}

/** Every occurrence; an empty text stands between all characters and at both ends. */
function replaceText(text: string, pattern: string, content: string): string {
  if (pattern !== '') return text.replaceAll(pattern, () => content)
  return content + Array.from(text, (char) => char + content).join('')
}

const encoder = new TextEncoder()
const lossy = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

function fromByteLetters(tokens: readonly string[]): string {
  const letters = letterBytes()
  let size = 0
  for (const token of tokens) size += 3 * token.length
  const bytes = new Uint8Array(size)
  let at = 0
  for (const token of tokens) {
    const start = at
    for (let unit = 0; unit < token.length; unit++) {
      const byte = letters[token.charCodeAt(unit)] ?? -1
      if (byte < 0) {
        // A token with any other character is taken as text.
        at = start + encoder.encodeInto(token, bytes.subarray(start)).written
        break
      }
      bytes[at++] = byte
    }
  }
  return lossy.decode(bytes.subarray(0, at))
}

const BYTE_TOKEN = /^<0x(?:[0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/

/** Tokens of bytes become the text that these are; where they are none, each becomes a replacement character. */
function joinBytes(tokens: readonly string[]): string[] {
  const out: string[] = []
  let bytes: number[] = []
  const flush = (): void => {
    if (bytes.length === 0) return
    try {
      out.push(strict.decode(Uint8Array.from(bytes)))
    } catch {
      for (const _ of bytes) out.push('\uFFFD')
    }
    bytes = []
  }
  for (const token of tokens) {
    if (BYTE_TOKEN.test(token)) {
      bytes.push(Number.parseInt(token.slice(3, 5), 16))
      continue
    }
    flush()
    out.push(token)
  }
  flush()
  return out
}

function metaspace(fields: Fields): Decoder {
  const replacement = fields.character('replacement')
  const scheme = fields.oneOf('prepend_scheme', ['first', 'never', 'always'], 'always')
  const addPrefixSpace = fields.raw('add_prefix_space')
  for (const name of ['split', 'str_rep']) fields.raw(name)
  if (addPrefixSpace === false && scheme !== 'never') {
    throw fields.error('add_prefix_space', 'a value that agrees with prepend_scheme')
  }
  return (tokens) => tokens.map((token, at) => token.replaceAll(replacement, at === 0 && scheme !== 'never' ? '' : ' '))
}

function wordPiece(prefix: string, cleanup: boolean): Decoder {
  return (tokens) =>
    tokens.map((token, at) => {
      let text = token
      if (at > 0) text = token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
      return cleanup ? cleanUp(text) : text
    })
}

function ctc(padding: string, delimiter: string, cleanup: boolean): Decoder {
  return (tokens) =>
    tokens
      .filter((token, at) => at === 0 || token !== tokens[at - 1])
      .map((token) => {
        const text = replaceText(token, padding, '')
        return cleanup ? replaceText(cleanUp(text), delimiter, ' ') : text
      })
      .filter((text) => text !== '')
}

function strip(content: string, start: number, stop: number): Decoder {
  return (tokens) =>
    tokens.map((token) => {
      const chars = Array.from(token)
      let first = 0
      while (first < start && first < chars.length && chars[first] === content) first++
      let last = chars.length
      while (chars.length - last < stop && last > 0 && chars[last - 1] === content) last--
      return chars.slice(first, Math.max(first, last)).join('')
    })
}

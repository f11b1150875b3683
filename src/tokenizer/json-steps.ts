/**
 * @file Reading large JSON in steps: a tokenizer.json of 20 MB would hold the event loop up. The file is cut into parts
 * of its large lists and objects, and JavaScript's own parser reads each part.
 */

import { isUtf8 } from 'node:buffer'
import type { Steps } from '../turns.js'

// A part takes less than half a millisecond.
const PART = 32_768
/** Objects with more entries become maps, whose building does not slow down. */
const LARGE_OBJECT = 1000
const MAX_DEPTH = 200

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * The value of a file in UTF-8: as JSON.parse gives it, but that large objects are maps.
 *
 * @throws SyntaxError as JSON.parse does, and for what JSON.parse takes and the libraries of other languages refuse:
 * bytes that are not UTF-8, and escapes of half a surrogate pair
 */
export function* parseJsonInSteps(bytes: Buffer): Steps<unknown> {
  if (!isUtf8(bytes)) throw new SyntaxError('bytes that are not UTF-8')
  const reader = { bytes, at: 0 }
  const value = yield* readValue(reader, 0)
  skipSpace(reader)
  if (reader.at < bytes.length) throw unexpected(reader)
  return value
}

interface Reader {
  readonly bytes: Buffer
  at: number
}

function unexpected({ bytes, at }: Reader): SyntaxError {
  const got = at < bytes.length ? JSON.stringify(bytes.toString('utf8', at, at + 12)) : 'the end'
  return new SyntaxError(`Unexpected ${got} in JSON at byte ${at}`)
}

const SURROGATE = /\\u[dD][89a-fA-F]/
const LONE_SURROGATE = /(\\u[dD][89abAB]..)(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)(\\u[dD][c-fC-F]..)/

function parseText(text: string): unknown {
  const value: unknown = JSON.parse(text)
  // Escapes are rare: most parts are looked at once.
  const lone = SURROGATE.test(text) ? LONE_SURROGATE.exec(text.replaceAll('\\\\', '_')) : null
  if (lone !== null)
    throw new SyntaxError(`half of a surrogate pair, ${lone[1] ?? lone[2]}, which no text in UTF-8 has`)
  return value
}

function skipSpace(reader: Reader): void {
  const { bytes } = reader
  while (reader.at < bytes.length) {
    const byte = bytes[reader.at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
    reader.at++
  }
}

/** Where the string that begins at `at` ends; the length of the file where it does not. */
function stringEnd(bytes: Buffer, at: number): number {
  for (let next = at + 1; next < bytes.length; next++) {
    const byte = bytes[next]!
    if (byte === BACKSLASH) next++
    else if (byte === QUOTE) return next + 1
  }
  return bytes.length
}

/** Where the value that begins at `at` ends, if that is within a part; -1 if it is larger. */
function smallEnd(bytes: Buffer, at: number): number {
  const limit = Math.min(bytes.length, at + PART)
  let depth = 0
  for (let next = at; next < limit; next++) {
    const byte = bytes[next]!
    if (byte === QUOTE) {
      next = stringEnd(bytes, next) - 1
      // A long text is one value: nothing can be cut within it.
      if (depth === 0) return next + 1
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      if (depth === 0) return next
      if (--depth === 0) return next + 1
    } else if (byte === COMMA && depth === 0) return next
  }
  return limit === bytes.length ? limit : -1
}

function* readValue(reader: Reader, depth: number): Steps<unknown> {
  if (depth > MAX_DEPTH) throw new SyntaxError(`JSON is more than ${MAX_DEPTH} deep`)
  skipSpace(reader)
  const { bytes } = reader
  const end = smallEnd(bytes, reader.at)
  if (end >= 0) {
    const value: unknown = parseText(bytes.toString('utf8', reader.at, end))
    reader.at = end
    return value
  }
  const opening = bytes[reader.at]
  if (opening === OPEN_LIST) return yield* readList(reader, depth)
  if (opening === OPEN_OBJECT) return yield* readObject(reader, depth)
  throw unexpected(reader)
}

/** Calls for each run of small members, and for each large one; the reader stands behind the closing bracket then. */
function* readMembers(
  reader: Reader,
  closing: number,
  startOf: (at: number) => number,
  small: (from: number, to: number) => void,
  large: (from: number) => Steps<void>,
): Steps<void> {
  const { bytes } = reader
  reader.at++
  let from = -1
  for (;;) {
    skipSpace(reader)
    const start = reader.at
    if (from < 0) from = start
    const end = smallEnd(bytes, startOf(start))
    if (end < 0) {
      if (start > from) small(from, start - 1)
      yield* large(start)
      from = -1
    } else {
      if (end === start) throw unexpected(reader)
      reader.at = end
    }
    skipSpace(reader)
    const next = bytes[reader.at]
    if (next !== COMMA && next !== closing) throw unexpected(reader)
    const isFull = from >= 0 && reader.at - from > PART
    if (from >= 0 && (isFull || next === closing)) {
      small(from, reader.at)
      from = -1
      yield
    }
    reader.at++
    if (next === closing) return
    // Small members before a large one end in front of the comma.
    if (from >= 0) skipSpace(reader)
  }
}

function* readList(reader: Reader, depth: number): Steps<unknown[]> {
  const { bytes } = reader
  const list: unknown[] = []
  yield* readMembers(
    reader,
    CLOSE_LIST,
    (at) => at,
    (from, to) => {
      for (const value of parseText(`[${withoutComma(bytes, from, to)}]`) as unknown[]) list.push(value)
    },
    function* () {
      list.push(yield* readValue(reader, depth + 1))
    },
  )
  return list
}

function* readObject(reader: Reader, depth: number): Steps<unknown> {
  const { bytes } = reader
  const entries = new Map<string, unknown>()
  /** Where the value of the member at `at` begins. */
  const memberValue = (at: number): number => {
    const inner: Reader = { bytes, at }
    if (bytes[at] !== QUOTE) throw unexpected(inner)
    inner.at = stringEnd(bytes, at)
    skipSpace(inner)
    if (bytes[inner.at] !== COLON) throw unexpected(inner)
    inner.at++
    skipSpace(inner)
    return inner.at
  }
  yield* readMembers(
    reader,
    CLOSE_OBJECT,
    memberValue,
    (from, to) => {
      const part = parseText(`{${withoutComma(bytes, from, to)}}`) as Record<string, unknown>
      for (const [key, value] of Object.entries(part)) entries.set(key, value)
    },
    function* (from) {
      const key: unknown = parseText(bytes.toString('utf8', from, stringEnd(bytes, from)))
      reader.at = memberValue(from)
      entries.set(key as string, yield* readValue(reader, depth + 1))
    },
  )
  return entries.size > LARGE_OBJECT ? entries : Object.fromEntries(entries)
}

/** The members between, without the comma that parts them from what follows. */
function withoutComma(bytes: Buffer, from: number, to: number): string {
  let end = to
  while (end > from && bytes[end - 1]! <= 0x20) end--
  if (bytes[end - 1] === COMMA) end--
  return bytes.toString('utf8', from, end)
}

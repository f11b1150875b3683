/**
 * @file Reading the records of JSON Lines and JSON files, each with the place where it stands. Files are read in pieces,
 * however large they and their rows are.
 */

import type { Stats } from 'node:fs'
import { type LosslessJson, losslessJsonSteps } from '../lossless-json.js'
import { DataError } from '../lowrank-error.js'
import { openRegularFile, readError } from '../regular-file.js'
import type { Steps, Turns } from '../turns.js'
import { foreignKind, slipHint } from './file-kinds.js'

/** One parsed value of a file. Numbers and keys are as the file has them; see `LosslessJson`. */
export interface FileRecord {
  value: LosslessJson
  /** Where it stands: `path:line` in JSON Lines, `path: row n` in a JSON array. */
  origin: string
}

/**
 * The records of a JSON Lines file, or of a JSON file that holds one array, told apart by the first character. Byte
 * order mark, blank lines and CRLF are fine.
 *
 * @param turns Gives way to the event loop, also within a long row.
 * @param onBytes Told how many bytes have been read.
 * @throws DataError naming file and line for text that is not JSON or not UTF-8, and for what is no regular file.
 */
export async function* readRecords(
  path: string,
  turns: Turns,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<FileRecord> {
  const file = await openRegularFile('data', path)
  try {
    const splitter = new RecordSplitter(path)
    const before = await file.stat()
    let read = 0
    for (;;) {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null).catch((error: unknown) => {
        throw readError('data', path, error)
      })
      const ended = bytesRead === 0
      if (read === 0) refuseForeign(path, buffer.subarray(0, bytesRead))
      read += bytesRead
      onBytes?.(read)
      // A file that is written to as fast as it is read would have no end. Files of /proc have no size.
      const isLonger = before.size > 0 && read > before.size
      if (isLonger || (ended && !isSame(before, await file.stat()))) throw changedWhileRead(path)
      for (const piece of ended ? splitter.end() : splitter.split(buffer.subarray(0, bytesRead))) {
        if (piece !== undefined) yield await turns.run(recordSteps(path, piece, splitter.isArray))
        if (turns.isOver) await turns.next()
      }
      if (ended) return
    }
  } finally {
    await file.close()
  }
}

/** Rows of two states of a file belong to neither. */
function isSame(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs
}

function changedWhileRead(path: string): Error {
  return new DataError(
    `[data] expected ${path} to stay as it is while it is read, but it was written to; wait for its writer`,
    { file: path },
  )
}

function refuseForeign(path: string, head: Uint8Array): void {
  const kind = foreignKind(path, head)
  if (kind === undefined) return
  throw new DataError(`[data] expected JSON Lines or a JSON array in ${path}, got ${kind.what}; ${kind.remedy}`, {
    file: path,
  })
}

const CHUNK_BYTES = 1 << 18

/** The bytes of one record, in pieces, and the line on which they begin. */
interface RawRecord {
  pieces: Uint8Array[]
  line: number
  /** Counted from 1. */
  row: number
}

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

const isSpace = (byte: number): boolean =>
  byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB

/**
 * Cuts bytes into records: lines, by the byte 0x0A alone (readline also breaks at U+2028, which JSON strings may hold), or
 * the elements of one array.
 */
class RecordSplitter {
  readonly #path: string
  /** Undefined until the first character that counts. */
  #isArray: boolean | undefined
  #bytes = 0
  #line = 1
  #row = 0
  #pieces: Uint8Array[] = []
  #recordLine = 0
  // Of the array: brackets open within an element, and where the scan stands.
  #depth = 0
  #inString = false
  #escaped = false
  #closed = false

  constructor(path: string) {
    this.#path = path
  }

  get isArray(): boolean {
    return this.#isArray === true
  }

  /** The records that end in these bytes; undefined now and then where a turn may end. */
  *split(bytes: Uint8Array): Generator<RawRecord | undefined> {
    let at = 0
    // The mark may only be the first bytes of the file, which are in its first piece.
    if (this.#bytes === 0 && BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte)) at = 3
    this.#bytes += bytes.length
    if (this.#isArray === undefined) {
      for (; at < bytes.length && isSpace(bytes[at] as number); at++) if (bytes[at] === LINE_FEED) this.#line++
      if (at === bytes.length) return
      this.#isArray = bytes[at] === OPEN_ARRAY
      if (this.#isArray) at++
      this.#recordLine = this.#line
    }
    yield* this.#isArray ? this.#elements(bytes, at) : this.#lines(bytes, at)
  }

  /** What is left when the file has ended. */
  *end(): Generator<RawRecord | undefined> {
    if (this.#isArray === undefined) return
    if (!this.#isArray) {
      if (this.#pieces.length > 0) yield this.#take()
    } else if (!this.#closed) {
      throw notAnArray(this.#path, this.#line, 'the end of the file within the array; the file was cut')
    }
  }

  *#lines(bytes: Uint8Array, from: number): Generator<RawRecord | undefined> {
    let start = from
    for (let end = bytes.indexOf(LINE_FEED, start); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      let first = start
      while (first < end && isSpace(bytes[first] as number)) first++
      if (first < end) this.#pieces.push(bytes.subarray(start, end))
      yield this.#pieces.length > 0 ? this.#take() : undefined
      this.#recordLine = ++this.#line
      start = end + 1
    }
    let first = start
    while (this.#pieces.length === 0 && first < bytes.length && isSpace(bytes[first] as number)) first++
    if (first < bytes.length) this.#pieces.push(bytes.subarray(first))
  }

  *#elements(bytes: Uint8Array, from: number): Generator<RawRecord | undefined> {
    // Where the present element begins in these bytes.
    let start = from
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at] as number
      if (byte === LINE_FEED) this.#line++
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inString = false
        continue
      }
      if (isSpace(byte)) {
        if (this.#pieces.length === 0 && start === at) start++
        continue
      }
      if (this.#closed)
        throw notAnArray(
          this.#path,
          this.#line,
          'more after its end; put all rows into the one array, or each on a line of its own',
        )
      const isFirst = this.#pieces.length === 0 && start === at
      if (isFirst) this.#recordLine = this.#line
      if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++
      else if (this.#depth > 0) {
        if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth--
      } else if (byte === COMMA || byte === CLOSE_ARRAY) {
        this.#closed = byte === CLOSE_ARRAY
        if (!isFirst) {
          this.#pieces.push(bytes.subarray(start, at))
          yield this.#take()
        } else if (byte === COMMA || this.#row > 0)
          throw notAnArray(this.#path, this.#line, 'nothing before a comma or the end; remove the comma')
        start = at + 1
      }
    }
    if (start < bytes.length) this.#pieces.push(bytes.subarray(start))
  }

  #take(): RawRecord {
    const record = { pieces: this.#pieces, line: this.#recordLine, row: ++this.#row }
    this.#pieces = []
    return record
  }
}

function* recordSteps(path: string, { pieces, line, row }: RawRecord, isArray: boolean): Steps<FileRecord> {
  const text = yield* decodeSteps(path, line, pieces)
  try {
    // Which of two was meant, nobody can tell.
    const value = yield* losslessJsonSteps(text, { duplicateKeys: 'refuse' })
    return { value, origin: isArray ? `${path}: row ${row}` : `${path}:${line}` }
  } catch (error) {
    const { message } = error as Error
    if (isArray) {
      const [, lines = '1', place] = / at (?:line (\d+) )?(column \d+)$/.exec(message) ?? []
      const what = place === undefined ? message : message.replace(/ at (line \d+ )?column \d+$/, ` at ${place}`)
      throw notAnArray(path, line + Number(lines) - 1, what + slipHint(message, text), error)
    }
    const hint = slipHint(message, text)
    throw new DataError(`[data] expected one JSON object per line, got in ${path}:${line}: ${message}${hint}`, {
      file: path,
      row: line,
      cause: error,
    })
  }
}

function notAnArray(path: string, line: number, message: string, cause?: unknown): Error {
  return new DataError(`[data] expected a JSON array of rows, got in ${path}:${line}: ${message}`, {
    file: path,
    row: line,
    cause,
  })
}

// To make one for each row would take longer than decoding the row.
const wholeDecoder = new TextDecoder('utf-8', { fatal: true })

function* decodeSteps(path: string, line: number, pieces: readonly Uint8Array[]): Steps<string> {
  try {
    if (pieces.length === 1) return wholeDecoder.decode(pieces[0])
    const decoder = new TextDecoder('utf-8', { fatal: true })
    let text = ''
    for (const piece of pieces) {
      text += decoder.decode(piece, { stream: true })
      yield
    }
    return text + decoder.decode()
  } catch (error) {
    throw new DataError(`[data] expected UTF-8 text, got other bytes in ${path}:${line}; convert the file to UTF-8`, {
      file: path,
      row: line,
      cause: error,
    })
  }
}

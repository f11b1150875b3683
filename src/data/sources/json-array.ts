/** @file A JSON file that holds one array of rows. It is read in pieces, however large it is. */

import type { Steps } from '../../turns.js'
import { describeOrigin, rowError } from '../row-origin.js'
import { isSpace } from './data-file.js'
import type { FileFormat } from './file-format.js'
import {
  decodeRecord,
  openingBracket,
  parseRecord,
  type RawRecord,
  type RecordSplitter,
  readRecords,
} from './json-records.js'
import { slipHint } from './json-slips.js'
import type { SourceRow } from './row-source.js'

export const JSON_ARRAY: FileFormat = {
  name: 'a JSON array',
  endings: ['.json'],
  recognizes: (start) => openingBracket(start) === '[' && !isInstruction(start),
  read: (file, turns, onBadRow) =>
    readRecords(file, turns, new ElementSplitter(file.path), (record) => elementSteps(file.path, record), onBadRow),
}

/** Whether a file begins with the mark of Llama 2's chat template, which is no array. */
function isInstruction(start: Uint8Array): boolean {
  return /^[^[]*\[INST\]/.test(Buffer.from(start.subarray(0, 4096)).toString('latin1'))
}

const LINE_FEED = 0x0a
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Cuts the bytes of an array into those of its elements. */
class ElementSplitter implements RecordSplitter {
  readonly #path: string
  #line = 1
  #row = 0
  #pieces: Uint8Array[] = []
  #recordLine = 1
  #isOpen = false
  #isClosed = false
  // Brackets open within an element, and where the scan stands.
  #depth = 0
  #inString = false
  #escaped = false

  constructor(path: string) {
    this.#path = path
  }

  *split(bytes: Uint8Array): Generator<RawRecord | undefined> {
    // Where the present element begins in these bytes.
    let start = 0
    if (!this.#isOpen) {
      for (; start < bytes.length && bytes[start] !== OPEN_ARRAY; start++) if (bytes[start] === LINE_FEED) this.#line++
      if (start === bytes.length) return
      this.#isOpen = true
      start++
    }
    for (let at = start; at < bytes.length; at++) {
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
      if (this.#isClosed)
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
        this.#isClosed = byte === CLOSE_ARRAY
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

  end(): [] {
    if (this.#isClosed) return []
    throw notAnArray(this.#path, this.#line, 'the end of the file within the array; the file was cut')
  }

  #take(): RawRecord {
    const record = { pieces: this.#pieces, line: this.#recordLine, row: ++this.#row }
    this.#pieces = []
    return record
  }
}

function* elementSteps(path: string, record: RawRecord): Steps<SourceRow> {
  const { line, row } = record
  const text = yield* decodeRecord(path, record)
  try {
    return { value: yield* parseRecord(text), origin: { file: path, row } }
  } catch (error) {
    const { message } = error as Error
    const [, lines = '1', place] = / at (?:line (\d+) )?(column \d+)$/.exec(message) ?? []
    const what = place === undefined ? message : message.replace(/ at (line \d+ )?column \d+$/, ` at ${place}`)
    throw notAnArray(path, line + Number(lines) - 1, what + slipHint(message, text), error)
  }
}

/** Damage is found by its line, also where rows are named by their number. */
function notAnArray(path: string, line: number, message: string, cause?: unknown): Error {
  const origin = { file: path, line }
  return rowError(origin, `[data] expected a JSON array of rows, got in ${describeOrigin(origin)}: ${message}`, {
    cause,
  })
}

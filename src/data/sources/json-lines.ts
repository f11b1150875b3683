/**
 * @file JSON Lines: one JSON object per line (https://jsonlines.org). Blank lines, CRLF and a byte order mark are fine.
 */

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

export const JSON_LINES: FileFormat = {
  name: 'JSON Lines',
  endings: ['.jsonl'],
  recognizes: (start) => openingBracket(start) === '{',
  read: (file, turns) => readRecords(file, turns, new LineSplitter(), (record) => lineSteps(file.path, record)),
}

const LINE_FEED = 0x0a

/** Cuts by the byte 0x0A alone: readline also breaks at U+2028, which JSON strings may hold. */
class LineSplitter implements RecordSplitter {
  #line = 1
  #row = 0
  #pieces: Uint8Array[] = [];

  *split(bytes: Uint8Array): Generator<RawRecord | undefined> {
    let start = 0
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      this.#add(bytes.subarray(start, end))
      yield this.#pieces.length > 0 ? this.#take() : undefined
      this.#line++
      start = end + 1
    }
    this.#add(bytes.subarray(start))
  }

  *end(): Generator<RawRecord> {
    if (this.#pieces.length > 0) yield this.#take()
  }

  /** Adds to the present line; what is blank begins none. */
  #add(bytes: Uint8Array): void {
    if (this.#pieces.length > 0 ? bytes.length > 0 : !bytes.every(isSpace)) this.#pieces.push(bytes)
  }

  #take(): RawRecord {
    const record = { pieces: this.#pieces, line: this.#line, row: ++this.#row }
    this.#pieces = []
    return record
  }
}

function* lineSteps(path: string, record: RawRecord): Steps<SourceRow> {
  const origin = { file: path, line: record.line }
  const text = yield* decodeRecord(path, record)
  try {
    return { value: yield* parseRecord(text), origin }
  } catch (error) {
    const { message } = error as Error
    throw rowError(
      origin,
      `[data] expected one JSON object per line, got in ${describeOrigin(origin)}: ${message}${slipHint(message, text)}`,
      { cause: error },
    )
  }
}

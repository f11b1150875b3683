/**
 * @file JSON Lines: one JSON object per line (https://jsonlines.org). Blank lines, CRLF and a byte order mark are fine.
 */

import { isAscii, isUtf8 } from 'node:buffer'
import { quickJson } from '../../quick-json.js'
import type { Steps, Turns } from '../../turns.js'
import { type OnBadRow, orBad } from '../bad-rows.js'
import { describeOrigin, rowError } from '../row-origin.js'
import { type DataFile, isSpace } from './data-file.js'
import type { FileFormat } from './file-format.js'
import { decodeRecord, openingBracket, parseRecord, type RawRecord } from './json-records.js'
import { slipHint } from './json-slips.js'
import { eachRow } from './row-batches.js'
import type { SourceRow } from './row-source.js'
import { asBuffer, expectRecordSize } from './text-pieces.js'

export const JSON_LINES: FileFormat = {
  name: 'JSON Lines',
  endings: ['.jsonl'],
  recognizes: (start) => openingBracket(start) === '{',
  read: (file, turns, onBadRow) => eachRow(readLines(file, turns, onBadRow)),
}

const LINE_FEED = 0x0a
/** Bytes of a line that is read without a pause. */
const LONGEST_QUICK = 1 << 16

/**
 * The rows of a file, all those together that end in one of its pieces. Cuts by the byte 0x0A alone: readline also
 * breaks at U+2028, which JSON strings may hold.
 */
async function* readLines(file: DataFile, turns: Turns, onBadRow: OnBadRow): AsyncGenerator<SourceRow[]> {
  const { path } = file
  // The line that the pieces so far have not ended.
  let begun: Uint8Array[] = []
  let length = 0
  let line = 1
  let row = 0
  const read = async (pieces: readonly Uint8Array[], rows: SourceRow[], isTried = false): Promise<void> => {
    if (pieces.every((piece) => piece.every(isSpace))) return
    const record = { pieces, line, row: ++row }
    const found = await turns.run(orBad(lineSteps(path, record, isTried), onBadRow))
    if (found !== undefined) rows.push(found)
  }
  for await (const bytes of file.pieces()) {
    const piece = asBuffer(bytes)
    const encoding = encodingOf(piece, length > 0)
    const rows: SourceRow[] = []
    let start = 0
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, start)) {
      // Most lines are whole, short and plain; all others take their time.
      const isQuick = encoding !== undefined && length === 0 && end > start && end - start <= LONGEST_QUICK
      const value = isQuick ? quickJson(piece.toString(encoding, start, end)) : undefined
      if (value !== undefined) {
        row++
        rows.push({ value, origin: { file: path, line } })
      } else {
        await read([...begun, piece.subarray(start, end)], rows, isQuick)
        begun = []
        length = 0
        if (turns.isOver) await turns.next()
      }
      line++
      start = end + 1
    }
    if (start < piece.length) {
      begun.push(piece.subarray(start))
      length += piece.length - start
      expectRecordSize(path, line, length)
    }
    yield rows
    if (turns.isOver) await turns.next()
  }
  const rows: SourceRow[] = []
  await read(begun, rows)
  yield rows
}

/** How the lines of a piece are decoded that are whole; undefined where one of them has other bytes than UTF-8. */
function encodingOf(piece: Buffer, hasBegun: boolean): 'latin1' | 'utf8' | undefined {
  // Latin-1 says the same of ASCII, and is decoded faster.
  if (isAscii(piece)) return 'latin1'
  const start = hasBegun ? piece.indexOf(LINE_FEED) + 1 : 0
  return isUtf8(piece.subarray(start, piece.lastIndexOf(LINE_FEED) + 1)) ? 'utf8' : undefined
}

function* lineSteps(path: string, record: RawRecord, isTried: boolean): Steps<SourceRow> {
  const origin = { file: path, line: record.line }
  const text = yield* decodeRecord(path, record)
  try {
    return { value: yield* parseRecord(text, isTried), origin }
  } catch (error) {
    const { message } = error as Error
    throw rowError(
      origin,
      `[data] expected one JSON object per line, got in ${describeOrigin(origin)}: ${message}${slipHint(message, text)}`,
      { cause: error },
    )
  }
}

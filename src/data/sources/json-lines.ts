/**
 * @file JSON Lines: one JSON object per line (https://jsonlines.org). Blank lines, CRLF and a byte order mark are fine.
 */

import { isAscii, isUtf8 } from 'node:buffer'
import type { LosslessJson } from '../../lossless-json.js'
import { quickJson, quickJsonLines } from '../../quick-json.js'
import type { Steps, Turns } from '../../turns.js'
import { type OnBadRow, orBad } from '../bad-rows.js'
import { describeOrigin, rowError } from '../row-origin.js'
import { type DataFile, isSpace } from './data-file.js'
import type { FileFormat } from './file-format.js'
import { decodeRecord, openingBracket, parseRecord, type RawRecord } from './json-records.js'
import { slipHint } from './json-slips.js'
import { LineBatch, linesFrom } from './row-batches.js'
import type { RowBatch } from './row-source.js'
import { asBuffer, expectRecordSize } from './text-pieces.js'

export const JSON_LINES: FileFormat = {
  name: 'JSON Lines',
  endings: ['.jsonl'],
  recognizes: (start) => openingBracket(start) === '{',
  read: readLines,
}

const LINE_FEED = 0x0a
/** Bytes of a line that is read without a pause. */
const LONGEST_QUICK = 1 << 16
/** Bytes of lines that are parsed together: few enough that their rows are gone when memory is next cleared. */
const BLOCK_BYTES = 1 << 16
/** Blocks that are read line by line behind one whose lines could not be parsed together. */
const LEAST_PAUSE = 4
const LONGEST_PAUSE = 64

/**
 * The rows of a file, in batches. Cuts by the byte 0x0A alone: readline also breaks at U+2028, which JSON strings may
 * hold.
 */
async function* readLines(file: DataFile, turns: Turns, onBadRow: OnBadRow): AsyncGenerator<RowBatch> {
  const { path } = file
  // The line that the pieces so far have not ended.
  let begun: Uint8Array[] = []
  let length = 0
  let line = 1
  let pause = 0
  let nextPause = LEAST_PAUSE
  const read = async (pieces: readonly Uint8Array[], batch: LineBatch, isTried = false): Promise<void> => {
    if (pieces.every((piece) => piece.every(isSpace))) return
    const value = await turns.run(orBad(lineSteps(path, { pieces, line, row: 0 }, isTried), onBadRow))
    if (value !== undefined) batch.add(value, line)
  }
  /** Most lines are whole, short and plain; all others take their time. */
  const readEach = async (piece: Buffer, encoding: Encoding | undefined, batch: LineBatch): Promise<void> => {
    let start = 0
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, start)) {
      const isQuick = encoding !== undefined && end > start && end - start <= LONGEST_QUICK
      const value = isQuick ? quickJson(piece.toString(encoding, start, end)) : undefined
      if (value !== undefined) batch.add(value, line)
      else {
        await read([piece.subarray(start, end)], batch, isQuick)
        if (turns.isOver) await turns.next()
      }
      line++
      start = end + 1
    }
  }
  const readBlock = async (block: Buffer, encoding: Encoding | undefined): Promise<RowBatch> => {
    const batch = new LineBatch(path)
    let values: (LosslessJson | undefined)[] | undefined
    if (pause > 0) pause--
    else if (encoding !== undefined && block.length <= BLOCK_BYTES + LONGEST_QUICK) {
      values = quickJsonLines(block.toString(encoding, 0, block.length - 1), countLines(block))
      pause = values === undefined ? nextPause : 0
      nextPause = values === undefined ? Math.min(nextPause * 2, LONGEST_PAUSE) : LEAST_PAUSE
    }
    if (values === undefined) {
      await readEach(block, encoding, batch)
      return batch
    }
    if (!values.includes(undefined)) {
      line += values.length
      return linesFrom(path, line - values.length, values)
    }
    let start = 0
    for (const value of values) {
      const end = block.indexOf(LINE_FEED, start)
      if (value !== undefined) batch.add(value, line)
      else await read([block.subarray(start, end)], batch, true)
      line++
      start = end + 1
    }
    return batch
  }
  for await (const bytes of file.pieces()) {
    const piece = asBuffer(bytes)
    const first = piece.indexOf(LINE_FEED)
    const last = piece.lastIndexOf(LINE_FEED)
    let start = 0
    if (length > 0 && first >= 0) {
      const batch = new LineBatch(path)
      await read([...begun, piece.subarray(0, first)], batch)
      begun = []
      length = 0
      line++
      start = first + 1
      yield batch
    }
    const encoding = start <= last ? encodingOf(piece.subarray(start, last + 1)) : undefined
    while (start <= last) {
      const end = piece.indexOf(LINE_FEED, Math.min(start + BLOCK_BYTES, last)) + 1
      yield await readBlock(piece.subarray(start, end), encoding)
      start = end
      if (turns.isOver) await turns.next()
    }
    if (start < piece.length) {
      begun.push(piece.subarray(start))
      length += piece.length - start
      expectRecordSize(path, line, length)
    }
    if (turns.isOver) await turns.next()
  }
  const batch = new LineBatch(path)
  await read(begun, batch)
  yield batch
}

type Encoding = 'latin1' | 'utf8'

/** How whole lines are decoded; undefined where one of them has other bytes than UTF-8. */
function encodingOf(lines: Buffer): Encoding | undefined {
  // Latin-1 says the same of ASCII, and is decoded faster.
  if (isAscii(lines)) return 'latin1'
  return isUtf8(lines) ? 'utf8' : undefined
}

function countLines(block: Buffer): number {
  let lines = 0
  for (let at = block.indexOf(LINE_FEED); at >= 0; at = block.indexOf(LINE_FEED, at + 1)) lines++
  return lines
}

function* lineSteps(path: string, record: RawRecord, isTried: boolean): Steps<LosslessJson> {
  const origin = { file: path, line: record.line }
  const text = yield* decodeRecord(path, record)
  try {
    return yield* parseRecord(text, isTried)
  } catch (error) {
    const { message } = error as Error
    throw rowError(
      origin,
      `[data] expected one JSON object per line, got in ${describeOrigin(origin)}: ${message}${slipHint(message, text)}`,
      { cause: error },
    )
  }
}

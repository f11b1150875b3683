/** @file What JSON Lines and JSON arrays share: cutting the bytes of a file into records, and parsing each. */

import { type LosslessJson, losslessJsonSteps } from '../../lossless-json.js'
import { quickJson } from '../../quick-json.js'
import type { Steps, Turns } from '../../turns.js'
import { type OnBadRow, orBad } from '../bad-rows.js'
import { describeOrigin, rowError } from '../row-origin.js'
import { type DataFile, isSpace } from './data-file.js'
import { batchOf } from './row-batches.js'
import type { RowBatch, SourceRow } from './row-source.js'

/** The bytes of one record, in pieces. */
export interface RawRecord {
  readonly pieces: readonly Uint8Array[]
  /** On which it begins, from 1. */
  readonly line: number
  /** Its number, from 1. */
  readonly row: number
}

/** Cuts the bytes of a file into records. */
export interface RecordSplitter {
  /** The records that end in these bytes; undefined now and then where a turn may end. */
  split(bytes: Uint8Array): Iterable<RawRecord | undefined>
  /** What is left when the file has ended. @throws when that is no whole record */
  end(): Iterable<RawRecord | undefined>
}

/** The rows of a file, each made of its record by `parse`. */
export async function* readRecords(
  file: DataFile,
  turns: Turns,
  splitter: RecordSplitter,
  parse: (record: RawRecord) => Steps<SourceRow>,
  onBadRow: OnBadRow,
): AsyncGenerator<RowBatch> {
  const read = async (records: Iterable<RawRecord | undefined>): Promise<RowBatch> => {
    const rows: SourceRow[] = []
    for (const record of records) {
      const row = record && (await turns.run(orBad(parse(record), onBadRow)))
      if (row !== undefined) rows.push(row)
      if (turns.isOver) await turns.next()
    }
    return batchOf(rows)
  }
  for await (const piece of file.pieces()) yield await read(splitter.split(piece))
  yield await read(splitter.end())
}

/** The first character of a JSON file: `{` or `[`; undefined where a file begins with another one, or is UTF-16. */
export function openingBracket(start: Uint8Array): string | undefined {
  const at = start.findIndex((byte) => !isSpace(byte))
  const character = String.fromCharCode(start[at] ?? 0)
  return (character === '{' || character === '[') && start[at + 1] !== 0 ? character : undefined
}

/**
 * One JSON value.
 * @param isTried Whether `quickJson` has refused it.
 * @throws SyntaxError, also for a key that an object has twice: which of the two was meant, nobody can tell
 */
export function* parseRecord(text: string, isTried = false): Steps<LosslessJson> {
  const quick = !isTried && text.length <= LONGEST_QUICK ? quickJson(text) : undefined
  return quick ?? (yield* losslessJsonSteps(text, { duplicateKeys: 'refuse' }))
}

/** Characters that are parsed without a pause. */
const LONGEST_QUICK = 1 << 18

// To make one for each row would take longer than decoding the row.
const wholeDecoder = new TextDecoder('utf-8', { fatal: true })

/** The text of a record. @throws naming file and line of what is not UTF-8 */
export function* decodeRecord(path: string, { line, pieces }: RawRecord): Steps<string> {
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
    const origin = { file: path, line }
    throw rowError(
      origin,
      `[data] expected UTF-8 text, got other bytes in ${describeOrigin(origin)}; convert the file to UTF-8`,
      { cause: error },
    )
  }
}

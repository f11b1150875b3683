/** @file Text of a file, in pieces, and how long one row of it may be. What is not UTF-8 is refused by its line. */

import { isAscii, isUtf8 } from 'node:buffer'
import { describeOrigin, rowError } from '../row-origin.js'

const LINE_FEED = 0x0a
/** JavaScript has no text of more than 512 MiB; rows have thousands of bytes. */
const LONGEST_RECORD = 256 * 2 ** 20

/** Turns bytes into text; a character that a piece cuts waits for the next one. */
export class TextDecoding {
  readonly #path: string
  #cut: Uint8Array = new Uint8Array()

  constructor(path: string) {
    this.#path = path
  }

  /**
   * The text of these bytes.
   * @param line On which they begin.
   * @throws naming file and line of what is not UTF-8
   */
  decode(piece: Uint8Array, line: number): string {
    const bytes = this.#cut.length === 0 ? asBuffer(piece) : Buffer.concat([this.#cut, piece])
    const end = endOfWholeCharacters(bytes)
    this.#cut = bytes.subarray(end)
    return decodeText(bytes.subarray(0, end), this.#path, line)
  }

  /** @throws where the bytes end within a character */
  end(line: number): void {
    if (this.#cut.length > 0) throw notUtf8(this.#path, line)
  }
}

/** The text of whole characters. @param line On which it begins. @throws naming file and line of what is not UTF-8 */
function decodeText(bytes: Buffer, path: string, line: number): string {
  // Latin-1 says the same of ASCII, and is decoded several times faster.
  if (isAscii(bytes)) return bytes.toString('latin1')
  if (isUtf8(bytes)) return bytes.toString('utf8')
  let start = 0
  for (let before = 0; ; before++) {
    const end = bytes.indexOf(LINE_FEED, start)
    if (end < 0 || !isUtf8(bytes.subarray(start, end))) throw notUtf8(path, line + before)
    start = end + 1
  }
}

/** The same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** @throws where a row has more bytes than any has, so that a file without line ends fills no memory */
export function expectRecordSize(path: string, line: number, bytes: number): void {
  if (bytes <= LONGEST_RECORD) return
  const origin = { file: path, line }
  throw rowError(
    origin,
    `[data] expected rows of at most ${LONGEST_RECORD / 2 ** 20} MiB, got a longer one in ${describeOrigin(origin)}; check that the file has ` +
      'one row per line',
  )
}

/** Where the last character of these bytes that is not whole begins: at most three bytes before their end. */
function endOfWholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

function notUtf8(path: string, line: number): Error {
  const origin = { file: path, line }
  return rowError(
    origin,
    `[data] expected UTF-8 text, got other bytes in ${describeOrigin(origin)}; convert the file to UTF-8`,
  )
}

/** @file The characters of text documents: which encoding their bytes are in, and what is taken out of any text. */

import { DataError } from '../lowrank-error.js'

/** What nobody reads: control characters but for tabs and line feeds, soft hyphens, marks of byte order. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNREAD = /[\0-\x08\x0b\x0e-\x1f\x7f\xad\ufeff]/g

/** A text without characters that nobody reads; a form feed, which ends a page, ends a line. */
export function cleanText(text: string): string {
  return text.replace(/\r\n?|\f/g, '\n').replace(UNREAD, '')
}

/**
 * The text of a file: UTF-8, UTF-16 with a mark of byte order, or what `declared` names.
 *
 * @param declared An encoding that the file itself names, as web pages do.
 * @throws DataError where the bytes are of another encoding
 */
export function decodeText(bytes: Buffer, file: string, declared?: string): string {
  const label = encodingByMark(bytes) ?? declared ?? 'utf-8'
  let text: string
  try {
    text = new TextDecoder(label, { fatal: true }).decode(bytes)
  } catch (error) {
    throw new DataError(
      `[documents] expected ${label.toUpperCase()} in ${file}, got other bytes; save it as UTF-8 (iconv changes the encoding of a file)`,
      { file, cause: error },
    )
  }
  if (text.includes('\0'))
    throw new DataError(
      `[documents] expected text in ${file}, got null characters; save it as UTF-8, or leave it out where it is no text`,
      { file },
    )
  return cleanText(text)
}

function encodingByMark(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be'
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 'utf-8' : undefined
}

/** Browsers look for the name of the encoding in so many bytes. */
const PRESCAN_BYTES = 1024

/** The encoding that a web page names in `<meta>`; undefined where it names none that is known here. */
export function encodingOfPage(bytes: Buffer): string | undefined {
  const start = bytes.toString('latin1', 0, PRESCAN_BYTES)
  const [, label] = /<meta[^>]+charset\s*=\s*["']?\s*([\w:.-]+)/i.exec(start) ?? []
  if (label === undefined) return undefined
  try {
    const { encoding } = new TextDecoder(label)
    // A page that names UTF-16 in bytes that are read as ASCII is not in UTF-16.
    return encoding.startsWith('utf-16') ? 'utf-8' : encoding
  } catch {
    return undefined
  }
}

/**
 * @file The text of PDF documents: lines as they stand on each page, headings by the size of their letters. It loads
 * `unpdf` when a document needs it.
 */

import { loadPeer } from '../data/load-peer.js'
import { DataError } from '../lowrank-error.js'
import type { Turns } from '../turns.js'
import { toError } from '../values.js'
import { cleanText } from './document-bytes.js'
import { type DocumentText, TextBuilder } from './text-builder.js'

/** A line is a heading where its letters are so much larger than those of most of the text. */
const HEADING_SIZE = 1.2
const LONGEST_HEADING = 200

interface PdfLine {
  readonly text: string
  /** Height of its largest letters, in points. */
  readonly size: number
}

/** What is needed of a piece of text on a page. */
interface PdfItem {
  readonly str: string
  readonly height: number
  readonly hasEOL: boolean
}

/**
 * @param onShare Told the share of the pages that have been read.
 * @throws DataError for what is no PDF, or one with a password
 */
export async function readPdf(
  bytes: Buffer,
  file: string,
  turns: Turns,
  onShare: (share: number) => void,
): Promise<DocumentText> {
  const { getDocumentProxy } = await loadPeer<typeof import('unpdf')>('unpdf', 'to read documents')
  const pages: PdfLine[][] = []
  try {
    // Its warnings would go to stdout.
    const pdf = await getDocumentProxy(new Uint8Array(bytes), { verbosity: 0 })
    try {
      for (let number = 1; number <= pdf.numPages; number++) {
        turns.throwIfAborted()
        const page = await pdf.getPage(number)
        const { items } = await page.getTextContent()
        pages.push(linesOf(items as readonly Partial<PdfItem>[]))
        page.cleanup()
        onShare(number / pdf.numPages)
        if (turns.isOver) await turns.next()
      }
    } finally {
      await pdf.destroy()
    }
  } catch (error) {
    turns.throwIfAborted()
    throw unreadable(file, toError(error))
  }
  return textOfPages(pages)
}

function unreadable(file: string, error: Error): DataError {
  const [got, remedy] =
    error.name === 'PasswordException'
      ? ['one with a password', 'save it without one']
      : [`one that cannot be read: ${error.message.replace(/\.$/, '')}`, 'open and save it anew']
  return new DataError(`[documents] expected a PDF document in ${file}, got ${got}; ${remedy}`, { file, cause: error })
}

function textOfPages(pages: readonly (readonly PdfLine[])[]): DocumentText {
  const body = commonSize(pages.flat())
  const sizes = [...new Set(pages.flat().map(({ size }) => size))].filter((size) => size >= HEADING_SIZE * body)
  sizes.sort((a, b) => b - a)
  const builder = new TextBuilder()
  const starts: number[] = []
  for (const lines of pages) {
    if (starts.length > 0) builder.breakLine(2)
    starts.push(builder.length)
    for (const { text, size } of lines) {
      const level = sizes.indexOf(size) + 1
      if (level > 0 && text.length <= LONGEST_HEADING) builder.headings.push({ start: builder.length, level, text })
      builder.add(`${text}\n`)
    }
  }
  const emptyPages = pages.filter((lines) => lines.length === 0).length
  return { text: String(builder), pages: starts, emptyPages, headings: builder.headings }
}

function linesOf(items: readonly Partial<PdfItem>[]): PdfLine[] {
  const lines: PdfLine[] = []
  let text = ''
  let size = 0
  const end = (): void => {
    const clean = cleanLine(text)
    if (clean !== '') lines.push({ text: clean, size: Math.round(size * 10) / 10 })
    text = ''
    size = 0
  }
  for (const { str = '', height = 0, hasEOL } of items) {
    text += str
    size = Math.max(size, height)
    if (hasEOL) end()
  }
  end()
  return lines
}

/** A line without the gaps of justified text, and with letters in place of the signs that join several of them. */
function cleanLine(text: string): string {
  return cleanText(text)
    .replace(/[\ufb00-\ufb06]/g, (sign) => sign.normalize('NFKC'))
    .replace(/\s+/g, ' ')
    .trim()
}

/** The size in which most characters stand. */
function commonSize(lines: readonly PdfLine[]): number {
  const characters = new Map<number, number>()
  for (const { text, size } of lines) characters.set(size, (characters.get(size) ?? 0) + text.length)
  return [...characters].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [0, 0])[0]
}

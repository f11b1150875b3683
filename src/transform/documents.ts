/**
 * @file Documents become rows of text: chunks of tokens that overlap, each with its document, page and headings.
 */

import { createHash } from 'node:crypto'
import { describeValue } from '../errors.js'
import { DataError, LowrankError, OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { readRegularFile } from '../regular-file.js'
import { Turns } from '../turns.js'
import { type Chunk, chunksOf } from './chunks.js'
import { SPLIT_DOCUMENTS_OPTIONS, type SplitDocumentsOptions } from './document-options.js'
import { expectPackages, readDocument } from './document-text.js'
import { findDocuments } from './find-documents.js'
import { writeRowsAtomic } from './output.js'
import type { DocumentText, Heading } from './text-builder.js'

/** A document that was left out. */
export interface SkippedDocument {
  readonly document: string
  /** What is wrong with it. */
  readonly message: string
}

/** What became of the documents: those that were found are those with text, those without and those left out. */
export interface DocumentsReport {
  readonly output: string
  /** Documents that were found. */
  readonly documents: number
  /** Documents that became chunks. */
  readonly withText: number
  /** Paths of documents without any text, such as scans. */
  readonly empty: readonly string[]
  /** Documents that cannot be read, where `onError` is 'skip'. */
  readonly skipped: readonly SkippedDocument[]
  /** Files of folders and globs whose endings are not those of documents. */
  readonly otherFiles: number
  /** Pages of the PDF documents that became chunks. */
  readonly pages: number
  /** Those of them without text, such as scanned ones. */
  readonly emptyPages: number
  /** Rows that were written. */
  readonly chunks: number
  /** Tokens of all chunks: what two of them have in common counts twice. */
  readonly tokens: number
}

/** Larger than documents are. */
const LARGEST_DOCUMENT = 512 * 2 ** 20

/**
 * Splits documents into chunks. A row has `document` (its path), `sha256` (of its bytes), `chunk` (from 1), `page` and
 * `last_page` (null where a document has none), `headings` (those that its first word stands under, the highest first),
 * `tokens` and `text`.
 *
 * @throws DataError for a document that cannot be read, and where no document has text
 * @throws LowrankError for a package that a format needs and that is not installed
 */
export async function splitDocuments(options: SplitDocumentsOptions): Promise<DocumentsReport> {
  const { documents, tokenizer, output, maxTokens, overlap, onError, signal, onProgress } = readOptions(
    'documents',
    options,
    SPLIT_DOCUMENTS_OPTIONS,
  )
  if (overlap >= maxTokens)
    throw new OptionError(
      `[documents] expected an overlap below maxTokens (${maxTokens}), got ${describeValue(overlap)}; lower it`,
    )
  const found = await findDocuments(typeof documents === 'string' ? [documents] : documents)
  await expectPackages(found.documents)
  const turns = new Turns(signal)
  const empty: string[] = []
  const skipped: SkippedDocument[] = []
  const sums = { withText: 0, pages: 0, emptyPages: 0, chunks: 0, tokens: 0 }
  return await writeRowsAtomic([output], async (write) => {
    for (const [index, file] of found.documents.entries()) {
      turns.throwIfAborted()
      const onShare = (share: number): void => onProgress?.(sums.chunks, (index + share) / found.documents.length)
      const content = await readOrSkip(file, onError, skipped, async () => {
        const bytes = await readRegularFile(file, { where: 'documents', limit: LARGEST_DOCUMENT, signal })
        const read = await readDocument(bytes, file, turns, onShare)
        const chunks =
          read.text.trim() === '' ? [] : await chunksOf(read.text, tokenizer, { maxTokens, overlap }, turns, file)
        return { ...read, chunks, sha256: createHash('sha256').update(bytes).digest('hex') }
      })
      if (content?.chunks.length === 0) empty.push(file)
      if (content === undefined || content.chunks.length === 0) continue
      for (const row of rowsOf(file, content)) await write(0, row)
      sums.withText++
      sums.pages += content.pages.length
      sums.emptyPages += content.emptyPages
      sums.chunks += content.chunks.length
      sums.tokens += content.chunks.reduce((sum, { tokens }) => sum + tokens, 0)
    }
    if (sums.withText === 0) throw withoutText(empty, skipped)
    onProgress?.(sums.chunks, 1)
    const { documents: all, otherFiles } = found
    return { output, documents: all.length, empty, skipped, otherFiles, ...sums }
  })
}

/** What `read` gives; undefined where the file is the fault and is left out. */
async function readOrSkip<T>(
  document: string,
  onError: 'error' | 'skip',
  skipped: SkippedDocument[],
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    const isOfFile = error instanceof DataError || (error instanceof LowrankError && error.code === 'FILE')
    if (onError === 'error' || !isOfFile) throw error
    skipped.push({ document, message: error.message })
    return undefined
  }
}

function withoutText(empty: readonly string[], [first]: readonly SkippedDocument[]): DataError {
  const file = empty[0] ?? first?.document ?? ''
  const got =
    first === undefined
      ? 'documents without any; a scan holds pictures of text: recognise it first (OCR)'
      : `${empty.length === 0 ? 'none' : 'some without any, and others'} that can be read; the first one: ${first.message}`
  return new DataError(`[documents] expected text in ${file}${empty.length > 1 ? ' and others' : ''}, got ${got}`, {
    file,
  })
}

/** A document with its chunks. */
interface ChunkedDocument extends DocumentText {
  readonly chunks: readonly Chunk[]
  readonly sha256: string
}

function* rowsOf(
  document: string,
  { text: whole, pages, headings, chunks, sha256 }: ChunkedDocument,
): Generator<Readonly<Record<string, unknown>>> {
  for (const [index, { start, end, tokens }] of chunks.entries()) {
    const words = whole.slice(start, end)
    const first = start + Math.max(0, words.search(/\S/))
    const last = Math.max(first, start + words.trimEnd().length - 1)
    yield {
      document,
      sha256,
      chunk: index + 1,
      page: pageAt(pages, first),
      last_page: pageAt(pages, last),
      headings: headingsAt(headings, first),
      tokens,
      text: words,
    }
  }
}

function pageAt(pages: readonly number[], at: number): number | null {
  const next = pages.findIndex((start) => start > at)
  return pages.length === 0 ? null : next === -1 ? pages.length : next
}

/** The headings that are open at a place: each of a lower level than the one before it. */
function headingsAt(headings: readonly Heading[], at: number): readonly string[] {
  const open: Heading[] = []
  for (const heading of headings) {
    if (heading.start > at) break
    while (open.length > 0 && (open.at(-1) as Heading).level >= heading.level) open.pop()
    open.push(heading)
  }
  return open.map(({ text: words }) => words)
}

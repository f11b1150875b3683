/**
 * @file Documents become rows of text: chunks of tokens that overlap, each with its document, page and headings.
 */

import { findFiles } from '../data/sources/find-files.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { either, instance, integer, listOf, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readRegularFile } from '../regular-file.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { chunksOf } from './chunks.js'
import { type Heading, readDocument } from './document-text.js'
import { OUTPUT, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'
import { writeRowsAtomic } from './output.js'

/** What `splitDocuments` takes. */
export interface SplitDocumentsOptions extends TransformOptions {
  /** Paths and globs of PDF, DOCX, HTML, Markdown and text files. */
  documents: string | readonly string[]
  /** Counts the tokens: what `loadTokenizer()` gives. */
  tokenizer: Tokenizer
  /** Path of the file of chunks, which ends in `.jsonl`. */
  output: string
  /**
   * Tokens that a chunk has at most.
   * @default 500
   */
  maxTokens?: number
  /**
   * Tokens that a chunk has in common with the one before it.
   * @default 50
   */
  overlap?: number
}

/** The options of `splitDocuments`. */
export const SPLIT_DOCUMENTS_OPTIONS = {
  documents: {
    rule: either(text, listOf(text, 'a list of paths and globs', { minItems: 1 })),
    isRequired: true,
    help: 'paths and globs of documents',
  },
  tokenizer: {
    rule: instance(
      'what loadTokenizer() gives',
      (value) => typeof (value as Tokenizer | undefined)?.encode === 'function',
    ),
    isRequired: true,
    help: 'counts the tokens',
  },
  output: OUTPUT,
  maxTokens: { rule: integer({ min: 2 }), default: 500 as number, help: 'tokens that a chunk has at most' },
  overlap: { rule: integer({ min: 0 }), default: 50 as number, help: 'tokens that a chunk shares with the one before' },
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<SplitDocumentsOptions>

/** What became of the documents. */
export interface DocumentsReport {
  readonly output: string
  /** Documents that were read. */
  readonly documents: number
  /** Rows that were written. */
  readonly chunks: number
  /** Paths of documents without any text, such as scans. */
  readonly empty: readonly string[]
}

/** Larger than documents are. */
const LARGEST_DOCUMENT = 512 * 2 ** 20

/**
 * Splits documents into chunks. A row has `document` (its path), `chunk` (from 1), `page` and `last_page` (null where a
 * document has none), `headings` (those that its first word stands under, the highest first), `tokens` and `text`.
 *
 * @throws DataError for a document that cannot be read
 * @throws OptionError for a package that a format needs and that is not installed
 */
export async function splitDocuments(options: SplitDocumentsOptions): Promise<DocumentsReport> {
  const { documents, tokenizer, output, maxTokens, overlap, signal, onProgress } = readOptions(
    'documents',
    options,
    SPLIT_DOCUMENTS_OPTIONS,
  )
  if (overlap >= maxTokens)
    throw new OptionError(
      `[documents] expected an overlap below maxTokens (${maxTokens}), got ${describeValue(overlap)}; lower it`,
    )
  const files: string[] = []
  for (const pattern of typeof documents === 'string' ? [documents] : documents)
    files.push(...(await findFiles(pattern)))
  const turns = new Turns(signal)
  const empty: string[] = []
  let chunks = 0
  return await writeRowsAtomic([output], async (write) => {
    for (const [index, file] of files.entries()) {
      turns.throwIfAborted()
      const bytes = await readRegularFile(file, { where: 'documents', limit: LARGEST_DOCUMENT })
      const { text: whole, pages, headings } = await readDocument(Buffer.from(bytes), file)
      if (whole.trim() === '') empty.push(file)
      else {
        const found = await chunksOf(whole, tokenizer, { maxTokens, overlap }, turns, file)
        for (const [number, { start, end, tokens }] of found.entries()) {
          await write(0, {
            document: file,
            chunk: number + 1,
            page: pageAt(pages, firstWord(whole, start)),
            last_page: pageAt(pages, start + whole.slice(start, end).trimEnd().length - 1),
            headings: headingsAt(headings, firstWord(whole, start)),
            tokens,
            text: whole.slice(start, end),
          })
        }
        chunks += found.length
      }
      onProgress?.(chunks, (index + 1) / files.length)
    }
    return { output, documents: files.length, chunks, empty }
  })
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

function firstWord(whole: string, start: number): number {
  const offset = whole.slice(start).search(/\S/)
  return offset === -1 ? start : start + offset
}

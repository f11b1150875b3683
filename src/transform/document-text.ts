/**
 * @file The text of documents, with where pages and headings begin: PDF, DOCX, HTML, Markdown and plain text. The
 * libraries for the first three are loaded when a document needs them.
 */

import { extname } from 'node:path'
import { listNames } from '../errors.js'
import { DataError, OptionError } from '../lowrank-error.js'
import { expectSafeZip } from './zip-check.js'

/** The text of a document. */
export interface DocumentText {
  readonly text: string
  /** Where each page begins, from page 1; empty where a document has none. */
  readonly pages: readonly number[]
  readonly headings: readonly Heading[]
}

/** A heading, and where it begins. */
export interface Heading {
  readonly start: number
  /** 1 is the highest. */
  readonly level: number
  readonly text: string
}

type Reader = (bytes: Buffer, file: string) => DocumentText | Promise<DocumentText>

const READERS: Readonly<Record<string, Reader>> = {
  '.pdf': readPdf,
  '.docx': readDocx,
  '.html': readHtml,
  '.htm': readHtml,
  '.md': readMarkdown,
  '.markdown': readMarkdown,
  '.txt': (bytes, file) => ({ text: decode(bytes, file), pages: [], headings: [] }),
}

/** Endings of names that are read. */
const DOCUMENT_ENDINGS: readonly string[] = Object.keys(READERS)

/** @throws DataError for what is no document of its ending */
export async function readDocument(bytes: Buffer, file: string): Promise<DocumentText> {
  const ending = extname(file).toLowerCase()
  const read = Object.hasOwn(READERS, ending) ? READERS[ending] : undefined
  if (read === undefined)
    throw new DataError(`[documents] expected a name that ends in ${listNames(DOCUMENT_ENDINGS)}, got ${file}`, {
      file,
    })
  return await read(bytes, file)
}

/** Loads a library that is installed for documents alone. */
async function load<T>(name: string, importIt: () => Promise<T>): Promise<T> {
  try {
    return await importIt()
  } catch (error) {
    throw new OptionError(`[documents] expected the package ${name}, which is not installed; npm install ${name}`, {
      cause: error,
    })
  }
}

function decode(bytes: Buffer, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n')
  } catch (error) {
    throw new DataError(`[documents] expected UTF-8 in ${file}, got other bytes; save it as UTF-8`, {
      file,
      cause: error,
    })
  }
}

/** Text that grows, with its headings. */
class TextBuilder {
  text = ''
  readonly headings: Heading[] = []

  add(text: string): void {
    this.text += text
  }

  /** Ends a line, or leaves one blank: never more. */
  breakLine(lines: 1 | 2 = 1): void {
    if (this.text === '') return
    this.text = this.text.replace(/[ \t]+$/, '')
    const ended = /\n*$/.exec(this.text)?.[0].length ?? 0
    this.text += '\n'.repeat(Math.max(0, lines - ended))
  }

  addHeading(level: number, text: string): void {
    this.breakLine(2)
    this.headings.push({ start: this.text.length, level, text })
    this.add(text)
    this.breakLine(2)
  }
}

/** A line is a heading where its letters are so much larger than those of most of the text. */
const HEADING_SIZE = 1.2
const LONGEST_HEADING = 200

interface PdfLine {
  readonly text: string
  readonly size: number
}

async function readPdf(bytes: Buffer, file: string): Promise<DocumentText> {
  const { getDocumentProxy } = await load('unpdf', () => import('unpdf'))
  const pages: PdfLine[][] = []
  try {
    const pdf = await getDocumentProxy(new Uint8Array(bytes))
    for (let number = 1; number <= pdf.numPages; number++) {
      const { items } = await (await pdf.getPage(number)).getTextContent()
      pages.push(linesOf(items as readonly Partial<PdfItem>[]))
    }
  } catch (error) {
    throw new DataError(
      `[documents] expected a PDF document in ${file}, got one that cannot be read: ${(error as Error).message}; open and save it anew`,
      { file, cause: error },
    )
  }
  const body = commonSize(pages.flat())
  const sizes = [...new Set(pages.flat().map(({ size }) => size))].filter((size) => size >= HEADING_SIZE * body)
  sizes.sort((a, b) => b - a)
  const builder = new TextBuilder()
  const starts: number[] = []
  for (const lines of pages) {
    if (starts.length > 0) builder.breakLine(2)
    starts.push(builder.text.length)
    for (const { text, size } of lines) {
      const level = sizes.indexOf(size) + 1
      if (level > 0 && text.length <= LONGEST_HEADING && text.trim() !== '')
        builder.headings.push({ start: builder.text.length, level, text: text.trim() })
      builder.add(`${text}\n`)
    }
  }
  return { text: builder.text, pages: starts, headings: builder.headings }
}

interface PdfItem {
  readonly str: string
  readonly height: number
  readonly hasEOL: boolean
}

function linesOf(items: readonly Partial<PdfItem>[]): PdfLine[] {
  const lines: PdfLine[] = []
  let text = ''
  let size = 0
  const end = (): void => {
    if (text !== '') lines.push({ text, size: Math.round(size * 10) / 10 })
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

/** The size in which most characters stand. */
function commonSize(lines: readonly PdfLine[]): number {
  const characters = new Map<number, number>()
  for (const { text, size } of lines) characters.set(size, (characters.get(size) ?? 0) + text.length)
  return [...characters].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [0, 0])[0]
}

async function readDocx(bytes: Buffer, file: string): Promise<DocumentText> {
  expectSafeZip(bytes, file)
  const { default: mammoth } = await load('mammoth', () => import('mammoth'))
  let html: string
  try {
    html = (await mammoth.convertToHtml({ buffer: bytes })).value
  } catch (error) {
    throw new DataError(
      `[documents] expected a Word document in ${file}, got one that cannot be read: ${(error as Error).message}; save it anew`,
      { file, cause: error },
    )
  }
  const { parseHTML } = await load('linkedom', () => import('linkedom'))
  const { document } = parseHTML(`<html><body>${html}</body></html>`)
  return textOfDom(document.body as unknown as DomNode)
}

async function readHtml(bytes: Buffer, file: string): Promise<DocumentText> {
  const { parseHTML } = await load('linkedom', () => import('linkedom'))
  const { Readability } = await load('@mozilla/readability', () => import('@mozilla/readability'))
  const source = decode(bytes, file)
  const { document } = parseHTML(source)
  // It makes second headings of first ones, and takes the page apart: what it finds no article in is parsed anew.
  for (const heading of document.querySelectorAll('h1')) heading.setAttribute('class', FIRST_HEADING)
  const article = new Readability(document as never, { keepClasses: true }).parse()
  const content = parseHTML(article?.content ? `<html><body>${article.content}</body></html>` : source).document
  const found = textOfDom(content.body as unknown as DomNode)
  // It leaves out a heading that the title says too.
  const title = article?.title?.trim() ?? ''
  if (title === '' || found.headings.some(({ level }) => level === 1)) return found
  const headings = found.headings.map((heading) => ({ ...heading, start: heading.start + title.length + 2 }))
  return { ...found, text: `${title}\n\n${found.text}`, headings: [{ start: 0, level: 1, text: title }, ...headings] }
}

const FIRST_HEADING = 'lowrank-first-heading'

/** What is needed of a node of a DOM. */
interface DomNode {
  readonly nodeType: number
  readonly nodeName: string
  readonly textContent: string | null
  readonly childNodes: Iterable<DomNode>
  getAttribute?(name: string): string | null
}

const TEXT_NODE = 3
const ELEMENT_NODE = 1
const UNSHOWN = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD', 'NAV'])
const BLOCKS = new Set([
  'P',
  'DIV',
  'SECTION',
  'ARTICLE',
  'UL',
  'OL',
  'TABLE',
  'BLOCKQUOTE',
  'PRE',
  'HEADER',
  'FOOTER',
  'MAIN',
  'FIGURE',
])
const LINES = new Set(['LI', 'TR', 'BR', 'DT', 'DD'])

function textOfDom(root: DomNode): DocumentText {
  const builder = new TextBuilder()
  const visit = (node: DomNode, isVerbatim: boolean): void => {
    if (node.nodeType === TEXT_NODE) {
      const text = node.textContent ?? ''
      if (isVerbatim) builder.add(text)
      else
        builder.add(/(?:^|\s)$/.test(builder.text) ? text.replace(/\s+/g, ' ').trimStart() : text.replace(/\s+/g, ' '))
      return
    }
    const name = node.nodeName.toUpperCase()
    if (node.nodeType !== ELEMENT_NODE || UNSHOWN.has(name)) return
    const isFirst = node.getAttribute?.('class') === FIRST_HEADING
    const [, level] = /^H([1-6])$/.exec(isFirst ? 'H1' : name) ?? []
    if (level !== undefined) {
      const text = (node.textContent ?? '').replace(/\s+/g, ' ').trim()
      if (text !== '') builder.addHeading(Number(level), text)
      return
    }
    const lines = BLOCKS.has(name) ? 2 : LINES.has(name) ? 1 : undefined
    if (lines !== undefined) builder.breakLine(lines)
    for (const child of node.childNodes) visit(child, isVerbatim || name === 'PRE')
    if (name === 'TD' || name === 'TH') builder.add(' ')
    if (lines !== undefined) builder.breakLine(lines)
  }
  visit(root, false)
  return { text: builder.text.trimEnd(), pages: [], headings: builder.headings }
}

/** Markdown stays as it is written; a # within fenced code is no heading. */
function readMarkdown(bytes: Buffer, file: string): DocumentText {
  const text = decode(bytes, file)
  const headings: Heading[] = []
  let fence: string | undefined
  let start = 0
  for (const line of text.split('\n')) {
    const [, mark] = /^ {0,3}(`{3,}|~{3,})/.exec(line) ?? []
    const [, marks, heading] = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$/.exec(line) ?? []
    if (mark !== undefined && (fence === undefined || mark.startsWith(fence)))
      fence = fence === undefined ? mark : undefined
    else if (fence === undefined && marks !== undefined && heading)
      headings.push({ start, level: marks.length, text: heading })
    start += line.length + 1
  }
  return { text, pages: [], headings }
}

/**
 * @file The text of documents, with where pages and headings begin: PDF, DOCX, HTML, Markdown and plain text. The
 * libraries for the first three are loaded when a document needs them.
 */

import { extname } from 'node:path'
import { loadPeer, type PeerName } from '../data/load-peer.js'
import { listNames } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import type { Turns } from '../turns.js'
import { cleanText, decodeText, encodingOfPage } from './document-bytes.js'
import { readPdf } from './pdf-text.js'
import { type DocumentText, type Heading, TextBuilder } from './text-builder.js'
import { expectSafeZip } from './zip-check.js'

type Reader = (
  bytes: Buffer,
  file: string,
  turns: Turns,
  onShare: (share: number) => void,
) => DocumentText | Promise<DocumentText>

const READERS: Readonly<Record<string, Reader>> = {
  '.pdf': readPdf,
  '.docx': readDocx,
  '.html': readHtml,
  '.htm': readHtml,
  '.md': readMarkdown,
  '.markdown': readMarkdown,
  '.txt': (bytes, file) => withoutPages(decodeText(bytes, file), []),
}

/** Packages that readers load, by endings. */
const PACKAGES: Readonly<Record<string, readonly PeerName[]>> = {
  '.pdf': ['unpdf'],
  '.docx': ['mammoth', 'linkedom'],
  '.html': ['linkedom', '@mozilla/readability'],
  '.htm': ['linkedom', '@mozilla/readability'],
}

/** Endings of names that are read. */
export const DOCUMENT_ENDINGS: readonly string[] = Object.keys(READERS)

/**
 * Finds out before the first document is read whether the packages for all are there.
 * @throws LowrankError naming all that the documents need
 */
export async function expectPackages(files: readonly string[]): Promise<void> {
  const endings = new Set(files.map((file) => extname(file).toLowerCase()))
  const needed = [...new Set([...endings].flatMap((ending) => PACKAGES[ending] ?? []))]
  for (const name of needed) await loadPeer(name, TO_READ, needed)
}

/**
 * @param onShare Told the share of a long document that has been read.
 * @throws DataError for what is no document of its ending
 */
export async function readDocument(
  bytes: Buffer,
  file: string,
  turns: Turns,
  onShare: (share: number) => void,
): Promise<DocumentText> {
  const ending = extname(file).toLowerCase()
  const read = Object.hasOwn(READERS, ending) ? READERS[ending] : undefined
  if (read === undefined)
    throw new DataError(`[documents] expected a name that ends in ${listNames(DOCUMENT_ENDINGS)}, got ${file}`, {
      file,
    })
  return await read(bytes, file, turns, onShare)
}

function withoutPages(text: string, headings: readonly Heading[]): DocumentText {
  return { text, pages: [], emptyPages: 0, headings }
}

const TO_READ = 'to read documents'

async function readDocx(bytes: Buffer, file: string): Promise<DocumentText> {
  await expectSafeZip(bytes, file)
  const { default: mammoth } = await loadPeer<{ default: typeof import('mammoth') }>('mammoth', TO_READ)
  const { parseHTML } = await loadPeer<typeof import('linkedom')>('linkedom', TO_READ)
  let html: string
  try {
    html = (await mammoth.convertToHtml({ buffer: bytes })).value
  } catch (error) {
    throw new DataError(
      `[documents] expected a Word document in ${file}, got one that cannot be read: ${(error as Error).message}; save it anew`,
      { file, cause: error },
    )
  }
  expectShallow(html, file)
  const { document } = parseHTML(`<html><body>${html}</body></html>`)
  return textOfDom(document.body as unknown as DomNode)
}

async function readHtml(bytes: Buffer, file: string): Promise<DocumentText> {
  const { parseHTML } = await loadPeer<typeof import('linkedom')>('linkedom', TO_READ)
  const { Readability } = await loadPeer<typeof import('@mozilla/readability')>('@mozilla/readability', TO_READ)
  const source = decodeText(bytes, file, encodingOfPage(bytes))
  expectShallow(source, file)
  return textOfPage(source, parseHTML, Readability)
}

/** Browsers hold no more, and what finds the article of a page takes the square of it. */
const DEEPEST = 512
/** Elements that have no end, or need none. */
const WITHOUT_END = new Set(
  'area base br col embed hr img input link meta source track wbr p li dt dd td th tr thead tbody tfoot option'.split(
    ' ',
  ),
)

/** @throws DataError where elements lie in each other deeper than those of a page that people read */
function expectShallow(html: string, file: string): void {
  let depth = 0
  for (const [, slash, name = '', end] of html.matchAll(/<(\/?)([a-z][\w:-]*)[^<>]*?(\/?)>/gi)) {
    if (end !== '' || WITHOUT_END.has(name.toLowerCase())) continue
    depth = Math.max(0, depth + (slash === '' ? 1 : -1))
    if (depth > DEEPEST)
      throw new DataError(
        `[documents] expected at most ${DEEPEST} elements in each other in ${file}, got more; leave the page out`,
        { file },
      )
  }
}

function textOfPage(
  source: string,
  parseHTML: typeof import('linkedom').parseHTML,
  Readability: typeof import('@mozilla/readability').Readability,
): DocumentText {
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
      const text = cleanText(node.textContent ?? '')
      if (isVerbatim) builder.add(text)
      else builder.add(builder.isAfterSpace ? text.replace(/\s+/g, ' ').trimStart() : text.replace(/\s+/g, ' '))
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
  return withoutPages(String(builder).trimEnd(), builder.headings)
}

/** Markdown stays as it is written; a # within fenced code is no heading. */
function readMarkdown(bytes: Buffer, file: string): DocumentText {
  const text = decodeText(bytes, file)
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
  return withoutPages(text, headings)
}

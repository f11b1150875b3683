/** @file CSV and TSV: what is a row, at any cut of the pieces, and what is refused by file and line. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CsvRecord, CsvSplitter } from '../../../src/data/sources/csv-records.js'
import { openSource } from '../../../src/data/sources/open-source.js'
import type { DataError } from '../../../src/lowrank-error.js'
import { Random } from '../../../src/random.js'
import { readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()

async function rows(content: string | Uint8Array, name = 'rows.csv', bad?: DataError[]): Promise<unknown[]> {
  const path = join(folder, name)
  await writeFile(path, content)
  const found: unknown[] = []
  const context = { ...readContext(), ...(bad && { onBadRow: (error: DataError) => bad.push(error) }) }
  for await (const { value, origin } of openSource(path).rows(context)) {
    found.push([origin.line, value instanceof Map ? [...value] : { ...(value as object) }])
  }
  return found
}

/** What reading it says behind `rows.csv`. */
async function said(content: string | Uint8Array): Promise<string> {
  const { message } = await rows(content).then(
    () => new Error('nothing'),
    (error: Error) => error,
  )
  return message.slice(message.indexOf('rows.csv') + 'rows.csv'.length)
}

const AWKWARD = ['a', 'é', '🚀', '"', '""', ',', '\n', '\r\n', ';', '\t', ' ', '=1+1', '']

describe('CSV', () => {
  it('gives back every text that was written into it, wherever the pieces end', () => {
    const random = new Random(3)
    for (let round = 0; round < 200; round++) {
      const cell = () => Array.from({ length: random.below(5) }, () => AWKWARD[random.below(AWKWARD.length)]).join('')
      const table = Array.from({ length: 1 + random.below(6) }, () => ['x', cell(), cell()])
      const quoted = (text: string) =>
        /["\n\r,]/.test(text) || random.below(4) === 0 ? `"${text.replaceAll('"', '""')}"` : text
      const end = ['\n', '\r\n'][random.below(2)] as string
      const text = table.map((row) => row.map(quoted).join(',')).join(end) + (random.below(2) ? end : '')
      const splitter = new CsvSplitter(',')
      const records: CsvRecord[] = []
      for (let at = 0; at < text.length; ) {
        const size = 1 + random.below(7)
        records.push(...splitter.split(text.slice(at, at + size)))
        at += size
      }
      records.push(...splitter.end())
      expect(records.map(({ fields }) => fields)).toEqual(table)
      let line = 1
      for (const [index, row] of table.entries()) {
        expect(records[index]?.line).toBe(line)
        line += 1 + row.join('').split('\n').length - 1
      }
    }
  })

  it('keeps every value as text: numbers, formulas, nothing, spaces, quotes within', async () => {
    expect(await rows('\ufeffid,text\r\n007,"=SUM(A1)"\r\n\r\n,"say ""no"""\r\n 1.50 ,5" pipe')).toEqual([
      [2, { id: '007', text: '=SUM(A1)' }],
      [4, { id: '', text: 'say "no"' }],
      [5, { id: ' 1.50 ', text: '5" pipe' }],
    ])
  })

  it('takes commas, semicolons or tabs, whichever the header has', async () => {
    expect(await rows('a;"b,c"\n1;2,3\n')).toEqual([[2, { a: '1', 'b,c': '2,3' }]])
    expect(await rows('a\tb\n1,5\t2\n')).toEqual([[2, { a: '1,5', b: '2' }]])
    expect(await rows('a,b\n1,5\n', 'rows.tsv')).toEqual([[2, { 'a,b': '1,5' }]])
    expect(await rows('prompt\tcompletion\nx\ty\n', 'rows.txt')).toEqual([[2, { prompt: 'x', completion: 'y' }]])
    expect(await rows('text\nOne.\n""\n')).toEqual([
      [2, { text: 'One.' }],
      [3, { text: '' }],
    ])
  })

  it('has no rows where there is only a header, or nothing', async () => {
    expect(await rows('a,b\n')).toEqual([])
    expect(await rows('')).toEqual([])
  })

  it('takes __proto__ and numbers as names of columns, in their order', async () => {
    expect(await rows('b,__proto__,10\n1,2,3\n')).toEqual([
      [
        2,
        [
          ['b', '1'],
          ['__proto__', '2'],
          ['10', '3'],
        ],
      ],
    ])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('refuses by file and line what is no whole row', async () => {
    const ragged = 'got 3 columns where its header has 2 (a, b); put a value with a delimiter into quotes'
    expect(await said('a,b\n1,"x\ny"\n1,2,3\n')).toBe(`:4, ${ragged}`)
    expect(await said('a,b\n1\n')).toContain(':2, got 1 columns where')
    expect(await said('a,b\n1,"2\n3,4\n')).toBe(
      ':2, got a quote that nothing closes; close it, or write two quotes for one',
    )
    expect(await said('a,b\n"1"x,2\n')).toContain(':2, got a closing quote with more behind it')
    expect(await said('a,b\n1,2\0\n')).toContain(':2, got null characters')
    expect(await said('a,b,a\n1,2,3\n')).toBe(':1; rename one of them')
    expect(await said('a,b\r1,2\r')).toContain(':1, got carriage returns alone')
    expect(await said(Buffer.from('a,b\n1,2\n3,\xff\n', 'latin1'))).toBe(':3; convert the file to UTF-8')
    expect(await said(Buffer.concat([Buffer.from('a,b\n1,'), Buffer.from('é').subarray(0, 1)]))).toContain(
      ':2; convert',
    )
  })

  it('leaves bad rows out where it is told to, and goes on behind them', async () => {
    const bad: DataError[] = []
    const content = 'a,b\n1,2\n3\n4,5,6\n"7"x,"8\n9,10\n11,\0\n12,13\n'
    expect(await rows(content, 'rows.csv', bad)).toEqual([
      [2, { a: '1', b: '2' }],
      [6, { a: '9', b: '10' }],
      [8, { a: '12', b: '13' }],
    ])
    expect(bad.map(({ row }) => row)).toEqual([3, 4, 5, 7])
    // Nobody knows how many rows an open quote has taken with it.
    await expect(rows('a\n"1\n2\n', 'rows.csv', bad)).rejects.toThrow('a quote that nothing closes')
  })

  it('reads a row that many pieces share', async () => {
    const long = `${'x'.repeat(400_000)}\n""${'é'.repeat(200_000)}`
    const [first, second] = (await rows(`a,b\n1,"${long}"\n2,3\n`)) as [number, { a: string; b: string }][]
    expect(first?.[1].b).toBe(long.replace('""', '"'))
    expect(second).toEqual([4, { a: '2', b: '3' }])
  })
})

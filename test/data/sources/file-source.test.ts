/** @file Rows of several files: their order, what is told while they are read, what each was, and the check before. */

import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openSource } from '../../../src/data/sources/open-source.js'
import type { RowSource, SourceRow } from '../../../src/data/sources/row-source.js'
import { allRows, readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

async function read(source: RowSource, context = readContext()): Promise<SourceRow[]> {
  const rows: SourceRow[] = []
  for await (const row of source.rows(context)) rows.push(row)
  return rows
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

describe('the source of files', () => {
  it('reads one file after the other, each row with its file', async () => {
    const lines = await file('b.jsonl', '{"text":"a"}\n\n{"text":"b"}\n')
    const array = await file('a.json', '[{"text":"c"},\n{"text":"d"}]')
    const rows = await read(openSource([lines, array]))
    expect(rows).toEqual([
      { value: { text: 'a' }, origin: { file: lines, line: 1 } },
      { value: { text: 'b' }, origin: { file: lines, line: 3 } },
      { value: { text: 'c' }, origin: { file: array, row: 1 } },
      { value: { text: 'd' }, origin: { file: array, row: 2 } },
    ])
  })

  it('tells of every file its size, its number of rows and the hash of all of its bytes, each time it is read', async () => {
    const marked = `\ufeff${'{"text": "0123456789"}\n'.repeat(30_000)}\n`
    const paths = [await file('marked.jsonl', marked), await file('empty.jsonl', ''), await file('blank.json', ' \n')]
    const source = openSource(paths)
    for (let time = 0; time < 2; time++) {
      const context = readContext()
      expect((await read(source, context)).length).toBe(30_000)
      expect(context.lineage).toEqual([
        { location: paths[0], rows: 30_000, size: Buffer.byteLength(marked), sha256: sha256(marked) },
        { location: paths[1], rows: 0, size: 0, sha256: sha256('') },
        { location: paths[2], rows: 0, size: 2, sha256: sha256(' \n') },
      ])
    }
  })

  it('tells the share that has been read by the bytes of all files', async () => {
    const row = '{"text": "0123456789"}\n'
    const paths = [await file('c.jsonl', row.repeat(30_000)), await file('d.jsonl', row.repeat(10_000))]
    const context = readContext()
    await read(openSource(paths), context)
    const shares = [262_144, 524_288, 690_000, 920_000].map((bytes) => bytes / 920_000)
    expect(context.fractions).toEqual(shares)
  })

  it('lets each file have a form of its own', async () => {
    const texts = await file('texts.jsonl', '{"text":"a"}\n')
    const answers = await file('answers.jsonl', '{"prompt":"a","completion":"b"}\n')
    expect((await allRows([texts, answers, texts])).map(({ form }) => form)).toEqual(['text', 'completion', 'text'])
  })

  it('opens nothing before it is asked, and finds the files anew each time', async () => {
    const late = join(folder, 'late.jsonl')
    const source = openSource(late)
    await expect(read(source)).rejects.toThrow('which does not exist')
    await file('late.jsonl', '{"text":"a"}\n')
    expect((await read(source)).length).toBe(1)
  })
})

describe('the check of files', () => {
  const checked = async (path: string | string[]): Promise<string> =>
    await (openSource(path).check?.() ?? Promise.resolve()).then(
      () => 'fine',
      (error: Error) => error.message,
    )

  it('finds what cannot be read without reading rows: what is missing, is no file or has another format', async () => {
    const good = await file('good.jsonl', '{"text":"a"}\nno JSON at all')
    expect(await checked(good)).toBe('fine')
    expect(await checked(await file('nothing.jsonl', ''))).toBe('fine')
    expect(await checked([good, join(folder, 'none.jsonl')])).toContain('none.jsonl, which does not exist')
    expect(await checked(join(folder, '*.orc'))).toContain('got no match')
    const orc = await file('rows.orc', 'ORC')
    expect(await checked([good, orc])).toContain(
      `in ${orc}, got an ORC file; write its rows to a .jsonl file, one JSON ` +
        "object per line: pandas.DataFrame.to_json(path, orient='records', lines=True) and DuckDB's COPY do it",
    )
    const pages = await file('page.jsonl', '<!DOCTYPE html>')
    expect(await checked(pages)).toContain('got a web page')
  })

  it('looks into a file beyond white space of any length', async () => {
    const blank = ' '.repeat(300_000)
    const far = await file('far.jsonl', `${blank}{"text":"a"}`)
    expect([await checked(far), (await allRows(far)).length]).toEqual(['fine', 1])
    expect((await allRows(await file('far.json', `${blank}[{"text":"a"}]`))).map(({ form }) => form)).toEqual(['text'])
  })

  it('ends with the reason of the signal', async () => {
    const path = await file('stop.jsonl', '{"text":"a"}\n')
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(openSource(path).check?.(signal)).rejects.toThrow('enough')
  })

  it('closes every file, also those that it refuses', async () => {
    await mkdir(join(folder, 'many'))
    for (let i = 0; i < 20; i++) await file(`many/${i}.jsonl`, i % 2 ? 'PAR1' : '{"text":"a"}')
    const descriptors = async () => (await import('node:fs/promises')).readdir('/proc/self/fd')
    const before = (await descriptors()).length
    for (let i = 0; i < 20; i++) await checked(join(folder, `many/${i}.jsonl`))
    expect((await descriptors()).length).toBeLessThanOrEqual(before)
    await rm(join(folder, 'many'), { recursive: true })
  })
})

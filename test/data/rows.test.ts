/** @file Reading rows from files and iterables: where each stands, and what is refused. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DataRow } from '../../src/data/row-forms.js'
import { allRows as all, readContext, rowsOf } from '../support/read-rows.js'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-rows-'))
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, content)
  return path
}

const texts = (rows: readonly DataRow[]) => rows.map((row) => (row.form === 'text' ? row.text : row.form))

describe('readRows from files', () => {
  it('reads JSON Lines with byte order mark, blank lines, CRLF and no last line break, counting lines', async () => {
    const path = await file(
      'odd.jsonl',
      '\uFEFF\r\n{"text":"a"}\r\n\n  {"text":"b\u2028c"}  \n\r\n{"text":"\u{1f680}"}',
    )
    const rows = await all(path)
    expect(texts(rows)).toEqual(['a', 'b\u2028c', '\u{1f680}'])
    expect(rows.map((row) => row.origin)).toEqual([2, 4, 6].map((line) => ({ file: path, line })))
  })

  it('reads lines and characters that cross the chunks of reading', async () => {
    const long = '\u00e9'.repeat(150_001)
    const path = await file('long.jsonl', `${JSON.stringify({ text: long })}\n`.repeat(3))
    expect(texts(await all(path))).toEqual([long, long, long])
  })

  it('reads a JSON array, whatever the ending of its name', async () => {
    const path = await file('array.json', '\uFEFF\n [\n{"text":"a"},\n{"text":"b"}\n]\n')
    const rows = await all(path)
    expect(texts(rows)).toEqual(['a', 'b'])
    expect(rows[1]?.origin).toEqual({ file: path, row: 2 })
  })

  it('names file and line of what is not JSON or not UTF-8', async () => {
    const broken = await file('broken.jsonl', '{"text":"a"}\n\n{"text":\n')
    await expect(all(broken)).rejects.toThrow(`[data] expected one JSON object per line, got in ${broken}:3`)
    const pretty = await file('pretty.json', '{\n  "text": "a"\n}')
    await expect(all(pretty)).rejects.toThrow(/pretty\.json:1: .*; one row is one line, unless/)
    const latin = await file(
      'latin.jsonl',
      Uint8Array.from([...Buffer.from('{"text":"a"}\n{"text":"'), 0xe9, 0x22, 0x7d]),
    )
    await expect(all(latin)).rejects.toThrow(`[data] expected UTF-8 text, got other bytes in ${latin}:2`)
    const cut = await file('cut.json', '[{"text":"a"},\n{"text":"b"')
    await expect(all(cut)).rejects.toThrow(`[data] expected a JSON array of rows, got in ${cut}`)
  })

  it('refuses files of other formats, missing files and folders, saying what to do', async () => {
    const orc = await file('train.orc', 'ORC')
    await expect(all(orc)).rejects.toThrow(`in ${orc}, got an ORC file; write its rows to a .jsonl file`)
    await expect(all(join(directory, 'none.jsonl'))).rejects.toThrow('none.jsonl, which does not exist; check the path')
    const empty = join(directory, 'empty')
    await mkdir(empty)
    await expect(all(empty)).rejects.toThrow(`${empty}; it has no files that end in .jsonl, .json`)
  })

  it('refuses two forms in one file, naming both rows', async () => {
    const path = await file('mixed.jsonl', '{"text":"a"}\n{"instruction":"i","output":"o"}\n')
    await expect(all(path)).rejects.toThrow(
      `[data] expected one form of rows in a file, got alpaca in ${path}:2 after text in ${path}:1`,
    )
  })
})

describe('readRows from iterables', () => {
  it('takes arrays, generators and asynchronous ones, and numbers their rows', async () => {
    async function* later() {
      yield { text: 'a' }
      yield { text: 'b' }
    }
    expect(texts(await all([{ text: 'a' }]))).toEqual(['a'])
    expect(texts(await all(new Set([{ text: 'a' }, { text: 'b' }])))).toEqual(['a', 'b'])
    expect((await all(later())).map((row) => row.origin)).toEqual([{ row: 1 }, { row: 2 }])
    await expect(all([{ text: 'a' }, 7 as unknown as object])).rejects.toThrow(
      '[data] expected an object for each row, got 7 in row 2',
    )
  })

  it('stops when asked to', async () => {
    const controller = new AbortController()
    const rows = rowsOf([{ text: 'a' }, { text: 'b' }], {}, readContext(controller.signal))
    await rows.next()
    controller.abort(new Error('enough'))
    await expect(rows.next()).rejects.toThrow('enough')
  })
})

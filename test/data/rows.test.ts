/** @file Reading rows from files and iterables, and recognising their form. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findFiles } from '../../src/data/files.js'
import { type DataRow, recognizeRow, recognizeSteps } from '../../src/data/row-forms.js'
import { type DataSource, readRows } from '../../src/data/rows.js'
import { Turns } from '../../src/turns.js'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-rows-'))
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

async function all(source: DataSource): Promise<DataRow[]> {
  const rows: DataRow[] = []
  for await (const row of readRows(source, recognizeSteps)) rows.push(row)
  return rows
}

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
    expect(rows.map((row) => row.origin)).toEqual([`${path}:2`, `${path}:4`, `${path}:6`])
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
    expect(rows[1]?.origin).toBe(`${path}: row 2`)
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

  it('refuses files of other formats, missing files, folders and addresses, saying what to do', async () => {
    const parquet = await file('train.parquet', 'PAR1')
    await expect(all(parquet)).rejects.toThrow(
      `JSON array in ${parquet}, got a Parquet file; write its rows to a .jsonl file`,
    )
    await expect(all(join(directory, 'none.jsonl'))).rejects.toThrow('none.jsonl, which does not exist; check the path')
    await expect(all(directory)).rejects.toThrow(`got the directory ${directory}; try '${join(directory, '*.jsonl')}'`)
    const empty = join(directory, 'empty')
    await mkdir(empty)
    await expect(all(empty)).rejects.toThrow(`${empty}; it has no files that end in .jsonl or .json`)
    await expect(all('uc://main.default.rows')).rejects.toThrow(
      'got "uc://main.default.rows"; such addresses are not read; download the file',
    )
    await expect(all(5 as unknown as DataSource)).rejects.toThrow(
      'a path, a glob or an iterable of rows for dataset, got 5',
    )
  })

  it('finds the files of a glob in sorted order and takes lists of paths', async () => {
    const folder = join(directory, 'parts')
    await mkdir(join(folder, 'deep', 'er'), { recursive: true })
    for (const name of [
      'b.jsonl',
      'a.jsonl',
      '.hidden.jsonl',
      'a.txt',
      'deep/c.jsonl',
      'deep/er/d.jsonl',
      '[x].jsonl',
    ]) {
      await file(join('parts', name), `{"text":${JSON.stringify(name)}}\n`)
    }
    await symlink(folder, join(folder, 'deep', 'loop'))
    expect(texts(await all(join(folder, '?.jsonl')))).toEqual(['a.jsonl', 'b.jsonl'])
    expect(texts(await all(join(folder, '*.jsonl')))).toEqual(['[x].jsonl', 'a.jsonl', 'b.jsonl'])
    expect(texts(await all(join(folder, '*/*.jsonl')))).toEqual(['deep/c.jsonl'])
    const deep = await findFiles(join(folder, '**', '*.jsonl'))
    expect(deep.map((path) => path.slice(folder.length + 1))).toEqual([
      '[x].jsonl',
      'a.jsonl',
      'b.jsonl',
      'deep/c.jsonl',
      'deep/er/d.jsonl',
    ])
    expect(texts(await all(join(folder, '[x].jsonl')))).toEqual(['[x].jsonl'])
    expect(texts(await all([join(folder, 'b.jsonl'), join(folder, 'a*')])).slice(0, 2)).toEqual(['b.jsonl', 'a.jsonl'])
    await expect(all(join(folder, '*.csv'))).rejects.toThrow('got no match; check the folder and the ending')
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
    expect((await all(later())).map((row) => row.origin)).toEqual(['row 1', 'row 2'])
    await expect(all([{ text: 'a' }, 7 as unknown as object])).rejects.toThrow(
      '[data] expected an object for each row, got 7 in row 2',
    )
  })

  it('stops when asked to', async () => {
    const controller = new AbortController()
    const rows = readRows([{ text: 'a' }, { text: 'b' }], recognizeSteps, new Turns(controller.signal))
    await rows.next()
    controller.abort(new Error('enough'))
    await expect(rows.next()).rejects.toThrow('enough')
  })
})

describe('recognizeRow', () => {
  const messages = [{ role: 'user', content: 'Hi' }]

  it('knows each form by its columns and ignores others', () => {
    const form = (row: object) => recognizeRow(row, 'row 1').form
    expect(form({ messages, source: 'x' })).toBe('messages')
    expect(form({ prompt: 'p', completion: 'c' })).toBe('completion')
    expect(form({ prompt: messages, completion: [{ role: 'assistant', content: 'c' }] })).toBe('conversation')
    expect(form({ instruction: 'i', input: '', output: 'o', text: 'all of it' })).toBe('alpaca')
    expect(form({ text: 't', messages: null })).toBe('text')
  })

  it('treats a missing and a null Alpaca input as empty', () => {
    for (const row of [
      { instruction: 'i', output: 'o' },
      { instruction: 'i', input: null, output: 'o' },
    ]) {
      expect(recognizeRow(row, 'row 1')).toEqual({
        origin: 'row 1',
        form: 'alpaca',
        instruction: 'i',
        input: '',
        output: 'o',
      })
    }
  })

  it('keeps tools and template variables', () => {
    const row = { messages, tools: [{ name: 'add' }], chat_template_kwargs: { enable_thinking: false } }
    expect(recognizeRow(row, 'row 1')).toMatchObject({
      tools: [{ name: 'add' }],
      variables: { enable_thinking: false },
    })
    expect(() => recognizeRow({ messages, tools: { name: 'add' } }, 'row 1')).toThrow(
      '[data] expected a list for tools in row 1, got {name}',
    )
  })

  it('names the row and the columns found where none fit', () => {
    expect(() => recognizeRow({ question: 'q', answer: 'a' }, 'train.jsonl:17')).toThrow(
      '[data] expected the columns messages, conversations, prompt and completion, instruction and output, or text in ' +
        'train.jsonl:17, got question, answer; rename or convert the columns',
    )
    expect(() => recognizeRow({ prompt: 'p', completion: null }, 'row 3')).toThrow(
      'got prompt, completion (null: completion)',
    )
    expect(() => recognizeRow({}, 'row 3')).toThrow('in row 3, got no columns')
  })

  it('names the row and the column of a wrong type', () => {
    const fail = (row: object, text: string) => expect(() => recognizeRow(row, 'row 9')).toThrow(text)
    fail({ text: 5 }, '[data] expected a text for text in row 9, got 5')
    fail({ messages: [] }, '[data] expected a list of messages for messages in row 9, got []')
    fail({ messages: [{ content: 'x' }] }, 'expected { role, content } with a text for role for messages[0] in row 9')
    fail({ messages: [null] }, 'for messages[0] in row 9, got null')
    fail(
      { messages: [{ role: 'user', content: 5 }] },
      'expected a text or a list of parts for messages[0].content in row 9, got 5',
    )
    fail(
      { prompt: 'p', completion: messages },
      'expected two texts or two lists of messages for prompt and completion in row 9',
    )
    fail({ instruction: 'i', output: 'o', input: 3 }, 'expected a text for input in row 9, got 3')
  })
})

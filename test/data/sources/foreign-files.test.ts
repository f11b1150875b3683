/** @file Files given for rows that are none: each is called by its name, and what is nearly JSON gets a hint. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { foreignKind, isTable } from '../../../src/data/sources/foreign-files.js'
import { rowsOf } from '../../support/read-rows.js'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-kinds-'))
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

const ROW = '{"prompt": "a", "completion": "b"}'
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

/** What reading a file named `rows.jsonl` says behind its path, or the number of its rows. */
async function said(content: string | Uint8Array): Promise<string | number> {
  const path = join(directory, 'rows.jsonl')
  await writeFile(path, content)
  let rows = 0
  try {
    for await (const _ of rowsOf(path)) rows++
    return rows
  } catch (error) {
    const { message } = error as Error
    expect(message.startsWith('[data] expected ')).toBe(true)
    return message.slice(message.indexOf(path) + path.length)
  }
}

describe('a file that is no JSON', () => {
  it.each<[string, string | Uint8Array, string]>([
    ['ORC', latin('ORC\x15\x04\x15\xff'), ', got an ORC file; write its rows to a .jsonl file'],
    ['encrypted Parquet', latin('PARE\x15\x04\x15\xff'), ', got an encrypted Parquet file; write its rows'],
    ['Feather of version 1', latin('FEA1\0\0\0\0'), ', got a Feather file of version 1; write its rows'],
    ['gzip within gzip', gzipSync(gzipSync(ROW)), ', got gzip within gzip; unpack it (gunzip -k FILE)'],
    ['an archive within gzip', gzipSync('BZh91AY&SY'), ', got a bzip2 archive; unpack it'],
    ['bzip2', latin('BZh91AY&SY'), ', got a bzip2 archive; unpack it'],
    ['xz', latin('\xfd7zXZ\0\0\x04'), ', got an xz archive; unpack it'],
    ['zip', latin('PK\x03\x04\x14\0'), ', got a zip archive or an office document; unpack it, or export'],
    ['tar', `rows.jsonl${'\0'.repeat(247)}ustar\x0000${'\0'.repeat(248)}`, ', got a tar archive; unpack it'],
    ['SQLite', latin('SQLite format 3\0\x10\0'), ', got an SQLite database; write its rows'],
    ['a pickle', latin('\x80\x04\x95\x0b\0\0'), ', got a Python pickle; write its rows'],
    ['weights', latin('\x40\0\0\0\0\0\0\0{"a":{}}'), ', got a safetensors file of weights; give the file of the rows'],
    ['a model', latin('GGUF\x03\0\0\0'), ', got a GGUF model; give it as the model'],
    ['PDF', latin('%PDF-1.7\n%\xd0\xd4'), ', got a PDF document; extract its text'],
    ['an image', latin('\x89PNG\r\n\x1a\n'), ', got an image; give the file of the rows'],
    ['UTF-16', Buffer.from(`\ufeff${ROW}\n`, 'utf16le'), ', got text in UTF-16; save it as UTF-8 (iconv -f UTF-16'],
    ['UTF-16 without a mark', Buffer.from(`${ROW}\n`, 'utf16le'), ', got text in UTF-16LE; save it as UTF-8'],
    ['UTF-16BE', Buffer.from(`${ROW}\n`, 'utf16le').swap16(), ', got text in UTF-16BE; save it as UTF-8'],
    ['UTF-32', latin('\xff\xfe\0\0{\0\0\0'), ', got text in UTF-32; save it as UTF-8'],
    ['nulls', Buffer.alloc(9000), ', got null bytes; the file was damaged'],
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n',
      ', got a pointer of Git LFS, which stands for a file that was not fetched; fetch it with git lfs pull',
    ],
    [
      'a web page',
      '\n<!DOCTYPE html>\n<html>',
      ', got a web page, as a login or a wrong address gives it; download the',
    ],
    ['a web page without a type', '<html lang="en">', ', got a web page'],
    ['XML', '<?xml version="1.0"?><rows/>', ', got XML; write its rows'],
    ['YAML', '---\n- prompt: a\n', ', got YAML; write its rows'],
    ['a comment', `// rows\n${ROW}\n`, ', got a comment, as JSON5, JSONC, YAML or Markdown have them; JSON has none'],
    ['a block comment', `/* rows */ ${ROW}\n`, ', got a comment'],
    ['a merge', `<<<<<<< HEAD\n${ROW}\n`, ', got the marks of a merge in Git; settle the conflict'],
    [
      'ChatML',
      '<|im_start|>user\nhi<|im_end|>\n',
      ", got text in a chat template's own form; write each conversation as",
    ],
    [
      'prose',
      'Once upon a time.\n',
      ', got text that is no JSON; write each text as one line, {"text": "..."} in JSON',
    ],
  ])('is called by its name: %s', async (_, content, wanted) => {
    expect(await said(content)).toEqual(expect.stringContaining(wanted))
  })

  it('is read as JSON where it begins as JSON, whatever its name says', async () => {
    for (const name of ['rows.csv', 'rows.parquet', 'rows.txt']) {
      for (const text of [ROW, ` \n[${ROW}]`, `\ufeff${ROW}`, '[\n  {', '[]', '[1,2]', '', '\n'])
        expect([foreignKind(Buffer.from(text)), isTable(Buffer.from(text), name)]).toEqual([undefined, false])
    }
    // A header of one column, which programs write that put all cells in quotes.
    for (const text of ['"a"', '1'])
      for (const name of ['rows.csv', 'rows.parquet'])
        expect([foreignKind(Buffer.from(text)), isTable(Buffer.from(text), name)]).toEqual([
          undefined,
          name === 'rows.csv',
        ])
    expect(await said(`${ROW}\n${ROW}`)).toBe(2)
    expect(await said(`[\n${ROW},\n${ROW}\n]\n`)).toBe(2)
  })

  it('is a table of text by its name or its header, where nothing says that it is something else', () => {
    const tables = ['prompt,completion\r\na,b\r\n', '\ufeff"prompt","the completion"\n', 'frage;antwort\n', 'a\tb\n']
    for (const text of tables) expect(isTable(Buffer.from(text), 'rows.txt')).toBe(true)
    expect(isTable(Buffer.from('12;13\n'), 'numbers.csv')).toBe(true)
    expect(isTable(Buffer.from('text\n'), 'rows.csv')).toBe(true)
    for (const text of ['ORC', '<html>', 'version https://git-lfs.github.com/spec/v1', 'prose, and more', '']) {
      expect(isTable(Buffer.from(text), 'rows.txt')).toBe(false)
      if (!text.startsWith('prose')) expect(isTable(Buffer.from(text), 'rows.csv')).toBe(false)
    }
  })
})

describe('a line that is nearly JSON', () => {
  it.each([
    [
      'a comma behind the row',
      `${ROW},\n${ROW}\n`,
      ':1: expected nothing after the value, got ","',
      'remove the comma behind',
    ],
    ['a comma before the end', '{"prompt": "a",}', 'got "}" at column 16', 'remove the comma before it'],
    ['two rows on a line', `${ROW} ${ROW}`, 'expected nothing after the value', 'put each row on a line of its own'],
    [
      'carriage returns alone',
      `${ROW}\r${ROW}\r`,
      'expected nothing after the value',
      'its lines end with a carriage return alone',
    ],
    ['NaN', '{"prompt": "a", "x": NaN}', 'got "NaN}"', 'JSON has no NaN or Infinity; write null'],
    [
      'None',
      '{"prompt": "a", "x": None}',
      'got "None}"',
      "this is Python's notation, not JSON; write rows with json.dumps",
    ],
    ['single quotes', `${ROW}\n{'prompt': 'a'}`, ':2: expected a key in quotes', "this is Python's notation"],
    [
      'bare keys',
      '{prompt: "a"}',
      'expected a key in quotes',
      'this is JSON5 or JavaScript; JSON has keys in double quotes',
    ],
    [
      'typographic quotes',
      '{“prompt”: “a”}',
      'expected a key in quotes',
      'these are typographic quotes; JSON has " alone',
    ],
    ['a comment', `${ROW}\n// more\n${ROW}`, ':2: expected a JSON value', 'JSON has no comments; remove them'],
    ['a merge', `${ROW}\n=======\n${ROW}`, ':2: expected a JSON value', 'these are the marks of a merge in Git'],
    [
      'nulls at the end',
      `${ROW}\n${'\0'.repeat(50)}`,
      ':2: expected a JSON value',
      'the file has null bytes, as after a full disk',
    ],
    ['a Windows path', '{"prompt": "C:\\users"}', 'expected a string with valid escapes', 'write \\\\ for a backslash'],
    [
      'a bare tab',
      '{"prompt": "a\tb"}',
      'no control character within a string',
      'write \\n for a line break and \\t for a tab',
    ],
    [
      'a row on several lines',
      JSON.stringify({ prompt: 'a' }, null, 2),
      'the end of the text',
      'one row is one line, unless',
    ],
    [
      'a cut row',
      `${ROW}\n${ROW.slice(0, 20)}`,
      ':2: expected a closing quote',
      'where it is the last one, the file was cut',
    ],
    ['a cut array', `[${ROW},\n${ROW.slice(0, 9)}`, ':2: the end of the file within the array', 'the file was cut'],
    ['a comma before the end of an array', `[${ROW},]`, ':1: nothing before a comma or the end', 'remove the comma'],
  ])('gets a hint: %s', async (_, content, error, hint) => {
    const message = await said(content)
    expect(message).toEqual(expect.stringContaining(error))
    expect(message).toEqual(expect.stringContaining(`; ${hint}`))
  })
})

describe('rows that are wrapped', () => {
  it('are told from rows with other columns', async () => {
    const row = { prompt: 'a', completion: 'b' }
    const wrapped = JSON.stringify({ version: 1, data: [row, row] })
    expect(await said(wrapped)).toContain(
      'got version, data; where "data" holds the rows, write that list alone into the file',
    )
    expect(await said(JSON.stringify({ 0: row, 1: row }))).toContain(
      'where its values are the rows, write them as a JSON array',
    )
    expect(await said(JSON.stringify({ prompt: ['a', 'b'], completion: ['c', 'd'] }))).toContain(
      ':1, got lists of strings under prompt, completion, as tables by columns have them; write one object per row',
    )
    expect(await said(JSON.stringify({ dialog: [{ role: 'user', content: 'a' }] }))).toContain(
      "; rename the columns, or map them, as with columns: { prompt: 'question', completion: 'answer' } (--set training.columns.prompt=question)",
    )
  })
})

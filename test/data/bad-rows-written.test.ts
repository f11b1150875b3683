/** @file Rows that are odd or wrong, written in every format: they read back equal, or are refused with their row. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { openSource } from '../../src/data/sources/open-source.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { cases } from '../support/long.js'
import { readContext } from '../support/read-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
let files = 0

const FORMATS = ['jsonl', 'csv', 'parquet', 'arrow', 'delta'] as const
type Format = (typeof FORMATS)[number]

async function write(rows: object[], format: Format): Promise<string> {
  const path = join(folder, `rows-${files++}.${format}`)
  if (format === 'delta') await writeDelta(rows, path)
  else await writeRows(rows, path)
  return path
}

/** Entries of each row: an object would hide a column that is called __proto__. */
async function read(path: string): Promise<[string, unknown][][]> {
  const rows: [string, unknown][][] = []
  for await (const { value } of openSource(path).rows(readContext()))
    rows.push(value instanceof Map ? ([...value] as [string, unknown][]) : Object.entries(value as object))
  return rows
}

const TEXTS = [
  '\ufeffa',
  'a\r\nb\rc\n',
  '"',
  '""',
  ',',
  ' ',
  '\t',
  '\u2028',
  '=1+1',
  '@x',
  "'",
  '007',
  'null',
  '\ud83d\ude00',
]

describe.each(FORMATS)('rows in %s', (format) => {
  it('keep byte order marks, CR LF, quotes, blanks and what looks like a formula, in cells and in names', async () => {
    const rows = TEXTS.map((text, row) => ({ text, row: String(row) }))
    expect(await read(await write(rows, format))).toEqual(rows.map(Object.entries))
    const names = JSON.parse('{"__proto__": "p", "constructor": "c", "a,b\\"\\n": "d", "a.b": "e", "": "f"}') as object
    expect(await read(await write([names, { '': 'x' }], format))).toEqual(
      format === 'jsonl'
        ? [Object.entries(names), [['', 'x']]]
        : [Object.entries(names), Object.keys(names).map((name) => [name, name === '' ? 'x' : emptyOf(format)])],
    )
    expect(await read(await write([{ '': 'x' }], format))).toEqual([[['', 'x']]])
  })

  it('keep a text of megabytes', async () => {
    const text = 'long, "text" \u{1f600}\n'.repeat(cases(1 << 16, 6 << 20))
    const [row] = await read(await write([{ text, other: 'x' }], format))
    expect(row?.[0]?.[1] === text).toBe(true)
    expect(row?.[1]).toEqual(['other', 'x'])
  })

  it('keep null characters, or are refused with their row', async () => {
    const rows = [{ text: 'a' }, { text: 'x\0y' }]
    if (format !== 'csv') expect(await read(await write(rows, format))).toEqual(rows.map(Object.entries))
    else {
      await expect(write(rows, format)).rejects.toThrow(
        'expected text without null characters, which CSV has no form of for the column "text" in row 2, got "x\\u0000y"',
      )
      await expect(write([{ 'a\0': 1 }], format)).rejects.toThrow(
        '[data] expected names of columns as text without null',
      )
    }
  })

  it('are refused with the one in the middle that is broken, and leave nothing', async () => {
    const before = await readdir(folder)
    let deep: unknown = 'x'
    for (let level = 0; level < 600; level++) deep = [deep]
    for (const broken of [() => 1, Symbol('x'), deep, new Set([1])]) {
      const rows = [{ a: 1 }, { a: 2 }, { a: broken }, { a: 3 }]
      await expect(write(rows, format), String(broken)).rejects.toThrow(/^\[data\] expected .* in row 3, got /)
    }
    await expect(write([{ a: 1 }, 7 as never], format)).rejects.toThrow(/ in row 2, got 7/)
    expect(await readdir(folder)).toEqual(before)
  })

  it('hold all columns of several schemas, and JSON where types differ', async () => {
    const rows = [{ a: 1 }, { b: { c: 'x' } }, { a: 'text', b: [1] }]
    const found = await read(await write(rows, format))
    const shown = found.map((row) => row.flatMap(([name, value]) => (value === null || value === '' ? [] : [name])))
    expect(shown).toEqual([['a'], ['b'], ['a', 'b']])
  })
})

function emptyOf(format: Format): unknown {
  return format === 'csv' ? '' : null
}

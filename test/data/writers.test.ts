/** @file Rows that are written read back equal, in every format, and a file is whole or not there. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { PythonFloat } from '../../src/lossless-json.js'
import { valuesOf } from '../support/golden-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

const ROWS = Array.from({ length: 5501 }, (_, index) => ({
  id: index % 7 === 0 ? 2n ** 53n + BigInt(index) : index - 5,
  text: index % 5 === 0 ? null : `\ufeffline ${index}\n"quoted", 'é' \u{1f600}`,
  score: index % 2 === 0 ? index / 4 + 0.1 : new PythonFloat(index),
  flag: index % 3 === 0 ? null : index % 3 === 1,
  messages:
    index % 11 === 0
      ? null
      : [
          { role: 'user', content: `question ${index}`, calls: null },
          { role: 'assistant', content: null, calls: index % 2 === 0 ? [] : [{ name: 'f', arguments: { x: index } }] },
        ].slice(0, index % 3),
  mixed: index % 4 === 0 ? `text ${index}` : index % 4 === 1 ? [{ type: 'text' }] : index % 4 === 2 ? {} : null,
}))

describe('written rows', () => {
  it.each(['rows.jsonl', 'rows.parquet'])('read back equal (%s)', async (name) => {
    expect(await writeRows(ROWS, at(name))).toMatchObject({ path: at(name), rows: ROWS.length })
    expect(await valuesOf(at(name))).toEqual(ROWS)
  })

  it('read back equal from Arrow, where values of several types are JSON texts', async () => {
    await writeRows(ROWS, at('rows.arrow'))
    const mixed = (value: unknown): unknown => (value === null ? null : JSON.stringify(value))
    expect(await valuesOf(at('rows.arrow'))).toEqual(ROWS.map((row) => ({ ...row, mixed: mixed(row.mixed) })))
  })

  it('are CSV with a header, where null is an empty cell and formulas stay as they are', async () => {
    const rows = [
      { a: '=1+1', b: 'x,"y"\n', c: 2.5, d: null },
      { a: '', b: ' z', c: null, d: [{ e: 1n }] },
    ]
    await writeRows(rows, at('rows.csv'))
    expect(await readFile(at('rows.csv'), 'utf8')).toBe(
      'a,b,c,d\r\n=1+1,"x,""y""\n",2.5,\r\n""," z",,"[{""e"":1}]"\r\n',
    )
  })

  it('have the columns of all rows, also of rows that can be read only once', async () => {
    async function* once(): AsyncGenerator<object> {
      yield { a: 1 }
      yield { b: [{ c: 'x' }] }
      yield { a: 2.5, b: [{ d: true }] }
    }
    await writeRows(once(), at('once.parquet'))
    expect(await valuesOf(at('once.parquet'))).toEqual([
      { a: new PythonFloat(1), b: null },
      { a: null, b: [{ c: 'x', d: null }] },
      { a: 2.5, b: [{ c: null, d: true }] },
    ])
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([])
  })

  it('leave what was there where a row cannot be written, and name the row', async () => {
    await writeFile(at('old.jsonl'), 'old')
    await expect(writeRows([{ a: 1 }, { a: Number.NaN }], at('old.jsonl'))).rejects.toThrow(
      '[data] expected a value that JSON has in row 2, got NaN',
    )
    await expect(writeRows([{ a: 1 }, { a: () => {} }], at('old.parquet'))).rejects.toMatchObject({ row: 2 })
    expect(await readFile(at('old.jsonl'), 'utf8')).toBe('old')
    expect((await readdir(folder)).filter((name) => name.startsWith('.') || name === 'old.parquet')).toEqual([])
  })

  it('go to formats that are known, by the ending of the path or by name', async () => {
    await expect(writeRows(ROWS, at('rows.txt'))).rejects.toThrow(
      '[data] expected a path that ends in .jsonl, .csv, .parquet, .arrow, or .feather, got',
    )
    await writeRows([{ a: 'x' }], at('named.txt'), { format: 'parquet' })
    expect(await valuesOf(at('named.txt'))).toEqual([{ a: 'x' }])
  })

  it('are converted from one file to another', async () => {
    const fractions: number[] = []
    await writeRows(at('rows.jsonl'), at('copy.parquet'), { onFraction: (fraction) => fractions.push(fraction) })
    expect(await valuesOf(at('copy.parquet'))).toEqual(ROWS)
    expect(fractions.at(-1)).toBe(1)
  })
})

/** @file Rows that are written read back equal, in every format, and a file is whole or not there. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { PythonFloat } from '../../src/lossless-json.js'
import { valuesOf } from '../support/golden-rows.js'
import { isLong } from '../support/long.js'
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

  it.each(['once.parquet', 'once.arrow'])(
    'keep dates, bytes, NaN and -0 of rows that can be read only once (%s)',
    async (name) => {
      const rows = [
        { a: new Date(0), b: new Uint8Array([1, 2]), c: Number.NaN, d: [{ e: 2n ** 60n }] },
        { a: new Date(1e12), b: new Uint8Array(), c: -0, d: [] },
        { a: null, b: null, c: new PythonFloat(2), d: null },
      ]
      async function* once(): AsyncGenerator<object> {
        yield* rows
      }
      await writeRows(once(), at(name))
      const found = await valuesOf(at(name))
      expect(found).toEqual([
        { ...rows[0], a: '1970-01-01T00:00:00Z' },
        { ...rows[1], a: '2001-09-09T01:46:40Z', c: new PythonFloat(-0) },
        rows[2],
      ])
      expect((await readdir(folder)).filter((entry) => entry.includes('.rows'))).toEqual([])
    },
  )

  it('name the row of a program that is wrong, and not the file in which it waits', async () => {
    async function* once(): AsyncGenerator<object> {
      yield { a: 1 }
      yield { a: new Date(Number.NaN) }
      yield { a: new Date(0) }
    }
    await expect(writeRows(once(), at('wrong.parquet'))).rejects.toThrow(
      '[data] expected a value that JSON has for the column "a" in row 2, got NaN',
    )
  })

  it.each(['inherited.parquet', 'inherited.arrow'])(
    'take no field from what every object inherits (%s)',
    async (name) => {
      await writeRows([{ a: { constructor: 2, toString: 't' } }, { a: { x: true } }], at(name))
      const found = (await valuesOf(at(name))) as { a: Map<string, unknown> | object }[]
      expect(found.map(({ a }) => (a instanceof Map ? [...a] : Object.entries(a)))).toEqual([
        [
          ['constructor', 2],
          ['toString', 't'],
          ['x', null],
        ],
        [
          ['constructor', null],
          ['toString', null],
          ['x', true],
        ],
      ])
    },
  )

  it('keep a field that is called __proto__, as JSON', async () => {
    const row = { a: JSON.parse('{"__proto__": {"x": 1}}') as unknown }
    await writeRows([row, { a: { b: 1 } }], at('proto.parquet'))
    await writeRows(at('proto.parquet'), at('proto.jsonl'))
    expect(await readFile(at('proto.jsonl'), 'utf8')).toBe('{"a":{"__proto__":{"x":1}}}\n{"a":{"b":1}}\n')
  })

  it('hold half a pair of surrogates as JSON escapes it, and refuse it where a format has no form of it', async () => {
    await writeRows([{ a: '\ud83d!' }], at('half.jsonl'))
    expect(await readFile(at('half.jsonl'), 'utf8')).toBe('{"a":"\\ud83d!"}\n')
    expect(await valuesOf(at('half.jsonl'))).toEqual([{ a: '\ud83d!' }])
    for (const name of ['half.csv', 'half.parquet', 'half.arrow']) {
      await expect(writeRows([{ a: 'x' }, { a: '\ud83d!' }], at(name))).rejects.toThrow(
        /expected text that UTF-8 has a form of .*in row 2, got half a pair of surrogates/,
      )
    }
  })

  it.each(['jsonl', 'csv', 'parquet', 'arrow'])('refuse what would be lost, with its row (%s)', async (ending) => {
    const circle: { a?: object } = {}
    circle.a = circle
    for (const [value, message] of [
      [new Set([1]), /an object whose fields hold its values .*in row 2, got a Set; make a plain object/],
      [Promise.resolve(1), /in row 2, got a Promise/],
      [circle, /a value of at most 500 levels .*in row 2, got more, as where an object holds itself/],
    ] as const) {
      await expect(writeRows([{ a: null }, { a: value }], at(`lost.${ending}`))).rejects.toThrow(message)
    }
  })

  it('are refused as CSV and Parquet where no row has a column', async () => {
    await expect(writeRows([{}], at('none.csv'))).rejects.toThrow('expected a row with columns in row 1, got an object')
    await expect(writeRows([{}], at('none.parquet'))).rejects.toThrow('[data] expected rows with columns, got none')
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

  it.each(isLong ? ['wider.parquet', 'wider.csv', 'wider.arrow'] : ['wider.parquet'])(
    'have the columns of all rows, also of those behind the first thousand (%s)',
    async (name) => {
      const first = Array.from({ length: 1001 }, (_, id) => ({ id, note: null, tags: [{ a: 'x' }], list: [] }))
      const late = { id: 0.5, note: 3, tags: [{ a: null, b: 1.5 }], list: ['y'], more: 'z' }
      for (const changed of [
        { id: late.id },
        { note: late.note },
        { tags: late.tags },
        { list: late.list },
        { more: late.more },
      ]) {
        const rows = [...first, { ...first[0], ...changed }, { id: 7 }]
        let times = 0
        async function* values(): AsyncGenerator<{ value: object; origin: { row: number } }> {
          times++
          for (const [index, value] of rows.entries()) yield { value, origin: { row: index + 1 } }
        }
        await writeRows({ name: 'rows', rows: values }, at(name))
        expect(times).toBe(4)
        const found = await valuesOf(at(name))
        // Rows that are read only once are looked at as a whole before.
        await writeRows(
          (async function* () {
            yield* rows
          })(),
          at(`once-${name}`),
        )
        expect(await readFile(at(name))).toEqual(await readFile(at(`once-${name}`)))
        expect(found).toHaveLength(rows.length)
      }
    },
  )

  it('are read once behind the first thousand where their columns stay the same', async () => {
    let taken = 0
    async function* values(): AsyncGenerator<{ value: object; origin: { row: number } }> {
      for (let id = 1; id <= 3000; id++) {
        taken++
        // Integers in a column of floats, and fields that are missing, change no column.
        const value = id % 2 === 0 ? { score: id, part: {} } : { score: id + 0.5, part: { a: `${id}` }, text: 'x' }
        yield { value, origin: { row: id } }
      }
    }
    await writeRows({ name: 'rows', rows: values }, at('same.parquet'))
    expect(taken).toBe(4000)
    expect(await valuesOf(at('same.parquet'))).toHaveLength(3000)
  })

  it('are converted from one file to another', async () => {
    const fractions: number[] = []
    await writeRows(at('rows.jsonl'), at('copy.parquet'), { onFraction: (fraction) => fractions.push(fraction) })
    expect(await valuesOf(at('copy.parquet'))).toEqual(ROWS)
    expect(fractions.at(-1)).toBe(1)
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  })
})

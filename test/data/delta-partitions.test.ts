/** @file Delta tables whose rows are divided into partitions: what is written, appended, killed and refused. */

import { spawn } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import type { AddedFile } from '../../src/data/delta/write-files.js'
import { PythonFloat } from '../../src/lossless-json.js'
import { valuesOf } from '../support/golden-rows.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
let tables = 0
const newTable = (): string => join(folder, `table-${tables++}`)

async function addsOf(table: string, version: number): Promise<AddedFile['add'][]> {
  const text = await readFile(join(table, '_delta_log', `${String(version).padStart(20, '0')}.json`), 'utf8')
  const actions = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { add?: AddedFile['add'] })
  return actions.flatMap(({ add }) => add ?? [])
}

const byId = (rows: unknown[]): unknown[] => [...(rows as { id: number }[])].sort((a, b) => a.id - b.id)

describe('partitions of a Delta table', () => {
  it('have files of their own, whatever is in their values, and the rows are read equal', async () => {
    const table = newTable()
    const texts = ['a/b', 'a b', '%2F', '../up', '..', '=', '\u{1f600}é', '\u0000\n"', 'x'.repeat(300), null, 'a:b?#*']
    const rows = texts.map((text, id) => ({ id, text, flag: id % 2 === 0, 'a=b/c': id % 3 === 0 ? null : -id }))
    await writeDelta(rows, table, { partitionBy: ['text', 'a=b/c', 'flag'] })
    expect(byId(await valuesOf(table))).toEqual(rows)
    const adds = await addsOf(table, 0)
    expect(adds).toHaveLength(texts.length)
    const ofNull = adds.find(({ partitionValues }) => partitionValues.text === null)
    expect(ofNull?.partitionValues).toEqual({ text: null, 'a=b/c': null, flag: 'false' })
    expect(ofNull?.path).toMatch(
      /^text=__HIVE_DEFAULT_PARTITION__\/a%253Db%252Fc=__HIVE_DEFAULT_PARTITION__\/flag=false\//,
    )
    // Nothing lies outside of the table.
    for (const { path } of adds) expect((await stat(join(table, decodeURIComponent(path)))).isFile()).toBe(true)
    expect((await readdir(folder)).filter((name) => !name.startsWith('table-'))).toEqual([])
    // What a partition says is not in its files and their statistics.
    expect(JSON.parse(ofNull?.stats ?? '')).toMatchObject({ numRecords: 1, minValues: { id: 9 }, nullCount: { id: 0 } })
  })

  it('are kept by appends, and rows may have values that the table has not seen', async () => {
    const table = newTable()
    await writeDelta([{ id: 0, day: new Date('2024-01-31T01:02:03.5Z'), score: new PythonFloat(2) }], table, {
      partitionBy: ['day', 'score'],
    })
    const more = [
      { id: 1, day: '2024-02-01T00:00:00Z', score: 1e300 },
      { id: 2, day: null, score: -0 },
      { id: 3, day: new Date(0), score: Number.POSITIVE_INFINITY },
    ]
    await writeDelta(more, table, { mode: 'append' })
    expect((await addsOf(table, 1)).map(({ partitionValues }) => partitionValues)).toEqual([
      { day: '2024-02-01 00:00:00', score: '1e+300' },
      { day: null, score: '-0.0' },
      { day: '1970-01-01 00:00:00', score: 'Infinity' },
    ])
    expect(byId(await valuesOf(table))).toEqual([
      { id: 0, day: '2024-01-31T01:02:03.500Z', score: new PythonFloat(2) },
      { id: 1, day: '2024-02-01T00:00:00Z', score: new PythonFloat(1e300) },
      { id: 2, day: null, score: new PythonFloat(-0) },
      { id: 3, day: '1970-01-01T00:00:00Z', score: Number.POSITIVE_INFINITY },
    ])
    await expect(writeDelta(more, table, { mode: 'append', partitionBy: ['id'] })).rejects.toThrow(
      'expected the partitions of the table (day, score) for partitionBy',
    )
    await writeDelta([{ id: 9, text: 'x' }], table, { mode: 'overwrite', partitionBy: ['text'] })
    expect(await valuesOf(table)).toEqual([{ id: 9, text: 'x' }])
  })

  it('take values of the types of other writers, and refuse those that a type does not have', async () => {
    const table = newTable()
    await writeDelta([{ id: 0, part: 'x' }], table, { partitionBy: ['part'] })
    const path = join(table, '_delta_log', `${'0'.padStart(20, '0')}.json`)
    const sound = await readFile(path, 'utf8')
    const append = async (type: string, value: unknown): Promise<unknown> => {
      const changed = sound.replace(
        '\\"name\\":\\"part\\",\\"type\\":\\"string\\"',
        `\\"name\\":\\"part\\",\\"type\\":\\"${type}\\"`,
      )
      await writeFile(path, changed.replace(/\n\{"add".*\n/, '\n'))
      const other = newTable()
      await writeDelta([{ id: 0 }], other)
      await writeFile(
        join(other, '_delta_log', `${'0'.padStart(20, '0')}.json`),
        changed.replace(/\n\{"add".*\n/, '\n'),
      )
      await writeDelta([{ id: 1, part: value }], other, { mode: 'append' })
      return (await addsOf(other, 1))[0]?.partitionValues.part
    }
    expect(await append('date', '2024-02-29')).toBe('2024-02-29')
    expect(await append('date', new Date('2024-02-29T00:00:00Z'))).toBe('2024-02-29')
    expect(await append('decimal(5,2)', '-012.5')).toBe('-12.50')
    expect(await append('timestamp_ntz', '2024-02-29T01:02:03.000001')).toBe('2024-02-29 01:02:03.000001')
    expect(await append('short', -32_768)).toBe('-32768')
    for (const [type, value, message] of [
      ['date', '2023-02-29', 'expected a day such as 2024-01-31 for the column "part" in row 1, got "2023-02-29"'],
      ['decimal(5,2)', '1234', 'expected a number that fits decimal(5,2) for the column "part" in row 1'],
      ['timestamp', '2024-02-29T01:02:03', 'expected a Date, or a text such as 2024-01-31T12:00:00Z for the column'],
      ['short', 32_768, 'expected an integer of 16 bits for the column "part" in row 1, got 32768'],
      ['binary', 'x', 'expected a column of one value a row, other than bytes for the column "part" in'],
    ] as const)
      await expect(append(type, value), type).rejects.toThrow(message)
  })

  it('are refused by name where rows cannot be divided by them, and leave no file behind', async () => {
    const table = newTable()
    const write = (rows: object[], ...partitionBy: string[]): Promise<unknown> =>
      writeDelta(rows, table, { partitionBy })
    await expect(write([{ id: 1, list: [1] }], 'list')).rejects.toThrow('got one of the type array')
    await expect(
      write(
        [
          { id: 1, x: 1 },
          { id: 1, x: 'a' },
        ],
        'x',
      ),
    ).rejects.toThrow('got one of the type several types')
    await expect(write([{ id: 1 }], 'day')).rejects.toThrow('expected a column of the rows (id) for partitionBy')
    await expect(write([{ id: 1 }], 'id')).rejects.toThrow('expected a column that is none of partitionBy')
    await expect(write([{ id: 1, a: 'a' }], 'a', 'a')).rejects.toThrow('expected different columns for partitionBy')
    const rows = [
      { id: 1, a: 'a' },
      { id: 2, a: '' },
    ]
    await expect(write(rows, 'a')).rejects.toThrow(
      'expected a text that is not empty, which a partition cannot tell from null for the column "a" in row 2',
    )
    await expect(stat(join(table, '_delta_log'))).rejects.toThrow('ENOENT')
    const left = await readdir(table, { recursive: true }).catch(() => [])
    expect(left.filter((name) => name.endsWith('.parquet'))).toEqual([])
  })

  it('have the rows of all who append at once, in any order', async () => {
    const table = newTable()
    await writeDelta([{ id: 0, part: 'p0' }], table, { partitionBy: ['part'] })
    const rowsOf = (writer: number): object[] =>
      Array.from({ length: 20 }, (_, index) => ({ id: 1 + writer * 20 + index, part: `p${index % 3}` }))
    await Promise.all([0, 1, 2, 3, 4].map((writer) => writeDelta(rowsOf(writer), table, { mode: 'append' })))
    const found = byId(await valuesOf(table)) as { id: number; part: string }[]
    expect(found).toEqual([{ id: 0, part: 'p0' }, ...[0, 1, 2, 3, 4].flatMap(rowsOf)])
  })

  it('are whole after their writer was killed, and have the rows once when it writes again', async () => {
    const table = newTable()
    await writeDelta([{ id: 0, messages: [{ role: 'user', content: 'hi' }], part: 'p0' }], table, {
      partitionBy: ['part'],
    })
    const script = fileURLToPath(new URL('delta-child.mjs', import.meta.url))
    const run = (delay: number, isKilled: boolean): Promise<void> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [script, table, String(delay), 'parts'], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        child.stdout.once('data', () => isKilled && child.kill('SIGKILL'))
        child.once('close', () => resolve())
      })
    for (const delay of isLong ? [0, 1, 2] : [1]) {
      await run(delay, true)
      expect([1, 20_001]).toContain((await valuesOf(table)).length)
    }
    // Written once: the second finds its transaction.
    for (const again of [0, 1]) await run(again, false)
    const found = byId(await valuesOf(table)) as { id: number; part: string | null }[]
    expect(found.map(({ id }) => id)).toEqual([0, ...Array.from({ length: 20_000 }, (_, index) => 2 + index)])
    expect(found.slice(1).every(({ id, part }) => part === (id % 7 === 0 ? null : `p ${id % 7}`))).toBe(true)
  })
})

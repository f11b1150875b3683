/** @file Rows of Parquet files: those of pyarrow in every codec and form of pages, and what damaged ones say. */

import { createHash } from 'node:crypto'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, it } from 'vitest'
import { DataFile } from '../../../src/data/sources/data-file.js'
import type { DatasetEntry } from '../../../src/data/sources/dataset-entry.js'
import { locatedSource } from '../../../src/data/sources/file-source.js'
import type { LocatedFile } from '../../../src/data/sources/located-file.js'
import { type DataSource, openSource } from '../../../src/data/sources/open-source.js'
import { openParquet } from '../../../src/data/sources/parquet-file.js'
import { Turns } from '../../../src/turns.js'
import { goldenData, goldenRows, valuesOf } from '../../support/golden-rows.js'
import { allRows, readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

async function written(
  name: string,
  ...columns: Parameters<typeof parquetWriteBuffer>[0]['columnData']
): Promise<string> {
  await writeFile(at(name), Buffer.from(parquetWriteBuffer({ columnData: columns })))
  return at(name)
}

describe('a Parquet file', () => {
  it.each(['snappy', 'zstd-v2', 'gzip', 'brotli-plain', 'lz4', 'none-indexed', 'deltas', 'old'])(
    'gives the rows that pyarrow wrote (%s)',
    async (name) => expect(await valuesOf(goldenData(`${name}.parquet`))).toEqual(await goldenRows()),
  )

  it('is known by its content, and its lineage is the hash of the whole file', async () => {
    await copyFile(goldenData('lz4.parquet'), at('rows.jsonl'))
    const context = readContext()
    expect(await valuesOf(at('rows.jsonl'), context)).toHaveLength(60)
    const bytes = await readFile(at('rows.jsonl'))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    expect(context.lineage).toEqual([{ location: at('rows.jsonl'), rows: 60, size: bytes.length, sha256 }])
    expect(context.fractions.at(-1)).toBe(1)
    expect(context.fractions).toEqual([...context.fractions].sort((a, b) => a - b))
  })

  it('becomes rows of a form, their fields that are null left out', async () => {
    const rows = await allRows(goldenData('forms.parquet'))
    expect(rows).toEqual([
      expect.objectContaining({
        form: 'messages',
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      }),
    ])
  })

  it.each<[string, Omit<DatasetEntry, 'path'>, readonly number[], number]>([
    ['numbers of rows', { select: [41_999, 5, 42_000] }, [41_999, 5, 42_000], 3],
    ['a slice', { split: 'train[20100:20103]' }, [20_100, 20_101, 20_102], 1],
    ['a share at the end', { split: 'train[20001:20002]', columns: { text: 'words' } }, [20_001], 1],
    ['numbers of rows beyond the first file', { select: [50_001, 3] }, [50_001, 3], 2],
  ])('is read in the row groups that %s need', async (_, part, expected, groups) => {
    const words = (first: number) => Array.from({ length: 50_000 }, (_, index) => `row ${first + index} of many`)
    const bytes = [0, 50_000].map((first) => {
      const columnData = [{ name: 'words', data: words(first) }]
      return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 5000, codec: 'UNCOMPRESSED' }))
    })
    let read = 0
    const files = bytes.map((content, index): LocatedFile => {
      const remote = {
        size: async () => content.length,
        read: async (start: number, end: number) => {
          read += Math.min(end, content.length) - start
          return content.subarray(start, end)
        },
        async *pieces() {
          yield content.subarray(0, 1024)
        },
      }
      const name = `file-${index}.parquet`
      return { location: name, size: remote.size, open: async (...how) => DataFile.ofRemote(name, remote, ...how) }
    })
    const all = openSource({ path: locatedSource('rows', async () => files), ...part } as DataSource)
    const numbers: number[] = []
    for await (const { value } of all.rows(readContext())) {
      const { words, text = words } =
        value instanceof Map ? Object.fromEntries(value) : (value as Record<string, string>)
      numbers.push(Number(/\d+/.exec(text as string)?.[0]))
    }
    expect(numbers).toEqual(expected)
    // A group has 5,000 rows of 20 bytes and lengths of 4; the footers come on top.
    expect(read).toBeLessThan(groups * 5000 * 25 + 2 * 12_000)
    const whole = bytes.reduce((sum, { length }) => sum + length, 0)
    expect(read).toBeLessThan(whole / 6)
  })

  it('says how many rows it has where one is asked for that it has not', async () => {
    const columnData = [{ name: 'id', data: Array.from({ length: 100 }, (_, index) => index) }]
    await writeFile(at('groups.parquet'), Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 10 })))
    await expect(valuesOf({ path: at('groups.parquet'), select: [3, 100] })).rejects.toThrow(
      'expected the row 100 for select in',
    )
    await expect(valuesOf({ path: at('groups.parquet'), select: [3, 100] })).rejects.toThrow('got 100 rows from 0 on')
  })

  it('is read by pages of its columns: a small one of a large file needs few bytes', async () => {
    const ids = Array.from({ length: 20_000 }, (_, index) => index)
    const path = await written(
      'wide.parquet',
      { name: 'id', data: ids, type: 'INT32' },
      { name: 'text', data: ids.map((id) => `${id} `.repeat(20)), type: 'STRING' },
    )
    const file = await DataFile.open(path)
    let bytes = 0
    const slice = file.slice.bind(file)
    file.slice = (start, end) => {
      bytes += end - start
      return slice(start, end)
    }
    let sum = 0
    for await (const batch of (await openParquet(file)).batches(new Turns(), ['id'])) {
      expect(batch.names).toEqual(['id'])
      for (let index = 0; index < batch.length; index++) sum += batch.columns[0]?.[index] as number
    }
    await file.close()
    expect(sum).toBe((20_000 * 19_999) / 2)
    expect(bytes).toBeLessThan((await readFile(path)).length / 2)
  })

  it('has no rows, or a column that is called __proto__', async () => {
    expect(await valuesOf(await written('empty.parquet', { name: 'text', data: [], type: 'STRING' }))).toEqual([])
    const rows = await valuesOf(await written('proto.parquet', { name: '__proto__', data: ['a'], type: 'STRING' }))
    expect(rows).toEqual([new Map([['__proto__', 'a']])])
  })

  it('is refused with its name where it is cut', async () => {
    const bytes = await readFile(goldenData('snappy.parquet'))
    await writeFile(at('cut.parquet'), bytes.subarray(0, 9000))
    await expect(valuesOf(at('cut.parquet'))).rejects.toThrow(
      `[data] expected the footer of a Parquet file at the end of ${at('cut.parquet')}, got 9000 bytes without it; the ` +
        'file was cut, as by a copy that did not end: get it anew',
    )
  })

  it('is refused where its footer or a page is damaged', async () => {
    const bytes = await readFile(goldenData('snappy.parquet'))
    const footer = Buffer.from(bytes)
    footer.writeUInt32LE(1 << 30, footer.length - 8)
    await writeFile(at('footer.parquet'), footer)
    await expect(valuesOf(at('footer.parquet'))).rejects.toThrow(
      `[data] expected a sound Parquet file in ${at('footer.parquet')}, got a footer of ${1 << 30} bytes in a file of`,
    )
    const page = Buffer.from(bytes)
    page.fill(0xff, 4, 40)
    await writeFile(at('page.parquet'), page)
    await expect(valuesOf(at('page.parquet'))).rejects.toMatchObject({
      code: 'INVALID_DATA',
      file: at('page.parquet'),
      message: expect.stringMatching(/ in row group 1 of 1$/) as string,
    })
  })

  it('is refused where it is encrypted', async () => {
    const bytes = await readFile(goldenData('snappy.parquet'))
    bytes.write('PARE', bytes.length - 4)
    await writeFile(at('secret.parquet'), bytes)
    await expect(valuesOf(at('secret.parquet'))).rejects.toThrow(
      `[data] expected a Parquet file that can be read in ${at('secret.parquet')}, got an encrypted one; write it anew`,
    )
  })

  it('is refused where a text is not UTF-8', async () => {
    const path = await written('latin.parquet', { name: 'text', data: ['aXb'], type: 'STRING' })
    const bytes = await readFile(path)
    for (let place = bytes.indexOf('aXb'); place >= 0; place = bytes.indexOf('aXb')) bytes[place + 1] = 0xff
    await writeFile(path, bytes)
    await expect(valuesOf(path)).rejects.toThrow(`got bytes that are not UTF-8 in a column of texts in`)
  })

  it('is refused where it changes while it is read', async () => {
    await copyFile(goldenData('lz4.parquet'), at('grows.parquet'))
    const read = async (): Promise<void> => {
      for await (const _ of openSource(at('grows.parquet')).rows(readContext()))
        await writeFile(at('grows.parquet'), 'x', { flag: 'a' })
    }
    await expect(read()).rejects.toThrow('to stay as it is while it is read, but it was written to')
  })
})

/** @file Rows of Arrow files, streams and tables: those of pyarrow, and those of apache-arrow in memory. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RecordBatch, RecordBatchReader, Table, tableFromIPC, tableFromJSON } from 'apache-arrow'
import { describe, expect, it } from 'vitest'
import { goldenData, goldenRows, valuesOf } from '../../support/golden-rows.js'
import { readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

describe('Arrow IPC', () => {
  it.each(['none.arrow', 'zstd.arrow', 'lz4.arrow', 'none.arrows', 'zstd.arrows', 'lz4.arrows'])(
    'gives the rows that pyarrow wrote (%s)',
    async (name) => {
      const context = readContext()
      expect(await valuesOf(goldenData(name), context)).toEqual(await goldenRows())
      expect(context.lineage).toMatchObject([{ rows: 60, size: (await readFile(goldenData(name))).length }])
    },
  )

  it('is refused with its name where it is cut or damaged', async () => {
    const bytes = await readFile(goldenData('none.arrow'))
    await writeFile(at('cut.arrow'), bytes.subarray(0, 9000))
    await expect(valuesOf(at('cut.arrow'))).rejects.toThrow(
      `[data] expected the footer of an Arrow file at the end of ${at('cut.arrow')}, got 9000 bytes without it`,
    )
    await writeFile(at('cut.arrows'), bytes.subarray(8, 9000))
    await expect(valuesOf(at('cut.arrows'))).rejects.toThrow(
      `[data] expected a sound Arrow file in ${at('cut.arrows')}, got `,
    )
  })
})

describe('Arrow in memory', () => {
  it('is read as a table, as batches, and as a stream of batches', async () => {
    const table = tableFromIPC(await readFile(goldenData('none.arrow')))
    const rows = await goldenRows()
    expect(await valuesOf(table)).toEqual(rows)
    expect(await valuesOf(table.batches)).toEqual(rows)
    expect(await valuesOf(RecordBatchReader.from(await readFile(goldenData('none.arrows'))))).toEqual(rows)
    expect(await valuesOf(table.slice(13, 41))).toEqual(rows.slice(13, 41))
  })

  it('has columns of dictionaries, and rows that are numbered through all batches', async () => {
    const table = tableFromJSON([{ text: 'a' }, { text: 'b' }, { text: 'a' }])
    expect(await valuesOf(table)).toEqual([{ text: 'a' }, { text: 'b' }, { text: 'a' }])
    const [batch] = table.batches as [RecordBatch]
    const twice = new Table([batch, batch])
    const origins: unknown[] = []
    const { openSource } = await import('../../../src/data/sources/open-source.js')
    for await (const { origin } of openSource(twice).rows(readContext())) origins.push(origin)
    expect(origins).toEqual([1, 2, 3, 4, 5, 6].map((row) => ({ row })))
  })
})

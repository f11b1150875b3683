/** @file Rows of Arrow files, streams and tables: those of pyarrow, and those of apache-arrow in memory. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RecordBatch, RecordBatchReader, Table, tableFromIPC, tableFromJSON, tableToIPC } from 'apache-arrow'
import { describe, expect, it } from 'vitest'
import { floatOf } from '../../../src/arrow/columnar-values.js'
import { decodeFooter } from '../../../src/arrow/messages.js'
import { writeRows } from '../../../src/data/writers/write-rows.js'
import { goldenData, goldenRows, valuesOf } from '../../support/golden-rows.js'
import { isLong } from '../../support/long.js'
import { readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)

/** Row of typed.arrow, as test/golden/data/columnar.py writes it. */
function typedRow(i: number): Record<string, unknown> {
  const row = {
    view: i % 2 === 1 ? 'short' : `a text of more than twelve bytes ${i}`,
    'bytes view': new Uint8Array(i % 3 === 0 ? 20 : 3).fill(i),
    large: `l${i}`,
    'large list': [i, null],
    pair: [i, 255 - i],
    fixed: Uint8Array.of(i, 0, 255),
    half: floatOf(i / 4),
    word: `word ${Math.floor(i / 2)}`,
    words: [`w${i}`, null, `w${i - 1}`],
    decimal: `${i === 0 ? '' : BigInt(i * 125) * 10n ** 37n}`.padStart(1, '0').concat('.0000'),
    seconds: `00:00:0${i}`,
    nanoseconds: `2024-01-01T00:00:00${i === 0 ? '' : `.00000${i}`}`,
    milliseconds: `2024-01-0${1 + i}`,
    nothing: null,
    empty: {},
  }
  const isNull = (index: number): boolean => i % 5 === index % 5 && i % 2 === 1
  return Object.fromEntries(Object.entries(row).map(([name, value], index) => [name, isNull(index) ? null : value]))
}

describe('Arrow IPC', () => {
  it.each(['none.arrow', 'zstd.arrow', 'lz4.arrow', 'none.arrows', 'zstd.arrows', 'lz4.arrows'])(
    'gives the rows that pyarrow wrote (%s)',
    async (name) => {
      const context = readContext()
      expect(await valuesOf(goldenData(name), context)).toEqual(await goldenRows())
      expect(context.lineage).toMatchObject([{ rows: 60, size: (await readFile(goldenData(name))).length }])
    },
  )

  it.each(['typed.arrow', 'typed.arrows'])(
    'gives views, dictionaries that grow, lists of a fixed length and large ones as pyarrow has them (%s)',
    async (name) => {
      const rows = await valuesOf(goldenData(name))
      expect(rows).toEqual(Array.from({ length: 8 }, (_, row) => typedRow(row)))
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

function longBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return bytes
}

describe('Arrow metadata', () => {
  it('takes no more memory and gives no more rows wherever one of its numbers is a huge one', async () => {
    const rows = [
      { text: 'a', numbers: [1] },
      { text: 'c', numbers: [2, 3] },
    ]
    await writeRows(rows, at('numbers.arrow'))
    const table = tableFromIPC(await readFile(at('numbers.arrow')))
    for (const [name, kind] of [
      ['words.arrow', 'file'],
      ['words.arrows', 'stream'],
    ] as const) {
      const sound = tableToIPC(table, kind)
      await writeFile(at(name), sound)
      expect(await valuesOf(at(name))).toEqual(rows)
      let refused = 0
      for (let word = 0; word + 4 <= sound.length; word += isLong ? 1 : 4) {
        for (const number of isLong ? [0x7fffffff, 0xffffffff, 0x10000000, 0x80000000] : [0x7ffffff0]) {
          const bytes = Buffer.from(sound)
          bytes.writeUInt32LE(number, word)
          await writeFile(at(name), bytes)
          const { arrayBuffers } = process.memoryUsage()
          const outcome = await valuesOf(at(name)).catch((error: unknown) => error as Error)
          expect(process.memoryUsage().arrayBuffers - arrayBuffers).toBeLessThan(8 << 20)
          if (Array.isArray(outcome)) expect(outcome.length, `word ${word}`).toBeLessThanOrEqual(2)
          else expect(outcome.message, `word ${word}`).toContain(at(name))
          refused += Array.isArray(outcome) ? 0 : 1
        }
      }
      expect(refused).toBeGreaterThan(100)
    }
  })

  it('is refused where the footer names one batch again and again, and where streams were joined', async () => {
    const bytes = Buffer.from(await readFile(goldenData('none.arrow')))
    const end = bytes.length - 10 - bytes.readInt32LE(bytes.length - 10)
    const { batches } = decodeFooter(bytes.subarray(end, -10))
    // The places of the second and third batch become that of the first, which is the largest.
    const places = batches.map(({ offset }) => bytes.indexOf(longBytes(offset), end))
    for (const place of places.slice(1)) bytes.copy(bytes, place, places[0], (places[0] as number) + 24)
    await writeFile(at('again.arrow'), bytes)
    await expect(valuesOf(at('again.arrow'))).rejects.toThrow('again.arrow, got a footer that names one place again')
    const sound = tableToIPC(tableFromJSON([{ text: 'a' }]), 'stream')
    await writeFile(at('two.arrows'), Buffer.concat([sound, sound]))
    await expect(valuesOf(at('two.arrows'))).rejects.toThrow(
      `${at('two.arrows')}, got bytes behind its end, as where streams were joined`,
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

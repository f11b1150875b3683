/** @file Delta tables on disk: written, appended to by several at once, read at any version, and what is refused. */

import { spawn } from 'node:child_process'
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, it } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { openSource } from '../../src/data/sources/open-source.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { encodeVector, encodeZ85, storeVector } from '../support/delta-vectors.js'
import { valuesOf } from '../support/golden-rows.js'
import { readContext } from '../support/read-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const folder = temporaryDirectory()
let tables = 0
const newTable = (): string => join(folder, `table-${tables++}`)
const rows = (from: number, to: number): { id: number; messages: object[] | null }[] =>
  Array.from({ length: to - from }, (_, index) => ({
    id: from + index,
    messages: (from + index) % 5 === 0 ? null : [{ role: 'user', content: `hi ${from + index}` }],
  }))
const commitPath = (table: string, version: number): string =>
  join(table, '_delta_log', `${String(version).padStart(20, '0')}.json`)

async function actionsOf(table: string, version: number): Promise<Record<string, Record<string, unknown>>[]> {
  const text = await readFile(commitPath(table, version), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line)) as Record<string, Record<string, unknown>>[]
}

async function writeCommit(table: string, version: number, actions: readonly object[]): Promise<void> {
  await writeFile(commitPath(table, version), actions.map((action) => `${JSON.stringify(action)}\n`).join(''))
}

describe('a Delta table', () => {
  it('is written, appended to and replaced, and each version is read', async () => {
    const table = newTable()
    expect(await writeDelta(rows(0, 7), table)).toEqual({ path: table, version: 0, rows: 7 })
    expect(await writeDelta(rows(7, 9), table, { mode: 'append' })).toEqual({ path: table, version: 1, rows: 2 })
    await writeDelta([{ id: 1.5, other: 'x' }], table, { mode: 'overwrite' })
    const context = readContext()
    expect(await valuesOf(table, context)).toEqual([{ id: 1.5, other: 'x' }])
    expect(context.lineage).toMatchObject([{ location: `${table}@v2`, rows: 1 }])
    expect(await valuesOf({ delta: table, version: 1 })).toEqual(rows(0, 9))
    expect(await valuesOf({ delta: table, version: 0 })).toEqual(rows(0, 7))
    await expect(valuesOf({ delta: table, version: 3 })).rejects.toThrow(
      `[data] expected a version from 0 to 2 in ${table}, got version 3`,
    )
    await expect(writeDelta(rows(0, 1), table)).rejects.toThrow('got version 2 of one')
    await expect(writeDelta([{ id: 'x' }], table, { mode: 'append' })).rejects.toThrow(
      '[data] expected a number for the column "id" in row 1, got "x"',
    )
    expect(await valuesOf(table)).toHaveLength(1)
  })

  it('has the rows of all who append at once, and those of a transaction once', async () => {
    const table = newTable()
    await writeDelta(rows(1, 2), table)
    const writers = [2, 3, 4, 5, 6].map((id) => writeDelta(rows(id, id + 1), table, { mode: 'append' }))
    expect((await Promise.all(writers)).map(({ version }) => version).sort()).toEqual([1, 2, 3, 4, 5])
    const transaction = { appId: 'nightly', version: 3 }
    const once = { mode: 'append', transaction } as const
    expect(await writeDelta(rows(7, 8), table, once)).toMatchObject({ version: 6, rows: 1 })
    expect(await writeDelta(rows(7, 8), table, once)).toMatchObject({ version: 6, rows: 0 })
    const ids = ((await valuesOf(table)) as { id: number }[]).map(({ id }) => id)
    expect(ids.sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('leaves out the rows of deletion vectors, within the log and in files, of all kinds of containers', async () => {
    const table = newTable()
    const all = Array.from({ length: 70_000 }, (_, id) => ({ id }))
    await writeDelta(all, table)
    const metaData = (await actionsOf(table, 0)).find((action) => action.metaData)
    const { add } = (await actionsOf(table, 0)).find((action) => action.add !== undefined) as { add: object }
    const features = {
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: ['deletionVectors'],
      writerFeatures: ['deletionVectors'],
    }
    const expectDeleted = async (deleted: readonly number[], place: object): Promise<void> => {
      const deletionVector = { ...place, cardinality: deleted.length }
      await writeCommit(table, 0, [{ protocol: features }, metaData as object, { add: { ...add, deletionVector } }])
      const gone = new Set(deleted)
      const left = ((await valuesOf(table)) as { id: number }[]).map(({ id }) => id)
      expect(left.join() === all.flatMap(({ id }) => (gone.has(id) ? [] : [id])).join()).toBe(true)
    }
    const few = [0, 3, 9, 65_536, 69_999]
    const inline = encodeVector(few)
    await expectDeleted(few, { storageType: 'i', pathOrInlineDv: encodeZ85(inline), sizeInBytes: inline.length })
    const many = Array.from({ length: 6000 }, (_, index) => 2 * index)
    const bits = encodeVector(many)
    const stored = await storeVector(table, bits)
    await expectDeleted(many, { storageType: 'u', pathOrInlineDv: stored.uuid, offset: 1, sizeInBytes: bits.length })
    const long = Array.from({ length: 5000 }, (_, index) => 100 + index)
    const runs = encodeVector(long, { runs: true })
    const { path } = await storeVector(table, runs)
    const place = { storageType: 'p', pathOrInlineDv: `file://${path}`, offset: 1, sizeInBytes: runs.length }
    await expectDeleted(long, place)
    await writeFile(path, Buffer.concat([(await readFile(path)).subarray(0, 30), Buffer.alloc(runs.length)]))
    await expect(valuesOf(table)).rejects.toThrow(
      `[data] expected a deletion vector in ${path}, got bytes with another`,
    )
  })

  it.each(['name', 'id'])(
    'finds its columns by what the log calls them, in structs too (mapping by %s)',
    async (mode) => {
      const table = newTable()
      await writeDelta([{ id: 1 }], table)
      const element = { repetition_type: 'OPTIONAL' } as const
      const bytes = parquetWriteBuffer({
        schema: [
          { name: 'root', num_children: 3 },
          { ...element, name: 'col-1', type: 'BYTE_ARRAY', converted_type: 'UTF8', field_id: 1 },
          { ...element, name: 'col-2', num_children: 1, field_id: 2 },
          { ...element, name: 'col-3', type: 'BYTE_ARRAY', converted_type: 'UTF8', field_id: 3 },
          // A column that was dropped, and is called as another is now.
          { ...element, name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', field_id: 9 },
        ],
        columnData: [
          { name: 'col-1', data: ['a'] },
          { name: 'col-2', data: [{ 'col-3': 'b' }] },
          { name: 'text', data: ['old'] },
        ],
      })
      await writeFile(join(table, 'file.parquet'), Buffer.from(bytes))
      const field = (name: string, type: unknown, id: number): object => {
        const metadata = { 'delta.columnMapping.id': id, 'delta.columnMapping.physicalName': `col-${id}` }
        return { name, type, nullable: true, metadata }
      }
      const inner = { type: 'struct', fields: [field('say', 'string', 3)] }
      const fields = [
        field('text', 'string', 1),
        field('said', inner, 2),
        field('day', 'date', 4),
        field('late', 'long', 5),
      ]
      const metaData = {
        id: 'x',
        schemaString: JSON.stringify({ type: 'struct', fields }),
        partitionColumns: ['day'],
        configuration: { 'delta.columnMapping.mode': mode },
      }
      const partitionValues = { 'col-4': '2024-01-31' }
      const protocol = { minReaderVersion: 2, minWriterVersion: 5 }
      await writeCommit(table, 1, [
        { protocol },
        { metaData },
        { add: { path: 'file.parquet', partitionValues, size: 1 } },
      ])
      const removed = (await actionsOf(table, 0)).find(({ add }) => add) as { add: { path: string } }
      await writeCommit(table, 2, [{ remove: { path: removed.add.path } }])
      expect(await valuesOf(table)).toEqual([{ text: 'a', said: { say: 'b' }, day: '2024-01-31', late: null }])
      await expect(writeDelta([{ text: 'x' }], table, { mode: 'append' })).rejects.toThrow(
        'expected a writer version of 1, 2',
      )
    },
  )

  it('is read from checkpoints of every form where its first commits are gone', async () => {
    const table = newTable()
    await writeDelta(rows(0, 3), table)
    await writeDelta(rows(3, 5), table, { mode: 'append' })
    const log = join(table, '_delta_log')
    const actions = [...(await actionsOf(table, 0)), ...(await actionsOf(table, 1))].filter(
      ({ commitInfo }) => !commitInfo,
    )
    await writeDelta(rows(5, 6), table, { mode: 'append' })
    for (const version of [0, 1]) await rename(commitPath(table, version), join(table, `gone-${version}`))
    await expect(valuesOf(table)).rejects.toThrow('got none for version 0')
    const at = (name: string): string => join(log, `${'1'.padStart(20, '0')}.checkpoint.${name}`)
    const parquet = async (path: string, some: readonly object[]): Promise<void> => {
      await writeRows([...some], path, { format: 'parquet' })
    }
    const classic = at('parquet')
    await parquet(classic, actions)
    expect(await valuesOf(table)).toEqual(rows(0, 6))
    await rename(classic, join(table, 'gone-checkpoint'))
    await parquet(at('0000000001.0000000002.parquet'), actions.slice(0, 2))
    await expect(valuesOf(table)).rejects.toThrow('got none for version 0')
    await parquet(at('0000000002.0000000002.parquet'), actions.slice(2))
    expect(await valuesOf(table)).toHaveLength(6)
    for (const part of ['0000000001.0000000002.parquet', '0000000002.0000000002.parquet'])
      await rename(at(part), join(table, part))
    await parquet(
      join(log, '_sidecars', 'files.parquet'),
      actions.filter(({ add }) => add),
    )
    const others = actions.filter(({ add }) => !add)
    await writeFile(
      at('80a083e8-7026-4e79-81be-64bd76c43a11.json'),
      [...others, { sidecar: { path: 'files.parquet', sizeInBytes: 1, modificationTime: 1 } }]
        .map((action) => JSON.stringify(action))
        .join('\n'),
    )
    expect(await valuesOf(table)).toHaveLength(6)
  })

  it.each([
    [
      { readerFeatures: ['deletionVectors', 'timeCrystals'] },
      'got timeCrystals; write its rows to a table without them',
    ],
    [{ writerFeatures: ['catalogManaged'] }, 'got one that a catalog manages (catalogManaged)'],
    [{ minReaderVersion: 4 }, 'expected a reader version up to 3'],
  ])('is refused by name where it asks for what is not read (%o)', async (protocol, message) => {
    const table = newTable()
    await writeDelta(rows(0, 1), table)
    const [, ...others] = await actionsOf(table, 0)
    const changed = { minReaderVersion: 3, minWriterVersion: 7, ...protocol }
    await writeCommit(table, 0, [...others.filter((action) => !action.protocol), { protocol: changed }])
    await expect(valuesOf(table)).rejects.toThrow(message)
    await expect(openSource(table).check?.()).rejects.toThrow(message)
  })

  it('is whole after its writer was killed, and has the rows once when it is written again', async () => {
    const table = newTable()
    await writeDelta(rows(0, 2), table)
    const script = fileURLToPath(new URL('delta-child.mjs', import.meta.url))
    for (const delay of [0, 2]) {
      const child = spawn(process.execPath, [script, table, String(delay)], { stdio: ['ignore', 'pipe', 'inherit'] })
      await new Promise((resolve) => child.stdout.once('data', resolve))
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('close', resolve))
      expect([2, 2 + 20_000]).toContain((await valuesOf(table)).length)
    }
    const transaction = { appId: 'killed', version: 1 }
    await writeDelta(rows(2, 20_002), table, { mode: 'append', transaction })
    expect(await valuesOf(table)).toHaveLength(20_002)
    const names = await readdir(join(table, '_delta_log'))
    for (const name of names.filter((one) => one.endsWith('.json')))
      for (const line of (await readFile(join(table, '_delta_log', name), 'utf8')).trim().split('\n')) JSON.parse(line)
  })
})

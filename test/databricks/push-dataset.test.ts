/** @file Rows pushed to tables of Unity Catalog, on a loopback workspace. */

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Int32, Table, vectorFromArray } from 'apache-arrow'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { readTable } from '../../src/databricks/client/read-table.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { getTable, listVolumes } from '../../src/databricks/client/unity-catalog.js'
import type { PushDatasetOptions, PushEvent } from '../../src/databricks/push/options.js'
import { pushDataset, pushWith } from '../../src/databricks/push/push-dataset.js'
import { listResources } from '../../src/databricks/resources.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const TABLE = 'main.default.rows'
let workspace: LoopbackWorkspace
let databricks: DatabricksClient
beforeEach(async () => {
  vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
})
afterEach(async () => {
  await workspace.close()
  vi.unstubAllEnvs()
})

const ROWS = [
  { prompt: 'What is rank?', score: 0.5, n: 1 },
  { prompt: "it's `a` \\ test", score: 2, n: 2 },
  { prompt: null, score: -0.25, n: 3 },
]
const push = (rows: Parameters<typeof pushDataset>[0], options: PushDatasetOptions = {}) =>
  pushDataset(rows, TABLE, { databricks, ...options })
const rowsOf = async (name = TABLE): Promise<unknown[]> => {
  const found: unknown[] = []
  for await (const row of (await readTable(name, { databricks })).rows()) found.push(row)
  return found
}
const staged = () => workspace.state.storage.list('Volumes/')
const statements = (): string[] =>
  workspace.requests
    .filter(({ method, path }) => method === 'POST' && path.endsWith('/sql/statements'))
    .map(({ json }) => String((json as { statement?: string }).statement))

test('rows become a table with its comments, tags and lineage, and the files in the volume are gone', async () => {
  const events: PushEvent[] = []
  const pushed = await push(ROWS, {
    comment: "it's \\ a table",
    columnComments: { prompt: "what `one` asks, it's said\nhere" },
    tags: { pii: 'no', "o'wner": 'risk' },
    onProgress: (event) => void events.push(event),
  })
  expect(pushed).toMatchObject({ table: TABLE, rows: 3, files: 1, wasThere: false })
  expect(await rowsOf()).toEqual(ROWS)
  const [table] = (await workspace.state.executor.tables?.()) ?? []
  expect(table).toMatchObject({
    comment: "it's \\ a table",
    tags: { pii: 'no', "o'wner": 'risk' },
    version: pushed.version,
    properties: {
      'lowrank.push': pushed.pushId,
      'lowrank.state': 'complete',
      'lowrank.source_sha256': pushed.sourceSha256,
      'lowrank.version': expect.stringMatching(/^\d+\.\d+\.\d+/),
      'lowrank.source': expect.any(String),
    },
    columns: [
      { name: 'prompt', typeText: 'STRING', comment: "what `one` asks, it's said\nhere" },
      { name: 'score', typeText: 'DOUBLE', comment: undefined },
      { name: 'n', typeText: 'BIGINT', comment: undefined },
    ],
  })
  expect(await staged()).toEqual([])
  const volumes = []
  for await (const volume of listVolumes('main.default', { databricks })) volumes.push(volume.name)
  expect(volumes).toEqual(['lowrank_staging'])
  expect((await listResources()).map(({ kind, id }) => [kind, id])).toEqual([['table', TABLE]])
  expect([...new Set(events.map(({ type }) => type))]).toEqual(expect.arrayContaining(['prepare', 'upload']))
  expect(events.filter((event) => event.type === 'upload').at(-1)).toMatchObject({
    bytes: pushed.bytes,
    totalBytes: pushed.bytes,
  })
})

test('the same rows are appended once, and again under another name', async () => {
  const first = await push(ROWS, { mode: 'append' })
  expect(first.wasThere).toBe(false)
  // The table is new by then, so that COPY INTO would not know the file.
  expect(await push(ROWS, { mode: 'append' })).toMatchObject({ wasThere: true, pushId: first.pushId, version: 1 })
  const more = [{ prompt: 'more', score: 1, n: 4 }]
  expect((await push(more, { mode: 'append' })).wasThere).toBe(false)
  expect((await push(more, { mode: 'append' })).wasThere).toBe(true)
  expect((await push(ROWS, { mode: 'append' })).wasThere).toBe(true)
  expect(await rowsOf()).toEqual([...ROWS, ...more])
  expect((await push(more, { mode: 'append', pushName: 'tuesday' })).wasThere).toBe(false)
  expect(await rowsOf()).toEqual([...ROWS, ...more, ...more])
  expect(await staged()).toEqual([])
})

test.each<[string, object[], unknown[], object?]>([
  ['values of several types', [{ x: 1 }, { x: 'ä' }, { x: [1] }, { x: null }], ['1', '"ä"', '[1]', null]],
  ['the names of what objects inherit', [{ x: 1, constructor: 2 }], [1], { constructor: 2 }],
  ['fields with odd names', [{ x: { 'b c': 1, 'd:e': [{ 'f`g': 2 }] } }], [{ 'b c': 1, 'd:e': [{ 'f`g': 2 }] }]],
])('rows with %s are appended once, too', async (_what, rows, values, more = {}) => {
  expect((await push(rows, { mode: 'append' })).wasThere).toBe(false)
  expect((await push(rows, { mode: 'append' })).wasThere).toBe(true)
  expect((await push(rows, { mode: 'append', pushName: 'again' })).wasThere).toBe(false)
  expect(await rowsOf()).toEqual([...values, ...values].map((x) => ({ x, ...more })))
})

test('a push is the same one however the name of its table is written', async () => {
  const pushed = await push(ROWS, { mode: 'append' })
  const other = await pushDataset(ROWS, 'Main.default.ROWS', { databricks, mode: 'append' })
  expect(other).toMatchObject({ pushId: pushed.pushId, wasThere: true })
})

test('mode error refuses a table that is there, and overwrite replaces its rows and columns in one commit', async () => {
  const before = await push(ROWS, { comment: 'old' })
  await expect(push([{ other: true }])).rejects.toThrow(
    "[databricks] expected no table main.default.rows, got one; give mode 'append'",
  )
  await expect(push(ROWS)).rejects.toThrow('expected no table main.default.rows, got one')
  const sent = statements().length
  const replaced = await push([{ other: true }], { mode: 'overwrite', comment: 'new' })
  expect(statements().slice(sent)).toEqual([
    expect.stringMatching(/^CREATE OR REPLACE TABLE `main`\.`default`\.`rows` COMMENT 'new' /),
    expect.stringMatching(/^DESCRIBE HISTORY /),
  ])
  expect(replaced.version).toBe(before.version + 1)
  expect(await rowsOf()).toEqual([{ other: true }])
  expect(await rowsOf(`${TABLE}@v${before.version}`)).toEqual(ROWS)
  // What replaced it was pushed, but other rows are there now.
  await executeStatement(`insert into ${TABLE} values (false)`, { databricks })
  await push([{ other: true }], { mode: 'overwrite' })
  expect(await rowsOf()).toEqual([{ other: true }])
})

const CHAT = [
  {
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: null },
    ],
    meta: { Source: 'a', n: 1 },
  },
  { messages: [], meta: null },
  { messages: null, meta: { Source: null, n: 2, tags: ['x', 'y'] } },
]
const SEEN = [
  { messages: CHAT[0]?.messages, meta: { Source: 'a', n: 1, tags: null } },
  CHAT[1],
  { messages: null, meta: { Source: null, n: 2, tags: ['x', 'y'] } },
]

test('lists of structs keep their shape, also where the table has its fields in another order', async () => {
  await push(CHAT)
  expect(await rowsOf()).toEqual(SEEN)
  const { columns } = await getTable(TABLE, { databricks })
  expect(columns?.map(({ type_text }) => type_text)).toEqual([
    'array<struct<role:string,content:string>>',
    'struct<Source:string,n:bigint,tags:array<string>>',
  ])
  await executeStatement(
    'create table main.default.turned (id int, meta struct<n: int, source: string, tags: array<string>>, messages array<struct<content: string, extra: double, role: string>>)',
    { databricks },
  )
  await pushDataset(CHAT, 'main.default.turned', { databricks, mode: 'append' })
  expect(await rowsOf('main.default.turned')).toEqual([
    {
      id: null,
      meta: { n: 1, source: 'a', tags: null },
      messages: [
        { content: 'Hi', extra: null, role: 'user' },
        { content: null, extra: null, role: 'assistant' },
      ],
    },
    { id: null, meta: null, messages: [] },
    { id: null, meta: { n: 2, source: null, tags: ['x', 'y'] }, messages: null },
  ])
})

test('rows come from JSON Lines, Parquet, Delta, Arrow and iterables, and their types are those of the table', async () => {
  const folder = temporaryDirectory()
  const path = (name: string): string => join(folder, name)
  writeFileSync(path('rows.jsonl'), ROWS.map((row) => JSON.stringify(row)).join('\n'))
  await writeRows(ROWS, path('rows.parquet'))
  await writeDelta(ROWS, path('delta'))
  const arrow = new Table({
    prompt: vectorFromArray(ROWS.map(({ prompt }) => prompt)),
    score: vectorFromArray(ROWS.map(({ score }) => score)),
    n: vectorFromArray(
      ROWS.map(({ n }) => n),
      new Int32(),
    ),
  })
  const sources = {
    jsonl: path('rows.jsonl'),
    parquet: path('rows.parquet'),
    delta: path('delta'),
    arrow,
    stream: (async function* () {
      yield* ROWS
    })(),
  }
  await executeStatement(`create table ${TABLE} (source string, N smallint, prompt string, score float)`, {
    databricks,
  })
  for (const [name, source] of Object.entries(sources))
    expect(await push(source, { mode: 'append', pushName: name })).toMatchObject({ rows: 3, wasThere: false })
  const wanted = ROWS.map(({ prompt, score, n }) => ({ source: null, N: n, prompt, score }))
  expect(await rowsOf()).toEqual([1, 2, 3, 4, 5].flatMap(() => wanted))
  const sha256 = createHash('sha256')
    .update(readFileSync(path('rows.jsonl')))
    .digest('hex')
  const pushed = await push(path('rows.jsonl'), { mode: 'overwrite' })
  expect(pushed.sourceSha256).toBe(sha256)
  expect((await getTable(TABLE, { databricks })).properties).toMatchObject({
    'lowrank.source': 'rows.jsonl',
    'lowrank.source_sha256': sha256,
  })
})

test('a new table has the types that are asked for, nested ones too', async () => {
  const rows = [{ day: '2026-01-31', price: '12.50', n: 1, at: '2026-01-31T10:00:00Z', list: [{ a: 1 }], rest: 0.5 }]
  const list = 'array<struct<a:int>>'
  await push(rows, { columnTypes: { day: 'DATE', price: 'decimal(10, 2)', n: 'int', at: 'TIMESTAMP', list } })
  const { columns } = await getTable(TABLE, { databricks })
  expect(columns?.map(({ type_text }) => type_text)).toEqual([
    'date',
    'decimal(10,2)',
    'int',
    'timestamp',
    list,
    'double',
  ])
  await push([{ day: '2026-02-01', n: 2 }], { mode: 'append' })
  const result = await executeStatement(`select day, price, n from ${TABLE} order by n`, { databricks })
  const found = []
  for await (const row of result.rows()) found.push(row)
  expect(found).toEqual([
    { day: '2026-01-31', price: '12.50', n: 1 },
    { day: '2026-02-01', price: null, n: 2 },
  ])
  const again = (columnTypes: Record<string, string>) => push(rows, { mode: 'overwrite', columnTypes })
  await expect(again({ dya: 'DATE' })).rejects.toThrow('for columnTypes, got "dya"')
  await expect(again({ n: 'DATE' })).rejects.toThrow(
    'expected DATE for the column "n" of main.default.rows, got BIGINT',
  )
  await expect(again({ n: 'array<' })).rejects.toThrow('expected a type as SQL writes it for the column "n"')
  // Text that is no date fails in the warehouse, and nothing changes.
  await expect(push([{ day: 'tomorrow', n: 3 }], { mode: 'append' })).rejects.toThrow('BAD_REQUEST')
  expect((await staged()).length).toBe(0)
})

test('what does not fit is refused by name before anything is uploaded', async () => {
  await executeStatement(`create table ${TABLE} (prompt string, n int, list array<bigint>, m map<string, int>)`, {
    databricks,
  })
  const before = workspace.requests.length
  const cases: readonly (readonly [object[], string, PushDatasetOptions?])[] = [
    [[{ promt: 'x' }], 'columns of main.default.rows (prompt, n, list, m), got also "promt"; did you mean prompt?'],
    [[{ prompt: 1 }], 'expected STRING for the column "prompt" of main.default.rows, got BIGINT'],
    [[{ n: 0.5 }], 'expected INT for the column "n" of main.default.rows, got DOUBLE'],
    [[{ n: null }, { n: 'one' }], 'expected an integer of 64 bits for the column "n" in row 2, got "one"'],
    [[{ list: [{ a: 1 }] }], 'expected BIGINT for the column "list" of main.default.rows, got STRUCT<`a`: BIGINT>'],
    [[{ m: { a: 1 } }], 'got MAP<STRING, INT>; make the column a struct'],
    [[{ N: 1, n: 2 }], 'names differ in more than case for main.default.rows, got "N" and "n"; rename one'],
    [[{ n: 1 }], 'columns of main.default.rows for columnComments, got "m2"', { columnComments: { m2: 'x' } }],
    [[], 'expected rows with columns for main.default.rows, got none'],
    [[{ n: 1 }], "expected 'append', 'overwrite', 'error' for mode", { mode: 'upsert' as 'append' }],
    [[{ n: 1 }], 'expected CATALOG.SCHEMA.VOLUME for volume, got "files"', { volume: 'files' }],
  ]
  for (const [rows, message, options] of cases)
    await expect(push(rows, { mode: 'append', ...options })).rejects.toThrow(message)
  await expect(pushDataset([{ n: 1 }], `uc://${TABLE}@v3`, { databricks })).rejects.toThrow('leave the version out')
  await expect(push(join(temporaryDirectory(), 'none.jsonl'))).rejects.toThrow('none.jsonl')
  expect(workspace.requests.slice(before).map(({ method }) => method)).not.toContain('PUT')
  expect(statements().length).toBe(1)
  expect(await listResources()).toEqual([])
})

test('many rows go in several files, and names that Delta maps are kept', async () => {
  const rows = Array.from({ length: 30_011 }, (_, index) => ({ 'the id': index, text: `row ${index}` }))
  const pushed = await pushWith(rows, TABLE, { databricks, mode: 'append' }, 100_000)
  expect(pushed.files).toBeGreaterThan(2)
  const again = await pushWith(rows, TABLE, { databricks, mode: 'append', pushName: 'again' }, 100_000)
  expect([again.files, again.rows]).toEqual([pushed.files, 30_011])
  const query = `select count(*) as n, count(distinct \`the id\`) as ids, sum(\`the id\`) as total from ${TABLE}`
  const result = await executeStatement(query, { databricks })
  for await (const row of result.rows())
    expect(row).toEqual({ n: 60_022, ids: 30_011, total: String((2 * 30_011 * 30_010) / 2) })
  expect((await getTable(TABLE, { databricks })).properties?.['delta.columnMapping.mode']).toBe('name')
})

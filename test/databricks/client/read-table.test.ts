/** @file Tables of Unity Catalog: read as Arrow at one version, listed page by page, made and deleted. */

import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { readTable } from '../../../src/databricks/client/read-table.js'
import { sql } from '../../../src/databricks/client/sql.js'
import { executeStatement } from '../../../src/databricks/client/statements.js'
import { parseTableAddress } from '../../../src/databricks/client/table-address.js'
import {
  createSchema,
  createVolume,
  deleteSchema,
  deleteTable,
  deleteVolume,
  getTable,
  listSchemas,
  listTables,
  listVolumes,
} from '../../../src/databricks/client/unity-catalog.js'
import { FIRST_WAREHOUSE } from '../../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
beforeEach(async () => {
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
  await executeStatement('create table main.default.rows (id bigint, split string)', { databricks })
  await executeStatement("insert into main.default.rows values (1, 'train'), (2, 'test'), (3, 'train')", { databricks })
  await executeStatement("insert into main.default.rows values (4, 'late')", { databricks })
})
afterEach(() => workspace.close())

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

test('a table is read at its last version, which the result names, or at the one that is asked for', async () => {
  const last = await readTable('uc://main.default.rows', { databricks })
  expect([last.table, last.version, last.rowCount]).toEqual(['main.default.rows', 2, 4])
  await executeStatement("insert into main.default.rows values (5, 'later')", { databricks })
  expect((await all(last.rows())).length).toBe(4)
  for (const address of ['uc://main.default.rows@v1', 'uc://main.default.rows?version=1']) {
    const before = await readTable(address, { databricks })
    expect([before.version, before.rowCount]).toEqual([1, 3])
  }
  const both = readTable('uc://main.default.rows@v1', { databricks, version: 2 })
  await expect(both).rejects.toThrow('expected one version of main.default.rows, got 2')
  const absent = readTable('uc://main.default.rows@v9', { databricks })
  await expect(absent).rejects.toThrow(/DELTA_VERSION_NOT_FOUND.*; name a version that the table has, or none/)
})

test('columns, a condition with values and a limit choose what is read', async () => {
  const hostile = "train' or true --"
  const where = sql`split in (${'train'}, ${hostile}) and id < ${3}`
  const table = await readTable('uc://main.default.rows', { databricks, columns: ['split', 'id'], where, limit: 5 })
  expect(await all(table.rows())).toEqual([{ split: 'train', id: 1 }])
  const text = await readTable('uc://main.default.rows', { databricks, columns: ['id'], where: "split = 'test'" })
  expect(await all(text.rows())).toEqual([{ id: 2 }])
  let rows = 0
  for await (const { numRows } of await readTable('uc://main.default.rows', { databricks })) rows += numRows
  expect(rows).toBe(4)
})

test('a table or column that is not there is an error before any statement runs', async () => {
  const before = workspace.requests.length
  await expect(readTable('uc://main.default.nothing', { databricks })).rejects.toMatchObject({
    errorCode: 'TABLE_DOES_NOT_EXIST',
  })
  await expect(readTable('uc://main.default.rows', { databricks, columns: ['splt'] })).rejects.toThrow(
    'did you mean split?',
  )
  expect(workspace.requests.slice(before).filter(({ method }) => method === 'POST')).toEqual([])
})

test.each(['uc://a.b', 'a.b.c.d', 'uc://a..c', 'uc://a.b.c@v1?version=1', 'uc://a.b.c@x', ''])(
  'the address %j names no table',
  (address) => {
    expect(() => parseTableAddress(address)).toThrow('expected a table as uc://CATALOG.SCHEMA.TABLE')
  },
)

test('schemas, volumes and tables are made, listed over empty pages, and deleted', async () => {
  await createSchema('main.work', { databricks, comment: 'for tests' })
  await createVolume('main.work.files', { databricks })
  await expect(createVolume('main.work.files', { databricks })).rejects.toMatchObject({
    errorCode: 'VOLUME_ALREADY_EXISTS',
  })
  workspace.fail({ path: /unity-catalog\/schemas\?/, with: { emptyPages: 2 } })
  expect((await all(listSchemas('main', { databricks }))).map(({ full_name }) => full_name)).toEqual([
    'main.default',
    'main.work',
  ])
  expect((await all(listVolumes('main.work', { databricks }))).map(({ name }) => name)).toEqual(['files'])
  expect((await all(listTables('main.default', { databricks }))).map(({ name }) => name)).toEqual(['rows'])
  expect((await getTable('main.default.rows', { databricks })).columns?.map(({ name }) => name)).toEqual([
    'id',
    'split',
  ])
  await expect(deleteSchema('main.work', { databricks })).rejects.toThrow('is not empty')
  expect(await deleteVolume('main.work.files', { databricks })).toBe(true)
  expect(await deleteVolume('main.work.files', { databricks })).toBe(false)
  expect(await deleteSchema('main.work', { databricks })).toBe(true)
  expect(await deleteTable('main.default.rows', { databricks })).toBe(true)
  expect(await all(listTables('main.default', { databricks }))).toEqual([])
})

/** @file Tables of Unity Catalog as data sets: their rows, the one version that is read, and what is refused. */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { openSource } from '../../../src/data/sources/open-source.js'
import type { SourceLineage } from '../../../src/data/sources/row-source.js'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { executeStatement } from '../../../src/databricks/client/statements.js'
import { FIRST_WAREHOUSE } from '../../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'
import { Turns } from '../../../src/turns.js'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
beforeAll(async () => {
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
  await executeStatement('create table main.default.rows (prompt string, completion string, n bigint)', { databricks })
  await executeStatement("insert into main.default.rows values ('2+2=', '4', 1), ('3+3=', '6', 2)", { databricks })
})
afterAll(() => workspace.close())
beforeEach(() => {
  vi.stubEnv('HOME', mkdtempSync(join(tmpdir(), 'lowrank-home-')))
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
  vi.stubEnv('DATABRICKS_WAREHOUSE_ID', FIRST_WAREHOUSE)
})
afterEach(() => vi.unstubAllEnvs())

async function read(source: ReturnType<typeof openSource>): Promise<{ rows: unknown[]; lineage: SourceLineage[] }> {
  const lineage: SourceLineage[] = []
  const rows: unknown[] = []
  const context = {
    signal: undefined,
    turns: new Turns(undefined),
    onFraction: () => {},
    onLineage: (one: SourceLineage) => void lineage.push(one),
  }
  for await (const { value, origin } of source.rows(context)) rows.push({ ...(value as object), at: origin })
  return { rows, lineage }
}

test('a table is read with where each row is, and always at the version of the first reading', async () => {
  const source = openSource('uc://main.default.rows')
  await source.check?.()
  const first = await read(source)
  expect(first.rows).toEqual([
    { prompt: '2+2=', completion: '4', n: 1, at: { file: 'uc://main.default.rows@v1', row: 1 } },
    { prompt: '3+3=', completion: '6', n: 2, at: { file: 'uc://main.default.rows@v1', row: 2 } },
  ])
  expect(first.lineage).toEqual([{ location: 'uc://main.default.rows@v1', rows: 2 }])
  await executeStatement("insert into main.default.rows values ('late', 'x', 3)", { databricks })
  expect(await read(source)).toEqual(first)
  expect((await read(openSource('uc://main.default.rows'))).rows).toHaveLength(3)
  expect((await read(openSource('uc://main.default.rows@v1'))).rows).toEqual(first.rows)
})

test('rows of a table are selected as those of any other source', async () => {
  const source = openSource({ path: 'uc://main.default.rows@v1', limit: 1 })
  expect((await read(source)).rows).toMatchObject([{ prompt: '2+2=', n: 1 }])
})

test('a table that is not there is told of before anything is read', async () => {
  await expect(openSource('uc://main.default.rosw').check?.()).rejects.toThrow(
    /^\[data\] expected the table main\.default\.rosw in http.*, got none that the credentials may see/,
  )
  await expect(openSource('uc://main.rows').check?.()).rejects.toThrow('expected a table as uc://CATALOG.SCHEMA.TABLE')
  expect(() => openSource({ path: 'uc://main.default.rows', revision: 'x' })).toThrow(
    'expected no revision for a table of Unity Catalog, got one; remove it, and write @v3 behind the table for its version 3',
  )
})

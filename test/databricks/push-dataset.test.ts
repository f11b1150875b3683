/** @file Rows pushed to tables of Unity Catalog, on a loopback workspace. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tableFromArrays, vectorFromArray } from 'apache-arrow'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { writeDelta } from '../../src/data/delta/write-delta.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { readTable } from '../../src/databricks/client/read-table.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { getTable, listVolumes } from '../../src/databricks/client/unity-catalog.js'
import type { PushDatasetOptions, PushEvent } from '../../src/databricks/push/options.js'
import { pushDataset } from '../../src/databricks/push/push-dataset.js'
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
  expect(table?.properties).not.toHaveProperty('lowrank.unfinished')
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

/**
 * @file What pushDataset sends, judged by others: sqlglot parses its statements, DuckDB reads its files, deltalake
 * keeps its tables, and extensions of DuckDB read them.
 */

import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { readTable } from '../../src/databricks/client/read-table.js'
import { pushDataset } from '../../src/databricks/push/push-dataset.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'
import { type PythonExecutor, pythonExecutor } from './sql-executor.js'

const CHAT = [
  {
    id: 1,
    messages: [
      { role: 'user', content: "it's `one`" },
      { role: 'assistant', content: null },
    ],
    score: 0.5,
    at: new Date('2026-01-31T10:00:00.250Z'),
  },
  { id: 2, messages: [], score: null, at: null },
]
let executor: PythonExecutor
let workspace: LoopbackWorkspace
let databricks: DatabricksClient

describeWithPython('tables that were pushed', () => {
  beforeEach(async () => {
    vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
    executor = await pythonExecutor()
    workspace = await startWorkspace({ execute: executor })
    databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
  })
  afterEach(async () => {
    await workspace.close()
    vi.unstubAllEnvs()
  })

  test('are what deltalake and the extensions delta and unity_catalog of DuckDB open, row for row and type for type', async () => {
    const options = {
      databricks,
      comment: "it's \\ a table",
      columnComments: { messages: "a\nb's" },
      tags: { "o'wner": 'risk \\ team' },
    }
    const pushed = await pushDataset(CHAT, 'main.default.chat', options)
    await pushDataset([{ id: 3, score: 1 }], 'main.default.chat', { databricks, mode: 'append' })
    await pushDataset([{ id: 3, score: 1 }], 'main.default.chat', { databricks, mode: 'append' })
    const [table] = (await executor.tables?.()) ?? []
    expect(table).toMatchObject({
      comment: options.comment,
      tags: options.tags,
      properties: { 'lowrank.push': pushed.pushId, 'lowrank.state': 'complete' },
    })
    expect(table?.columns.map(({ name, typeText, comment }) => [name, typeText, comment])).toEqual([
      ['id', 'BIGINT', undefined],
      ['messages', 'ARRAY<STRUCT<role: STRING, content: STRING>>', "a\nb's"],
      ['score', 'DOUBLE', undefined],
      ['at', 'TIMESTAMP', undefined],
    ])
    const script = fileURLToPath(new URL('delta_read.py', import.meta.url))
    const read = async (...given: string[]): Promise<Record<string, unknown>> => {
      const { code, stdout, stderr } = await runPython([script, ...given])
      expect(code, stderr).toBe(0)
      return JSON.parse(stdout) as Record<string, unknown>
    }
    const at = '2026-01-31T10:00:00.250000+00:00'
    const rows = [{ ...CHAT[0], at }, CHAT[1], { id: 3, messages: null, score: 1, at: null }]
    const types = ['int64', 'list<element: struct<role: string, content: string>>', 'double', 'timestamp[us, tz=UTC]']
    expect(await read(executor.folderOf('main', 'default', 'chat'))).toEqual({
      version: 1,
      types,
      deltalake: rows,
      duckdb: rows,
    })
    const before = workspace.requests.length
    expect(await read(workspace.url, workspace.token, 'main.default.chat')).toEqual({
      tables: [['default', 'chat']],
      columns: [
        ['id', 'BIGINT'],
        ['messages', 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'],
        ['score', 'DOUBLE'],
        ['at', 'TIMESTAMP WITH TIME ZONE'],
      ],
      rows,
    })
    const asked = workspace.requests.slice(before)
    expect(asked.map(({ path }) => path)).toContain('/api/2.1/unity-catalog/tables')
    // The extension asks for a setting of workspaces too, and goes on without it.
    const refused = asked.filter(({ status = 0 }) => status >= 400).map(({ path }) => path)
    expect(refused.filter((path) => !path.startsWith('/api/2.0/settings/'))).toEqual([])
    const first = await readTable('uc://main.default.chat@v0', { databricks })
    expect([first.version, first.rowCount]).toEqual([0, 2])
  })
})

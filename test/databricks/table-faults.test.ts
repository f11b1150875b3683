/**
 * @file Every fault of the loopback workspace at every request of what reads and writes tables: rows are all there, or
 * none of them, and never twice; a push that failed is run again and completes. It prints a table of the counts.
 */

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { readTable } from '../../src/databricks/client/read-table.js'
import { identifier, sql } from '../../src/databricks/client/sql.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { getTable } from '../../src/databricks/client/unity-catalog.js'
import type { PushDatasetOptions } from '../../src/databricks/push/options.js'
import { pushDataset } from '../../src/databricks/push/push-dataset.js'
import { FAULTS } from '../../src/testing/faults.js'
import { FAULT_RULES, type FaultCase, type FaultRules, type FaultVerb, tryFaults } from '../support/fault-cells.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const TABLE = 'main.default.rows'
const ROWS = [
  { n: 1, messages: [{ role: 'user', content: 'one' }] },
  { n: 2, messages: null },
]
const OLD = [{ n: 0, messages: [{ role: 'user', content: 'zero' }] }]

beforeEach(() => void vi.stubEnv('LOWRANK_STATE', temporaryDirectory()))
afterEach(() => void vi.unstubAllEnvs())

const rowsIn = async ({ client: databricks }: FaultCase): Promise<string> => {
  const found: unknown[] = []
  const result = await executeStatement(`select n, messages from ${TABLE} order by n`, { databricks })
  for await (const row of result.rows()) found.push(row)
  return JSON.stringify(found)
}
const isThere = async ({ workspace }: FaultCase): Promise<boolean> =>
  ((await workspace.state.executor.tables?.()) ?? []).length > 0

/** A push, which may begin with a table that is there. */
function pushing(mode: NonNullable<PushDatasetOptions['mode']>, old: typeof OLD | undefined): FaultVerb {
  const run = ({ client: databricks }: FaultCase): Promise<unknown> =>
    pushDataset(ROWS, TABLE, { databricks, mode, comment: 'new', columnComments: { n: 'key' }, tags: { pii: 'no' } })
  const wanted = JSON.stringify(mode === 'append' && old ? [...old, ...ROWS] : ROWS)
  const mistake = async (one: FaultCase): Promise<string | undefined> => {
    const rows = await rowsIn(one)
    if (rows !== wanted) return `the rows are ${rows}`
    const [table] = (await one.workspace.state.executor.tables?.()) ?? []
    if (table?.comment !== 'new' || table.tags.pii !== 'no') return 'it is not described'
    if (table.columns[0]?.comment !== 'key' || !table.properties['lowrank.source_sha256']) return 'it is not described'
    const files = await one.workspace.state.storage.list('Volumes/')
    return files.length > 0 ? `${files.length} files are left` : undefined
  }
  return {
    name: `push, ${mode}${old ? ' to a table' : ''}`,
    prepare: async ({ client: databricks }) => {
      if (old) await pushDataset(old, TABLE, { databricks })
    },
    run,
    mistake,
    half: async (one) => {
      const before = old === undefined ? undefined : JSON.stringify(old)
      const rows = (await isThere(one)) ? await rowsIn(one) : undefined
      if (rows !== before && rows !== wanted) return `the rows are ${rows} after it failed`
      try {
        await run(one)
      } catch (error) {
        // All was done, and one of the last requests failed: the table is there as it should be.
        const { properties } = await getTable(TABLE, { databricks: one.client })
        if (mode !== 'error' || properties?.['lowrank.state'] !== 'complete') return `again it failed: ${String(error)}`
      }
      const left = await mistake(one)
      return left === undefined || (mode === 'error' && /files are left/.test(left)) ? undefined : `again: ${left}`
    },
  }
}

const inserted = async (one: FaultCase): Promise<number> =>
  (JSON.parse(await rowsIn(one)) as unknown[]).length - OLD.length
const prepare = async ({ client: databricks }: FaultCase): Promise<void> =>
  void (await pushDataset(OLD, TABLE, { databricks }))

const VERBS: readonly FaultVerb[] = [
  pushing('error', undefined),
  pushing('append', undefined),
  pushing('append', OLD),
  pushing('overwrite', OLD),
  {
    name: 'readTable',
    prepare,
    run: async ({ client: databricks }) => {
      const found: unknown[] = []
      for await (const row of (await readTable(`uc://${TABLE}`, { databricks })).rows()) found.push(row)
      return JSON.stringify(found)
    },
    mistake: (_one, rows) => Promise.resolve(rows === JSON.stringify(OLD) ? undefined : `the rows are ${String(rows)}`),
  },
  {
    name: 'executeStatement',
    prepare,
    run: ({ client: databricks }) =>
      executeStatement(sql`insert into ${identifier(TABLE)} values (${5}, null)`, { databricks }),
    mistake: async (one) => ((await inserted(one)) === 1 ? undefined : `${await inserted(one)} rows were inserted`),
    half: async (one) => ((await inserted(one)) <= 1 ? undefined : `${await inserted(one)} rows were inserted`),
  },
  {
    name: 'sql with values',
    prepare,
    run: async ({ client: databricks }) => {
      const result = await executeStatement(sql`select n + ${41} as n from ${identifier(TABLE)} where n < ${1}`, {
        databricks,
      })
      for await (const row of result.rows()) return row.n
      return undefined
    },
    mistake: (_one, n) => Promise.resolve(n === 41 ? undefined : `it gave ${String(n)}`),
  },
]

const TABLE_FAULTS: FaultRules = {
  ...FAULT_RULES,
  'SQL fails': { path: /\/sql\/statements/, with: FAULTS.statementFailed() },
  'pages empty': { method: 'GET', path: /history\/queries/, with: { emptyPages: 2 } },
  'no history': {
    path: /history/,
    times: 10,
    with: { status: 403, body: { error_code: 'PERMISSION_DENIED', message: 'No.' } },
  },
}

test('every fault at every request of pushes, readings and statements leaves all rows once, or none and a clear error', async () => {
  const { counts, cells, wrong } = await tryFaults(VERBS, TABLE_FAULTS, 7)
  console.table(counts)
  expect(wrong).toEqual([])
  expect(Object.values(counts).reduce((sum, { right }) => sum + right, 0)).toBeGreaterThan(cells / 2)
})

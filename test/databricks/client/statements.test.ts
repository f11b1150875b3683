/** @file Statements on the loopback workspace: results inline and behind links, faults, what is never repeated. */

import { tableFromIPC } from 'apache-arrow'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../../src/databricks/client/connect.js'
import { identifier, sql } from '../../../src/databricks/client/sql.js'
import type { StatementEvent, StatementOptions } from '../../../src/databricks/client/statement-options.js'
import { executeStatement } from '../../../src/databricks/client/statements.js'
import { FAULTS } from '../../../src/testing/faults.js'
import { FIRST_WAREHOUSE, WAREHOUSES } from '../../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../../src/testing/workspace.js'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
beforeEach(async () => {
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
})
afterEach(() => workspace.close())

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

const sent = (path: RegExp, method = 'POST'): number =>
  workspace.requests.filter((request) => request.method === method && path.test(request.path)).length

async function rowsOf(
  statement: Parameters<typeof executeStatement>[0],
  options: StatementOptions = {},
): Promise<unknown[]> {
  const result = await executeStatement(statement, { databricks, ...options })
  return await all(result.rows())
}

const MANY = sql`select id, cast(id as string) as text, id / 2 as half from range(${120_001})`

test('rows of a result are the same inline and as Arrow, in the types of their columns', async () => {
  const statement = sql`select ${1} as a, ${2n ** 60n} as b, ${'x'} as c, ${null} as d, true as e, cast(2 as double) as f,
    date '2026-01-31' as g, cast('1.50' as decimal(10,2)) as h, ['x', null] as i, {'role': 'user', 'n': 2} as j`
  const expected = [
    {
      a: 1,
      b: 2n ** 60n,
      c: 'x',
      d: null,
      e: true,
      f: 2,
      g: '2026-01-31',
      h: '1.50',
      i: ['x', null],
      j: { role: 'user', n: 2 },
    },
  ]
  expect(await rowsOf(statement)).toEqual(expected)
  expect(await rowsOf(statement, { disposition: 'EXTERNAL_LINKS' })).toEqual(expected)
})

test('a large result comes in chunks, as rows, as record batches and as one stream that others read', async () => {
  const events: StatementEvent[] = []
  const options = {
    databricks,
    disposition: 'EXTERNAL_LINKS',
    onEvent: (event: StatementEvent) => events.push(event),
  } as const
  const result = await executeStatement(MANY, options)
  expect([result.rowCount, result.columns.map(({ typeName }) => typeName)]).toEqual([
    120_001,
    ['LONG', 'STRING', 'DOUBLE'],
  ])
  let rows = 0
  for await (const { numRows } of result.batches()) rows += numRows
  expect(rows).toBe(120_001)
  const table = tableFromIPC(Buffer.concat(await all(result.stream())))
  expect([table.numRows, table.get(120_000)?.toJSON()]).toEqual([
    120_001,
    { id: 120_000n, text: '120000', half: 60_000 },
  ])
  expect(events.filter(({ type }) => type === 'chunk').at(-1)).toMatchObject({
    chunks: 3,
    totalChunks: 3,
    rows: 120_001,
  })
  const links = workspace.requests.filter(({ host }) => host === 'storage')
  expect(links.length).toBe(6)
  expect(links.every(({ headers }) => headers.authorization === undefined)).toBe(true)
})

test('inline results of several answers are read to their end', async () => {
  const rows = await rowsOf(sql`select id from range(${2501})`)
  expect([rows.length, rows.at(-1)]).toEqual([2501, { id: 2500 }])
  expect(sent(/result\/chunks\/\d$/, 'GET')).toBe(2)
})

test.each([
  ['an expired link', FAULTS.expired('AWS')],
  ['an expired link of Azure', FAULTS.expired('Azure')],
  ['an expired link of Google', FAULTS.expired('GCP')],
  ['a body that is cut', { cutAfter: 5000 }],
] as const)('a chunk is fetched anew after %s', async (_, fault) => {
  workspace.fail({ host: 'storage', path: /StatementResults/, skip: 1, with: fault })
  const rows = (await rowsOf(MANY, { disposition: 'EXTERNAL_LINKS' })) as { id: number }[]
  expect(rows.length).toBe(120_001)
  expect(rows.every(({ id }, index) => id === index)).toBe(true)
  expect(workspace.pendingFaults()).toEqual([])
  expect(sent(/\/sql\/statements$/)).toBe(1)
})

test('a link that stays refused is an error that hides the address', async () => {
  workspace.fail({ host: 'storage', path: /StatementResults/, times: 99, with: FAULTS.expired('AWS') })
  const error = await rowsOf(MANY, { disposition: 'EXTERNAL_LINKS' }).catch((thrown: unknown) => thrown as Error)
  expect(String(error)).toContain('to serve chunk 0 of the result of statement')
  expect(String(error)).not.toMatch(/X-Amz-Signature=\w/)
})

test.each([
  ['a reset before anything was done', 'reset'],
  ['an answer that is lost', 'lost-answer'],
  ['a gateway that fails', FAULTS.html(502)],
  ['a page for people with status 200', FAULTS.html(200)],
] as const)('a statement is not sent again after %s', async (_, fault) => {
  workspace.fail({ method: 'POST', path: /\/sql\/statements$/, with: fault })
  const failed = executeStatement(sql`select ${1}`, { databricks })
  await expect(failed).rejects.toMatchObject({ code: 'SERVICE', errorCode: 'OUTCOME_UNKNOWN' })
  await expect(failed).rejects.toThrow('It was not sent again, as it may have run')
  expect(sent(/\/sql\/statements$/)).toBe(1)
})

test.each([
  ['429', FAULTS.rateLimited()],
  ['503', FAULTS.unavailable(0)],
] as const)('a statement that was refused before any work with %s is sent again', async (_, fault) => {
  workspace.fail({ method: 'POST', path: /\/sql\/statements$/, with: fault })
  expect(await rowsOf(sql`select ${1} as a`)).toEqual([{ a: 1 }])
  expect(sent(/\/sql\/statements$/)).toBe(2)
})

test('a statement that fails with HTTP 200 is an error with the words of the service', async () => {
  const failed = executeStatement(sql`select * from ${identifier('main.default.nothing')}`, { databricks })
  await expect(failed).rejects.toMatchObject({ errorCode: 'BAD_REQUEST' })
  await expect(failed).rejects.toThrow('[TABLE_OR_VIEW_NOT_FOUND]')
})

test('a result that the service cut is refused unless so many rows were asked for', async () => {
  const result = await executeStatement(MANY, { databricks, rowLimit: 10 })
  expect([result.rowCount, result.isCut, (await all(result.rows())).length]).toEqual([10, true, 10])
  workspace.fail({
    method: 'POST',
    path: /statements$/,
    with: {
      status: 200,
      body: {
        statement_id: 'x',
        status: { state: 'SUCCEEDED' },
        manifest: { truncated: true, total_row_count: 7 },
        result: {},
      },
    },
  })
  await expect(executeStatement(MANY, { databricks })).rejects.toMatchObject({ errorCode: 'TRUNCATED' })
})

test('a result with other rows than its manifest says is refused', async () => {
  const body = {
    statement_id: 'x',
    status: { state: 'SUCCEEDED' },
    manifest: { total_row_count: 2, total_chunk_count: 1, schema: { columns: [{ name: 'a', type_name: 'INT' }] } },
    result: { data_array: [['1']] },
  }
  workspace.fail({ method: 'POST', path: /statements$/, with: { status: 200, body } })
  await expect(rowsOf(sql`select ${1}`)).rejects.toThrow('expected 2 rows of the result of statement x, got "1"')
})

test('a statement that is aborted is cancelled on the warehouse', async () => {
  const body = { statement_id: 'x', status: { state: 'RUNNING' } }
  workspace.fail({ method: 'POST', path: /statements$/, with: { status: 200, body } })
  workspace.fail({ method: 'POST', path: /x\/cancel$/, with: { status: 200, body: {} } })
  const ended = { statement_id: 'x', status: { state: 'CANCELED' } }
  workspace.fail({ method: 'GET', path: /statements\/x$/, with: { status: 200, body: ended } })
  const stop = new AbortController()
  const onEvent = ({ type }: StatementEvent): void => {
    if (type === 'statement') stop.abort(new Error('enough'))
  }
  await expect(executeStatement(sql`select ${1}`, { databricks, signal: stop.signal, onEvent })).rejects.toThrow(
    'enough',
  )
  expect(sent(/\/cancel$/)).toBe(1)
  expect(workspace.pendingFaults()).toEqual([])
})

test('the warehouse is found by its name, and the first usable one is taken aloud', async () => {
  const client = await connectDatabricks({ host: workspace.url, token: workspace.token })
  const warehouses = workspace.state.of(WAREHOUSES)
  warehouses.set('aaaaaaaaaaaaaaaa', { id: 'aaaaaaaaaaaaaaaa', name: 'mine', state: 'STOPPED' })
  const named = await executeStatement(sql`select ${1}`, { databricks: client, warehouseId: 'mine' })
  expect(named.warehouseId).toBe('aaaaaaaaaaaaaaaa')
  const events: StatementEvent[] = []
  warehouses.delete('aaaaaaaaaaaaaaaa')
  const onEvent = (event: StatementEvent): void => void events.push(event)
  await executeStatement(sql`select ${1}`, { databricks: client, onEvent })
  expect(events[0]).toEqual({
    type: 'warehouse',
    id: FIRST_WAREHOUSE,
    name: 'Serverless Starter Warehouse',
    state: 'RUNNING',
  })
  const wrong = executeStatement('select 1', { databricks: client, warehouseId: 'nobody' })
  await expect(wrong).rejects.toThrow('got "nobody"; there are Serverless Starter Warehouse')
  warehouses.clear()
  await expect(executeStatement('select 1', { databricks: client })).rejects.toThrow('got none that can be used')
})

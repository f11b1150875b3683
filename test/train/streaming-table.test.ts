/** @file Training on a table of Unity Catalog while it arrives. */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tableFromIPC, tableToIPC } from 'apache-arrow'
import { expect, onTestFinished, test, vi } from 'vitest'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { duckdbExecutor } from '../../src/testing/duckdb-executor.js'
import type { StatementExecutor } from '../../src/testing/executor.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { startWorkspace } from '../../src/testing/workspace.js'
import { ofType, temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const DIRECTORY = temporaryDirectory()
const CHUNK_ROWS = 10

/** The results of an executor in chunks of a few rows. */
function inSmallChunks(executor: StatementExecutor): StatementExecutor {
  return {
    async execute(statement) {
      const { arrow, ...result } = await executor.execute(statement)
      if (arrow === undefined) return result
      const chunks = arrow.flatMap(({ bytes }) => {
        const table = tableFromIPC(bytes)
        return Array.from({ length: Math.ceil(table.numRows / CHUNK_ROWS) }, (_, chunk) => {
          const slice = table.slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
          return { bytes: tableToIPC(slice, 'stream'), rowCount: slice.numRows }
        })
      })
      return { ...result, arrow: chunks }
    },
    tables: async () => (await executor.tables?.()) ?? [],
    close: async () => await executor.close?.(),
  }
}

test('a run on a table makes its first step before the table has arrived, to the bytes of the same rows as a local stream', async () => {
  const rows = tinyRows(60)
  const workspace = await startWorkspace({ execute: inSmallChunks(duckdbExecutor()) })
  onTestFinished(() => workspace.close())
  const databricks = await connectDatabricks({
    host: workspace.url,
    token: workspace.token,
    warehouseId: FIRST_WAREHOUSE,
  })
  await executeStatement('create table main.default.rows (prompt string, completion string)', { databricks })
  const values = rows.map(({ prompt, completion }) => `('${prompt}', '${completion}')`).join(', ')
  await executeStatement(`insert into main.default.rows values ${values}`, { databricks })
  vi.stubEnv('HOME', mkdtempSync(join(tmpdir(), 'lowrank-home-')))
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
  vi.stubEnv('DATABRICKS_WAREHOUSE_ID', FIRST_WAREHOUSE)
  onTestFinished(() => void vi.unstubAllEnvs())
  const folder = DIRECTORY
  const model = await writeTinyModel(join(folder, 'model'))
  let chunks = 0
  let arrivedAtFirstStep: number | undefined
  let release = (): void => {}
  const stepped = new Promise<void>((resolve) => {
    release = resolve
  })
  const { fetch } = globalThis
  vi.stubGlobal('fetch', async (...[input, init]: Parameters<typeof fetch>) => {
    const [, chunk] = /StatementResults(?:\/|%2F)[^/?]+?(?:\/|%2F)(\d+)/.exec(String(input)) ?? []
    // The first three chunks have what a buffer, a step and the look-ahead take.
    if (chunk !== undefined && Number(chunk) >= 3) await stepped
    const answer = await fetch(input, init)
    if (chunk !== undefined) chunks++
    return answer
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const training = { numTrainEpochs: 2, packing: false, shuffleBufferSize: 16 }
  const { run, events, bytes } = await trainTiny(
    {
      model,
      dataset: 'uc://main.default.rows',
      training,
      onEvent: (event) => {
        if (event.type !== 'step') return
        arrivedAtFirstStep ??= chunks
        release()
      },
    },
    join(folder, 'table'),
  )
  expect(arrivedAtFirstStep).toBeLessThanOrEqual(3)
  expect(chunks).toBe(12)
  expect(run.step).toBe(40)
  expect(ofType(events, 'start')).toMatchObject([
    { trainRows: 60, totalSteps: 40, streaming: { shuffleBufferSize: 16 } },
  ])
  expect(ofType(events, 'data')).toMatchObject([
    { rows: 60, lineage: [{ location: 'uc://main.default.rows@v1', rows: 60 }] },
  ])
  expect(ofType(events, 'warning')).toEqual([])
  const local = await trainTiny(
    { model, dataset: rows, training: { ...training, streaming: true } },
    join(folder, 'local'),
  )
  expect(local.bytes === bytes).toBe(true)
  const whole = await trainTiny(
    { model, dataset: 'uc://main.default.rows', training: { ...training, streaming: false } },
    join(folder, 'whole'),
  )
  expect(whole.bytes).not.toBe(bytes)
})

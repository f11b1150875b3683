/** @file Training on a table of Unity Catalog while it arrives. */

import { mkdtempSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Table, tableFromArrays, tableFromIPC, tableToIPC, type Utf8, type Vector } from 'apache-arrow'
import { expect, onTestFinished, test, vi } from 'vitest'
import { parse } from 'yaml'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { duckdbExecutor } from '../../src/testing/duckdb-executor.js'
import type { StatementExecutor } from '../../src/testing/executor.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { startWorkspace } from '../../src/testing/workspace.js'
import { ofType, rejection, temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const DIRECTORY = temporaryDirectory()
const CHUNK_ROWS = 10

/** The results of an executor in chunks of a few rows, the rows of a chunk from its end where that is asked. */
function inSmallChunks(executor: StatementExecutor, order: { isReversed: boolean }): StatementExecutor {
  return {
    async execute(statement) {
      const { arrow, ...result } = await executor.execute(statement)
      if (arrow === undefined) return result
      const chunks = arrow.flatMap(({ bytes }) => {
        const table = order.isReversed ? reversed(tableFromIPC(bytes)) : tableFromIPC(bytes)
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

function reversed(table: Table): Table {
  const columns = table.schema.fields.map(({ name }) => [name, [...(table.getChild(name) as Vector<Utf8>)].reverse()])
  return tableFromArrays(Object.fromEntries(columns)) as unknown as Table
}

/** Rows in the table `main.default.rows` of a workspace that the environment names. */
async function tableOf(rows: ReturnType<typeof tinyRows>): Promise<{ isReversed: boolean }> {
  const order = { isReversed: false }
  const workspace = await startWorkspace({ execute: inSmallChunks(duckdbExecutor(), order) })
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
  return order
}

const writtenBy = async (outputDir: string): Promise<{ dataset: unknown }> =>
  parse(await readFile(join(outputDir, 'train.yaml'), 'utf8')) as { dataset: unknown }

test('a run on a table makes its first step before the table has arrived, to the bytes of the same rows as a local stream', async () => {
  const rows = tinyRows(60)
  await tableOf(rows)
  const folder = DIRECTORY
  const model = await writeTinyModel(join(folder, 'model'))
  const outputDir = join(folder, 'run')
  let written: Promise<{ dataset: unknown }> | undefined
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
      outputDir,
      training: { ...training, saveStrategy: 'no' },
      onEvent: (event) => {
        if (event.type !== 'step') return
        arrivedAtFirstStep ??= chunks
        // A run that is killed from here on is repeated with the rows that it had.
        written ??= writtenBy(outputDir)
        release()
      },
    },
    join(folder, 'table'),
  )
  expect(arrivedAtFirstStep).toBeLessThanOrEqual(3)
  expect(await written).toMatchObject({ dataset: 'uc://main.default.rows@v1' })
  expect(await writtenBy(outputDir)).toMatchObject({ dataset: 'uc://main.default.rows@v1' })
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

test('a run on a table goes on to the same bytes where the rows come as they did, and is refused where their order is another', async () => {
  const order = await tableOf(tinyRows(60))
  const model = await writeTinyModel(join(DIRECTORY, 'ordered-model'))
  const train = (name: string, from?: string) =>
    trainTiny(
      {
        model,
        dataset: 'uc://main.default.rows',
        outputDir: join(DIRECTORY, name),
        ...(from !== undefined && { resumeFromCheckpoint: join(DIRECTORY, from, 'checkpoint-5') }),
        training: { maxSteps: 12, shuffleBufferSize: 4, packing: false, saveSteps: 5 },
      },
      join(DIRECTORY, `${name}-adapter`),
    )
  const whole = await train('ordered')
  expect((await train('continued', 'ordered')).bytes === whole.bytes).toBe(true)
  order.isReversed = true
  expect(await rejection(train('reversed', 'ordered'))).toMatch(
    /^\[resume\] expected the first \d+ rows of the pass to be those that the run has taken, got other rows, .* \(a table has none that lasts: write it to a file\)/,
  )
})

test('a run on a table that ends before all rows were taken still says which version it read', async () => {
  await tableOf(tinyRows(60))
  const model = await writeTinyModel(join(DIRECTORY, 'short-model'))
  const { events } = await trainTiny(
    { model, dataset: 'uc://main.default.rows', training: { maxSteps: 2, shuffleBufferSize: 4, packing: false } },
    join(DIRECTORY, 'short'),
  )
  expect(ofType(events, 'data')).toMatchObject([
    { isPartial: true, lineage: [{ location: 'uc://main.default.rows@v1', rows: 60 }] },
  ])
})

/** @file Pushes whose process is killed at one request or another: run again they complete, and rows are there once. */

import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { executeStatement } from '../../src/databricks/client/statements.js'
import { getTable } from '../../src/databricks/client/unity-catalog.js'
import { pushDataset } from '../../src/databricks/push/push-dataset.js'
import { listResources } from '../../src/databricks/resources.js'
import { Random } from '../../src/random.js'
import { FIRST_WAREHOUSE } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { cases } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const library = pathToFileURL(fileURLToPath(new URL('../../dist/databricks.js', import.meta.url))).href
const KILLS = cases(2, 36)
const SEED = Number(process.env.LOWRANK_KILL_SEED ?? Date.now() % 1_000_000)
/** Requests of a push with comments and tags, from the first to the last. */
const REQUESTS = 20

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let file: string
beforeAll(async () => {
  const folder = temporaryDirectory()
  vi.stubEnv('LOWRANK_STATE', join(folder, 'state'))
  file = join(folder, 'rows.jsonl')
  writeFileSync(file, Array.from({ length: 1000 }, (_, n) => JSON.stringify({ n, text: `row ${n}` })).join('\n'))
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token, warehouseId: FIRST_WAREHOUSE })
})
afterAll(async () => {
  await workspace.close()
  vi.unstubAllEnvs()
})

/** Kills the push once the workspace has seen so many requests. @returns whether it was killed before it was done */
async function killed(table: string, options: object, requests: number, more: number): Promise<boolean> {
  const call = `pushDataset(${[file, table, options].map((value) => JSON.stringify(value)).join(', ')})`
  const program = `import { pushDataset } from ${JSON.stringify(library)}\nawait ${call}`
  const env = {
    ...process.env,
    DATABRICKS_HOST: workspace.url,
    DATABRICKS_TOKEN: workspace.token,
    DATABRICKS_WAREHOUSE_ID: FIRST_WAREHOUSE,
  }
  const stdio = ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe']
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env, stdio })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  let isOver = false
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('close', (_code, signal) => {
      isOver = true
      resolve(signal)
    })
  })
  const seen = workspace.requests.length
  while (!isOver && workspace.requests.length < seen + requests) await new Promise((resolve) => setImmediate(resolve))
  if (!isOver) await sleep(more)
  child.kill('SIGKILL')
  const signal = await ended
  expect(errors, `seed ${SEED}`).toBe('')
  return signal === 'SIGKILL'
}

async function countsOf(table: string): Promise<unknown> {
  const query = `select count(*) as n, count(distinct n) as different from ${table}`
  for await (const row of (await executeStatement(query, { databricks })).rows()) return row
  return undefined
}

test('a push that is killed leaves all of its rows or none, and completes when it is run again', async () => {
  const random = new Random(SEED)
  const modes = ['error', 'append', 'append to', 'overwrite'] as const
  let kills = 0
  for (let round = 0; round < KILLS; round++) {
    const table = `main.default.killed_${round}`
    const kind = modes[round % modes.length]
    const where = `${kind}, round ${round}, seed ${SEED}`
    const mode = kind === 'append to' ? 'append' : (kind as 'error' | 'append' | 'overwrite')
    const options = { mode, comment: 'new', columnComments: { n: 'key' }, tags: { pii: 'no' } }
    if (kind === 'append to') await pushDataset([{ n: -1, text: 'old' }], table, { databricks })
    const old = kind === 'append to' ? 1 : 0
    // The first one is killed at a request that has many behind it; others may be done before they are killed.
    const requests = 1 + random.below(round === 0 ? 5 : REQUESTS)
    if (await killed(table, options, requests, round === 0 ? 0 : random.below(20))) kills++
    // It comes behind a statement that still runs.
    const there = await countsOf(table).catch(() => ({ n: old, different: old }))
    expect([old, old + 1000], where).toContain((there as { n: number }).n)
    try {
      await pushDataset(file, table, { databricks, ...options })
    } catch (error) {
      // It was killed behind its last change.
      const { properties } = await getTable(table, { databricks })
      expect([where, mode, properties?.['lowrank.state'], String(error)]).toEqual([
        where,
        'error',
        'complete',
        expect.stringMatching(/expected no table/),
      ])
    }
    expect(await countsOf(table), where).toEqual({ n: old + 1000, different: old + 1000 })
    const made = (await workspace.state.executor.tables?.())?.find(({ name }) => name === `killed_${round}`)
    expect([made?.comment, made?.tags.pii, made?.columns[0]?.comment], where).toEqual(['new', 'no', 'key'])
  }
  expect(kills).toBeGreaterThan(0)
  // Files that a push left which was complete are in the record, for `clean --all`.
  const recorded = (await listResources()).filter(({ kind }) => kind === 'volume-file').map(({ name }) => name.slice(1))
  const left = (await workspace.state.storage.list('Volumes/')).map(({ key }) => key)
  expect(left.filter((key) => !recorded.includes(key))).toEqual([])
})

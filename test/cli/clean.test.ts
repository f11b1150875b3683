/** @file `lowrank clean` against loopback workspaces: what it removes, in which order, and what it leaves alone. */

import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { clean } from '../../src/databricks/clean.js'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import { createCluster } from '../../src/databricks/clusters.js'
import { submitRun } from '../../src/databricks/jobs.js'
import { listResources, type ResourceKind, recordCreated, recordIntent } from '../../src/databricks/resources.js'
import { createEndpoint } from '../../src/databricks/serving.js'
import { startWarehouse } from '../../src/databricks/warehouses.js'
import { ServiceError } from '../../src/http/service-error.js'
import { FIRST_WAREHOUSE, WAREHOUSES } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { inProcess } from './in-process.js'
import type { CliResult } from './run-cli.js'

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
beforeEach(async () => {
  workspace = await startWorkspace()
  vi.stubEnv('LOWRANK_STATE', join(temporaryDirectory(), 'state'))
  vi.stubEnv('DATABRICKS_HOST', workspace.url)
  vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
  databricks = await connectDatabricks()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

async function lowrankClean(...flags: string[]): Promise<CliResult> {
  const result = await inProcess(['clean', ...flags])
  expect(result.stdout + result.stderr).not.toContain(workspace.token)
  return result
}

const CATALOG = '/api/2.1/unity-catalog'
const SCHEMA = { catalog_name: 'main', name: 'chat' }
const MODEL = { catalog_name: 'main', schema_name: 'chat', name: 'risk' }

/** Writes down a thing as made, after making it. */
async function made(kind: ResourceKind, id: string): Promise<void> {
  await recordCreated(await recordIntent(databricks, kind, id), id)
}

async function addVersion(): Promise<void> {
  const { catalog_name, schema_name, name: model_name } = MODEL
  const json = { catalog_name, schema_name, model_name, source: 'dbfs:/x', comment: '' }
  await databricks.json({ method: 'POST', path: `${CATALOG}/models/versions`, json, what: 'a version' })
}

/** One of each kind, made in an order of its own. */
async function makeAll(): Promise<void> {
  const fast = { databricks, pollInterval: 1 }
  await databricks.json({ method: 'PUT', path: '/api/2.0/fs/directories/Volumes/main/chat/files/d', what: 'a folder' })
  await made('directory', '/Volumes/main/chat/files/d')
  const body = { size: 1, open: () => Buffer.from('x') }
  const path = '/api/2.0/fs/files/Volumes/main/chat/files/d/rows'
  await databricks.send({ method: 'PUT', path, body, what: 'a file' }).then((answer) => answer.body?.cancel())
  await made('volume-file', '/Volumes/main/chat/files/d/rows')
  await made('table', 'main.chat.gone')
  await databricks.json({ method: 'POST', path: `${CATALOG}/schemas`, json: SCHEMA, what: 'a schema' })
  await databricks.json({ method: 'POST', path: `${CATALOG}/models`, json: MODEL, what: 'a model' })
  await made('registered-model', 'main.chat.risk')
  await addVersion()
  await made('model-version', 'main.chat.risk/1')
  await createCluster({ clusterName: 'tokens', sparkVersion: '17.3.x-scala2.13', nodeTypeId: 'i3.xlarge' }, fast)
  await createEndpoint('chat', { entityName: 'main.chat.risk', entityVersion: '1' }, fast)
  workspace.state.of(WAREHOUSES).get(FIRST_WAREHOUSE)!.state = 'STOPPED'
  await startWarehouse(FIRST_WAREHOUSE, fast)
  await submitRun(
    { run_name: 'nightly', tasks: [{ task_key: 'a', notebook_task: { notebook_path: '/x' } }] },
    { databricks },
  )
}

const ORDER = [
  'run',
  'serving-endpoint',
  'cluster',
  'warehouse',
  'model-version',
  'registered-model',
  'table',
  'volume-file',
  'directory',
]
/** Outcome and kind of each line. */
const lines = ({ stdout }: CliResult): string[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => line.split(/\s+/).slice(0, 2).join(' '))
/** Requests that change something. */
const changes = (): string[] =>
  workspace.requests.flatMap(({ method, path }) => (method === 'GET' || method === 'HEAD' ? [] : [`${method} ${path}`]))

it('clean --dry-run lists all and changes nothing, clean --all removes all in order, and both do so again', async () => {
  await makeAll()
  const before = changes().length
  for (const _ of [1, 2]) {
    const planned = await lowrankClean('--dry-run', '--all')
    expect([planned.code, lines(planned)]).toEqual([0, ORDER.map((kind) => `planned ${kind}`)])
  }
  expect(changes()).toHaveLength(before)
  const done = await lowrankClean('--all')
  expect([done.code, done.stderr, lines(done)]).toEqual([0, '', ORDER.map((kind) => `removed ${kind}`)])
  expect(
    changes()
      .slice(before)
      .map((line) => line.replace(/\?.*|\d{3,}/g, '')),
  ).toEqual([
    'POST /api/2.2/jobs/runs/cancel',
    'DELETE /api/2.0/serving-endpoints/chat',
    'POST /api/2.1/clusters/permanent-delete',
    'POST /api/2.0/sql/warehouses/abcdef/stop',
    'DELETE /api/2.1/unity-catalog/models/main.chat.risk/versions/1',
    'DELETE /api/2.1/unity-catalog/models/main.chat.risk',
    'DELETE /api/2.1/unity-catalog/tables/main.chat.gone',
    'DELETE /api/2.0/fs/files/Volumes/main/chat/files/d/rows',
    'DELETE /api/2.0/fs/directories/Volumes/main/chat/files/d',
  ])
  expect(await listResources()).toEqual([])
  const after = workspace.requests.length
  expect(await lowrankClean('--all')).toMatchObject({
    code: 0,
    stdout: 'Nothing of this machine is left in the workspace\n',
  })
  expect(workspace.requests).toHaveLength(after)
})

it('clean without --all keeps results and says so, and a model with the version of somebody else stays with it', async () => {
  await makeAll()
  await addVersion()
  expect((await lowrankClean('--dry-run')).stdout).toMatch(
    /kept {5}table .*: it is a result, which --all \(all: true\) removes/,
  )
  expect(lines(await lowrankClean())).toEqual(ORDER.map((kind, index) => `${index < 4 ? 'removed' : 'kept'} ${kind}`))
  const rest = await lowrankClean('--all', '--json')
  expect(
    (JSON.parse(rest.stdout) as { resources: { outcome: string }[] }).resources.map(({ outcome }) => outcome),
  ).toEqual(['removed', 'kept', 'removed', 'removed', 'removed'])
  expect(await lowrankClean('--all')).toMatchObject({
    code: 0,
    stdout: 'kept     registered-model main.chat.risk: it has a version that lowrank did not make\n',
  })
})

it('what is gone already is removed from the record alone', async () => {
  await makeAll()
  for (const kind of ['cluster', 'serving-endpoint'] as const) await made(kind, `no-such-${kind}`)
  for (const name of ['directory', 'volume-file'] as const) await made(name, `/Volumes/main/chat/files/no-${name}`)
  await made('model-version', 'main.chat.none/1')
  await made('registered-model', 'main.chat.none')
  const done = await lowrankClean('--all')
  expect(lines(done).every((line) => line.startsWith('removed '))).toBe(true)
  expect([done.code, lines(done).length, await listResources()]).toEqual([0, ORDER.length + 6, []])
})

it('a workspace that cannot be asked is one error, and the record keeps all', async () => {
  await makeAll()
  workspace.fail({
    path: /./,
    times: 99,
    with: { status: 401, body: { error_code: 'UNAUTHENTICATED', message: 'no' } },
  })
  const refused = await lowrankClean('--all')
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(
    /got HTTP 401, UNAUTHENTICATED.*it does not take the credentials \(pat, from DATABRICKS_TOKEN\)/,
  )
  workspace.heal()
  let asked = 0
  const nobody = async (): Promise<never> => {
    asked++
    throw new ServiceError('[databricks] cannot reach it')
  }
  await expect(clean({ databricks: { ...databricks, json: nobody, send: nobody }, all: true })).rejects.toThrow(
    'cannot reach it',
  )
  expect([asked, (await listResources()).length]).toEqual([1, ORDER.length])
})

it('things of another workspace are counted, and stay until that one is cleaned', async () => {
  await makeAll()
  const other = await startWorkspace()
  const elsewhere = await connectDatabricks({ host: other.url, token: other.token })
  await submitRun({ run_name: 'there', tasks: [{ task_key: 'a', notebook_task: {} }] }, { databricks: elsewhere })
  const here = await lowrankClean('--all')
  expect([here.code, lines(here).length]).toEqual([0, ORDER.length])
  expect(here.stderr).toBe(`The record has 1 more of ${other.url}: clean them with its profile or host\n`)
  expect(JSON.parse((await lowrankClean('--json')).stdout)).toEqual({ resources: [], elsewhere: { [other.url]: 1 } })
  vi.stubEnv('DATABRICKS_TOKEN', other.token)
  expect(lines(await lowrankClean('--host', other.url))).toEqual(['removed run'])
  expect(await listResources()).toEqual([])
  await other.close()
})

/** @file Things in a workspace: made once whatever is lost, written down, and removed in the right order. */

import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { clean } from '../../src/databricks/clean.js'
import { connectDatabricks, type DatabricksClient } from '../../src/databricks/client/connect.js'
import {
  createCluster,
  deleteCluster,
  installLibraries,
  startCluster,
  terminateCluster,
} from '../../src/databricks/clusters.js'
import { cancelRun, getRunOutput, submitRun, waitForRun } from '../../src/databricks/jobs.js'
import { listResources, recordCreated, recordIntent, resourcesPath } from '../../src/databricks/resources.js'
import { createEndpoint, queryEndpoint, updateEndpoint } from '../../src/databricks/serving.js'
import { startWarehouse, stopWarehouse } from '../../src/databricks/warehouses.js'
import { FAULTS, type Fault } from '../../src/testing/faults.js'
import { COMPUTE } from '../../src/testing/routes/compute.js'
import { JOBS } from '../../src/testing/routes/jobs.js'
import { SERVING } from '../../src/testing/routes/serving.js'
import { FIRST_WAREHOUSE, type LoopbackWarehouse, WAREHOUSES } from '../../src/testing/warehouses.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const SPEC = { clusterName: 'tokens', sparkVersion: '17.3.x-scala2.13', nodeTypeId: 'i3.xlarge' }
const ENTITY = { entityName: 'main.chat.merged', entityVersion: '3' }
const TASKS = { run_name: 'nightly', tasks: [{ task_key: 'train', notebook_task: { notebook_path: '/train' } }] }

let workspace: LoopbackWorkspace
let databricks: DatabricksClient
let fast: { readonly databricks: DatabricksClient; readonly pollInterval: number }
beforeEach(async () => {
  vi.stubEnv('LOWRANK_STATE', temporaryDirectory())
  workspace = await startWorkspace()
  databricks = await connectDatabricks({ host: workspace.url, token: workspace.token })
  fast = { databricks, pollInterval: 1 }
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await workspace.close()
})

const kinds = async (): Promise<string[]> => (await listResources()).map(({ kind }) => kind)
/** Clusters, endpoints and runs of the workspace. */
const counts = (): readonly number[] => {
  const { state } = workspace
  return [state.of(COMPUTE).clusters.size, state.of(SERVING).endpoints.size, state.of(JOBS).runs.size]
}
const warehouse = (): LoopbackWarehouse => workspace.state.of(WAREHOUSES).get(FIRST_WAREHOUSE)!
const makeAll = async (): Promise<void> => {
  await createCluster(SPEC, fast)
  await createEndpoint('chat', ENTITY, fast)
  await submitRun(TASKS, { databricks })
}

test('a cluster is made, waited for, given libraries, terminated, started again and deleted', async () => {
  const states: string[] = []
  const { clusterId, state } = await createCluster(SPEC, { ...fast, onState: (each) => states.push(each) })
  expect([state, states]).toEqual(['RUNNING', ['PENDING', 'RUNNING']])
  expect(workspace.state.of(COMPUTE).clusters.get(clusterId)?.spec).toMatchObject({
    cluster_name: 'tokens',
    num_workers: 0,
    autotermination_minutes: 60,
  })
  await installLibraries(clusterId, [{ pypi: { package: 'mlflow' } }], fast)
  await expect(installLibraries(clusterId, [{ pypi: { package: 'no-such-package' } }], fast)).rejects.toThrow(
    /no-such-package.* failed: No matching distribution found; correct the name or the version/,
  )
  await terminateCluster(clusterId, { databricks })
  workspace.state.of(COMPUTE).clusters.get(clusterId)!.state = 'TERMINATED'
  expect((await startCluster(clusterId, fast)).state).toBe('RUNNING')
  await deleteCluster(clusterId, { databricks })
  await deleteCluster(clusterId, { databricks })
  expect([counts()[0], await kinds()]).toEqual([0, []])
})

test('a cluster that cannot start ends the wait with the reason of the workspace', async () => {
  workspace.state.of(COMPUTE).clusterFailure = 'No capacity of i3.xlarge.'
  await expect(createCluster(SPEC, fast)).rejects.toThrow(
    /expected the cluster .* to run, got TERMINATED: No capacity of i3.xlarge/,
  )
  expect(await kinds()).toEqual(['cluster'])
})

test('waiting ends with the time limit and with the signal, and what is made stays written down', async () => {
  await expect(createCluster(SPEC, { databricks, pollInterval: 1000, timeout: 0.5 })).rejects.toThrow(
    /to be ready within 0.5 s, got PENDING; it goes on in the workspace/,
  )
  const controller = new AbortController()
  const made = createCluster(SPEC, {
    ...fast,
    signal: controller.signal,
    onState: () => controller.abort(new Error('stop')),
  })
  await expect(made).rejects.toThrow('stop')
  expect(await kinds()).toEqual(['cluster', 'cluster'])
})

test('a warehouse is started and stopped; one that ran before is not written down', async () => {
  warehouse().state = 'STOPPED'
  expect((await startWarehouse(FIRST_WAREHOUSE, fast)).state).toBe('RUNNING')
  await startWarehouse(FIRST_WAREHOUSE, fast)
  expect(await kinds()).toEqual(['warehouse'])
  await stopWarehouse(FIRST_WAREHOUSE, { databricks })
  expect([await kinds(), warehouse().state]).toEqual([[], 'STOPPING'])
})

test('an endpoint is made, asked and updated, and a failed update says why', async () => {
  expect((await createEndpoint('chat', ENTITY, fast)).entities).toEqual(['main.chat.merged/3'])
  expect(await queryEndpoint('chat', { inputs: ['hi'] }, { databricks })).toEqual({ predictions: [{ inputs: ['hi'] }] })
  expect((await updateEndpoint('chat', { ...ENTITY, entityVersion: '4' }, fast)).entities).toEqual([
    'main.chat.merged/4',
  ])
  workspace.state.of(SERVING).failure = 'The base weights are missing.'
  await expect(updateEndpoint('chat', { ...ENTITY, entityVersion: '5' }, fast)).rejects.toThrow(
    /to serve main.chat.merged\/5, got UPDATE_FAILED \(The base weights are missing.\)/,
  )
  await expect(createEndpoint('chat', ENTITY, fast)).rejects.toThrow(/RESOURCE_ALREADY_EXISTS.*use another name/)
  expect(await kinds()).toEqual(['serving-endpoint'])
})

test('a run is submitted, followed to its end and asked for its output', async () => {
  workspace.state.of(JOBS).result = 'FAILED'
  const id = await submitRun(TASKS, { databricks })
  const states: string[] = []
  const run = await waitForRun(id, { ...fast, onState: (state) => states.push(state) })
  expect([states, run.resultState]).toEqual([['PENDING', 'RUNNING', 'TERMINATED'], 'FAILED'])
  expect(await getRunOutput(id, { databricks })).toMatchObject({
    error: 'The command ended with 1.',
    logs: 'trained\n',
  })
  await cancelRun(id, { databricks })
  await cancelRun('99', { databricks })
  expect(await kinds()).toEqual([])
})

const BUSY: readonly (readonly [string, Fault])[] = [
  ['429', FAULTS.rateLimited(0)],
  ['503', FAULTS.unavailable(0)],
  ['an answer that is lost', 'lost-answer'],
]
for (const [name, fault] of BUSY)
  test(`with ${name} there is one cluster, one endpoint and one run, not two`, async () => {
    for (const path of [/clusters\/create/, /serving-endpoints$/, /runs\/submit/])
      workspace.fail({ method: 'POST', path, with: fault })
    await makeAll()
    expect(workspace.pendingFaults()).toEqual([])
    expect(counts()).toEqual([1, 1, 1])
    expect((await listResources()).every(({ id }) => id !== undefined)).toBe(true)
  })

test('cleaning finds what a lost answer left behind, removes compute in order, and does so again without harm', async () => {
  for (const path of [/clusters\/list/, /serving-endpoints\/chat/])
    workspace.fail({ path, with: { status: 500, body: {} } })
  workspace.fail({ method: 'POST', path: /clusters\/create/, with: 'lost-answer' })
  workspace.fail({ method: 'POST', path: /serving-endpoints$/, with: 'lost-answer' })
  await expect(createCluster(SPEC, fast)).rejects.toThrow(/Nobody knows whether it was done/)
  await expect(createEndpoint('chat', ENTITY, fast)).rejects.toThrow(/Nobody knows whether it was done/)
  await submitRun(TASKS, { databricks })
  warehouse().state = 'STOPPED'
  await startWarehouse(FIRST_WAREHOUSE, fast)
  await recordIntent(databricks, 'cluster', 'never sent')
  const table = await recordIntent(databricks, 'table', 'main.chat.rows')
  await recordCreated(table, 'main.chat.rows')
  const outcomes = async (dryRun: boolean): Promise<string[]> =>
    (await clean({ databricks, dryRun })).map(({ kind, outcome }) => `${kind} ${outcome}`)
  const plan = ['run', 'serving-endpoint', 'cluster', 'cluster', 'warehouse']
  expect(await outcomes(true)).toEqual([
    ...plan.map((kind, index) => `${kind} ${index === 2 ? 'absent' : 'planned'}`),
    'table kept',
  ])
  expect(counts()).toEqual([1, 1, 1])
  expect(await outcomes(false)).toEqual([
    ...plan.map((kind, index) => `${kind} ${index === 2 ? 'absent' : 'removed'}`),
    'table kept',
  ])
  expect(counts()).toEqual([0, 0, 1])
  expect(workspace.state.of(JOBS).runs.get('1001')?.result).toBe('CANCELED')
  expect(await outcomes(false)).toEqual(['table kept'])
})

test('one failure does not keep the others from being removed, and the failed one is tried again', async () => {
  await makeAll()
  workspace.fail({
    method: 'DELETE',
    path: /serving-endpoints/,
    with: { status: 403, body: { error_code: 'PERMISSION_DENIED' } },
  })
  const first = await clean({ databricks })
  expect(first.map(({ outcome }) => outcome)).toEqual(['removed', 'failed', 'removed'])
  expect(first[1]?.reason).toContain('PERMISSION_DENIED')
  expect((await clean({ databricks })).map(({ kind, outcome }) => [kind, outcome])).toEqual([
    ['serving-endpoint', 'removed'],
  ])
})

test('what was removed by others is fine, and half a line of a killed process is passed over', async () => {
  await makeAll()
  workspace.state.of(COMPUTE).clusters.clear()
  workspace.state.of(SERVING).endpoints.clear()
  workspace.state.of(JOBS).runs.clear()
  appendFileSync(resourcesPath(), '{"event":"intent","key":"half')
  await createCluster({ ...SPEC, clusterName: 'later' }, fast)
  expect((await clean({ databricks })).map(({ outcome }) => outcome)).toEqual([
    'removed',
    'removed',
    'removed',
    'removed',
  ])
  expect(await kinds()).toEqual([])
})

test('the record holds no secret and nothing of another workspace is touched', async () => {
  await createCluster({ ...SPEC, sparkEnvVars: { PASSWORD: 'planted-secret' } }, fast)
  const text = readFileSync(join(process.env.LOWRANK_STATE as string, 'databricks.jsonl'), 'utf8')
  expect(text).not.toContain('planted-secret')
  expect(text).not.toContain(workspace.token)
  const other = await startWorkspace()
  const elsewhere = await connectDatabricks({ host: other.url, token: other.token })
  expect(await clean({ databricks: elsewhere, all: true })).toEqual([])
  await other.close()
})

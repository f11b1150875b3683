/**
 * @file Every fault of the loopback workspace at every request of what makes, changes and ends clusters, warehouses,
 * endpoints, runs, schemas, volumes and MLflow's runs: the state of the workspace is right, or an error says what
 * failed; nothing is made twice, and what was made without an answer stands in the record.
 */

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { createSchema, createVolume, deleteVolume, listSchemas } from '../../src/databricks/client/unity-catalog.js'
import { createCluster, deleteCluster, installLibraries, terminateCluster } from '../../src/databricks/clusters.js'
import { cancelRun, getRun, submitRun } from '../../src/databricks/jobs.js'
import { listResources } from '../../src/databricks/resources.js'
import { createEndpoint, deleteEndpoint, queryEndpoint, updateEndpoint } from '../../src/databricks/serving.js'
import { listWarehouses, startWarehouse, stopWarehouse } from '../../src/databricks/warehouses.js'
import { createMlflowClient, type MlflowClient } from '../../src/mlflow/client.js'
import { COMPUTE } from '../../src/testing/routes/compute.js'
import { JOBS } from '../../src/testing/routes/jobs.js'
import { TRACKING, type Tracking } from '../../src/testing/routes/mlflow.js'
import { SERVING } from '../../src/testing/routes/serving.js'
import { FIRST_WAREHOUSE, type LoopbackWarehouse, WAREHOUSES } from '../../src/testing/warehouses.js'
import { startWorkspace } from '../../src/testing/workspace.js'
import {
  FAULT_RULES,
  type FaultCase,
  type FaultRules,
  type FaultVerb,
  tryFaults,
  withCase,
} from '../support/fault-cells.js'
import { temporaryDirectory } from '../support/tiny-model.js'

beforeAll(() => void vi.stubEnv('LOWRANK_STATE', temporaryDirectory()))
afterAll(() => vi.unstubAllEnvs())

const CLUSTER = { clusterName: 'tokens', sparkVersion: '17.3.x-scala2.13', nodeTypeId: 'i3.xlarge' }
const ENTITY = { entityName: 'main.chat.merged', entityVersion: '3' }
const RUN = { run_name: 'nightly', tasks: [{ task_key: 'train', notebook_task: { notebook_path: '/train' } }] }
const fast = ({ client }: FaultCase) => ({ databricks: client, pollInterval: 1 })
const clusters = ({ workspace }: FaultCase) => workspace.state.of(COMPUTE).clusters
const endpoints = ({ workspace }: FaultCase) => workspace.state.of(SERVING).endpoints
const runs = ({ workspace }: FaultCase) => workspace.state.of(JOBS).runs
const tracking = ({ workspace }: FaultCase): Tracking => workspace.state.of(TRACKING)
const warehouse = ({ workspace }: FaultCase): LoopbackWarehouse =>
  workspace.state.of(WAREHOUSES).get(FIRST_WAREHOUSE) as LoopbackWarehouse
const mlflow = ({ client }: FaultCase): MlflowClient =>
  createMlflowClient({ rest: client, base: '', isDatabricks: true, waitOf: () => undefined })

/** Ids of what a case prepared. */
const prepared = new WeakMap<FaultCase, string>()
const idOf = (one: FaultCase): string => prepared.get(one) ?? ''

/** What is wrong where something other than this many is there. */
async function count(what: string, found: number, ...wanted: number[]): Promise<string | undefined> {
  return wanted.includes(found) ? undefined : `${found} ${what} are there`
}

/** Not more than one was made, and the record has it. */
async function once(one: FaultCase, what: string, found: number): Promise<string | undefined> {
  const known = (await listResources()).filter(({ host }) => host === one.workspace.url).length
  return found > known ? `${found} ${what} are there, ${known} in the record` : await count(what, found, 0, 1)
}

const VERBS: readonly FaultVerb[] = [
  {
    name: 'create a cluster',
    run: (one) => createCluster(CLUSTER, fast(one)),
    mistake: (one) => count('clusters', clusters(one).size, 1),
    half: (one) => once(one, 'clusters', clusters(one).size),
  },
  {
    name: 'install libraries',
    prepare: async (one) => void prepared.set(one, (await createCluster(CLUSTER, fast(one))).clusterId),
    run: (one) => installLibraries(idOf(one), [{ pypi: { package: 'mlflow' } }], fast(one)),
    mistake: (one) => count('libraries', clusters(one).get(idOf(one))?.libraries.size ?? 0, 1),
    half: (one) => count('libraries', clusters(one).get(idOf(one))?.libraries.size ?? 0, 0, 1),
  },
  {
    name: 'terminate a cluster',
    prepare: async (one) => void prepared.set(one, (await createCluster(CLUSTER, fast(one))).clusterId),
    run: (one) => terminateCluster(idOf(one), { databricks: one.client }),
    mistake: async (one) =>
      clusters(one).get(idOf(one))?.state.startsWith('TERMINAT') ? undefined : 'the cluster still runs',
  },
  {
    name: 'delete a cluster',
    prepare: async (one) => void prepared.set(one, (await createCluster(CLUSTER, fast(one))).clusterId),
    run: (one) => deleteCluster(idOf(one), { databricks: one.client }),
    mistake: (one) => count('clusters', clusters(one).size, 0),
    half: (one) => once(one, 'clusters', clusters(one).size),
  },
  {
    name: 'list warehouses',
    run: (one) => listWarehouses({ databricks: one.client }),
    mistake: (_, found) => count('warehouses', (found as unknown[]).length, 1),
  },
  {
    name: 'start a warehouse',
    prepare: async (one) => {
      warehouse(one).state = 'STOPPED'
    },
    run: (one) => startWarehouse(FIRST_WAREHOUSE, fast(one)),
    mistake: async (one) => (warehouse(one).state === 'RUNNING' ? undefined : warehouse(one).state),
    half: (one) => once(one, 'started warehouses', warehouse(one).state === 'STOPPED' ? 0 : 1),
  },
  {
    name: 'stop a warehouse',
    run: (one) => stopWarehouse(FIRST_WAREHOUSE, { databricks: one.client }),
    mistake: async (one) => (warehouse(one).state.startsWith('STOP') ? undefined : warehouse(one).state),
  },
  {
    name: 'create an endpoint',
    run: (one) => createEndpoint('chat', ENTITY, fast(one)),
    mistake: (one) => count('endpoints', endpoints(one).size, 1),
    half: (one) => once(one, 'endpoints', endpoints(one).size),
  },
  {
    name: 'update an endpoint',
    prepare: async (one) => void (await createEndpoint('chat', ENTITY, fast(one))),
    run: (one) => updateEndpoint('chat', { ...ENTITY, entityVersion: '4' }, fast(one)),
    mistake: async (one) => versionOf(one, '4'),
    half: async (one) => versionOf(one, '3', '4'),
  },
  {
    name: 'query an endpoint',
    prepare: async (one) => void (await createEndpoint('chat', ENTITY, fast(one))),
    run: (one) => queryEndpoint('chat', { inputs: ['Hi'] }, { databricks: one.client }),
    mistake: async (_, answer) => (Object.keys(answer as object).length > 0 ? undefined : 'it answered nothing'),
  },
  {
    name: 'delete an endpoint',
    prepare: async (one) => void (await createEndpoint('chat', ENTITY, fast(one))),
    run: (one) => deleteEndpoint('chat', { databricks: one.client }),
    mistake: (one) => count('endpoints', endpoints(one).size, 0),
    half: (one) => once(one, 'endpoints', endpoints(one).size),
  },
  {
    name: 'submit a run',
    run: (one) => submitRun(RUN, { databricks: one.client }),
    mistake: (one) => count('runs', runs(one).size, 1),
    half: (one) => once(one, 'runs', runs(one).size),
  },
  {
    name: 'look at a run',
    prepare: async (one) => void prepared.set(one, await submitRun(RUN, { databricks: one.client })),
    run: (one) => getRun(idOf(one), { databricks: one.client }),
    mistake: async (one, run) => ((run as { runId: string }).runId === idOf(one) ? undefined : 'another run came'),
  },
  {
    name: 'cancel a run',
    prepare: async (one) => void prepared.set(one, await submitRun(RUN, { databricks: one.client })),
    run: (one) => cancelRun(idOf(one), { databricks: one.client }),
    mistake: async (one) => (runs(one).get(idOf(one))?.result === 'CANCELED' ? undefined : 'the run goes on'),
  },
]

/** What is wrong where the endpoint has none of these versions. */
function versionOf(one: FaultCase, ...versions: string[]): string | undefined {
  const { entity_version: version } = (endpoints(one).get('chat')?.entity ?? {}) as { entity_version?: string }
  return versions.includes(String(version)) ? undefined : `version ${version} is served`
}

async function schemasOf({ client }: FaultCase): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of listSchemas('main', { databricks: client })) names.push(name)
  return names.sort()
}

const CATALOG_VERBS: readonly FaultVerb[] = [
  {
    name: 'create a schema',
    run: ({ client }) => createSchema('main.made', { databricks: client }),
    mistake: async (one) => ((await schemasOf(one)).includes('made') ? undefined : 'no schema was made'),
  },
  {
    name: 'create a volume',
    run: ({ client }) => createVolume('main.default.made', { databricks: client }),
    mistake: async (_, volume) =>
      (volume as { name: string }).name === 'made' ? undefined : 'another volume was made',
  },
  {
    name: 'delete a volume',
    prepare: async ({ client }) => void (await createVolume('main.default.made', { databricks: client })),
    run: ({ client }) => deleteVolume('main.default.made', { databricks: client }),
    mistake: async ({ client }) =>
      (await deleteVolume('main.default.made', { databricks: client })) ? 'it is still there' : undefined,
  },
  {
    name: 'list schemas',
    prepare: async ({ client }) => {
      for (const name of ['a', 'b', 'c']) await createSchema(`main.${name}`, { databricks: client })
    },
    run: schemasOf,
    mistake: async (_, names) => (String(names) === 'a,b,c,default' ? undefined : `it listed ${names}`),
  },
]

const START = { startTime: 1_700_000_000_000, tags: { a: 'b' } }
const points = Array.from({ length: 1003 }, (_, step) => ({ key: 'loss', value: step / 7, timestamp: step, step }))

async function prepareRun(one: FaultCase): Promise<void> {
  const experimentId = await mlflow(one).experimentId('/Users/me/x')
  prepared.set(one, (await mlflow(one).createRun({ experimentId, ...START })).runId)
}

const TRACKING_VERBS: readonly FaultVerb[] = [
  {
    name: 'find or make an experiment',
    run: (one) => mlflow(one).experimentId('/Users/me/x'),
    mistake: (one) => count('experiments', tracking(one).experiments.size, 1),
    half: (one) => count('experiments', tracking(one).experiments.size, 0, 1),
  },
  {
    name: 'create an MLflow run',
    prepare: async (one) => void prepared.set(one, await mlflow(one).experimentId('/Users/me/x')),
    run: (one) => mlflow(one).createRun({ experimentId: idOf(one), ...START }),
    mistake: (one) => count('runs', tracking(one).runs.size, 1),
    half: (one) => count('runs', tracking(one).runs.size, 0, 1),
  },
  {
    name: 'log metrics in two batches',
    prepare: prepareRun,
    run: async (one) => {
      const pieces = points.map((point) => Buffer.from(`${JSON.stringify(point)},`))
      await mlflow(one).logPoints(idOf(one), pieces.slice(0, 1000))
      await mlflow(one).logPoints(idOf(one), pieces.slice(1000))
      await mlflow(one).logBatch(idOf(one), { params: { r: '8' }, tags: { c: 'd' } })
    },
    mistake: (one) => count('points', tracking(one).runs.get(idOf(one))?.metrics.length ?? 0, points.length),
    half: async (one) => {
      const steps =
        tracking(one)
          .runs.get(idOf(one))
          ?.metrics.map(({ step }) => step) ?? []
      return new Set(steps).size === steps.length ? undefined : 'points are there twice'
    },
  },
  {
    name: 'end an MLflow run',
    prepare: prepareRun,
    run: (one) => mlflow(one).updateRun(idOf(one), { status: 'FINISHED', endTime: 1 }),
    mistake: async (one) => {
      const status = tracking(one).runs.get(idOf(one))?.status
      return status === 'FINISHED' ? undefined : `the run is ${status}`
    },
  },
]

/** Faults of storage meet nothing here; lists of the catalog have empty pages. */
const RULES: FaultRules = {
  ...Object.fromEntries(Object.entries(FAULT_RULES).filter(([, { host }]) => host === undefined)),
  'empty pages': { method: 'GET', path: /unity-catalog\/schemas/, with: { emptyPages: 2 } },
}

test('every fault at every request of every service leaves one thing or none, and the record knows of it', async () => {
  const { counts, cells, wrong } = await tryFaults([...VERBS, ...CATALOG_VERBS, ...TRACKING_VERBS], RULES, 5)
  console.table(counts)
  expect(wrong).toEqual([])
  const sum = (kind: 'right' | 'error'): number => Object.values(counts).reduce((total, row) => total + row[kind], 0)
  expect(sum('right')).toBeGreaterThan(cells / 3)
  expect(sum('right') + sum('error')).toBe(cells)
})

test.each([-7_200_000, 7_200_000])('a clock that is %s ms off changes nothing for services', async (clockOffset) => {
  for (const verb of [...VERBS, ...CATALOG_VERBS, ...TRACKING_VERBS].filter(({ name }) =>
    /create|submit|log/.test(name),
  ))
    await withCase(verb, async (one) => {
      one.workspace.state.clockOffset = clockOffset
      expect([verb.name, await verb.mistake(one, await verb.run(one))]).toEqual([verb.name, undefined])
    })
})

test.each([-7_200_000, 7_200_000])(
  'tokens of a workspace whose clock is %s ms off are asked for once',
  async (clockOffset) => {
    const workspace = await startWorkspace({
      clockOffset,
      clients: [{ clientId: 'robot', clientSecret: 'robots-secret' }],
    })
    const client = await connectDatabricks({ host: workspace.url, clientId: 'robot', clientSecret: 'robots-secret' })
    for (let call = 0; call < 3; call++) await listWarehouses({ databricks: client })
    expect(workspace.requests.filter(({ path }) => path.startsWith('/oidc/v1/token'))).toHaveLength(1)
    await workspace.close()
  },
)

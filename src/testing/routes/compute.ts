/**
 * @file Clusters, their libraries and SQL warehouses. Nothing runs: each look at what starts or stops takes it one
 * state further.
 */

import { randomBytes } from 'node:crypto'
import { expectFields, expectQuery, invalid, missing, pageOf, RefusedRequest, type Route } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'
import { type LoopbackWarehouse, WAREHOUSES } from '../warehouses.js'

/** A cluster of the loopback workspace. */
export interface LoopbackCluster {
  readonly spec: Readonly<Record<string, unknown>>
  state: string
  message: string
  readonly libraries: Map<string, { readonly library: unknown; status: string }>
}

/** The clusters, by id. */
export const COMPUTE: StateKey<{
  readonly clusters: Map<string, LoopbackCluster>
  /** Why the next clusters fail to start; undefined: they start. */
  clusterFailure: string | undefined
}> = {
  name: 'compute',
  make: () => ({
    clusters: new Map(),
    clusterFailure: undefined,
  }),
}

type State = LoopbackWarehouse['state']

const NEXT: Readonly<Record<string, string>> = {
  PENDING: 'RUNNING',
  TERMINATING: 'TERMINATED',
}
const NEXT_OF_WAREHOUSE: Readonly<Partial<Record<State, State>>> = { STARTING: 'RUNNING', STOPPING: 'STOPPED' }
const CLUSTER_FIELDS = {
  cluster_name: 'string?',
  spark_version: 'string',
  node_type_id: 'string?',
  driver_node_type_id: 'string?',
  num_workers: 'number?',
  autoscale: 'object?',
  autotermination_minutes: 'number?',
  is_single_node: 'boolean?',
  policy_id: 'string?',
  instance_pool_id: 'string?',
  data_security_mode: 'string?',
  single_user_name: 'string?',
  spark_conf: 'object?',
  spark_env_vars: 'object?',
  custom_tags: 'object?',
} as const
const ID = { cluster_id: 'string' } as const
const CLUSTERS = '/api/2.1/clusters'
const WAREHOUSES_PATH = '/api/2.0/sql/warehouses'

export const COMPUTE_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: `${CLUSTERS}/create`,
    handle({ json }, state) {
      expectFields(json, CLUSTER_FIELDS)
      if ((json.num_workers === undefined) === (json.autoscale === undefined))
        throw invalid('Exactly one of num_workers and autoscale must be given.')
      if (json.node_type_id === undefined && json.policy_id === undefined && json.instance_pool_id === undefined)
        throw invalid('Missing required field: node_type_id')
      const id = `0101-000000-${randomBytes(4).toString('hex')}`
      state.of(COMPUTE).clusters.set(id, { spec: json, state: 'PENDING', message: '', libraries: new Map() })
      return { json: { cluster_id: id } }
    },
  },
  {
    method: 'GET',
    path: `${CLUSTERS}/get`,
    handle({ query }, state) {
      expectQuery(query, ['cluster_id'])
      const id = query.get('cluster_id') ?? ''
      const answer = clusterJson(id, clusterOf(state, id))
      advanceCluster(state, id)
      return { json: answer }
    },
  },
  {
    method: 'GET',
    path: `${CLUSTERS}/list`,
    handle({ query }, state) {
      expectQuery(query, [], ['page_size', 'page_token'])
      const all = [...state.of(COMPUTE).clusters].map(([id, cluster]) => clusterJson(id, cluster))
      const { items, ...more } = pageOf(all, query, 100)
      return { json: { clusters: items, ...more } }
    },
  },
  {
    method: 'POST',
    path: `${CLUSTERS}/start`,
    handle({ json }, state) {
      expectFields(json, ID)
      const cluster = clusterOf(state, String(json.cluster_id))
      if (cluster.state !== 'TERMINATED')
        throw new RefusedRequest(
          400,
          'INVALID_STATE',
          `Cluster ${json.cluster_id} is in unexpected state ${cluster.state}.`,
        )
      cluster.state = 'PENDING'
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${CLUSTERS}/delete`,
    handle({ json }, state) {
      expectFields(json, ID)
      const cluster = clusterOf(state, String(json.cluster_id))
      if (cluster.state !== 'TERMINATED') cluster.state = 'TERMINATING'
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${CLUSTERS}/permanent-delete`,
    handle({ json }, state) {
      expectFields(json, ID)
      clusterOf(state, String(json.cluster_id))
      state.of(COMPUTE).clusters.delete(String(json.cluster_id))
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: '/api/2.0/libraries/install',
    handle({ json }, state) {
      expectFields(json, { ...ID, libraries: 'array' })
      const { libraries, state: now } = clusterOf(state, String(json.cluster_id))
      if (now !== 'RUNNING') throw invalid(`Cluster ${json.cluster_id} is ${now}.`)
      for (const library of json.libraries as Readonly<Record<string, unknown>>[]) {
        expectFields(library, { pypi: 'object?', whl: 'string?', jar: 'string?' }, 'library')
        if (Object.keys(library).length !== 1) throw invalid('A library has exactly one kind.')
        const key = JSON.stringify(library)
        if (!libraries.has(key)) libraries.set(key, { library, status: 'PENDING' })
      }
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: '/api/2.0/libraries/cluster-status',
    handle({ query }, state) {
      expectQuery(query, ['cluster_id'])
      const id = query.get('cluster_id') ?? ''
      const statuses = [...clusterOf(state, id).libraries.values()]
      const answer = statuses.map(({ library, status }) => ({
        library,
        status,
        ...(status === 'FAILED' && { messages: ['No matching distribution found'] }),
      }))
      for (const each of statuses)
        if (each.status === 'PENDING')
          each.status = JSON.stringify(each.library).includes('no-such-package') ? 'FAILED' : 'INSTALLED'
      return { json: { cluster_id: id, ...(answer.length > 0 && { library_statuses: answer }) } }
    },
  },
  {
    method: 'GET',
    path: WAREHOUSES_PATH,
    handle({ query }, state) {
      expectQuery(query, [], ['run_as_user_id', 'page_size', 'page_token'])
      const { items, ...more } = pageOf([...state.of(WAREHOUSES).values()], query)
      return { json: { warehouses: items, ...more } }
    },
  },
  {
    method: 'GET',
    path: `${WAREHOUSES_PATH}/{id}`,
    handle({ params: { id = '' }, query }, state) {
      expectQuery(query, [])
      const warehouse = warehouseOf(state, id)
      const answer = { ...warehouse }
      warehouse.state = NEXT_OF_WAREHOUSE[warehouse.state] ?? warehouse.state
      return { json: answer }
    },
  },
  turn('start', ['STARTING', 'RUNNING']),
  turn('stop', ['STOPPING', 'STOPPED']),
]

function turn(verb: string, [passing, done]: readonly [State, State]): Route {
  return {
    method: 'POST',
    path: `${WAREHOUSES_PATH}/{id}/${verb}`,
    handle({ params: { id = '' }, json }, state) {
      expectFields(json, {})
      const warehouse = warehouseOf(state, id)
      if (warehouse.state !== done) warehouse.state = passing
      return { json: {} }
    },
  }
}

function advanceCluster(state: WorkspaceState, id: string): void {
  const cluster = clusterOf(state, id)
  const { clusterFailure } = state.of(COMPUTE)
  if (cluster.state === 'PENDING' && clusterFailure !== undefined) {
    cluster.state = 'TERMINATED'
    cluster.message = clusterFailure
  } else cluster.state = NEXT[cluster.state] ?? cluster.state
}

function clusterJson(id: string, { spec, state, message }: LoopbackCluster): Record<string, unknown> {
  return { cluster_id: id, ...spec, state, state_message: message }
}

function clusterOf(state: WorkspaceState, id: string): LoopbackCluster {
  const cluster = state.of(COMPUTE).clusters.get(id)
  if (cluster === undefined) throw invalid(`Cluster ${id} does not exist`)
  return cluster
}

function warehouseOf(state: WorkspaceState, id: string): LoopbackWarehouse {
  const warehouse = state.of(WAREHOUSES).get(id)
  if (warehouse === undefined) throw missing(`The SQL warehouse ${id} does not exist.`)
  return warehouse
}

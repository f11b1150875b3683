/** @file Clusters of a workspace: made, given libraries, started, waited for, terminated, removed for good. */

import { ServiceError } from '../http/service-error.js'
import { readOptions } from '../options/table.js'
import { type DatabricksClient, openDatabricks } from './client/connect.js'
import { isMissing } from './client/errors.js'
import { CLUSTER_OPTIONS, type ClusterSpec } from './cluster-spec.js'
import {
  RESOURCE_OPTIONS,
  type ResourceOptions,
  START_OPTIONS,
  type StartOptions,
  WAIT_OPTIONS,
  type WaitOptions,
} from './options.js'
import { make, recordGone } from './resources.js'
import { snakeCase } from './snake-case.js'
import { waitUntil } from './wait.js'

/** A cluster, as the workspace tells of it. */
export interface Cluster {
  readonly clusterId: string
  readonly clusterName: string
  /** PENDING, RUNNING, RESTARTING, RESIZING, TERMINATING, TERMINATED, ERROR or UNKNOWN. */
  readonly state: string
  /** Why it is in this state; empty where the workspace says nothing. */
  readonly stateMessage: string
}

/** A library of a cluster: exactly one of the three. */
export interface Library {
  /** A package of PyPI: `mlflow==3.1.0`. */
  readonly pypi?: { readonly package: string; readonly repo?: string }
  /** Path of a wheel in a volume or the workspace. */
  readonly whl?: string
  /** Path of a jar in a volume. */
  readonly jar?: string
}

interface ClusterJson {
  readonly cluster_id: string
  readonly cluster_name?: string
  readonly state?: string
  readonly state_message?: string
  readonly custom_tags?: Readonly<Record<string, string>>
}

const CLUSTERS = '/api/2.1/clusters'
/** Tag by which a cluster is found again whose id never arrived. */
const KEY_TAG = 'lowrank-key'
/** Clusters of all states that a page has. */
const PAGE_SIZE = 100

/**
 * Makes a cluster and waits until it runs. A lost answer makes no second one: the cluster is looked for by a tag.
 * @throws OptionError, ServiceError; the reason of the signal
 */
export async function createCluster(spec: ClusterSpec, options: StartOptions = {}): Promise<Cluster> {
  const fields = readOptions('createCluster', spec, CLUSTER_OPTIONS)
  const { databricks, signal, wait } = readOptions('createCluster', options, START_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const { clusterName, customTags } = fields
  const size = fields.autoscale === undefined ? { numWorkers: fields.numWorkers ?? 0 } : {}
  const { cluster_id: clusterId } = await make<{ readonly cluster_id: string }>(client, {
    kind: 'cluster',
    name: clusterName,
    create: (key) =>
      client.json({
        method: 'POST',
        path: `${CLUSTERS}/create`,
        json: snakeCase({ ...fields, ...size, customTags: { ...customTags, [KEY_TAG]: key } }, ['autoscale']),
        what: `the new cluster ${clusterName}`,
        signal,
      }),
    find: (key) => findCluster(client, key, signal),
    idOf: (made) => made.cluster_id,
  })
  return wait
    ? await waitForCluster(clusterId, optionsFor(options, client))
    : await getCluster(clusterId, { databricks: client, ...(signal && { signal }) })
}

/** @throws ServiceError, also where there is none; the reason of the signal */
export async function getCluster(clusterId: string, options: ResourceOptions = {}): Promise<Cluster> {
  const { databricks, signal } = readOptions('getCluster', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const what = `the cluster ${clusterId}`
  return clusterOf(
    await client.json<ClusterJson>({ path: `${CLUSTERS}/get`, query: { cluster_id: clusterId }, what, signal }),
  )
}

/** Every cluster of the workspace that the credentials may see. @throws ServiceError; the reason of the signal */
export async function listClusters(options: ResourceOptions = {}): Promise<Cluster[]> {
  const { databricks, signal } = readOptions('listClusters', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const all: Cluster[] = []
  for await (const cluster of allClusters(client, signal)) all.push(clusterOf(cluster))
  return all
}

/** Starts a cluster that is terminated, and waits until it runs. One that runs is left alone. @throws ServiceError */
export async function startCluster(clusterId: string, options: StartOptions = {}): Promise<Cluster> {
  const { databricks, signal, wait } = readOptions('startCluster', options, START_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const now = await getCluster(clusterId, { databricks: client, ...(signal && { signal }) })
  if (now.state === 'TERMINATED' || now.state === 'ERROR')
    await post(client, 'start', clusterId, signal).catch(async (error) => {
      // An answer that was lost, or somebody else was faster.
      const { state } = await getCluster(clusterId, { databricks: client, ...(signal && { signal }) })
      if (state !== 'PENDING' && state !== 'RUNNING') throw error
    })
  return wait ? await waitForCluster(clusterId, optionsFor(options, client)) : now
}

/**
 * Waits until a cluster runs.
 * @throws ServiceError where it ends in place of that, or after `timeout`; the reason of the signal
 */
export async function waitForCluster(clusterId: string, options: WaitOptions = {}): Promise<Cluster> {
  const { databricks, ...waiting } = readOptions('waitForCluster', options, WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  return await waitUntil(
    async () => {
      const value = await getCluster(clusterId, { databricks: client, ...(signal && { signal }) })
      const { state, stateMessage } = value
      if (state === 'TERMINATED' || state === 'TERMINATING' || state === 'ERROR')
        throw new ServiceError(
          `[databricks] expected the cluster ${clusterId} to run, got ${state}: ${stateMessage || 'the workspace gives no reason'}; correct what it says, and start it again`,
        )
      return { state, value, isDone: state === 'RUNNING' }
    },
    { ...waiting, what: `the cluster ${clusterId}` },
  )
}

/** Terminates a cluster; it can be started again. One that is gone is left so. @throws ServiceError */
export async function terminateCluster(clusterId: string, options: ResourceOptions = {}): Promise<void> {
  const { databricks, signal } = readOptions('terminateCluster', options, RESOURCE_OPTIONS)
  await post(await openDatabricks(databricks, signal), 'delete', clusterId, signal).catch(unlessMissing)
}

/** Terminates a cluster and removes it for good. One that is gone is left so. @throws ServiceError */
export async function deleteCluster(clusterId: string, options: ResourceOptions = {}): Promise<void> {
  const { databricks, signal } = readOptions('deleteCluster', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  await post(client, 'permanent-delete', clusterId, signal).catch(unlessMissing)
  await recordGone(client, 'cluster', clusterId)
}

/**
 * Installs libraries on a running cluster and waits until they are there.
 * @throws ServiceError with the reason of each that fails
 */
export async function installLibraries(
  clusterId: string,
  libraries: readonly Library[],
  options: WaitOptions = {},
): Promise<void> {
  const { databricks, ...waiting } = readOptions('installLibraries', options, WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  const what = `the libraries of the cluster ${clusterId}`
  const json = { cluster_id: clusterId, libraries }
  // The same again is the same: a library that is there is not installed twice.
  await client.json({ method: 'POST', path: '/api/2.0/libraries/install', json, what, isRepeatable: true, signal })
  await waitUntil(
    async () => {
      const { library_statuses: all = [] } = await client.json<LibraryStatuses>({
        path: '/api/2.0/libraries/cluster-status',
        query: { cluster_id: clusterId },
        what,
        signal,
      })
      const failed = all.filter(({ status }) => status === 'FAILED')
      if (failed.length > 0)
        throw new ServiceError(
          `[databricks] expected all libraries of the cluster ${clusterId} to be installed, but ${failed
            .map(({ library, messages = [] }) => `${JSON.stringify(library)} failed: ${messages.join(' ')}`)
            .join('; ')}; correct the name or the version`,
        )
      const left = all.filter(({ status }) => !['INSTALLED', 'SKIPPED', 'RESTORED'].includes(status))
      const state = left.length === 0 ? 'INSTALLED' : `${left.length} of ${all.length} to install`
      return { state, value: undefined, isDone: all.length >= libraries.length && left.length === 0 }
    },
    { ...waiting, what },
  )
}

/** The id of the cluster that has this key as a tag; undefined: there is none. */
export async function findCluster(
  client: DatabricksClient,
  key: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly cluster_id: string } | undefined> {
  for await (const cluster of allClusters(client, signal)) if (cluster.custom_tags?.[KEY_TAG] === key) return cluster
  return undefined
}

interface LibraryStatuses {
  readonly library_statuses?: readonly {
    readonly library: Library
    readonly status: string
    readonly messages?: readonly string[]
  }[]
}

function allClusters(client: DatabricksClient, signal: AbortSignal | undefined): AsyncIterable<ClusterJson> {
  const call = { path: `${CLUSTERS}/list`, query: { page_size: PAGE_SIZE }, what: 'the clusters', signal }
  return client.pages(call, ({ clusters = [] }) => clusters as ClusterJson[])
}

/** Terminating and removing are the same when they come twice; a second start is an error of the service. */
async function post(
  client: DatabricksClient,
  verb: 'start' | 'delete' | 'permanent-delete',
  clusterId: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await client.json({
    method: 'POST',
    path: `${CLUSTERS}/${verb}`,
    json: { cluster_id: clusterId },
    what: `the cluster ${clusterId}`,
    isRepeatable: verb !== 'start',
    signal,
  })
}

function clusterOf({ cluster_id, cluster_name = '', state = 'UNKNOWN', state_message = '' }: ClusterJson): Cluster {
  return { clusterId: cluster_id, clusterName: cluster_name, state, stateMessage: state_message }
}

/** Options of the wait behind a call that makes or starts something. */
function optionsFor({ wait: _, ...options }: StartOptions, client: DatabricksClient): WaitOptions {
  return { ...options, databricks: client }
}

function unlessMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}

/** @file How each kind of thing in a workspace is found again and removed. */

import { isObject } from '../values.js'
import type { DatabricksClient } from './client/connect.js'
import { isMissing } from './client/errors.js'
import { deleteDirectory, deleteFile } from './client/files/files.js'
import { deleteCluster, findCluster } from './clusters.js'
import { cancelRun, findRun } from './jobs.js'
import type { Resource, ResourceKind } from './resources.js'
import { deleteEndpoint, findEndpoint } from './serving.js'
import { listWarehouses, stopWarehouse } from './warehouses.js'

/** What is done about one kind of thing. */
export interface Removal {
  /** What happens to it, as people read it. */
  readonly verb: string
  /** Whether it costs money while it is there; others hold results. */
  readonly isCompute: boolean
  /** The id of what a call made whose answer never came; undefined: it made nothing. */
  find(client: DatabricksClient, resource: Resource, signal: AbortSignal | undefined): Promise<string | undefined>
  /** Removes it; what is gone already is fine. @returns why it stays; undefined: it does not */
  remove(client: DatabricksClient, id: string, signal: AbortSignal | undefined): Promise<string | undefined>
}

/** A result has its name alone, under which another may have been before: one without an answer is not removed. */
const UNKNOWN = async (): Promise<undefined> => undefined

const CATALOG = '/api/2.1/unity-catalog'

export const REMOVALS: Readonly<Record<ResourceKind, Removal>> = {
  run: {
    verb: 'cancel',
    isCompute: true,
    find: (client, { key }, signal) => findRun(client, key, signal),
    remove: async (client, id, signal) => {
      await cancelRun(id, given(client, signal))
      return undefined
    },
  },
  'serving-endpoint': {
    verb: 'delete',
    isCompute: true,
    find: async (client, { name, key }, signal) => (await findEndpoint(client, name, key, signal))?.name,
    remove: async (client, id, signal) => {
      await deleteEndpoint(id, given(client, signal))
      return undefined
    },
  },
  cluster: {
    verb: 'delete',
    isCompute: true,
    find: async (client, { key }, signal) => (await findCluster(client, key, signal))?.cluster_id,
    remove: async (client, id, signal) => {
      await deleteCluster(id, given(client, signal))
      return undefined
    },
  },
  warehouse: {
    verb: 'stop',
    isCompute: true,
    find: async (client, { name }, signal) =>
      (await listWarehouses(given(client, signal))).find((warehouse) => warehouse.name === name)?.id,
    remove: async (client, id, signal) => {
      await stopWarehouse(id, given(client, signal))
      return undefined
    },
  },
  'model-version': {
    verb: 'delete',
    isCompute: false,
    find: UNKNOWN,
    remove: async (client, id, signal) => {
      // `catalog.schema.model/3`
      const [model = '', version = ''] = id.split('/')
      return await remove(client, `models/${encodeURIComponent(model)}/versions/${version}`, id, signal)
    },
  },
  'registered-model': {
    verb: 'delete',
    isCompute: false,
    find: UNKNOWN,
    remove: async (client, id, signal) => {
      // Removing a model would remove the versions that others made of it.
      const versions = await versionsOf(client, id, signal)
      if (versions > 0)
        return `it has ${versions === 1 ? 'a version' : `${versions} versions`} that lowrank did not make`
      return await remove(client, `models/${encodeURIComponent(id)}`, id, signal)
    },
  },
  table: {
    verb: 'delete',
    isCompute: false,
    find: UNKNOWN,
    remove: (client, id, signal) => remove(client, `tables/${encodeURIComponent(id)}`, id, signal),
  },
  directory: {
    verb: 'delete',
    isCompute: false,
    find: async (_, { name }) => name,
    remove: async (client, id, signal) => {
      await deleteDirectory(id, { ...given(client, signal), recursive: true })
      return undefined
    },
  },
  'volume-file': {
    verb: 'delete',
    isCompute: false,
    find: UNKNOWN,
    remove: async (client, id, signal) => {
      await deleteFile(id, given(client, signal))
      return undefined
    },
  },
}

async function remove(
  client: DatabricksClient,
  path: string,
  what: string,
  signal: AbortSignal | undefined,
): Promise<undefined> {
  try {
    await client.json({ method: 'DELETE', path: `${CATALOG}/${path}`, what, signal })
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

async function versionsOf(client: DatabricksClient, model: string, signal: AbortSignal | undefined): Promise<number> {
  const call = { path: `${CATALOG}/models/${encodeURIComponent(model)}/versions`, what: `the model ${model}`, signal }
  let count = 0
  try {
    const pages = client.pages(call, ({ model_versions }) => (Array.isArray(model_versions) ? model_versions : []))
    for await (const version of pages) if (isObject(version)) count++
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  return count
}

function given(
  databricks: DatabricksClient,
  signal: AbortSignal | undefined,
): { readonly databricks: DatabricksClient; readonly signal?: AbortSignal } {
  return { databricks, ...(signal && { signal }) }
}

/** @file SQL warehouses of a workspace: listed, started, waited for, stopped. None is made or removed. */

import { ServiceError } from '../http/service-error.js'
import { readOptions } from '../options/table.js'
import { type DatabricksClient, openDatabricks } from './client/connect.js'
import { isMissing } from './client/errors.js'
import {
  RESOURCE_OPTIONS,
  type ResourceOptions,
  START_OPTIONS,
  type StartOptions,
  WAIT_OPTIONS,
  type WaitOptions,
} from './options.js'
import { make, recordGone } from './resources.js'
import { waitUntil } from './wait.js'

/** A SQL warehouse, as the workspace tells of it. */
export interface Warehouse {
  readonly id: string
  readonly name: string
  /** STARTING, RUNNING, STOPPING, STOPPED, DELETING or DELETED. */
  readonly state: string
}

const WAREHOUSES = '/api/2.0/sql/warehouses'

/** Every warehouse that the credentials may see. @throws ServiceError; the reason of the signal */
export async function listWarehouses(options: ResourceOptions = {}): Promise<Warehouse[]> {
  const { databricks, signal } = readOptions('listWarehouses', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const all: Warehouse[] = []
  const pages = client.pages(
    { path: WAREHOUSES, what: 'the SQL warehouses', signal },
    ({ warehouses = [] }) => warehouses as Warehouse[],
  )
  for await (const warehouse of pages) all.push(warehouseOf(warehouse))
  return all
}

/** @throws ServiceError, also where there is none; the reason of the signal */
export async function getWarehouse(id: string, options: ResourceOptions = {}): Promise<Warehouse> {
  const { databricks, signal } = readOptions('getWarehouse', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  return warehouseOf(await client.json<Warehouse>({ path: pathOf(id), what: whatOf(id), signal }))
}

/**
 * Starts a warehouse and waits until it runs. One that did not run before is stopped by `lowrank clean`.
 * @throws ServiceError; the reason of the signal
 */
export async function startWarehouse(id: string, options: StartOptions = {}): Promise<Warehouse> {
  const { databricks, wait, ...waiting } = readOptions('startWarehouse', options, START_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  const one: ResourceOptions = { databricks: client, ...(signal && { signal }) }
  const now = await getWarehouse(id, one)
  if (now.state !== 'RUNNING' && now.state !== 'STARTING')
    await make(client, {
      kind: 'warehouse',
      name: now.name,
      create: () => post(client, id, 'start', signal),
      idOf: () => id,
    })
  return wait ? await waitForWarehouse(id, { ...optionsOf(options), databricks: client }) : await getWarehouse(id, one)
}

/**
 * Waits until a warehouse runs.
 * @throws ServiceError where it is removed in place of that, or after `timeout`; the reason of the signal
 */
export async function waitForWarehouse(id: string, options: WaitOptions = {}): Promise<Warehouse> {
  const { databricks, ...waiting } = readOptions('waitForWarehouse', options, WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  let hasBegun = false
  return await waitUntil(
    async () => {
      const value = await getWarehouse(id, { databricks: client, ...(signal && { signal }) })
      const { state } = value
      // A warehouse that stops at the moment of the start begins afterwards.
      if (state.startsWith('DELET') || (state === 'STOPPED' && hasBegun))
        throw new ServiceError(
          `[databricks] expected ${whatOf(id)} to run, got ${state}; look at its events in the workspace`,
        )
      hasBegun ||= state === 'STARTING'
      return { state, value, isDone: state === 'RUNNING' }
    },
    { ...waiting, what: whatOf(id) },
  )
}

/** Stops a warehouse. One that is stopped or gone is left so. @throws ServiceError; the reason of the signal */
export async function stopWarehouse(id: string, options: ResourceOptions = {}): Promise<void> {
  const { databricks, signal } = readOptions('stopWarehouse', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  try {
    await post(client, id, 'stop', signal)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await recordGone(client, 'warehouse', id)
}

/** Both verbs are the same when they come twice. */
async function post(
  client: DatabricksClient,
  id: string,
  verb: 'start' | 'stop',
  signal: AbortSignal | undefined,
): Promise<void> {
  const path = `${pathOf(id)}/${verb}`
  await client.json({ method: 'POST', path, json: {}, what: whatOf(id), isRepeatable: true, signal })
}

function optionsOf({ wait: _, ...options }: StartOptions): WaitOptions {
  return options
}

function warehouseOf({ id, name, state }: Warehouse): Warehouse {
  return { id, name, state }
}

function pathOf(id: string): string {
  return `${WAREHOUSES}/${encodeURIComponent(id)}`
}

function whatOf(id: string): string {
  return `the SQL warehouse ${id}`
}

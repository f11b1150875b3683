/** @file Serving endpoints of a workspace: made, waited for, asked, updated, removed. */

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
import { SERVED_ENTITY_OPTIONS, type ServedEntity } from './served-entity.js'
import { snakeCase } from './snake-case.js'
import { waitUntil } from './wait.js'

/** A serving endpoint, as the workspace tells of it. */
export interface ServingEndpoint {
  readonly name: string
  /** READY, or NOT_READY while nothing can be asked. */
  readonly ready: string
  /** NOT_UPDATING, IN_PROGRESS, UPDATE_FAILED or UPDATE_CANCELED. */
  readonly configUpdate: string
  /** What it serves: `catalog.schema.model/3`. */
  readonly entities: readonly string[]
}

interface EndpointJson {
  readonly name: string
  readonly state?: { readonly ready?: string; readonly config_update?: string }
  readonly config?: { readonly served_entities?: readonly EntityJson[] }
  readonly pending_config?: { readonly served_entities?: readonly EntityJson[] }
  readonly tags?: readonly { readonly key: string; readonly value?: string }[]
}

interface EntityJson {
  readonly entity_name?: string
  readonly entity_version?: string
  readonly state?: { readonly deployment?: string; readonly deployment_state_message?: string }
}

const ENDPOINTS = '/api/2.0/serving-endpoints'
/** Tag by which an endpoint is known to be the one that was asked for. */
const KEY_TAG = 'lowrank-key'

/**
 * Makes an endpoint that serves a registered version, and waits until it can be asked. An adapter without its base
 * cannot be served: register the merged model. A lost answer makes no second endpoint.
 * @throws OptionError, ServiceError; the reason of the signal
 */
export async function createEndpoint(
  name: string,
  entity: ServedEntity,
  options: StartOptions = {},
): Promise<ServingEndpoint> {
  const fields = readOptions('createEndpoint', entity, SERVED_ENTITY_OPTIONS)
  const { databricks, signal, wait } = readOptions('createEndpoint', options, START_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const made = await make<EndpointJson>(client, {
    kind: 'serving-endpoint',
    name,
    create: (key) =>
      client.json({
        method: 'POST',
        path: ENDPOINTS,
        json: { name, config: { served_entities: [entityJson(fields)] }, tags: [{ key: KEY_TAG, value: key }] },
        what: whatOf(name),
        signal,
      }),
    find: (key) => findEndpoint(client, name, key, signal),
    idOf: () => name,
  })
  return wait ? await waitForEndpoint(name, { ...waitOf(options), databricks: client }) : endpointOf(made)
}

/** @throws ServiceError, also where there is none; the reason of the signal */
export async function getEndpoint(name: string, options: ResourceOptions = {}): Promise<ServingEndpoint> {
  const { databricks, signal } = readOptions('getEndpoint', options, RESOURCE_OPTIONS)
  return endpointOf(await read(await openDatabricks(databricks, signal), name, signal))
}

/** Every endpoint that the credentials may see. @throws ServiceError; the reason of the signal */
export async function listEndpoints(options: ResourceOptions = {}): Promise<ServingEndpoint[]> {
  const { databricks, signal } = readOptions('listEndpoints', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const call = { path: ENDPOINTS, what: 'the serving endpoints', signal }
  const { endpoints = [] } = await client.json<{ readonly endpoints?: readonly EndpointJson[] }>(call)
  return endpoints.map(endpointOf)
}

/** Serves another version, and waits until it does; the one before answers until then. @throws ServiceError */
export async function updateEndpoint(
  name: string,
  entity: ServedEntity,
  options: StartOptions = {},
): Promise<ServingEndpoint> {
  const fields = readOptions('updateEndpoint', entity, SERVED_ENTITY_OPTIONS)
  const { databricks, signal, wait } = readOptions('updateEndpoint', options, START_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const json = { served_entities: [entityJson(fields)] }
  const path = `${pathOf(name)}/config`
  const made = await client.json<EndpointJson>({ method: 'PUT', path, json, what: whatOf(name), signal })
  return wait ? await waitForEndpoint(name, { ...waitOf(options), databricks: client }) : endpointOf(made)
}

/**
 * Waits until an endpoint is ready and nothing of it changes.
 * @throws ServiceError where the update fails, or after `timeout`; the reason of the signal
 */
export async function waitForEndpoint(name: string, options: WaitOptions = {}): Promise<ServingEndpoint> {
  const { databricks, ...waiting } = readOptions('waitForEndpoint', options, WAIT_OPTIONS)
  const { signal } = waiting
  const client = await openDatabricks(databricks, signal)
  return await waitUntil(
    async () => {
      const json = await read(client, name, signal)
      const value = endpointOf(json)
      const { ready, configUpdate } = value
      if (configUpdate === 'UPDATE_FAILED' || configUpdate === 'UPDATE_CANCELED')
        throw new ServiceError(
          `[databricks] expected ${whatOf(name)} to serve ${value.entities.join(', ')}, got ${configUpdate}${reasonsOf(json)}; ` +
            'look at the build and service logs of the endpoint in the workspace',
        )
      const isDone = configUpdate === 'NOT_UPDATING' && ready === 'READY'
      return { state: `${ready} ${configUpdate}`, value, isDone }
    },
    { ...waiting, what: whatOf(name) },
  )
}

/**
 * Asks an endpoint.
 * @param input What the model takes: `{ messages: [...] }`, `{ dataframe_records: [...] }`, `{ inputs: [...] }`.
 * @returns what it answers, as JSON
 * @throws ServiceError; the reason of the signal
 */
export async function queryEndpoint(
  name: string,
  input: Readonly<Record<string, unknown>>,
  options: ResourceOptions = {},
): Promise<Record<string, unknown>> {
  const { databricks, signal } = readOptions('queryEndpoint', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  const path = `/serving-endpoints/${encodeURIComponent(name)}/invocations`
  return await client.json({ method: 'POST', path, json: input, what: whatOf(name), signal })
}

/** Removes an endpoint. One that is gone is left so. @throws ServiceError; the reason of the signal */
export async function deleteEndpoint(name: string, options: ResourceOptions = {}): Promise<void> {
  const { databricks, signal } = readOptions('deleteEndpoint', options, RESOURCE_OPTIONS)
  const client = await openDatabricks(databricks, signal)
  try {
    await client.json({ method: 'DELETE', path: pathOf(name), what: whatOf(name), signal })
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await recordGone(client, 'serving-endpoint', name)
}

/** The endpoint of this name, if it has this key as a tag; undefined: it is another, or there is none. */
export async function findEndpoint(
  client: DatabricksClient,
  name: string,
  key: string,
  signal: AbortSignal | undefined,
): Promise<EndpointJson | undefined> {
  try {
    const found = await read(client, name, signal)
    return found.tags?.some((tag) => tag.key === KEY_TAG && tag.value === key) ? found : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function read(client: DatabricksClient, name: string, signal: AbortSignal | undefined): Promise<EndpointJson> {
  return await client.json({ path: pathOf(name), what: whatOf(name), signal })
}

function entityJson(fields: ServedEntity): Record<string, unknown> {
  const isProvisioned = fields.minProvisionedThroughput !== undefined || fields.maxProvisionedThroughput !== undefined
  return snakeCase({ ...fields, workloadSize: fields.workloadSize ?? (isProvisioned ? undefined : 'Small') })
}

function endpointOf({ name, state = {}, config, pending_config }: EndpointJson): ServingEndpoint {
  const entities = (pending_config ?? config)?.served_entities ?? []
  return {
    name,
    ready: state.ready ?? 'NOT_READY',
    configUpdate: state.config_update ?? 'IN_PROGRESS',
    entities: entities.map(({ entity_name, entity_version }) => `${entity_name}/${entity_version}`),
  }
}

function reasonsOf({ config, pending_config }: EndpointJson): string {
  const reasons = [...(pending_config?.served_entities ?? []), ...(config?.served_entities ?? [])].flatMap(
    ({ state }) => state?.deployment_state_message || [],
  )
  return reasons.length === 0 ? '' : ` (${reasons.join('; ')})`
}

function waitOf({ wait: _, ...options }: StartOptions): WaitOptions {
  return options
}

function pathOf(name: string): string {
  return `${ENDPOINTS}/${encodeURIComponent(name)}`
}

function whatOf(name: string): string {
  return `the serving endpoint ${name}`
}

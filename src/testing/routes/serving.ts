/**
 * @file Serving endpoints. Nothing is served: an endpoint is ready at the second look, and answers with its question.
 */

import { isObject } from '../../values.js'
import { expectFields, expectQuery, invalid, missing, RefusedRequest, type Route } from '../route.js'
import type { StateKey, WorkspaceState } from '../state.js'

/** An endpoint of the loopback workspace. */
export interface LoopbackEndpoint {
  entity: Readonly<Record<string, unknown>>
  readonly tags: unknown
  ready: string
  update: string
}

/** The endpoints, by name, and why the next updates fail; undefined: they do not. */
export const SERVING: StateKey<{ readonly endpoints: Map<string, LoopbackEndpoint>; failure: string | undefined }> = {
  name: 'serving',
  make: () => ({ endpoints: new Map(), failure: undefined }),
}

const ENTITY = {
  entity_name: 'string',
  entity_version: 'string',
  name: 'string?',
  workload_type: 'string?',
  workload_size: 'string?',
  scale_to_zero_enabled: 'boolean?',
  min_provisioned_throughput: 'number?',
  max_provisioned_throughput: 'number?',
  environment_vars: 'object?',
} as const
const PATH = '/api/2.0/serving-endpoints'

export const SERVING_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: PATH,
    handle({ json }, state) {
      expectFields(json, { name: 'string', config: 'object', tags: 'array?' })
      const name = String(json.name)
      const { endpoints } = state.of(SERVING)
      if (!/^[\w-]{1,63}$/.test(name)) throw invalid('The name must be alphanumeric with hyphens and underscores.')
      if (endpoints.has(name))
        throw new RefusedRequest(400, 'RESOURCE_ALREADY_EXISTS', `Endpoint with name '${name}' already exists.`)
      const entity = entityOf(json.config)
      endpoints.set(name, { entity, tags: json.tags ?? [], ready: 'NOT_READY', update: 'IN_PROGRESS' })
      return { json: endpointJson(state, name) }
    },
  },
  {
    method: 'GET',
    path: PATH,
    handle({ query }, state) {
      expectQuery(query, [])
      const names = [...state.of(SERVING).endpoints.keys()]
      return { json: names.length === 0 ? {} : { endpoints: names.map((name) => endpointJson(state, name)) } }
    },
  },
  {
    method: 'GET',
    path: `${PATH}/{name}`,
    handle({ params: { name = '' }, query }, state) {
      expectQuery(query, [])
      const answer = endpointJson(state, name)
      const endpoint = endpointOf(state, name)
      if (endpoint.update === 'IN_PROGRESS') {
        const hasFailed = state.of(SERVING).failure !== undefined
        endpoint.update = hasFailed ? 'UPDATE_FAILED' : 'NOT_UPDATING'
        if (!hasFailed) endpoint.ready = 'READY'
      }
      return { json: answer }
    },
  },
  {
    method: 'PUT',
    path: `${PATH}/{name}/config`,
    handle({ params: { name = '' }, json }, state) {
      const endpoint = endpointOf(state, name)
      if (endpoint.update === 'IN_PROGRESS')
        throw new RefusedRequest(409, 'RESOURCE_CONFLICT', `Endpoint ${name} is currently being updated.`)
      endpoint.entity = entityOf(json)
      endpoint.update = 'IN_PROGRESS'
      return { json: endpointJson(state, name) }
    },
  },
  {
    method: 'DELETE',
    path: `${PATH}/{name}`,
    handle({ params: { name = '' } }, state) {
      endpointOf(state, name)
      state.of(SERVING).endpoints.delete(name)
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: '/serving-endpoints/{name}/invocations',
    handle({ params: { name = '' }, json }, state) {
      if (endpointOf(state, name).ready !== 'READY')
        throw new RefusedRequest(400, 'BAD_REQUEST', `Endpoint ${name} is not ready.`)
      return { headers: { 'served-model-name': name }, json: { predictions: [json] } }
    },
  },
]

function entityOf(config: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(config)) throw invalid('Missing required field: config')
  expectFields(config, { served_entities: 'array', name: 'string?' }, 'config')
  const [entity, ...more] = config.served_entities as unknown[]
  if (!isObject(entity) || more.length > 0) throw invalid('Exactly one served entity is expected.')
  expectFields(entity, ENTITY, 'served_entities')
  const isProvisioned = entity.min_provisioned_throughput ?? entity.max_provisioned_throughput
  if (!isProvisioned && entity.workload_size === undefined) throw invalid('Missing required field: workload_size')
  return entity
}

function endpointJson(state: WorkspaceState, name: string): Record<string, unknown> {
  const { entity, tags, ready, update } = endpointOf(state, name)
  const { failure } = state.of(SERVING)
  const isFailed = update === 'UPDATE_FAILED'
  const served = {
    ...entity,
    ...(isFailed && { state: { deployment: 'DEPLOYMENT_FAILED', deployment_state_message: failure } }),
  }
  const config = { served_entities: [served] }
  return { name, tags, state: { ready, config_update: update }, [isFailed ? 'pending_config' : 'config']: config }
}

function endpointOf(state: WorkspaceState, name: string): LoopbackEndpoint {
  const endpoint = state.of(SERVING).endpoints.get(name)
  if (endpoint === undefined) throw missing(`Endpoint with name '${name}' does not exist.`)
  return endpoint
}

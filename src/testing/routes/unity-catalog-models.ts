/**
 * @file Registered models as Unity Catalog's own interface has them: `/api/2.1/unity-catalog/models...`, of workspaces
 * and of the open-source server, which has neither aliases nor tags.
 */

import {
  aliasesOf,
  createModel,
  createVersion,
  deleteVersion,
  finalizeVersion,
  modelCredentials,
  modelOf,
  REGISTRY,
  type StoredModel,
  type StoredModelVersion,
  setAlias,
  versionByAlias,
  versionOf,
} from '../model-registry.js'
import {
  expectFields,
  expectQuery,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from '../route.js'
import type { WorkspaceState } from '../state.js'
import { onWorkspaces, pairs, tagsOf } from './registry.js'

const ROOT = '/api/2.1/unity-catalog'
const MODELS = `${ROOT}/models`
const VERSION = `${MODELS}/{full_name}/versions/{version}`
const ALIAS = `${MODELS}/{full_name}/aliases/{alias}`
const PLACE = { catalog_name: 'string', schema_name: 'string' } as const
const LIST = ['max_results', 'page_token', 'include_browse']
/** MLflow's client repeats in query and body what the path has. */
const NAMED = { full_name: 'string?', version: 'number?', alias: 'string?' } as const
const NAMES = ['full_name', 'version', 'alias', 'include_aliases', 'include_browse']

export const UNITY_CATALOG_MODEL_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: MODELS,
    handle({ json }, state) {
      const fields = { name: 'string', ...PLACE, comment: 'string?', storage_location: 'string?' } as const
      const more = { tags: 'array?', deployment_job_id: 'string?' } as const
      expectFields(json, isOpenSource(state) ? fields : { ...fields, ...more })
      const name = [json.catalog_name, json.schema_name, json.name].join('.')
      return { json: modelJson(createModel(state, name, textOf(json.comment), tagsOf(json.tags))) }
    },
  },
  {
    method: 'GET',
    path: MODELS,
    handle({ query }, state) {
      expectQuery(query, [], ['catalog_name', 'schema_name', ...LIST])
      const prefix = [query.get('catalog_name'), query.get('schema_name')].filter(Boolean).join('.')
      const found = [...state.of(REGISTRY).models.values()].filter(
        ({ name }) => prefix === '' || name.startsWith(`${prefix}.`),
      )
      const { items, next_page_token } = pageOf(found, query, 100)
      return { json: { registered_models: items.map((model) => modelJson(model)), ...nextOf(next_page_token) } }
    },
  },
  {
    method: 'GET',
    path: `${MODELS}/{full_name}`,
    handle({ params, query }, state) {
      expectQuery(query, [], NAMES)
      const isFull = query.get('include_aliases') === 'true' && !isOpenSource(state)
      return { json: modelJson(modelOf(state, params.full_name), isFull) }
    },
  },
  {
    method: 'PATCH',
    path: `${MODELS}/{full_name}`,
    handle({ params, json }, state) {
      expectFields(json, { ...NAMED, comment: 'string?', deployment_job_id: 'string?' })
      const model = modelOf(state, params.full_name)
      model.description = textOf(json.comment)
      return { json: modelJson(model) }
    },
  },
  {
    method: 'DELETE',
    path: `${MODELS}/{full_name}`,
    body: 'json',
    handle({ params, query, json }, state) {
      expectQuery(query, [], ['force'])
      expectFields(json, { ...NAMED, force: 'boolean?' })
      const { name, versions } = modelOf(state, params.full_name)
      if (versions.size > 0 && query.get('force') !== 'true' && json.force !== true)
        throw new RefusedRequest(400, 'INVALID_STATE', `The model '${name}' has versions.`)
      state.of(REGISTRY).models.delete(name)
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MODELS}/versions`,
    handle({ json }, state) {
      const texts = { model_name: 'string', ...PLACE, source: 'string', run_id: 'string?', comment: 'string?' } as const
      const links = { model_id: 'string?', feature_deps: 'string?', run_tracking_server_id: 'string?' } as const
      const more = { ...links, tags: 'array?', model_version_dependencies: 'object?' } as const
      expectFields(json, isOpenSource(state) ? texts : { ...texts, ...more })
      const model = modelOf(state, [json.catalog_name, json.schema_name, json.model_name].join('.'))
      const version = createVersion(state, model, {
        source: String(json.source),
        runId: textOf(json.run_id),
        runWorkspaceId: textOf(json.run_tracking_server_id),
        modelId: textOf(json.model_id),
        description: textOf(json.comment),
        tags: tagsOf(json.tags),
      })
      return { json: versionJson(model, version) }
    },
  },
  {
    method: 'GET',
    path: `${MODELS}/{full_name}/versions`,
    handle({ params, query }, state) {
      expectQuery(query, [], [...LIST, 'full_name'])
      const model = modelOf(state, params.full_name)
      const { items, next_page_token } = pageOf([...model.versions.values()], query, 100)
      const model_versions = items.map((version) => {
        const { tags, ...listed } = versionJson(model, version)
        return listed
      })
      return { json: { model_versions, ...nextOf(next_page_token) } }
    },
  },
  {
    method: 'GET',
    path: VERSION,
    handle({ params, query }, state) {
      expectQuery(query, [], NAMES)
      const { model, version } = named(state, params)
      return { json: versionJson(model, version, query.get('include_aliases') === 'true' && !isOpenSource(state)) }
    },
  },
  {
    method: 'PATCH',
    path: VERSION,
    handle({ params, json }, state) {
      expectFields(json, { ...NAMED, comment: 'string?' })
      const { model, version } = named(state, params)
      version.description = textOf(json.comment)
      return { json: versionJson(model, version) }
    },
  },
  {
    method: 'DELETE',
    path: VERSION,
    body: 'json',
    async handle({ params, json }, state) {
      expectFields(json, NAMED)
      const { model, version } = named(state, params)
      await deleteVersion(state, model, version)
      return { json: {} }
    },
  },
  {
    method: 'PATCH',
    path: `${VERSION}/finalize`,
    handle({ params, json }, state) {
      expectFields(json, NAMED)
      const { model, version } = named(state, params)
      return { json: versionJson(model, finalizeVersion(state, version)) }
    },
  },
  {
    method: 'POST',
    path: `${ROOT}/temporary-model-version-credentials`,
    handle({ json }, state) {
      expectFields(json, { ...PLACE, model_name: 'string', version: 'number', operation: 'string' })
      const full_name = [json.catalog_name, json.schema_name, json.model_name].join('.')
      named(state, { full_name, version: String(json.version) })
      const isKnown = ['READ_MODEL_VERSION', 'READ_WRITE_MODEL_VERSION'].includes(String(json.operation))
      return { json: modelCredentials(state, isKnown) }
    },
  },
  { method: 'GET', path: ALIAS, handle: onWorkspaces(getByAlias) },
  { method: 'PUT', path: ALIAS, handle: onWorkspaces(putAlias) },
  {
    method: 'DELETE',
    path: ALIAS,
    body: 'json',
    handle: onWorkspaces(({ params, json }, state) => {
      expectFields(json, NAMED)
      const model = modelOf(state, params.full_name)
      versionByAlias(model, params.alias ?? '')
      model.aliases.delete(params.alias ?? '')
      return { json: {} }
    }),
  },
  {
    method: 'PATCH',
    path: `${ROOT}/securable-tags/FUNCTION/{full_name}`,
    handle: onWorkspaces(({ params, json }, state) => changeTags(modelOf(state, params.full_name).tags, json)),
  },
  {
    method: 'PATCH',
    path: `${ROOT}/subentity-tags/FUNCTION/{full_name}/{version}`,
    handle: onWorkspaces(({ params, json }, state) => changeTags(named(state, params).version.tags, json)),
  },
]

function isOpenSource(state: WorkspaceState): boolean {
  return state.of(REGISTRY).openSourceRoot !== undefined
}

function getByAlias({ params, query }: RouteRequest, state: WorkspaceState): RouteAnswer {
  expectQuery(query, [], NAMES)
  const model = modelOf(state, params.full_name)
  return {
    json: versionJson(model, versionByAlias(model, params.alias ?? ''), query.get('include_aliases') === 'true'),
  }
}

function putAlias({ params, json }: RouteRequest, state: WorkspaceState): RouteAnswer {
  expectFields(json, { full_name: 'string?', alias: 'string?', version_num: 'number' })
  const { full_name = '', alias = '' } = params
  setAlias(modelOf(state, full_name), alias, json.version_num)
  return { json: { alias_name: alias, version_num: Number(json.version_num) } }
}

function changeTags(tags: Map<string, string>, json: RouteRequest['json']): RouteAnswer {
  expectFields(json, {
    changes: 'object',
    securable_type: 'string?',
    securable_full_name: 'string?',
    subentity_name: 'string?',
  })
  const changes = json.changes as Record<string, unknown>
  expectFields(changes, { add_tags: 'array?', remove: 'array?' }, 'changes')
  for (const [key, value] of tagsOf(changes.add_tags)) tags.set(key, value)
  for (const key of (changes.remove ?? []) as string[]) tags.delete(key)
  return { json: {} }
}

function named(
  state: WorkspaceState,
  { full_name, version }: Readonly<Record<string, string>>,
): { readonly model: StoredModel; readonly version: StoredModelVersion } {
  const model = modelOf(state, full_name)
  return { model, version: versionOf(model, version) }
}

function nextOf(next_page_token: string | undefined): object {
  return next_page_token === undefined ? {} : { next_page_token }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function placeOf(full: string): object {
  const [catalog_name, schema_name] = full.split('.')
  return { catalog_name, schema_name }
}

function modelJson(model: StoredModel, hasAliases = false): object {
  const { name, description, tags, aliases, createdAt, updatedAt, createdBy } = model
  return {
    name: name.split('.')[2],
    ...placeOf(name),
    full_name: name,
    created_at: createdAt,
    updated_at: updatedAt,
    created_by: createdBy,
    ...(description !== undefined && { comment: description }),
    ...(hasAliases && { aliases: [...aliases].map(([alias_name, version_num]) => ({ alias_name, version_num })) }),
    ...(tags.size > 0 && { tags: pairs(tags) }),
  }
}

function versionJson(model: StoredModel, stored: StoredModelVersion, hasAliases = false): Record<string, unknown> {
  const { version, runWorkspaceId } = stored
  const aliases = aliasesOf(model, version).map((alias_name) => ({ alias_name, version_num: version }))
  return {
    model_name: model.name.split('.')[2],
    ...placeOf(model.name),
    version,
    source: stored.source,
    status: stored.status,
    storage_location: stored.storageLocation,
    created_at: stored.createdAt,
    updated_at: stored.updatedAt,
    created_by: stored.createdBy,
    ...(stored.description !== undefined && { comment: stored.description }),
    ...(stored.runId !== undefined && { run_id: stored.runId }),
    ...(runWorkspaceId !== undefined && { run_workspace_id: Number(runWorkspaceId) }),
    ...(stored.modelId !== undefined && { model_id: stored.modelId }),
    ...(hasAliases && aliases.length > 0 && { aliases }),
    ...(stored.tags.size > 0 && { tags: pairs(stored.tags) }),
  }
}

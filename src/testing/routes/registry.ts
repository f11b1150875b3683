/**
 * @file Registered models as MLflow's clients ask a workspace for them: `/api/2.0/mlflow/unity-catalog/...`. Lists have
 * no tags and aliases, as there.
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
  invalid,
  missing,
  pageOf,
  RefusedRequest,
  type Route,
  type RouteRequest,
} from '../route.js'
import type { WorkspaceState } from '../state.js'

const ROOT = '/api/2.0/mlflow/unity-catalog'
const MODELS = `${ROOT}/registered-models`
const VERSIONS = `${ROOT}/model-versions`
const VERSION = { name: 'string', version: 'string' } as const
const LIST = ['max_results', 'page_token']

const ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: `${MODELS}:is-databricks-sdk-models-artifact-repository-enabled`,
    handle: ({ query }, state) => {
      expectQuery(query, [])
      const { takesFiles } = state.of(REGISTRY)
      // False is left out, as Protobuf has it.
      return { json: takesFiles ? { is_databricks_sdk_models_artifact_repository_enabled: true } : {} }
    },
  },
  {
    method: 'POST',
    path: `${MODELS}/create`,
    handle({ json }, state) {
      expectFields(json, { name: 'string', tags: 'array?', description: 'string?', deployment_job_id: 'string?' })
      const model = createModel(state, String(json.name), textOf(json.description), tagsOf(json.tags))
      return { json: { registered_model: modelJson(model) } }
    },
  },
  {
    method: 'GET',
    path: `${MODELS}/get`,
    handle({ query }, state) {
      expectQuery(query, ['name'])
      return { json: { registered_model: modelJson(modelOf(state, query.get('name'))) } }
    },
  },
  {
    method: 'PATCH',
    path: `${MODELS}/update`,
    handle({ json }, state) {
      expectFields(json, { name: 'string', description: 'string?', deployment_job_id: 'string?' })
      const model = modelOf(state, json.name)
      model.description = textOf(json.description)
      return { json: { registered_model: modelJson(model) } }
    },
  },
  {
    method: 'DELETE',
    path: `${MODELS}/delete`,
    body: 'json',
    handle({ json }, state) {
      expectFields(json, { name: 'string' })
      const { name, versions } = modelOf(state, json.name)
      if (versions.size > 0) throw new RefusedRequest(400, 'INVALID_STATE', `The model '${name}' has versions.`)
      state.of(REGISTRY).models.delete(name)
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: `${MODELS}/search`,
    handle({ query }, state) {
      expectQuery(query, [], LIST)
      const { items, next_page_token } = pageOf([...state.of(REGISTRY).models.values()], query, 100)
      const registered_models = items.map(({ name, description }) => ({ name, ...(description && { description }) }))
      return { json: { registered_models, ...(next_page_token && { next_page_token }) } }
    },
  },
  {
    method: 'POST',
    path: `${MODELS}/set-tag`,
    handle({ json }, state) {
      expectFields(json, { name: 'string', key: 'string', value: 'string' })
      modelOf(state, json.name).tags.set(String(json.key), String(json.value))
      return { json: {} }
    },
  },
  {
    method: 'DELETE',
    path: `${MODELS}/delete-tag`,
    body: 'json',
    handle({ json }, state) {
      expectFields(json, { name: 'string', key: 'string' })
      modelOf(state, json.name).tags.delete(String(json.key))
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${MODELS}/alias`,
    handle({ json }, state) {
      expectFields(json, { ...VERSION, alias: 'string' })
      setAlias(modelOf(state, json.name), String(json.alias), json.version)
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: `${MODELS}/alias`,
    handle({ query }, state) {
      expectQuery(query, ['name', 'alias'])
      const model = modelOf(state, query.get('name'))
      return { json: { model_version: versionJson(model, versionByAlias(model, query.get('alias') ?? '')) } }
    },
  },
  {
    method: 'DELETE',
    path: `${MODELS}/alias`,
    body: 'json',
    handle({ json }, state) {
      expectFields(json, { name: 'string', alias: 'string' })
      const model = modelOf(state, json.name)
      versionByAlias(model, String(json.alias))
      model.aliases.delete(String(json.alias))
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${VERSIONS}/create`,
    handle({ json }, state) {
      const texts = { name: 'string', source: 'string', run_id: 'string?', description: 'string?' } as const
      const links = { run_tracking_server_id: 'string?', feature_deps: 'string?', model_id: 'string?' } as const
      expectFields(json, { ...texts, ...links, tags: 'array?', model_version_dependencies: 'array?' })
      if (json.source === '') throw invalid('source must not be empty.')
      const model = modelOf(state, json.name)
      const version = createVersion(state, model, {
        source: String(json.source),
        runId: textOf(json.run_id),
        runWorkspaceId: textOf(json.run_tracking_server_id),
        modelId: textOf(json.model_id),
        description: textOf(json.description),
        tags: tagsOf(json.tags),
      })
      return { json: { model_version: versionJson(model, version) } }
    },
  },
  {
    method: 'GET',
    path: `${VERSIONS}/get`,
    handle({ query }, state) {
      expectQuery(query, ['name', 'version'])
      const model = modelOf(state, query.get('name'))
      return { json: { model_version: versionJson(model, versionOf(model, query.get('version'))) } }
    },
  },
  {
    method: 'PATCH',
    path: `${VERSIONS}/update`,
    handle({ json }, state) {
      expectFields(json, { ...VERSION, description: 'string?' })
      const { model, version } = named(state, json)
      version.description = textOf(json.description)
      return { json: { model_version: versionJson(model, version) } }
    },
  },
  {
    method: 'DELETE',
    path: `${VERSIONS}/delete`,
    body: 'json',
    async handle({ json }, state) {
      expectFields(json, VERSION)
      const { model, version } = named(state, json)
      await deleteVersion(state, model, version)
      return { json: {} }
    },
  },
  {
    method: 'GET',
    path: `${VERSIONS}/search`,
    handle({ query }, state) {
      expectQuery(query, ['filter'], LIST)
      const [, name] = /^name ?= ?'([^']+)'$/.exec(query.get('filter') ?? '') ?? []
      if (name === undefined) throw invalid(`Unsupported filter query: ${query.get('filter')}`)
      const model = state.of(REGISTRY).models.get(name)
      const { items, next_page_token } = pageOf([...(model?.versions.values() ?? [])], query, 100)
      const model_versions = items.map((version) => {
        const { tags, aliases, ...listed } = versionJson(model as StoredModel, version)
        return listed
      })
      return { json: { ...(items.length > 0 && { model_versions }), ...(next_page_token && { next_page_token }) } }
    },
  },
  {
    method: 'GET',
    path: `${VERSIONS}/get-download-uri`,
    handle({ query }, state) {
      expectQuery(query, ['name', 'version'])
      const artifact_uri = versionOf(modelOf(state, query.get('name')), query.get('version')).storageLocation
      return { json: { artifact_uri } }
    },
  },
  {
    method: 'POST',
    path: `${VERSIONS}/generate-temporary-credentials`,
    handle({ json }, state) {
      expectFields(json, { ...VERSION, operation: 'string' })
      named(state, json)
      const isKnown = ['MODEL_VERSION_OPERATION_READ', 'MODEL_VERSION_OPERATION_READ_WRITE'].includes(
        String(json.operation),
      )
      return { json: { credentials: modelCredentials(state, isKnown) } }
    },
  },
  {
    method: 'POST',
    path: `${VERSIONS}/finalize`,
    handle({ json }, state) {
      expectFields(json, VERSION)
      const { model, version } = named(state, json)
      return { json: { model_version: versionJson(model, finalizeVersion(state, version), state) } }
    },
  },
  {
    method: 'POST',
    path: `${VERSIONS}/set-tag`,
    handle({ json }, state) {
      expectFields(json, { ...VERSION, key: 'string', value: 'string' })
      named(state, json).version.tags.set(String(json.key), String(json.value))
      return { json: {} }
    },
  },
  {
    method: 'DELETE',
    path: `${VERSIONS}/delete-tag`,
    body: 'json',
    handle({ json }, state) {
      expectFields(json, { ...VERSION, key: 'string' })
      named(state, json).version.tags.delete(String(json.key))
      return { json: {} }
    },
  },
  {
    method: 'POST',
    path: `${VERSIONS}/emit-lineage`,
    handle({ json }, state) {
      expectFields(json, { ...VERSION, model_version_lineage_info: 'object?', securable: 'object?' })
      named(state, json)
      state.of(REGISTRY).lineage.push(json)
      return { json: {} }
    },
  },
]

/** Open-source servers have none of these. */
export const REGISTRY_ROUTES: readonly Route[] = ROUTES.map((route) => ({
  ...route,
  handle: onWorkspaces(route.handle),
}))

/** A call that workspaces alone have. */
export function onWorkspaces(handle: Route['handle']): Route['handle'] {
  return (request, state) => {
    if (state.of(REGISTRY).openSourceRoot !== undefined)
      throw missing(`No API found for '${request.path}'`, 'ENDPOINT_NOT_FOUND')
    return handle(request, state)
  }
}

function named(
  state: WorkspaceState,
  json: RouteRequest['json'],
): { readonly model: StoredModel; readonly version: StoredModelVersion } {
  const model = modelOf(state, json.name)
  return { model, version: versionOf(model, json.version) }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Tags as both dialects send them. @throws RefusedRequest */
export function tagsOf(value: unknown): Map<string, string> {
  const tags = ((value ?? []) as Record<string, unknown>[]).map((tag, index): [string, string] => {
    expectFields(tag, { key: 'string', value: 'string' }, `tags[${index}]`)
    return [String(tag.key), String(tag.value)]
  })
  return new Map(tags)
}

export function pairs(tags: ReadonlyMap<string, string>): readonly object[] {
  return [...tags].map(([key, value]) => ({ key, value }))
}

function modelJson({ name, description, tags, aliases, createdAt, updatedAt, createdBy }: StoredModel): object {
  return {
    name,
    creation_timestamp: createdAt,
    last_updated_timestamp: updatedAt,
    user_id: createdBy,
    ...(description !== undefined && { description }),
    ...(aliases.size > 0 && { aliases: [...aliases].map(([alias, version]) => ({ alias, version: String(version) })) }),
    ...(tags.size > 0 && { tags: pairs(tags) }),
  }
}

function versionJson(model: StoredModel, stored: StoredModelVersion, state?: WorkspaceState): Record<string, unknown> {
  const aliases = aliasesOf(model, stored.version).map((alias) => ({ alias, version: String(stored.version) }))
  const { failure } = state?.of(REGISTRY) ?? {}
  return {
    name: model.name,
    version: String(stored.version),
    creation_timestamp: stored.createdAt,
    last_updated_timestamp: stored.updatedAt,
    user_id: stored.createdBy,
    source: stored.source,
    status: stored.status,
    storage_location: stored.storageLocation,
    ...(failure !== undefined && { status_message: failure }),
    ...(stored.description !== undefined && { description: stored.description }),
    ...(stored.runId !== undefined && { run_id: stored.runId }),
    ...(stored.runWorkspaceId !== undefined && { run_tracking_server_id: stored.runWorkspaceId }),
    ...(stored.modelId !== undefined && { model_id: stored.modelId }),
    ...(aliases.length > 0 && { aliases }),
    ...(stored.tags.size > 0 && { tags: pairs(stored.tags) }),
  }
}

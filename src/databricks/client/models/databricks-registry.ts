/**
 * @file The registry of a workspace as MLflow's clients ask for it: `/api/2.0/mlflow/unity-catalog/...`. GET calls have
 * their fields in the query.
 */

import type { RestCall } from '../../../http/rest.js'
import { isObject } from '../../../values.js'
import type { DatabricksClient } from '../connect.js'
import { isMissing } from '../errors.js'
import { expectOwnStorage, expectVersion, type Fields, ifThere, pairsOf, textOf, textsOf } from './answers.js'
import type { FilesWay, ModelVersion, Registry } from './registry.js'

const ROOT = '/api/2.0/mlflow/unity-catalog'
const VERSION_LIST = 100

/** The registry of a workspace. */
export function databricksRegistry(client: DatabricksClient): Registry {
  const call = (method: 'GET' | 'POST', path: string, fields: Fields, rest: Pick<RestCall, 'what' | 'signal'>) =>
    client.json<Fields>({
      method,
      path: `${ROOT}/${path}`,
      ...(method === 'GET' ? { query: fields as NonNullable<RestCall['query']> } : { json: fields }),
      ...rest,
    })
  const versionAt = async (
    path: string,
    fields: Fields,
    what: string,
    asked: { readonly name: string; readonly asked?: number },
    signal: AbortSignal | undefined,
  ) =>
    await ifThere(async () => {
      const { model_version } = await call('GET', path, fields, { what, signal })
      return expectVersion(versionOf(model_version), client.server, asked)
    })
  let takesFiles: Promise<boolean> | undefined
  return {
    rest: client,
    server: client.server,
    hasAliases: true,
    findModel: (name, signal) =>
      ifThere(async () => {
        const what = `the registered model ${name}`
        const { registered_model } = await call('GET', 'registered-models/get', { name }, { what, signal })
        const { description, tags } = isObject(registered_model) ? registered_model : {}
        return { name, description: textOf(description), tags: textsOf(tags) }
      }),
    async createModel({ name, description, tags }, signal) {
      const fields = { name, ...(description !== undefined && { description }), tags: pairsOf(tags) }
      await call('POST', 'registered-models/create', fields, { what: `a new registered model ${name}`, signal })
    },
    findVersion: (name, version, signal) => {
      const what = `version ${version} of the model ${name}`
      return versionAt('model-versions/get', { name, version: String(version) }, what, { name, asked: version }, signal)
    },
    findByAlias: (name, alias, signal) =>
      versionAt(
        'registered-models/alias',
        { name, alias },
        `the alias ${alias} of the model ${name}`,
        { name },
        signal,
      ),
    async *listVersions(name, signal) {
      const search = {
        path: `${ROOT}/model-versions/search`,
        query: { filter: `name='${name}'`, max_results: VERSION_LIST },
        what: `the versions of the model ${name}`,
        signal,
      }
      yield* client.pages(search, ({ model_versions }) =>
        Array.isArray(model_versions)
          ? model_versions.map((each) => expectVersion(versionOf(each), client.server, { name }))
          : [],
      )
    },
    async createVersion({ name, source, description, tags, runId, runWorkspaceId, modelId }, signal) {
      const fields = {
        name,
        source,
        feature_deps: '',
        tags: pairsOf(tags),
        ...(description !== undefined && { description }),
        ...(runId !== undefined && { run_id: runId }),
        ...(runWorkspaceId !== undefined && { run_tracking_server_id: runWorkspaceId }),
        ...(modelId !== undefined && { model_id: modelId }),
      }
      const what = `a new version of the model ${name}`
      const { model_version } = await call('POST', 'model-versions/create', fields, { what, signal })
      return expectVersion(versionOf(model_version), client.server, { name })
    },
    async finalizeVersion(name, version, signal) {
      const fields = { name, version: String(version) }
      const what = `that version ${version} of the model ${name} is complete`
      return versionOf((await call('POST', 'model-versions/finalize', fields, { what, signal })).model_version)
    },
    async setAlias(name, alias, version, signal) {
      const json = { name, alias, version: String(version) }
      const what = `the alias ${alias} of the model ${name}`
      await client.json({ ...put('registered-models/alias'), json, what, signal })
    },
    async setVersionTag(name, version, { key, value }, signal) {
      const json = { name, version: String(version), key, value }
      const what = `the tag ${key} of version ${version} of the model ${name}`
      await client.json({ ...put('model-versions/set-tag'), json, what, signal })
    },
    async filesWay({ name, version }, access, signal): Promise<FilesWay> {
      takesFiles ??= hasFilesApi(client, signal)
      if (await takesFiles) return 'files-api'
      const operation = `MODEL_VERSION_OPERATION_${access === 'read' ? 'READ' : 'READ_WRITE'}`
      const what = `credentials for version ${version} of the model ${name}`
      const { credentials } = await client.json<Fields>({
        ...put('model-versions/generate-temporary-credentials'),
        json: { name, version: String(version), operation },
        what,
        signal,
      })
      return expectOwnStorage(credentials, client.server, name)
    },
  }
}

/** A POST that may come twice. */
function put(path: string): Pick<RestCall, 'method' | 'path' | 'isRepeatable'> {
  return { method: 'POST', path: `${ROOT}/${path}`, isRepeatable: true }
}

/** Whether files of models go through the Files API. */
export async function hasFilesApi(client: DatabricksClient, signal: AbortSignal | undefined): Promise<boolean> {
  const path = `${ROOT}/registered-models:is-databricks-sdk-models-artifact-repository-enabled`
  try {
    const answer = await client.json<Fields>({ path, what: 'how files of models are kept', signal })
    return answer.is_databricks_sdk_models_artifact_repository_enabled === true
  } catch (error) {
    // Workspaces that are older than the call do not.
    if (isMissing(error)) return false
    throw error
  }
}

function versionOf(given: unknown): ModelVersion {
  const fields = isObject(given) ? given : {}
  const aliases = Array.isArray(fields.aliases) ? fields.aliases.filter(isObject) : []
  return {
    name: String(fields.name),
    version: Number(fields.version),
    status: String(fields.status ?? ''),
    statusMessage: textOf(fields.status_message),
    source: String(fields.source ?? ''),
    runId: textOf(fields.run_id),
    description: textOf(fields.description),
    aliases: aliases.map(({ alias }) => String(alias)),
    tags: textsOf(fields.tags),
    createdAt: Number(fields.creation_timestamp ?? 0),
    storageLocation: String(fields.storage_location ?? ''),
  }
}

/**
 * @file The registry as Unity Catalog's own interface has it: `/api/2.1/unity-catalog/models...`, of workspaces and of
 * the open-source server, which has neither aliases nor tags and keeps files in folders.
 */

import type { RestCall, RestClient } from '../../../http/rest.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import { partsOfName } from './address.js'
import { expectOwnStorage, expectVersion, type Fields, ifThere, pairsOf, textOf, textsOf } from './answers.js'
import type { ModelVersion, Registry } from './registry.js'

const ROOT = '/api/2.1/unity-catalog'
const LIST = 100

/** @param workspace What only workspaces have; undefined: an open-source server. */
export function catalogRegistry(
  rest: RestClient,
  workspace?: { takesFiles(signal: AbortSignal | undefined): Promise<boolean> },
): Registry {
  const call = (method: 'GET' | 'POST' | 'PUT' | 'PATCH', path: string, more: Omit<RestCall, 'method' | 'path'>) =>
    rest.json<Fields>({ method, path: `${ROOT}/${path}`, ...more })
  const aliases = workspace ? { include_aliases: true } : {}
  const modelPath = (name: string): string => `models/${encodeURIComponent(name)}`
  const versionPath = (name: string, version: number): string => `${modelPath(name)}/versions/${version}`
  let takesFiles: Promise<boolean> | undefined
  return {
    rest,
    server: rest.server,
    hasAliases: workspace !== undefined,
    findModel: (name, signal) =>
      ifThere(async () => {
        const what = `the registered model ${name}`
        const { comment, tags } = await call('GET', modelPath(name), { query: aliases, what, signal })
        return { name, description: textOf(comment), tags: textsOf(tags) }
      }),
    async createModel({ name, description, tags }, signal) {
      const { model_name, ...place } = partsOfName(name)
      const json = {
        name: model_name,
        ...place,
        ...(description !== undefined && { comment: description }),
        ...(workspace && { tags: pairsOf(tags) }),
      }
      await call('POST', 'models', { json, what: `a new registered model ${name}`, signal })
    },
    findVersion: (name, version, signal) =>
      ifThere(async () => {
        const what = `version ${version} of the model ${name}`
        const answer = await call('GET', versionPath(name, version), { query: aliases, what, signal })
        return expectVersion(versionOf(answer), rest.server, { name, asked: version })
      }),
    findByAlias: (name, alias, signal) => {
      if (workspace === undefined) throw noAliases(rest.server, name)
      return ifThere(async () => {
        const what = `the alias ${alias} of the model ${name}`
        const path = `${modelPath(name)}/aliases/${encodeURIComponent(alias)}`
        return expectVersion(versionOf(await call('GET', path, { query: aliases, what, signal })), rest.server, {
          name,
        })
      })
    },
    async *listVersions(name, signal) {
      const list = {
        path: `${ROOT}/${modelPath(name)}/versions`,
        query: { max_results: LIST },
        what: `the versions of the model ${name}`,
        signal,
      }
      try {
        yield* rest.pages(list, ({ model_versions }) =>
          Array.isArray(model_versions)
            ? model_versions.map((each) => expectVersion(versionOf(each), rest.server, { name }))
            : [],
        )
      } catch (error) {
        await ifThere(() => Promise.reject(error))
      }
    },
    async createVersion({ name, source, description, tags, runId, runWorkspaceId, modelId }, signal) {
      const json = {
        ...partsOfName(name),
        source,
        ...(description !== undefined && { comment: description }),
        ...(runId !== undefined && { run_id: runId }),
        ...(workspace && {
          feature_deps: '',
          tags: pairsOf(tags),
          ...(runWorkspaceId !== undefined && { run_tracking_server_id: runWorkspaceId }),
          ...(modelId !== undefined && { model_id: modelId }),
        }),
      }
      const what = `a new version of the model ${name}`
      return expectVersion(versionOf(await call('POST', 'models/versions', { json, what, signal })), rest.server, {
        name,
      })
    },
    async finalizeVersion(name, version, signal) {
      const json = { full_name: name, version }
      const what = `that version ${version} of the model ${name} is complete`
      return versionOf(await call('PATCH', `${versionPath(name, version)}/finalize`, { json, what, signal }))
    },
    async setAlias(name, alias, version, signal) {
      const json = { version_num: version }
      const what = `the alias ${alias} of the model ${name}`
      await call('PUT', `${modelPath(name)}/aliases/${encodeURIComponent(alias)}`, { json, what, signal })
    },
    async setVersionTag(name, version, tag, signal) {
      const path = `subentity-tags/FUNCTION/${encodeURIComponent(name)}/${version}`
      const json = { changes: { add_tags: [tag] } }
      const what = `the tag ${tag.key} of version ${version} of the model ${name}`
      await call('PATCH', path, { json, what, signal, isRepeatable: true })
    },
    async filesWay({ name, version, storageLocation }, access, signal) {
      if (storageLocation.startsWith('file:')) return 'folder'
      takesFiles ??= workspace?.takesFiles(signal) ?? Promise.resolve(false)
      if (await takesFiles) return 'files-api'
      const operation = `${access === 'read' ? 'READ' : 'READ_WRITE'}_MODEL_VERSION`
      const json = { ...partsOfName(name), version, operation }
      const what = `credentials for version ${version} of the model ${name}`
      const more = { json, what, signal, isRepeatable: true }
      return expectOwnStorage(await call('POST', 'temporary-model-version-credentials', more), rest.server, name)
    },
  }
}

/** Open-source servers know neither. */
function noAliases(server: string, name: string): ServiceError {
  return new ServiceError(
    `[databricks] expected a registry with aliases for ${name}, got the Unity Catalog server ${server}, which has none; name a version: uc://${name}@v1`,
  )
}

function versionOf(given: unknown): ModelVersion {
  const fields = isObject(given) ? given : {}
  const aliases = Array.isArray(fields.aliases) ? fields.aliases.filter(isObject) : []
  return {
    name: [fields.catalog_name, fields.schema_name, fields.model_name].join('.'),
    version: Number(fields.version),
    status: String(fields.status ?? ''),
    statusMessage: undefined,
    source: String(fields.source ?? ''),
    runId: textOf(fields.run_id),
    description: textOf(fields.comment),
    aliases: aliases.map(({ alias_name }) => String(alias_name)),
    tags: textsOf(fields.tags),
    createdAt: Number(fields.created_at ?? 0),
    storageLocation: String(fields.storage_location ?? ''),
  }
}

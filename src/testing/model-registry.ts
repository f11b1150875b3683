/**
 * @file The registered models of the loopback workspace, whichever dialect asks for them: names, versions, aliases,
 * tags. A version becomes READY only by being finalized, and its files are written only before that.
 */

import { invalid, missing, RefusedRequest } from './route.js'
import { expectSchema } from './routes/unity-catalog.js'
import { newId, type StateKey, type WorkspaceState } from './state.js'

export type ModelVersionStatus = 'PENDING_REGISTRATION' | 'READY' | 'FAILED_REGISTRATION'

/** A version as the workspace keeps it. */
export interface StoredModelVersion {
  readonly version: number
  readonly source: string
  readonly runId: string | undefined
  readonly runWorkspaceId: string | undefined
  readonly modelId: string | undefined
  description: string | undefined
  status: ModelVersionStatus
  readonly tags: Map<string, string>
  readonly createdAt: number
  updatedAt: number
  readonly createdBy: string
  readonly storageLocation: string
}

/** A registered model as the workspace keeps it. */
export interface StoredModel {
  /** `catalog.schema.model` */
  readonly name: string
  description: string | undefined
  readonly tags: Map<string, string>
  /** Numbers of versions by alias. */
  readonly aliases: Map<string, number>
  readonly versions: Map<number, StoredModelVersion>
  /** Numbers are never given twice. */
  nextVersion: number
  readonly createdAt: number
  updatedAt: number
  readonly createdBy: string
}

/** The registry of a workspace. The first four may be changed by a test. */
export interface ModelRegistry {
  /** Whether files of models go through the Files API; else through credentials. */
  takesFiles: boolean
  /** What credentials are for: 'DEFAULT_STORAGE' means presigned addresses, 'CUSTOMER_HOSTED' keys of a cloud. */
  storageMode: 'DEFAULT_STORAGE' | 'CUSTOMER_HOSTED'
  /** Folder of the files of an open-source server, which has neither aliases nor tags; undefined: a workspace. */
  openSourceRoot: string | undefined
  /** What the next versions become in place of READY. */
  failure: string | undefined
  readonly models: Map<string, StoredModel>
  /** Requests of `emit-lineage`. */
  readonly lineage: Readonly<Record<string, unknown>>[]
}

/** The registry part of `workspace.state`. */
export const REGISTRY: StateKey<ModelRegistry> = {
  name: 'model-registry',
  make: () => ({
    takesFiles: true,
    storageMode: 'DEFAULT_STORAGE',
    openSourceRoot: undefined,
    failure: undefined,
    models: new Map(),
    lineage: [],
  }),
}

/** What a new version is made of. */
export interface NewVersion {
  readonly source: string
  readonly runId?: string | undefined
  readonly runWorkspaceId?: string | undefined
  readonly modelId?: string | undefined
  readonly description?: string | undefined
  readonly tags?: ReadonlyMap<string, string>
}

/** Aliases that MLflow keeps for itself: `v3` is a version, `latest` the newest. */
const RESERVED_ALIAS = /^(?:[vV]\d+|\d+|latest)$/i
const ALIAS = /^[\w-]{1,255}$/
const NAME_PART = /^[^./\s]{1,255}$/

/** @throws RefusedRequest where it is there already, or the name is wrong */
export function createModel(
  state: WorkspaceState,
  name: string,
  description: string | undefined,
  tags: ReadonlyMap<string, string> = new Map(),
): StoredModel {
  const parts = name.split('.')
  if (parts.length !== 3 || !parts.every((part) => NAME_PART.test(part)))
    throw invalid(`'${name}' is not a valid name for a registered model: expected catalog.schema.model.`)
  expectSchema(parts.slice(0, 2).join('.'), state)
  const { models } = state.of(REGISTRY)
  if (models.has(name))
    throw new RefusedRequest(400, 'RESOURCE_ALREADY_EXISTS', `Routine or Model '${name}' already exists`)
  const model: StoredModel = {
    name,
    description,
    tags: new Map(tags),
    aliases: new Map(),
    versions: new Map(),
    nextVersion: 1,
    createdAt: state.now(),
    updatedAt: state.now(),
    createdBy: state.user,
  }
  models.set(name, model)
  return model
}

/** @throws RefusedRequest where there is none */
export function modelOf(state: WorkspaceState, name: unknown): StoredModel {
  const model = state.of(REGISTRY).models.get(String(name))
  if (model === undefined) throw missing(`Routine or Model '${String(name)}' does not exist.`)
  return model
}

/** @throws RefusedRequest where there is none */
export function versionOf(model: StoredModel, version: unknown): StoredModelVersion {
  const found = /^\d+$/.test(String(version)) ? model.versions.get(Number(version)) : undefined
  if (found === undefined) throw missing(`Model version '${String(version)}' of '${model.name}' does not exist.`)
  return found
}

export function createVersion(state: WorkspaceState, model: StoredModel, given: NewVersion): StoredModelVersion {
  const { openSourceRoot } = state.of(REGISTRY)
  const number = model.nextVersion++
  const folder = `${model.name.replaceAll('.', '/')}/${number}`
  const version: StoredModelVersion = {
    version: number,
    source: given.source,
    runId: given.runId,
    runWorkspaceId: given.runWorkspaceId,
    modelId: given.modelId,
    description: given.description,
    status: 'PENDING_REGISTRATION',
    tags: new Map(given.tags),
    createdAt: state.now(),
    updatedAt: state.now(),
    createdBy: state.user,
    storageLocation:
      openSourceRoot === undefined
        ? `s3://loopback-metastore/models/${newId()}/versions/${newId()}`
        : `file://${openSourceRoot}/${folder}`,
  }
  model.versions.set(number, version)
  return version
}

/** @throws RefusedRequest for a version that is finalized already */
export function finalizeVersion(state: WorkspaceState, version: StoredModelVersion): StoredModelVersion {
  if (version.status !== 'PENDING_REGISTRATION')
    throw new RefusedRequest(
      400,
      'INVALID_STATE',
      `Model version ${version.version} is ${version.status} and cannot be finalized.`,
    )
  version.status = state.of(REGISTRY).failure === undefined ? 'READY' : 'FAILED_REGISTRATION'
  version.updatedAt = state.now()
  return version
}

/** @throws RefusedRequest for aliases that mean something already */
export function setAlias(model: StoredModel, alias: string, version: unknown): void {
  if (!ALIAS.test(alias) || RESERVED_ALIAS.test(alias)) throw invalid(`Invalid alias name: '${alias}'.`)
  model.aliases.set(alias, versionOf(model, version).version)
}

/** @throws RefusedRequest where there is none */
export function versionByAlias(model: StoredModel, alias: string): StoredModelVersion {
  const version = model.aliases.get(alias)
  if (version === undefined) throw missing(`Alias '${alias}' of '${model.name}' does not exist.`)
  return versionOf(model, version)
}

/** Removes a version with its files and aliases. */
export async function deleteVersion(
  state: WorkspaceState,
  model: StoredModel,
  { version }: StoredModelVersion,
): Promise<void> {
  model.versions.delete(version)
  for (const [alias, number] of model.aliases) if (number === version) model.aliases.delete(alias)
  const objects = await state.storage.list(`Models/${model.name.replaceAll('.', '/')}/${version}/`)
  for (const { key } of objects) await state.storage.delete(key)
}

export function aliasesOf(model: StoredModel, version: number): string[] {
  return [...model.aliases].filter(([, number]) => number === version).map(([alias]) => alias)
}

/**
 * Checks a path below `Models/`: files of a version are written before it is finalized, and read after that.
 * @throws RefusedRequest
 */
export function expectModelFile(state: WorkspaceState, key: string, access: 'read' | 'write'): void {
  const [root, catalog, schema, model, version, ...rest] = key.split('/')
  if (root !== 'Models') return
  if (version === undefined || (access === 'write' && rest.length === 0))
    throw invalid(`The path /${key} names no file of a model version.`)
  const stored = versionOf(modelOf(state, [catalog, schema, model].join('.')), version)
  if (access === 'write' && stored.status !== 'PENDING_REGISTRATION')
    throw new RefusedRequest(403, 'PERMISSION_DENIED', `Model version ${version} is ${stored.status}: its files stay.`)
  if (access === 'read' && stored.status !== 'READY')
    throw new RefusedRequest(400, 'INVALID_STATE', `Model version ${version} is ${stored.status}.`)
}

/** Credentials as both dialects answer them. @throws RefusedRequest for another operation */
export function modelCredentials(state: WorkspaceState, isKnownOperation: boolean): Readonly<Record<string, unknown>> {
  if (!isKnownOperation) throw invalid('operation must be one of READ and READ_WRITE.')
  const { storageMode } = state.of(REGISTRY)
  const expiration_time = state.now() + 3_600_000
  if (storageMode === 'DEFAULT_STORAGE') return { expiration_time, storage_mode: storageMode }
  const aws_temp_credentials = { access_key_id: 'loopback', secret_access_key: newId(), session_token: newId() }
  return { aws_temp_credentials, expiration_time, storage_mode: storageMode }
}

/**
 * @file A model directory as a version of a registered model of Unity Catalog, exactly once:
 *
 * 1. The hash of the content stands in the version's source. A version with the same one is never made a second time:
 *    where it is READY nothing is uploaded, where it is pending the upload goes on.
 * 2. After a lost answer the version is looked for by that hash.
 * 3. A version becomes READY only by being finalized, and that only once all files are there.
 */

import { wasUnclear } from '../../http/resource-record.js'
import { ServiceError } from '../../http/service-error.js'
import { expectUnchanged } from '../../mlflow/model/files.js'
import type { ModelDirectory } from '../../mlflow/model-directory.js'
import type { DatabricksClient } from '../client/connect.js'
import { formatModelAddress } from '../client/models/address.js'
import type { OpenedRegistry } from '../client/models/open-registry.js'
import type { ModelVersion, Registry, VersionSpec } from '../client/models/registry.js'
import { hashOfSource, sourceOfHash } from '../client/models/source.js'
import { nameOf, placeOf } from '../client/models/version-files.js'
import { listResources, make, recordCreated } from '../resources.js'
import { waitUntil } from '../wait.js'
import { withHint } from './hints.js'
import type { PushModelEvent } from './push-options.js'
import { uploadFiles } from './upload-files.js'

/** What is registered, and how. */
export interface Registration {
  /** `catalog.schema.model` */
  readonly name: string
  readonly model: ModelDirectory
  readonly alias: string | undefined
  readonly tags: Readonly<Record<string, string>>
  readonly description: string | undefined
  readonly run: { readonly id: string; readonly workspaceId: string | undefined } | undefined
  readonly modelId: string | undefined
  readonly timeout: number
  readonly pollInterval: number
  readonly onProgress: ((event: PushModelEvent) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** A version that is READY. */
export interface RegisteredVersion {
  /** `uc://main.risk.chat@v3` */
  readonly address: string
  readonly name: string
  readonly version: number
  /** Whether this call made it READY; else a version with the same content was there. */
  readonly isNew: boolean
  /** SHA-256 of its content, in hexadecimal. */
  readonly hash: string
  /** Bytes that were uploaded; 0 where the version was there. */
  readonly uploadedBytes: number
  /** What is worth knowing, a sentence each. */
  readonly warnings: readonly string[]
}

const FINALIZE_TRIES = 3

export async function registerVersion(
  opened: OpenedRegistry,
  registration: Registration,
): Promise<Omit<RegisteredVersion, 'warnings'>> {
  const { registry, client } = opened
  const { name, model, alias, tags, signal, onProgress } = registration
  const { hash, totalBytes, files } = model
  await ensureModel(registry, client, name, signal)
  const found = await findByHash(registry, name, hash, signal)
  const version = found ?? (await createVersion(registry, client, registration))
  if (found !== undefined && client) await adopt(client, name, hash, found)
  const address = formatModelAddress(name, version.version)
  let isNew = version.status !== 'READY'
  if (isNew) {
    const hint = `${nameOf(version)} at ${registry.server} stays ${version.status} and cannot be loaded: push the same directory again, which goes on with it, or delete it (lowrank clean --all)`
    await withHint(hint, signal, async () => {
      const place = await placeOf(opened, version, 'write', signal)
      let bytes = 0
      const tell = (change: number): void => {
        bytes += change
        onProgress?.({ type: 'upload', address, bytes, totalBytes })
      }
      tell(0)
      try {
        await uploadFiles(place, files, tell, signal)
      } catch (error) {
        // Another push of the same content has completed it meanwhile: a version that is READY takes no files.
        if (!(error instanceof ServiceError) || !(await isReady(registry, version, signal))) throw error
        isNew = false
        return
      }
      await expectUnchanged(files)
      await finalize(registry, version, registration)
    })
  }
  const missing = alias === undefined ? 'its tags' : `the alias ${alias}, or without tags`
  const hint = `${nameOf(version)} is READY, without ${missing}: push the same directory again, which uploads nothing`
  await withHint(hint, signal, async () => {
    // A new version has got its tags when it was made.
    if (found !== undefined && registry.hasAliases) {
      for (const [key, value] of Object.entries(tags))
        await registry.setVersionTag(name, version.version, { key, value }, signal)
    }
    if (alias !== undefined) await registry.setAlias(name, alias, version.version, signal)
  })
  return { address, name, version: version.version, isNew, hash, uploadedBytes: isNew ? totalBytes : 0 }
}

async function isReady(
  registry: Registry,
  { name, version }: ModelVersion,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  signal?.throwIfAborted()
  const now = await registry.findVersion(name, version, signal).catch(() => undefined)
  return now?.status === 'READY'
}

async function ensureModel(
  registry: Registry,
  client: DatabricksClient | undefined,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ((await registry.findModel(name, signal)) !== undefined) return
  const create = async (): Promise<true> => {
    await registry.createModel({ name, description: undefined, tags: {} }, signal)
    return true
  }
  const find = async (): Promise<true | undefined> =>
    (await registry.findModel(name, signal)) === undefined ? undefined : true
  try {
    await once(client, { kind: 'registered-model', name, create, find, idOf: () => name })
  } catch (error) {
    // Somebody else has made it meanwhile.
    const isThere = error instanceof ServiceError && /ALREADY_EXISTS/.test(error.errorCode ?? '')
    if (!isThere) throw error
  }
}

/** A version with this content that is READY or pending; of several the one that is READY, else the newest. */
async function findByHash(
  registry: Registry,
  name: string,
  hash: string,
  signal: AbortSignal | undefined,
): Promise<ModelVersion | undefined> {
  let found: ModelVersion | undefined
  for await (const version of registry.listVersions(name, signal)) {
    if (hashOfSource(version.source) !== hash || version.status === 'FAILED_REGISTRATION') continue
    const isNewer = found === undefined || version.version > found.version
    const isReady = version.status === 'READY'
    if (isReady === (found?.status === 'READY') ? isNewer : isReady) found = version
  }
  return found
}

async function createVersion(
  registry: Registry,
  client: DatabricksClient | undefined,
  { name, model, description, tags, run, modelId, signal }: Registration,
): Promise<ModelVersion> {
  const spec: VersionSpec = {
    name,
    source: sourceOfHash(model.hash),
    description,
    tags,
    runId: run?.id,
    runWorkspaceId: run?.workspaceId,
    modelId,
  }
  return await once(client, {
    kind: 'model-version',
    name: labelOf(name, model.hash),
    create: () => registry.createVersion(spec, signal),
    find: () => findByHash(registry, name, model.hash, signal),
    idOf: (version) => `${name}/${version.version}`,
  })
}

/** `make()` where there is a record of what is made; `clean` cannot ask open-source servers, so that they have none. */
async function once<T>(
  client: DatabricksClient | undefined,
  making: Omit<Parameters<typeof make<T>>[1], 'create' | 'find'> & {
    create(): Promise<T>
    find(): Promise<T | undefined>
  },
): Promise<T> {
  if (client) return await make(client, making)
  try {
    return await making.create()
  } catch (error) {
    const found = wasUnclear(error) ? await making.find().catch(() => undefined) : undefined
    if (found === undefined) throw error
    return found
  }
}

/** The record of a version: people know it by its name, and a push that goes on by the hash. */
function labelOf(name: string, hash: string): string {
  return `${name} sha256:${hash.slice(0, 16)}`
}

/** A process that was killed has left a line without the version that it made. */
async function adopt(client: DatabricksClient, name: string, hash: string, { version }: ModelVersion): Promise<void> {
  for (const { key, kind, id, host, name: label } of await listResources()) {
    const isSame = kind === 'model-version' && host === client.server && label === labelOf(name, hash)
    if (isSame && id === undefined) await recordCreated(key, `${name}/${version}`)
  }
}

/** The service takes it once; after a lost answer the version says whether it did. */
async function finalize(
  registry: Registry,
  { name, version }: ModelVersion,
  { timeout, pollInterval, signal }: Registration,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await registry.finalizeVersion(name, version, signal)
      break
    } catch (error) {
      signal?.throwIfAborted()
      const now = await registry.findVersion(name, version, signal)
      if (now?.status === 'READY') return
      if (attempt === FINALIZE_TRIES || !wasUnclear(error)) throw error
    }
  }
  const what = nameOf({ name, version })
  await waitUntil(
    async () => {
      const now = await registry.findVersion(name, version, signal)
      const state = now?.status ?? 'gone'
      if (now === undefined || state === 'FAILED_REGISTRATION')
        throw new ServiceError(
          `[databricks] expected ${what} to become READY, got ${state}${now?.statusMessage === undefined ? '' : ` (${now.statusMessage})`}; look at it in the workspace, and push again`,
        )
      return { state, value: undefined, isDone: state === 'READY' }
    },
    { what, timeout, pollInterval, signal },
  )
}

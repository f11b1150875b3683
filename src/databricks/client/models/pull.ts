/**
 * @file Adapters and models of Unity Catalog on this machine: `uc://catalog.schema.model@alias` becomes a directory
 * that everything takes which takes one. What was pulled before is not fetched again.
 */

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../../../atomic-write.js'
import { listNames } from '../../../errors.js'
import { ServiceError } from '../../../http/service-error.js'
import { ModelError, OptionError } from '../../../lowrank-error.js'
import { readOptions } from '../../../options/table.js'
import { inParallel } from '../files/in-parallel.js'
import { formatModelAddress, type ModelAddress, parseModelAddress } from './address.js'
import { openRegistry } from './open-registry.js'
import { type ModelCache, modelCache, type PulledVersion } from './pull-cache.js'
import { PULL_OPTIONS, type PullOptions } from './pull-options.js'
import type { ModelVersion, Registry } from './registry.js'
import {
  fetchVersionFile,
  listVersionFiles,
  nameOf,
  placeOf,
  type VersionFile,
  type VersionPlace,
} from './version-files.js'

/** A version that is on this machine. */
export interface PulledModel {
  /** What `loadAdapter` or `loadModel` takes. */
  readonly directory: string
  /** The folder of all its files, with MLmodel. */
  readonly root: string
  /** `uc://main.risk.chat@v3` */
  readonly address: string
  /** `main.risk.chat` */
  readonly name: string
  readonly version: number
  /** The run of MLflow that it is linked to; undefined: none. */
  readonly runId: string | undefined
  /** Bytes that came now; 0 where all of it was there. */
  readonly fetchedBytes: number
}

const PARALLEL = 8
const TOKENIZER = 'components/tokenizer/'

/**
 * Brings a LoRA adapter of Unity Catalog to this machine:
 * `loadAdapter(model, (await pullAdapter('uc://c.s.m@a')).directory)`.
 * @param address `uc://catalog.schema.model@alias`, `@v3` for a version; without either the newest that is ready
 * @throws ModelError for a version that holds no adapter; OptionError, ServiceError, LowrankError for the cache
 */
export async function pullAdapter(address: string, options: PullOptions = {}): Promise<PulledModel> {
  return await pull(address, options, 'adapter_config.json', 'adapter')
}

/**
 * Brings a whole model of Unity Catalog to this machine, for `loadModel`.
 * @param address as for {@link pullAdapter}
 * @throws ModelError for a version that holds no model; OptionError, ServiceError, LowrankError for the cache
 */
export async function pullModel(address: string, options: PullOptions = {}): Promise<PulledModel> {
  return await pull(address, options, 'config.json', 'model')
}

/** An adapter where the version holds one, else the model that it holds; for who takes both. */
export async function pullAny(
  address: string,
  options: PullOptions = {},
): Promise<PulledModel & { readonly kind: 'adapter' | 'model' }> {
  const { pulled, cache, fetchedBytes } = await pullVersion(address, options)
  const kind = findFolder(pulled.files, 'adapter_config.json') === undefined ? 'model' : 'adapter'
  const file = kind === 'adapter' ? 'adapter_config.json' : 'config.json'
  return { ...(await located(pulled, cache, fetchedBytes, file, kind)), kind }
}

async function pull(
  address: string,
  options: PullOptions,
  file: string,
  kind: 'adapter' | 'model',
): Promise<PulledModel> {
  const { pulled, cache, fetchedBytes } = await pullVersion(address, options)
  return await located(pulled, cache, fetchedBytes, file, kind)
}

interface Pulled {
  readonly pulled: PulledVersion
  readonly cache: ModelCache
  readonly fetchedBytes: number
}

async function pullVersion(address: string, options: PullOptions): Promise<Pulled> {
  const wanted = parseModelAddress(address)
  const read = readOptions('pull', options, PULL_OPTIONS)
  const { databricks, registry: registryUri, cacheDir, localFilesOnly, signal, onProgress } = read
  const opened = await openRegistry(registryUri, databricks, signal)
  const { registry } = opened
  const cache = modelCache(cacheDir, registry.server, wanted.name)
  if (localFilesOnly) return { pulled: await fromCache(cache, wanted, address), cache, fetchedBytes: 0 }
  const version = await findVersion(registry, wanted, signal)
  const known = await cache.read(version.version)
  let fetched: { readonly pulled: PulledVersion; readonly fetchedBytes: number }
  if (known !== undefined && isSame(known.version, version)) fetched = { pulled: known, fetchedBytes: 0 }
  else {
    const place = await placeOf(opened, version, 'read', signal)
    fetched = await fetchAll(place, cache, onProgress, signal)
  }
  if (wanted.alias !== undefined) await cache.writeAlias(wanted.alias, version.version)
  return { ...fetched, cache }
}

async function fetchAll(
  place: VersionPlace,
  cache: ModelCache,
  onProgress: PullOptions['onProgress'],
  signal: AbortSignal | undefined,
): Promise<{ readonly pulled: PulledVersion; readonly fetchedBytes: number }> {
  const { version } = place
  const files = await listVersionFiles(place, signal)
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0)
  const address = formatModelAddress(version.name, version.version)
  const root = cache.snapshot(version)
  let bytes = 0
  let fetchedBytes = 0
  const tell = (change: number): void => {
    bytes += change
    onProgress?.({ type: 'pull', address, bytes, totalBytes })
  }
  tell(0)
  const fetch = async (file: VersionFile, stop: AbortSignal): Promise<void> => {
    const target = join(root, file.path)
    if (await isThere(target, file)) return tell(file.size)
    await fetchVersionFile(place, file, {
      target,
      signal: stop,
      onBytes: (change) => {
        fetchedBytes += change
        tell(change)
      },
    })
  }
  await inParallel(files, PARALLEL, fetch, signal)
  const pulled = { version, files }
  await cache.write(pulled)
  return { pulled, fetchedBytes }
}

/** Whether a pull that was stopped has fetched a file whole: it has the time that the service gives it then. */
async function isThere(target: string, { size, lastModified }: VersionFile): Promise<boolean> {
  if (lastModified === 0) return false
  const found = await stat(target).catch(() => undefined)
  return found?.isFile() === true && found.size === size && Math.abs(found.mtimeMs - lastModified) < 1
}

async function findVersion(
  registry: Registry,
  { name, alias, version }: ModelAddress,
  signal: AbortSignal | undefined,
): Promise<ModelVersion> {
  const found =
    alias !== undefined
      ? await registry.findByAlias(name, alias, signal)
      : version !== undefined
        ? await registry.findVersion(name, version, signal)
        : await newest(registry, name, signal)
  const what = alias !== undefined ? `the alias ${alias}` : version !== undefined ? `version ${version}` : 'a version'
  if (found === undefined)
    throw new ServiceError(
      `[databricks] expected ${what} of the model ${name} at ${registry.server}, got nothing there; ${await whatIsThere(registry, name, signal)}`,
      { status: 404, errorCode: 'RESOURCE_DOES_NOT_EXIST' },
    )
  if (found.status === 'READY') return found
  const why = found.statusMessage === undefined ? '' : ` (${found.statusMessage})`
  throw new ServiceError(
    `[databricks] expected ${nameOf(found)} to be READY, got ${found.status}${why}; its files are not complete: wait until whoever pushes it has ended, or push it again`,
  )
}

/** What may be meant in place of a version that is not there. */
async function whatIsThere(registry: Registry, name: string, signal: AbortSignal | undefined): Promise<string> {
  const ready: number[] = []
  try {
    for await (const { version, status } of registry.listVersions(name, signal))
      if (status === 'READY') ready.push(version)
  } catch {
    // The error that is told already is the one that matters.
  }
  signal?.throwIfAborted()
  if (ready.length === 0) return 'check the name, and that the credentials may see it'
  const newestFirst = ready.sort((one, other) => other - one)
  return `versions that are ready: ${listNames(newestFirst.map((version) => `@v${version}`))}`
}

async function newest(
  registry: Registry,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ModelVersion | undefined> {
  let found: ModelVersion | undefined
  for await (const version of registry.listVersions(name, signal))
    if (version.status === 'READY' && version.version > (found?.version ?? 0)) found = version
  return found
}

async function fromCache(
  cache: ModelCache,
  { name, alias, version }: ModelAddress,
  address: string,
): Promise<PulledVersion> {
  if (alias === undefined && version === undefined)
    throw new OptionError(
      `[pull] expected an alias or a version with localFilesOnly, got ${address}; nobody is asked which is the newest: write ${address}@v1`,
    )
  const number = version ?? (await cache.readAlias(alias as string))
  const pulled = number === undefined ? undefined : await cache.read(number)
  if (pulled !== undefined) return pulled
  throw new ModelError(
    `[pull] expected uc://${name}${alias === undefined ? `@v${version}` : `@${alias}`} in the cache, got nothing or a part of it; pull it without localFilesOnly`,
  )
}

/** A model that was deleted and made again has the same numbers for other content. */
function isSame(a: ModelVersion, b: ModelVersion): boolean {
  return a.createdAt === b.createdAt && a.source === b.source
}

async function located(
  { version, files }: PulledVersion,
  cache: ModelCache,
  fetchedBytes: number,
  file: string,
  kind: 'adapter' | 'model',
): Promise<PulledModel> {
  const folder = findFolder(files, file)
  const address = formatModelAddress(version.name, version.version)
  if (folder === undefined) {
    const other = findFolder(files, kind === 'adapter' ? 'config.json' : 'adapter_config.json')
    const holds =
      other === undefined ? 'neither an adapter nor a model' : kind === 'adapter' ? 'a whole model' : 'an adapter'
    throw new ModelError(
      `[pull] expected ${kind === 'adapter' ? 'an adapter' : 'a model'} (${file}) in ${address}, got ${holds}; name another version`,
    )
  }
  const root = cache.snapshot(version)
  const directory = join(root, folder)
  await bringTokenizer(root, directory, files)
  const { name, runId } = version
  return { directory, root, address, name, version: version.version, runId, fetchedBytes }
}

/** Where a file of this name is: MLflow has adapters in `peft` and weights in `model`. */
function findFolder(files: readonly VersionFile[], name: string): string | undefined {
  const folders = files.map(({ path }) => path).filter((path) => path === name || path.endsWith(`/${name}`))
  const [first] = folders.sort((a, b) => a.split('/').length - b.split('/').length || (a < b ? -1 : 1))
  return first === undefined ? undefined : dirname(first)
}

/** MLflow has the tokenizer in a folder of its own; adapters and models have it beside them. */
async function bringTokenizer(root: string, directory: string, files: readonly VersionFile[]): Promise<void> {
  for (const { path } of files) {
    if (!path.startsWith(TOKENIZER)) continue
    const target = join(directory, path.slice(TOKENIZER.length))
    if (await stat(target).catch(() => undefined)) continue
    await writeFileAtomic(target, createReadStream(join(root, path)))
  }
}

/**
 * @file Brings a model of the Hub into the cache: what it needs, what of that is not there yet, and what to do without
 * a network.
 */

import { join } from 'node:path'
import { formatBytes } from '../bytes.js'
import { describeValue, listNames } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { RepositoryCache } from './cache.js'
import { type DownloadEvent, downloadReport } from './download-event.js'
import { fetchFiles, fileOf } from './fetch-files.js'
import { ATTEMPTS } from './http.js'
import { fetchFileList, fetchModelInfo, type HubFile, type HubModelInfo } from './hub-api.js'
import { HubError } from './hub-error.js'
import { readLicense } from './license.js'
import { CARD_FILE, INDEX_FILE, type ModelPart, neededFiles, shardsOf } from './model-files.js'
import type { ModelLicense } from './model-origin.js'
import type { RequestOptions } from './request.js'
import { type HubOptions, type HubSettings, readHubSettings } from './settings.js'

/** Options of `fetchModel`. */
export interface FetchModelOptions extends HubOptions {
  /**
   * 'config': config.json alone; 'adapter': an adapter, and the tokenizer beside it.
   * @default 'model'
   */
  part?: ModelPart
  /**
   * Ends fetching, and what waits for it rejects with its reason; files that are cut go on the next time.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Is told while files come from the Hub.
   * @default none
   */
  onEvent?: (event: DownloadEvent) => void
}

/** A model of the Hub in the cache. */
export interface HubModel {
  readonly directory: string
  readonly commit: string
  readonly license: ModelLicense | undefined
}

/** As readers of these files have it. */
const LARGEST_SMALL_FILE = 100_000_000
/** A card is nice to have. */
const LARGEST_CARD = 2_000_000

/**
 * The directory of a model at a revision. The Hub is asked what the revision stands for, but not where the revision is
 * a commit that the cache has, and not offline; only files that are not in the cache are fetched.
 * @param triedPath the directory that `id` would be, for the error that says it is neither
 * @throws HubError where Hub and cache do not have it; the signal's reason when it is aborted
 */
export async function fetchModel(id: string, triedPath: string, options: FetchModelOptions = {}): Promise<HubModel> {
  const { part = 'model', signal } = options
  const revision = checkRevision(options.revision ?? 'main')
  const settings = await readHubSettings(options)
  signal?.throwIfAborted()
  const cache = new RepositoryCache(settings.cacheDir, id)
  const cached = await findCached(cache, revision, part)
  if (settings.offline !== undefined) {
    if (cached?.missing.length === 0) return await fromCache(cache, cached.commit)
    throw await notCached(cache, revision, cached, settings.offline, triedPath)
  }
  const isComplete = cached?.missing.length === 0
  const isPinned = cached?.commit === revision
  if (isComplete && isPinned && (part === 'config' || (await cache.has(revision, 'tokenizer.json')))) {
    return await fromCache(cache, revision)
  }
  // Where the cache can stand in, nobody waits for a Hub that does not answer.
  const request: RequestOptions = { settings, subject: { id, revision }, signal, attempts: isComplete ? 1 : ATTEMPTS }
  let info: HubModelInfo
  try {
    info = await fetchModelInfo(request)
  } catch (error) {
    if (!(error instanceof HubError && error.cacheMayServe && isComplete)) throw error
    process.emitWarning(`${error.message}. Using what the Hub cache has of it: ${cache.snapshot(cached.commit)}`)
    return await fromCache(cache, cached.commit)
  }
  await complete(cache, info, { ...options, settings, part })
  // A cache that cannot be written, but has all that is needed, is as good.
  await cache.writeRef(revision, info.commit).catch(() => {})
  return { directory: cache.snapshot(info.commit), commit: info.commit, license: info.license }
}

interface CompleteOptions extends FetchModelOptions {
  readonly settings: HubSettings
  readonly part: ModelPart
}

/** Fetches what the snapshot of a commit lacks. */
async function complete(cache: RepositoryCache, info: HubModelInfo, options: CompleteOptions): Promise<void> {
  const { id } = cache
  const { commit } = info
  const { settings, signal, part, onEvent } = options
  const request: RequestOptions = { settings, subject: { id, revision: commit }, signal, attempts: ATTEMPTS }
  const needed = neededFiles(id, info.files, part)
  const shards = needed.isSharded && (await cache.has(commit, INDEX_FILE)) ? await readShards(cache, commit) : []
  const lacking: string[] = []
  for (const path of [...needed.files, ...shards]) if (!(await cache.has(commit, path))) lacking.push(path)
  if (lacking.length === 0) return

  const list = await fetchFileList(request)
  const entry = (path: string): HubFile => fileOf(cache, commit, list, path)
  const fetchAll = (paths: readonly string[], onBytes: (count: number) => void): Promise<void> =>
    fetchFiles(cache, paths.map(entry), request, onBytes)

  // The index says which shards there are, and only then how much there is to fetch.
  if (lacking.includes(INDEX_FILE)) {
    await fetchAll([INDEX_FILE], () => {})
    lacking.splice(lacking.indexOf(INDEX_FILE), 1)
    for (const shard of await readShards(cache, commit)) if (!(await cache.has(commit, shard))) lacking.push(shard)
  }
  const hasCard = info.files.includes(CARD_FILE) && (list.get(CARD_FILE)?.size ?? 0) <= LARGEST_CARD
  if (part === 'model' && hasCard && !(await cache.has(commit, CARD_FILE))) lacking.unshift(CARD_FILE)
  for (const path of lacking) expectSensibleSize(id, settings, entry(path))
  const totalBytes = lacking.reduce((sum, path) => sum + entry(path).size, 0)
  const begun = { type: 'download', model: id, revision: commit, files: lacking.length, totalBytes } as const
  const report = downloadReport(begun, onEvent)
  await fetchAll(lacking, report.add)
  report.end()
}

/** Weights may be of any size; what is read whole may not. */
function expectSensibleSize(id: string, { endpoint }: HubSettings, { path, size }: HubFile): void {
  if (size <= LARGEST_SMALL_FILE || path.endsWith('.safetensors')) return
  throw new HubError(
    `[hub] expected at most ${formatBytes(LARGEST_SMALL_FILE)} for ${path} of "${id}" from ${endpoint}, got ${formatBytes(size)}; get the model ` +
      'from a source that you trust',
    { cacheMayServe: false },
  )
}

async function readShards(cache: RepositoryCache, commit: string): Promise<string[]> {
  return shardsOf(
    cache.id,
    (await readRegularFile(join(cache.snapshot(commit), INDEX_FILE), { where: 'hub' })).toString(),
  )
}

/** What the cache has of a revision. */
interface Cached {
  readonly commit: string
  readonly missing: readonly string[]
}

async function findCached(cache: RepositoryCache, revision: string, part: ModelPart): Promise<Cached | undefined> {
  const commit = await cache.readRef(revision)
  return commit === undefined ? undefined : { commit, missing: await cache.missing(commit, part) }
}

async function fromCache(cache: RepositoryCache, commit: string): Promise<HubModel> {
  const directory = cache.snapshot(commit)
  return { directory, commit, license: await readLicense(directory) }
}

async function notCached(
  cache: RepositoryCache,
  revision: string,
  cached: Cached | undefined,
  offline: string,
  triedPath: string,
): Promise<HubError> {
  const others = cached ? [] : await cache.revisions()
  const flag = revision === 'main' ? '' : ` --revision ${revision}`
  const state = cached
    ? `is not complete in the Hub cache: ${cache.snapshot(cached.commit)} lacks ${listNames(cached.missing)}`
    : `is neither a directory (${triedPath}) nor in the Hub cache (${cache.path}, revision ${revision})`
  const has = others.length > 0 ? ` the cache has other revisions of it (${listNames(others)});` : ''
  return new HubError(
    `[hub] "${cache.id}" ${state}, and ${offline} forbids to fetch it;${has} fetch it without ${offline}, or with "hf download ${cache.id}${flag}"`,
  )
}

/** A revision becomes a path in the cache: what Git would not take as a name is refused. */
export function checkRevision(revision: unknown): string {
  const isName =
    typeof revision === 'string' &&
    revision.split('/').every((part) => part !== '' && !part.startsWith('.')) &&
    !/[\0-\x20\\~^:?*[\x7f]|\.\./.test(revision)
  if (!isName) {
    throw new OptionError(`[model] expected a branch, tag or commit for revision, got ${describeValue(revision)}`)
  }
  return revision
}

/**
 * @file A data set of the Hub at a commit: which files it has, and their bytes, from the cache that huggingface_hub and
 * datasets use too, or without a copy. Which of the files are wanted is known elsewhere.
 */

import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { formatBytes } from '../bytes.js'
import { listNames } from '../errors.js'
import { readRegularFile, readRegularFileIfThere } from '../regular-file.js'
import { RepositoryCache } from './cache.js'
import { fileUrl } from './download.js'
import { type DownloadEvent, downloadReport } from './download-event.js'
import { fetchFiles, fileOf } from './fetch-files.js'
import { checkRevision } from './fetch-model.js'
import { ATTEMPTS } from './http.js'
import { fetchDatasetCommit, fetchFileList, type HubFile } from './hub-api.js'
import { HubError } from './hub-error.js'
import { RemoteBytes } from './remote-bytes.js'
import { hubTarget, type RequestOptions } from './request.js'
import { type HubOptions, type HubSettings, readHubSettings } from './settings.js'

/** A data set at a commit. */
export interface HubDataset {
  readonly id: string
  readonly commit: string
  /** Paths in the repository, with forward slashes. */
  readonly files: readonly string[]
  /** The text of a small file. */
  text(path: string, signal: AbortSignal | undefined): Promise<string>
  /** Where the files lie in the cache; what it lacks is fetched. */
  fetch(
    paths: readonly string[],
    signal: AbortSignal | undefined,
    onEvent?: (event: DownloadEvent) => void,
  ): Promise<string[]>
  /** Where a file lies in the cache; undefined where it does not, and could be fetched. */
  cached(path: string): Promise<string | undefined>
  /** Bytes of a file; undefined where another program has fetched it. */
  sizeOf(path: string): number | undefined
  /** The bytes of a file, of which nothing is stored. */
  remote(path: string, signal: AbortSignal | undefined): RemoteBytes
}

/** A card that people read. */
const LARGEST_TEXT = 4 * 2 ** 20
const LARGEST_LIST = 64 * 2 ** 20
const ID = /^[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/

/**
 * Asks what the revision stands for, and which files it has. A commit whose list is in the cache is not asked for.
 * @throws HubError where Hub and cache do not have it
 */
export async function openHubDataset(
  id: string,
  options: HubOptions,
  signal: AbortSignal | undefined,
): Promise<HubDataset> {
  const revision = checkRevision(options.revision ?? 'main')
  const settings = await readHubSettings(options)
  if (!ID.test(id) || id.includes('..') || id.includes('--')) {
    throw new HubError(`[hub] expected the id of a data set, as "org/name", got ${JSON.stringify(id)}; check it`)
  }
  const cache = new RepositoryCache(settings.cacheDir, id, 'dataset')
  const commit = await cache.readRef(revision)
  const known = commit === undefined ? undefined : await readList(cache, commit)
  const isPinned = commit !== undefined && commit === revision
  if (settings.offline !== undefined) {
    const files = known ?? (commit === undefined ? undefined : await listSnapshot(cache, commit))
    if (commit === undefined || files === undefined || files.size === 0)
      throw notCached(cache, revision, settings.offline)
    return datasetAt(cache, commit, files, settings)
  }
  if (isPinned && known !== undefined) return datasetAt(cache, commit, known, settings)
  const attempts = known === undefined ? ATTEMPTS : 1
  const request: RequestOptions = { settings, subject: { type: 'dataset', id, revision }, signal, attempts }
  try {
    const now = isPinned ? commit : await fetchDatasetCommit(request)
    const list = now === commit ? known : undefined
    const files = list ?? (await fetchFileList({ ...request, subject: { ...request.subject, revision: now } }))
    if (list === undefined) await writeList(cache, now, files).catch(() => {})
    await cache.writeRef(revision, now).catch(() => {})
    return datasetAt(cache, now, files, settings)
  } catch (error) {
    if (!(error instanceof HubError && error.cacheMayServe && commit !== undefined && known !== undefined)) throw error
    process.emitWarning(`${error.message}. Using what the Hub cache has of it: ${cache.snapshot(commit)}`)
    return datasetAt(cache, commit, known, settings)
  }
}

function datasetAt(
  cache: RepositoryCache,
  commit: string,
  files: ReadonlyMap<string, HubFile>,
  settings: HubSettings,
): HubDataset {
  const { id } = cache
  const place = (path: string): string => join(cache.snapshot(commit), path)
  const subject = { type: 'dataset', id, revision: commit } as const
  const fetch: HubDataset['fetch'] = async (paths, signal, onEvent) => {
    const lacking: string[] = []
    for (const path of paths) if (!(await cache.has(commit, path))) lacking.push(path)
    if (lacking.length === 0) return paths.map(place)
    if (settings.offline !== undefined) {
      throw new HubError(
        `[hub] the data set "${id}" is not complete in the Hub cache: ${cache.snapshot(commit)} lacks ${listNames(lacking)}, and ` +
          `${settings.offline} forbids to fetch it; fetch it without ${settings.offline}`,
      )
    }
    const wanted = lacking.map((path) => fileOf(cache, commit, files, path))
    const totalBytes = wanted.reduce((sum, { size }) => sum + size, 0)
    const report = downloadReport(
      { type: 'download', model: id, revision: commit, files: wanted.length, totalBytes },
      onEvent,
    )
    await fetchFiles(cache, wanted, { settings, subject, signal, attempts: ATTEMPTS }, report.add)
    report.end()
    return paths.map(place)
  }
  return {
    id,
    commit,
    files: [...files.keys()].sort(),
    async text(path, signal) {
      const size = files.get(path)?.size ?? 0
      if (size > LARGEST_TEXT) {
        throw new HubError(
          `[hub] expected at most ${formatBytes(LARGEST_TEXT)} for ${path} of "${id}", got ${formatBytes(size)}`,
          { cacheMayServe: false },
        )
      }
      const [local = ''] = await fetch([path], signal)
      return (await readRegularFile(local, { where: 'hub', limit: LARGEST_TEXT, signal })).toString()
    },
    fetch,
    async cached(path) {
      if (settings.offline === undefined && !(await cache.has(commit, path))) return undefined
      return (await fetch([path], undefined))[0]
    },
    sizeOf: (path) => files.get(path)?.size || undefined,
    remote(path, signal) {
      if (settings.offline !== undefined)
        throw new HubError(`[hub] expected streaming of "${id}" with a network, got ${settings.offline}; remove one`)
      return new RemoteBytes(
        fileUrl(settings, subject, path),
        hubTarget({ settings, subject: { ...subject, file: path } }),
        signal,
      )
    },
  }
}

/**
 * The list of a commit as the Hub gave it, which says whether a snapshot is whole. huggingface_hub has no such file and
 * leaves it alone.
 */
function listPath(cache: RepositoryCache, commit: string): string {
  return join(cache.path, '.lowrank', `${commit}.json`)
}

async function writeList(cache: RepositoryCache, commit: string, files: ReadonlyMap<string, HubFile>): Promise<void> {
  await writeFileAtomic(listPath(cache, commit), JSON.stringify([...files.values()]))
}

async function readList(cache: RepositoryCache, commit: string): Promise<ReadonlyMap<string, HubFile> | undefined> {
  const path = listPath(cache, commit)
  const bytes = await readRegularFileIfThere(path, { where: 'hub', limit: LARGEST_LIST })
  if (bytes === undefined) return undefined
  try {
    return new Map((JSON.parse(bytes.toString()) as HubFile[]).map((file) => [file.path, file]))
  } catch {
    // It is fetched anew.
    return undefined
  }
}

/** What lies in a snapshot that another program made. */
async function listSnapshot(cache: RepositoryCache, commit: string): Promise<ReadonlyMap<string, HubFile>> {
  const root = cache.snapshot(commit)
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  return new Map(paths.map((path) => [path, { path, size: 0, etag: '' }]))
}

function notCached(cache: RepositoryCache, revision: string, offline: string): HubError {
  const flag = revision === 'main' ? '' : ` --revision ${revision}`
  return new HubError(
    `[hub] "${cache.id}" is neither a path nor in the Hub cache (${cache.path}, revision ${revision}), and ${offline} forbids to fetch it; ` +
      `fetch it without ${offline}, or with "hf download --repo-type dataset ${cache.id}${flag}"`,
  )
}

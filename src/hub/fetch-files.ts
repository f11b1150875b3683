/** @file Brings files of a commit into the cache, some at the same time, each content once. */

import { listNames } from '../errors.js'
import type { RepositoryCache } from './cache.js'
import { downloadBlob } from './download.js'
import type { HubFile } from './hub-api.js'
import { HubError } from './hub-error.js'
import type { RequestOptions } from './request.js'

/** Files that come at the same time. */
const CONCURRENCY = 4

/** A file of the list of a commit. @throws HubError where the list does not have it */
export function fileOf(
  { id }: RepositoryCache,
  commit: string,
  list: ReadonlyMap<string, HubFile>,
  path: string,
): HubFile {
  const file = list.get(path)
  if (file) return file
  throw new HubError(
    `[hub] expected ${path} in the list of files of "${id}" at ${commit}, but it has ${listNames([...list.keys()]) || 'nothing'}; the repository is ` +
      'damaged: use another revision',
  )
}

/**
 * Fetches what the cache lacks of some files, and puts all of them into the snapshot of their commit.
 * @param request `subject.revision` is the commit.
 * @param onBytes Told of bytes that are there now and were not before.
 */
export async function fetchFiles(
  cache: RepositoryCache,
  files: readonly HubFile[],
  request: RequestOptions,
  onBytes: (count: number) => void,
): Promise<void> {
  const { revision: commit } = request.subject
  // Files of the same content are one blob.
  const byBlob = new Map<string, { file: HubFile; paths: string[] }>()
  for (const file of files) {
    const same = byBlob.get(file.etag)
    if (same) same.paths.push(file.path)
    else byBlob.set(file.etag, { file, paths: [file.path] })
  }
  const fetchBlob = async ({ file, paths }: { file: HubFile; paths: string[] }, stop: AbortSignal): Promise<void> => {
    const subject = { ...request.subject, file: file.path }
    if (await cache.hasBlob(file)) onBytes(file.size)
    else await downloadBlob({ ...request, signal: stop, subject, file, blobs: cache.blobs, onBytes })
    for (const path of paths) await cache.link(commit, path, file.etag)
    onBytes((paths.length - 1) * file.size)
  }
  await eachAtOnce([...byBlob.values()], fetchBlob, request.signal)
}

/**
 * Runs `action` on all items, some at the same time; when one fails, the others stop, and the first error is thrown.
 */
async function eachAtOnce<T>(
  items: readonly T[],
  action: (item: T, stop: AbortSignal) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const failure = new AbortController()
  const stop = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal
  const rest = items.values()
  const work = async (): Promise<void> => {
    for (const item of rest) {
      stop.throwIfAborted()
      await action(item, stop)
    }
  }
  const workers = Array.from({ length: CONCURRENCY }, () =>
    work().catch((error) => {
      if (!stop.aborted) failure.abort(error)
    }),
  )
  await Promise.all(workers)
  stop.throwIfAborted()
}

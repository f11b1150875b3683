/** @file A directory of a workspace made like one of this machine, or the other way round. */

import { createHash } from 'node:crypto'
import { rm, rmdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { makeDirectories, settleDirectory, writeError } from '../../../atomic-write.js'
import { ServiceError } from '../../../http/service-error.js'
import { OptionError } from '../../../lowrank-error.js'
import { readOptions } from '../../../options/table.js'
import { isMissing } from '../../../regular-file.js'
import { type DatabricksClient, openDatabricks } from '../connect.js'
import { fileSystemOf, type RemoteFileSystem } from './file-systems.js'
import { inParallel } from './in-parallel.js'
import { SYNC_DIRECTORY_OPTIONS, type SyncDirectoryOptions } from './options.js'
import { pathTest } from './patterns.js'
import { isRemotePath, joinRemote, parseRemotePath } from './remote-path.js'
import type { SyncEvent, SyncResult } from './sync-events.js'
import { EMPTY_TREE, localTree, planSync, remoteTree, type SyncTree } from './sync-plan.js'
import { type FixedSource, hashSource, openUploadSource } from './upload-source.js'

/** Parts of one large file at the same time, beside other files. */
const PARALLELISM = 4

/** One direction of a copy. */
interface Side {
  /** Copies one file. @returns its bytes */
  copy(path: string, signal: AbortSignal): Promise<number>
  delete(path: string, signal: AbortSignal): Promise<void>
  /** Makes what directories the files need. */
  prepare(directories: readonly string[], signal: AbortSignal | undefined): Promise<void>
  /** Removes a directory if it is empty. */
  deleteDirectory(path: string): Promise<void>
  settle(directories: readonly string[]): Promise<void>
}

/**
 * Makes the files of a directory those of another: one is of this machine, the other of a workspace. Only what differs
 * is copied; each file is there as a whole or as it was.
 *
 * - A file of another size is copied. With `compare: 'mtime'` so is one that was written after the target's, with the
 *   difference of the clocks taken off; a file that was written within 2 s before its copy is copied once more.
 * - A download gives a file the time that the service has for it.
 * - Links to files are followed, links to directories passed over, empty directories and notebooks not copied.
 * @throws ServiceError, OptionError; FILE for what cannot be read or written; the reason of the signal
 */
export async function syncDirectory(
  source: string,
  target: string,
  options: SyncDirectoryOptions = {},
): Promise<SyncResult> {
  const given = readOptions('syncDirectory', options, SYNC_DIRECTORY_OPTIONS)
  const { signal, compare, dryRun, concurrency, onProgress, exclude, include } = given
  if (isRemotePath(source) === isRemotePath(target)) {
    throw new OptionError(
      '[syncDirectory] expected one directory of this machine and one of a workspace (/Volumes/..., dbfs:/..., workspace:/...), ' +
        `got two ${isRemotePath(source) ? 'of a workspace' : 'of this machine'}; change one of them`,
    )
  }
  const isUpload = isRemotePath(target)
  const remote = parseRemotePath(isUpload ? target : source)
  const local = resolve(isUpload ? source : target)
  const [isExcluded, isIncluded] = [pathTest(exclude ?? []), pathTest(include ?? ['**'])]
  const isMeant = (path: string): boolean => isIncluded(path) && !isExcluded(path)
  const client = await openDatabricks(given.databricks, signal)
  const system = fileSystemOf(remote.kind, client)
  const clock = await system.clock(remote.path, signal)
  if (clock === undefined && !isUpload) {
    throw new ServiceError(
      `[syncDirectory] expected a directory at ${source}, got nothing there (HTTP 404); check the path`,
      { status: 404 },
    )
  }
  const far = clock === undefined ? EMPTY_TREE : await remoteTree(system, remote.path, isMeant, signal)
  const near = await localTreeOf(local, { isMeant, mayBeMissing: !isUpload, signal })
  const [from, to] = isUpload ? [near, far] : [far, near]
  const aheadMs = clock ?? 0
  const plan = planSync(from, to, { compare, isDeleting: given.delete, aheadMs, isUpload })
  const side = isUpload
    ? uploading(client, system, { local, remote: remote.path, known: far })
    : downloading(client, system, { local, remote: remote.path, known: far })

  const copies = [...plan.copies]
  const same = [...plan.same]
  const check = async (path: string, stop: AbortSignal): Promise<void> => {
    const isSame = await hasSameContent(
      system,
      { local: join(local, path), remote: joinRemote(remote.path, path) },
      stop,
    )
    ;(isSame ? same : copies).push(path)
  }
  await inParallel(plan.unsure, concurrency, check, signal)

  const result = { copied: 0, copiedBytes: 0, deleted: 0, skipped: same.length }
  const total = copies.length + plan.deletions.length
  const tell = (action: SyncEvent['action'], path: string, bytes = 0): void =>
    onProgress?.({ type: 'sync', action, path, bytes, done: result.copied + result.deleted, total })
  for (const path of from.links) tell('link', path)
  for (const path of same) tell('skip', path)
  const directories = [...new Set(copies.map((path) => dirname(path)))]
  if (!dryRun) await side.prepare(directories, signal)
  const copy = async (path: string, stop: AbortSignal): Promise<void> => {
    const bytes = dryRun ? (from.files.get(path)?.size ?? 0) : await side.copy(path, stop)
    result.copied++
    result.copiedBytes += bytes
    tell('copy', path, bytes)
  }
  const remove = async (path: string, stop: AbortSignal): Promise<void> => {
    if (!dryRun) await side.delete(path, stop)
    result.deleted++
    tell('delete', path)
  }
  await inParallel(copies, concurrency, copy, signal)
  // Nothing goes before all that is new is there.
  await inParallel(plan.deletions, concurrency, remove, signal)
  if (!dryRun) {
    for (const directory of plan.emptied) await side.deleteDirectory(directory)
    await side.settle(directories)
  }
  return result
}

interface Roots {
  readonly local: string
  readonly remote: string
  /** What the workspace has. */
  readonly known: SyncTree
}

function uploading(client: DatabricksClient, system: RemoteFileSystem, { local, remote, known }: Roots): Side {
  return {
    async copy(path, signal) {
      const opened = await openUploadSource(join(local, path))
      try {
        const job = {
          client,
          path: joinRemote(remote, path),
          overwrite: true,
          partSize: undefined,
          parallelism: PARALLELISM,
          resume: true,
          signal,
          // A notebook would lose the ending of its name.
          format: 'RAW' as const,
          onBytes: () => {},
        }
        return (await system.put(job, opened)).bytes
      } finally {
        await opened.close()
      }
    },
    async delete(path, signal) {
      await system.deleteFile(joinRemote(remote, path), signal)
    },
    async prepare(directories, signal) {
      const missing = directories.filter((each) => each === '.' || !known.directories.has(each))
      // Making one makes those above it.
      const deepest = missing.filter((each) => !missing.some((other) => other.startsWith(`${each}/`)))
      const make = (each: string, stop: AbortSignal): Promise<void> =>
        system.makeDirectory(each === '.' ? remote : joinRemote(remote, each), stop)
      await inParallel(deepest, 16, make, signal)
    },
    async deleteDirectory(path) {
      await ignoringNotEmpty(() => system.deleteDirectory(joinRemote(remote, path), false, undefined))
    },
    settle: async () => {},
  }
}

function downloading(client: DatabricksClient, system: RemoteFileSystem, { local, remote, known }: Roots): Side {
  return {
    async copy(path, signal) {
      const { size, modified } = known.files.get(path) ?? { size: 0, modified: 0 }
      const job = {
        client,
        path: joinRemote(remote, path),
        target: join(local, path),
        parallelism: PARALLELISM,
        resume: true,
        known: { size, lastModified: modified },
        isOneOfMany: true,
        signal,
        onBytes: () => {},
      }
      return (await system.fetch(job)).bytes
    },
    async delete(path) {
      await rm(join(local, path), { force: true }).catch((error: unknown) => {
        throw writeError(join(local, path), error)
      })
    },
    async prepare(directories) {
      for (const each of directories)
        await makeDirectories(join(local, each)).catch((error: unknown) => {
          throw writeError(join(local, each), error)
        })
    },
    // What is excluded keeps its directory.
    deleteDirectory: (path) => rmdir(join(local, path)).catch(() => {}),
    async settle(directories) {
      for (const each of directories) await settleDirectory(join(local, each))
    },
  }
}

async function ignoringNotEmpty(remove: () => Promise<unknown>): Promise<void> {
  try {
    await remove()
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status !== 400) throw error
  }
}

async function localTreeOf(
  path: string,
  options: {
    readonly isMeant: (path: string) => boolean
    readonly mayBeMissing: boolean
    readonly signal: AbortSignal | undefined
  },
): Promise<SyncTree> {
  try {
    return await localTree(path, options.isMeant, options.signal)
  } catch (error) {
    if (options.mayBeMissing && isMissing(error)) return EMPTY_TREE
    throw error
  }
}

async function hasSameContent(
  system: RemoteFileSystem,
  paths: { readonly local: string; readonly remote: string },
  signal: AbortSignal,
): Promise<boolean> {
  const source = (await openUploadSource(paths.local)) as FixedSource
  try {
    const hash = createHash('sha256')
    for await (const piece of system.read(paths.remote, signal)) hash.update(piece)
    return hash.digest('hex') === (await hashSource(source, signal))
  } finally {
    await source.close()
  }
}

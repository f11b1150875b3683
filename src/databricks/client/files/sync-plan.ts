/** @file What a directory lacks to be like another: lists of both sides, and what is to be done. Changes nothing. */

import { lstat, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ServiceError } from '../../../http/service-error.js'
import { LowrankError } from '../../../lowrank-error.js'
import { readError } from '../../../regular-file.js'
import type { DirectoryEntry } from './entries.js'
import type { RemoteFileSystem } from './file-systems.js'
import { inParallel } from './in-parallel.js'
import type { SyncComparison } from './options.js'
import type { PathTest } from './patterns.js'

/** A file of one side, by its path within the directory. */
export interface SyncFile {
  readonly size: number
  /** Milliseconds since 1970, by the clock of its side. */
  readonly modified: number
}

/** One side. */
export interface SyncTree {
  readonly files: ReadonlyMap<string, SyncFile>
  readonly directories: ReadonlySet<string>
  /** Links to directories, which are passed over. */
  readonly links: readonly string[]
}

/** What is to be done. */
export interface SyncPlan {
  readonly copies: readonly string[]
  /** Files that have the same size on both sides, and whose bytes are to be compared. */
  readonly unsure: readonly string[]
  readonly same: readonly string[]
  readonly deletions: readonly string[]
  /** Directories of the target that the source lacks, the deepest first. */
  readonly emptied: readonly string[]
}

/** Lists of directories at the same time. */
const LISTS = 16
/** A file that was written so shortly before its copy may have changed after it, within the same tick of a clock. */
const RACE_MS = 2000

export const EMPTY_TREE: SyncTree = { files: new Map(), directories: new Set(), links: [] }

/** The files below a local directory. Links to files are their content. */
export async function localTree(root: string, isMeant: PathTest, signal: AbortSignal | undefined): Promise<SyncTree> {
  const files = new Map<string, SyncFile>()
  const directories = new Set<string>()
  const links: string[] = []
  const visit = async (directory: string): Promise<string[]> => {
    signal?.throwIfAborted()
    const within: string[] = []
    const path = join(root, directory)
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const name = directory === '' ? entry.name : `${directory}/${entry.name}`
      if (entry.isDirectory()) within.push(name)
      else if (entry.isFile() || entry.isSymbolicLink()) {
        if (!isMeant(name)) continue
        // A file may go, and a link may lead nowhere.
        const found = await stat(join(root, name)).catch(() => undefined)
        if (found?.isFile()) files.set(name, { size: found.size, modified: found.mtimeMs })
        else if (entry.isSymbolicLink()) links.push(name)
      }
    }
    return within
  }
  try {
    if (!(await lstat(root)).isDirectory() && !(await stat(root)).isDirectory())
      throw new LowrankError(
        'FILE',
        `[syncDirectory] expected a directory at ${root}, got a file; use uploadFile for one`,
      )
    await walk(visit, directories, signal)
  } catch (error) {
    throw readError('syncDirectory', root, error, 'directory')
  }
  return { files, directories, links }
}

/** The files below a directory of the workspace. Notebooks are none. */
export async function remoteTree(
  system: RemoteFileSystem,
  root: string,
  isMeant: PathTest,
  signal: AbortSignal | undefined,
): Promise<SyncTree> {
  const files = new Map<string, SyncFile>()
  const directories = new Set<string>()
  const visit = async (directory: string): Promise<string[]> => {
    const within: string[] = []
    for await (const entry of system.list(directory === '' ? root : `${root}/${directory}`, signal)) {
      const name = nameIn(root, entry)
      if (entry.isDirectory) within.push(name)
      else if ((entry.objectType ?? 'FILE') === 'FILE' && isMeant(name))
        files.set(name, { size: entry.fileSize ?? 0, modified: entry.lastModified ?? 0 })
    }
    return within
  }
  await walk(visit, directories, signal)
  return { files, directories, links: [] }
}

/** Visits directories, some at the same time, those of one depth before those below. */
async function walk(
  visit: (directory: string) => Promise<string[]>,
  directories: Set<string>,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let level = ['']; level.length > 0; ) {
    const next: string[] = []
    await inParallel(level, LISTS, async (directory) => void next.push(...(await visit(directory))), signal)
    for (const directory of next) directories.add(directory)
    level = next
  }
}

/** A path within the directory. What leads out of it comes from no real service. */
function nameIn(root: string, { path }: DirectoryEntry): string {
  const name = path.startsWith(`${root === '/' ? '' : root}/`) ? path.slice(root === '/' ? 1 : root.length + 1) : ''
  const isWithin = name !== '' && name.split('/').every((each) => each !== '' && each !== '.' && each !== '..')
  if (isWithin && !name.includes('\0')) return name
  throw new ServiceError(
    `[syncDirectory] expected paths below ${root} in its list, got ${JSON.stringify(path)}; look at what is there`,
  )
}

/**
 * @param times `aheadMs`: by how much the clock of the workspace is ahead of this machine's. `isUpload`: whether the
 * target is the workspace.
 * @throws LowrankError where one side has a file and the other a directory
 */
export function planSync(
  source: SyncTree,
  target: SyncTree,
  {
    compare,
    isDeleting,
    aheadMs,
    isUpload,
  }: {
    readonly compare: SyncComparison
    readonly isDeleting: boolean
    readonly aheadMs: number
    readonly isUpload: boolean
  },
): SyncPlan {
  const copies: string[] = []
  const unsure: string[] = []
  const same: string[] = []
  for (const [path, file] of source.files) {
    const there = target.files.get(path)
    if (target.directories.has(path)) throw mixed(path, 'a directory', 'a file')
    if (there === undefined || there.size !== file.size || compare === 'always') copies.push(path)
    else if (compare === 'content') unsure.push(path)
    else if (compare === 'mtime' && isNewer(file, there, isUpload ? -aheadMs : aheadMs)) copies.push(path)
    else same.push(path)
  }
  for (const path of source.directories) if (target.files.has(path)) throw mixed(path, 'a file', 'a directory')
  const lacks = (path: string): boolean => !source.files.has(path) && !source.directories.has(path)
  const deletions = isDeleting ? [...target.files.keys()].filter(lacks) : []
  const emptied = isDeleting ? [...target.directories].filter(lacks) : []
  emptied.sort((a, b) => b.split('/').length - a.split('/').length)
  return { copies, unsure, same, deletions, emptied }
}

/** @param targetBehindMs By how much the source's clock is ahead of the target's. */
function isNewer(source: SyncFile, target: SyncFile, targetBehindMs: number): boolean {
  // A download gives its file the time that the service has, whatever the clocks say: whole milliseconds, which a file
  // that is written gets once in a thousand times.
  if (Math.abs(source.modified - target.modified) < 0.002) return false
  return source.modified - targetBehindMs + RACE_MS > target.modified
}

function mixed(path: string, there: string, wanted: string): LowrankError {
  return new LowrankError(
    'FILE',
    `[syncDirectory] expected ${wanted} at ${path} of the target, got ${there}; remove it, or exclude it`,
  )
}

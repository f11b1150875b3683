/**
 * @file Writing files and directories so that a reader, or the next run after a crash, sees the old content or the new, never a
 * part. Knows nothing of what is written. Imports nothing of src/.
 *
 * 1. Content goes to a temporary name in the same directory, is flushed to the disk, and is then renamed over the target.
 * 2. A failure removes the temporary; the target still holds what it held before.
 * 3. A killed process leaves its temporary behind; the next write into that directory removes it once its process is gone.
 * 4. Two writers of the same target at the same time are not coordinated: the last one wins.
 */

import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { lstat, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

/** What a file is to hold: all at once, or piece by piece so that it never has to be in memory as a whole. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** One file of `writeFilesAtomic`. */
export interface FileToWrite {
  path: string
  content: FileContent
}

const TEMPORARY = /^\..+\.lowrank-(\d+)-[0-9a-f]{12}$/
// Large enough to keep a disk busy; the kernel's own limit for one write is 2 GiB.
const LARGEST_WRITE = 64 * 1024 * 1024

/** Replaces the file at `path`. Its directory is made if it is missing. @throws naming the path, the cause and the remedy */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  await writeFilesAtomic([{ path, content }])
}

/**
 * Replaces several files that belong together: all are written in full before the first takes its final name, so that a full
 * disk changes none of them. They take their names in the order given.
 */
export async function writeFilesAtomic(files: readonly FileToWrite[]): Promise<void> {
  const staged: { temporary: string; path: string }[] = []
  try {
    for (const file of files) {
      const path = resolve(file.path)
      const temporary = temporaryName(path)
      await prepareTarget(path, 'file')
      staged.push({ temporary, path })
      await writeAndFlush(temporary, path, file.content)
    }
    for (const { temporary, path } of staged) await onPath(path, () => rename(temporary, path))
  } catch (error) {
    for (const { temporary } of staged) await rm(temporary, { force: true })
    throw error
  }
  for (const directory of new Set(staged.map(({ path }) => dirname(path)))) await flushDirectory(directory)
}

/**
 * Replaces the directory at `path` by one that `fill` writes into the temporary directory it is given. Everything that was in
 * `path` before is removed, so use it only for directories that one program owns, such as training checkpoints.
 */
export async function writeDirectoryAtomic(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  await prepareTarget(resolve(path), 'directory')
  await recoverDirectory(path)
  // A link to a directory stays a link, and the content stays on the disk that it points to.
  const target = await realpath(path).catch(() => resolve(path))
  const temporary = temporaryName(target)
  const replaced = replacedName(target)
  try {
    await onPath(target, () => mkdir(temporary))
    await fill(temporary)
    await flushTree(temporary)
    await onPath(target, async () => {
      // A directory that is not empty cannot be renamed over: move it aside first.
      const exists = (await statOrUndefined(target)) !== undefined
      if (exists) await rename(target, replaced)
      try {
        await rename(temporary, target)
      } catch (error) {
        if (exists) await rename(replaced, target)
        throw error
      }
    })
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  await flushDirectory(dirname(target))
  await rm(replaced, { recursive: true, force: true })
}

/**
 * Undoes a replacement of the directory at `path` that was cut short between its two renames. Call it before reading a directory
 * that `writeDirectoryAtomic` replaces; it does nothing otherwise.
 */
export async function recoverDirectory(path: string): Promise<void> {
  const replaced = replacedName(resolve(path))
  if ((await statOrUndefined(replaced)) === undefined) return
  if ((await statOrUndefined(path)) === undefined) await onPath(path, () => rename(replaced, path))
  else await rm(replaced, { recursive: true, force: true })
}

/** The error to throw when writing `path` failed with `error`: says what is wrong with the disk or the rights, and what to do. */
export function writeError(path: string, error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const reason = code === undefined ? undefined : WRITE_FAILURES[code]
  if (reason === undefined) return error instanceof Error ? error : new Error(String(error))
  return new Error(`[save] cannot write ${path}: ${reason} (${code}). What was there before is unchanged.`, {
    cause: error,
  })
}

const NO_SPACE = 'no space is left; free some space or save to another disk'
const NO_RIGHT = 'no write permission; change the rights of the directory or save somewhere else'
const WRITE_FAILURES: Record<string, string | undefined> = {
  ENOSPC: NO_SPACE,
  EDQUOT: NO_SPACE,
  EFBIG: 'the file system does not hold files of this size; save to another disk',
  EACCES: NO_RIGHT,
  EPERM: NO_RIGHT,
  EROFS: 'the file system is read-only; save somewhere else',
  ENOTDIR: 'a part of the path is a file, not a directory; save under another name',
  EEXIST: 'a part of the path is a file, not a directory; save under another name',
  EISDIR: 'it is a directory; give the name of a file',
  EIO: 'the disk reported an error; check it, or save to another disk',
  EMFILE: 'too many files are open in this process; close some or raise the limit (ulimit -n)',
  ENAMETOOLONG: 'the name is too long for the file system; use a shorter one',
}

function temporaryName(target: string): string {
  return join(dirname(target), `.${basename(target)}.lowrank-${process.pid}-${randomBytes(6).toString('hex')}`)
}

function replacedName(target: string): string {
  return join(dirname(target), `.${basename(target)}.lowrank-replaced`)
}

/** Makes the parent directory, refuses targets that a rename would destroy (devices, pipes), and clears what killed runs left. */
async function prepareTarget(path: string, kind: 'file' | 'directory'): Promise<void> {
  await onPath(path, async () => {
    const there = await statOrUndefined(path)
    if (there !== undefined && !(kind === 'file' ? there.isFile() : there.isDirectory())) {
      const found = there.isDirectory() ? 'a directory' : there.isFile() ? 'a file' : 'neither a file nor a directory'
      throw new Error(`[save] expected ${path} to be a ${kind} or not to exist, got ${found}; save under another name`)
    }
    await mkdir(dirname(path), { recursive: true })
  })
  await removeLeftovers(dirname(path))
}

async function writeAndFlush(temporary: string, path: string, content: FileContent): Promise<void> {
  const pieces =
    typeof content === 'string' ? [Buffer.from(content)] : content instanceof Uint8Array ? [content] : content
  const handle = await onPath(path, () => open(temporary, 'wx'))
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.byteLength; ) {
        const length = Math.min(piece.byteLength - at, LARGEST_WRITE)
        const { bytesWritten } = await onPath(path, () => handle.write(piece, at, length))
        at += bytesWritten
      }
    }
    await onPath(path, () => handle.sync())
  } finally {
    // Some file systems report a full disk only here.
    await onPath(path, () => handle.close())
  }
}

async function flushTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await flushTree(path)
    else if (entry.isFile()) await flush(path)
  }
  await flushDirectory(directory)
}

/** A rename survives a power cut only once its directory is on the disk. */
async function flushDirectory(directory: string): Promise<void> {
  try {
    await flush(directory)
  } catch {
    // Network and FUSE file systems may refuse to flush a directory; the content is complete all the same.
  }
}

async function flush(path: string): Promise<void> {
  const handle = await onPath(path, () => open(path, 'r'))
  try {
    await onPath(path, () => handle.sync())
  } finally {
    await handle.close()
  }
}

async function removeLeftovers(directory: string): Promise<void> {
  const started = Date.now() - process.uptime() * 1000
  for (const name of await readdir(directory).catch(() => [])) {
    const pid = Number(TEMPORARY.exec(name)?.[1])
    if (!(pid > 0)) continue
    const path = join(directory, name)
    const found = await lstat(path).catch(() => undefined)
    // Containers give every run the same process id: what is older than this process is not its own.
    const abandoned = pid === process.pid ? found !== undefined && found.mtimeMs < started : !isRunning(pid)
    if (abandoned) await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code !== 'ESRCH'
  }
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function onPath<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw writeError(path, error)
  }
}

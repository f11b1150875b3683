/**
 * @file Writing files and directories so that a reader, or the next run after a crash, sees the old content or the new,
 * never a part. Knows nothing of what is written.
 *
 * 1. Content goes to a temporary name in the same directory, is flushed to the disk, and is then renamed over the
 *    target.
 * 2. A failure removes the temporary; the target still holds what it held before.
 * 3. A killed process leaves its temporary behind. The next write into that directory removes it where its maker has
 *    certainly ended; what other machines and containers left is not touched.
 * 4. Two writers of the same target at the same time are not coordinated: the last one wins.
 */

import type { Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { OWNER_PATTERN, ownedName, ownerState } from './file-owner.js'
import { LowrankError } from './lowrank-error.js'
import { describeKind, ownErrorCode, shownPath, systemReason } from './regular-file.js'
import { toError } from './values.js'

/** What a file is to hold: all at once, or piece by piece so that it never has to be in memory as a whole. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** How files are written. */
export interface WriteOptions {
  /**
   * Whether the caller writes many files and calls `settleDirectory` for their directories at the end: for each file
   * alone it would read the whole directory.
   * @default false
   */
  readonly isOneOfMany?: boolean
}

/** One file of `writeFilesAtomic`. */
export interface FileToWrite {
  path: string
  content: FileContent
}

const TEMPORARY = new RegExp(`^\\..+\\.lowrank-${OWNER_PATTERN}$`, 's')
// A temporary's name is longer than its target's, and file systems hold 255 bytes.
const LONGEST_PREFIX = 40
// Large enough to keep a disk busy; the kernel's own limit for one write is 2 GiB.
const LARGEST_WRITE = 64 * 1024 * 1024

/**
 * Replaces the file at `path`. Its directory is made if it is missing.
 * @throws naming the path, the cause and the remedy
 */
export async function writeFileAtomic(path: string, content: FileContent, options: WriteOptions = {}): Promise<void> {
  await writeFilesAtomic([{ path, content }], options)
}

/**
 * Replaces several files that belong together: all are written in full before the first takes its final name, so that a
 * full disk changes none of them. They take their names in the order given.
 */
export async function writeFilesAtomic(
  files: readonly FileToWrite[],
  { isOneOfMany = false }: WriteOptions = {},
): Promise<void> {
  const staged: { temporary: string; path: string }[] = []
  try {
    for (const file of files) {
      const path = resolve(file.path)
      const temporary = temporaryName(path)
      await prepareTarget(path, 'file', !isOneOfMany)
      staged.push({ temporary, path })
      await writeAndFlush(temporary, path, file.content)
    }
    for (const { temporary, path } of staged) await onPath(path, () => rename(temporary, path))
  } catch (error) {
    for (const { temporary } of staged) await rm(temporary, { force: true })
    throw error
  }
  if (isOneOfMany) return
  for (const directory of new Set(staged.map(({ path }) => dirname(path)))) await flushDirectory(directory)
}

/** Removes what killed runs left in a directory, and puts its names on the disk. */
export async function settleDirectory(directory: string): Promise<void> {
  await removeLeftovers(directory)
  await flushDirectory(directory)
}

/** A file that is written piece by piece under a temporary name. */
export interface StagedFile {
  write(piece: Uint8Array): Promise<void>
}

/**
 * `writeFilesAtomic` for content of which nobody knows beforehand into which file it goes: `fill` writes to all of them
 * in any order. Where that fails, directories that were made for them and are still empty are gone again.
 */
export async function fillFilesAtomic<T>(
  paths: readonly string[],
  fill: (files: readonly StagedFile[]) => Promise<T>,
): Promise<T> {
  const staged: { temporary: string; path: string; handle: FileHandle }[] = []
  const made: { directory: string; first: string }[] = []
  try {
    for (const path of paths.map((given) => resolve(given))) {
      const temporary = temporaryName(path)
      const first = await prepareTarget(path, 'file')
      if (first !== undefined) made.push({ directory: dirname(path), first: resolve(first) })
      staged.push({ temporary, path, handle: await onPath(path, () => open(temporary, 'wx')) })
    }
    const result = await fill(staged.map(({ handle, path }) => ({ write: (piece) => writePiece(handle, path, piece) })))
    for (const { handle, path } of staged) {
      await onPath(path, () => handle.sync())
      // Some file systems report a full disk only here.
      await onPath(path, () => handle.close())
    }
    for (const { temporary, path } of staged) await onPath(path, () => rename(temporary, path))
    for (const directory of new Set(staged.map(({ path }) => dirname(path)))) await flushDirectory(directory)
    return result
  } catch (error) {
    for (const { temporary, handle } of staged) {
      await handle.close().catch(() => {})
      await rm(temporary, { force: true })
    }
    for (const { directory, first } of made.reverse()) await removeEmpty(directory, first)
    throw error
  }
}

/**
 * Replaces the directory at `path` by one that `fill` writes into the temporary directory it is given. Everything that
 * was in `path` before is removed, so use it only for directories that one program owns, such as training checkpoints.
 * @throws also where a link stands at `path`: what it leads to may be someone else's
 */
export async function writeDirectoryAtomic(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const target = resolve(path)
  await prepareTarget(target, 'directory')
  await recoverDirectory(target)
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
 * Makes a directory and those above it, and lets `write` fill it. Where that fails, directories that were made and are
 * still empty are gone again.
 * @throws naming the path, the cause and the remedy
 */
export async function fillDirectory(path: string, write: () => Promise<void>): Promise<void> {
  const made = await onPath(path, () => makeDirectories(path))
  try {
    await write()
  } catch (error) {
    if (made !== undefined) await removeEmpty(resolve(path), resolve(made))
    throw error
  }
}

/** Removes `path` and those above it up to `last`, as long as they are empty. */
async function removeEmpty(path: string, last: string): Promise<void> {
  for (let directory = path; ; directory = dirname(directory)) {
    try {
      await rmdir(directory)
    } catch {
      return
    }
    if (directory === last || directory === dirname(directory)) return
  }
}

/**
 * Makes a directory and those above it; the system's error is thrown as it is.
 * @returns the first that was made
 */
export async function makeDirectories(path: string): Promise<string | undefined> {
  try {
    // One level by itself: mkdir of all of them never ends where a file system answers ENOENT below a directory that is
    // there, as /proc does.
    const made = await makeOne(await firstMissing(resolve(path)))
    const first = await mkdir(path, { recursive: true })
    return made ?? first
  } catch (error) {
    const code = ownErrorCode(error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    // Node says so too where a link leads nowhere or the file system is read-only: the first step alone tells which.
    const first = await firstMissing(resolve(path))
    const there = await statOrUndefined(first, lstat)
    if (there?.isSymbolicLink()) {
      throw new LowrankError(
        'FILE',
        `[save] expected ${shownPath(first)} to be a directory or not to exist, got a link that leads nowhere; remove it, or make what it ` +
          'leads to',
      )
    }
    if (code === 'ENOTDIR') throw error
    await mkdir(first)
    await mkdir(path, { recursive: true })
    return first
  }
}

/** @returns the path, or undefined where something of that name was there. */
async function makeOne(path: string): Promise<string | undefined> {
  try {
    await mkdir(path)
    return path
  } catch (error) {
    if (ownErrorCode(error) === 'EEXIST') return undefined
    throw error
  }
}

/** The uppermost part of a path that is not there, or that is a link to what is not. */
async function firstMissing(path: string): Promise<string> {
  let first = path
  while (dirname(first) !== first && (await statOrUndefined(dirname(first))) === undefined) first = dirname(first)
  return first
}

/**
 * Undoes a replacement of the directory at `path` that was cut short between its two renames. Call it before reading a
 * directory that `writeDirectoryAtomic` replaces; it does nothing otherwise.
 */
export async function recoverDirectory(path: string): Promise<void> {
  const replaced = replacedName(resolve(path))
  // A link of that name is none of ours.
  if (!(await statOrUndefined(replaced, lstat))?.isDirectory()) return
  if ((await statOrUndefined(path)) === undefined) await onPath(path, () => rename(replaced, path))
  else await rm(replaced, { recursive: true, force: true })
}

/**
 * The error to throw when writing `path` failed with `error`: says what is wrong with the disk or the rights, and what
 * to do.
 */
export function writeError(path: string, error: unknown): Error {
  const code = ownErrorCode(error)
  const reason = code === undefined ? undefined : writeReason(code)
  if (reason === undefined) return toError(error)
  return new LowrankError(
    'FILE',
    `[save] cannot write ${shownPath(path)}: ${reason} (${code}). What was there before is unchanged.`,
    {
      cause: error,
    },
  )
}

/** What a code of the system says of writing, and what to do; undefined where it is none of the system's. */
export function writeReason(code: string): string | undefined {
  return WRITE_FAILURES[code] ?? systemReason(code)
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
  ENFILE: 'too many files are open on this machine; close some programs',
  ENAMETOOLONG: 'the name is too long for the file system; use a shorter one',
  ENOENT: 'its directory went away while it was written; make the directory again, and keep others from removing it',
  ENOTEMPTY: 'another program made a directory of that name meanwhile; end that program, or save under another name',
  ELOOP: 'its links lead round in a circle, or there are too many; remove the link, or save under another name',
  EAGAIN: 'another program holds it; end that program, or save under another name',
  EBUSY: 'another program holds it, or a disk is mounted there; end that program, or save under another name',
  ETXTBSY: 'it is a program that runs; end it, or save under another name',
  ESTALE: 'its directory was replaced on the file server; save again',
  ETIMEDOUT: 'the file server does not answer; check the connection to it',
  ENOMEM: 'the machine has no memory left; close some programs',
  ENOTSUP: 'the file system does not do this; save to another disk',
  EXDEV: 'another disk is mounted there; save under another name',
}

function temporaryName(target: string): string {
  return join(dirname(target), ownedName(`.${basename(target).slice(0, LONGEST_PREFIX)}.lowrank-`))
}

function replacedName(target: string): string {
  return join(dirname(target), `.${basename(target)}.lowrank-replaced`)
}

/**
 * Makes the parent directory, refuses targets that a rename would destroy (devices, pipes), and clears what killed runs
 * left.
 */
/** @returns the first directory that was made for it */
async function prepareTarget(path: string, kind: 'file' | 'directory', isClearing = true): Promise<string | undefined> {
  const made = await onPath(path, async () => {
    // A rename replaces a link to a file and leaves what it leads to.
    const there = await statOrUndefined(path, kind === 'file' ? stat : lstat)
    if (there !== undefined && !(kind === 'file' ? there.isFile() : there.isDirectory())) {
      throw new LowrankError(
        'FILE',
        `[save] expected ${path} to be a ${kind} or not to exist, got ${describeKind(there)}; remove it, or save under another name`,
      )
    }
    return await makeDirectories(dirname(path))
  })
  if (isClearing) await removeLeftovers(dirname(path))
  return made
}

async function writeAndFlush(temporary: string, path: string, content: FileContent): Promise<void> {
  const pieces =
    typeof content === 'string' ? [Buffer.from(content)] : content instanceof Uint8Array ? [content] : content
  const handle = await onPath(path, () => open(temporary, 'wx'))
  try {
    for await (const piece of pieces) await writePiece(handle, path, piece)
    await onPath(path, () => handle.sync())
  } finally {
    // Some file systems report a full disk only here.
    await onPath(path, () => handle.close())
  }
}

async function writePiece(handle: FileHandle, path: string, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.byteLength; ) {
    const length = Math.min(piece.byteLength - at, LARGEST_WRITE)
    const { bytesWritten } = await onPath(path, () => handle.write(piece, at, length))
    at += bytesWritten
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
  for (const name of await readdir(directory).catch(() => [])) {
    const [, place, pid, ticks] = TEMPORARY.exec(name) ?? []
    if (place === undefined || ownerState(place, Number(pid), Number(ticks)) !== 'ended') continue
    await rm(join(directory, name), { recursive: true, force: true }).catch(() => {})
  }
}

async function statOrUndefined(
  path: string,
  status: (path: string) => Promise<Stats> = stat,
): Promise<Stats | undefined> {
  try {
    return await status(path)
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

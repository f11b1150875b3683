/**
 * @file Opening files to read, and to append to. Only regular files are opened: a pipe would wait for its other end, a
 * device never ends. Errors of the system are put in words here. Imports of src/ only how values are described.
 */

import { Buffer } from 'node:buffer'
import { closeSync, constants, fstatSync, openSync, type Stats, statSync } from 'node:fs'
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { getSystemErrorMap } from 'node:util'
import { LowrankError } from './lowrank-error.js'
import { toError } from './values.js'

/** Options of `readRegularFile`. */
export interface ReadFileOptions {
  /** The part of the library that reads, for error messages. */
  readonly where: string
  /** Bytes; a larger file is refused before it is read. Default 100,000,000. */
  readonly limit?: number
  readonly signal?: AbortSignal | undefined
}

/** More than any configuration or tokenizer has; weights are not read whole. */
const DEFAULT_LIMIT = 100_000_000
const FIRST_BUFFER = 1 << 16
const LONGEST_PATH = 500
// Without O_NONBLOCK a pipe that replaces the file between stat and open would wait for its writer. Windows has neither
// flag.
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0)

/**
 * Opens the file at `path` to read; links are followed.
 * @throws naming the path, what is there instead of a regular file, or the system's error in words, with the remedy
 */
export async function openRegularFile(where: string, path: string): Promise<FileHandle> {
  try {
    // First: opening a device can already have an effect.
    expectRegular(where, path, await stat(path))
    const handle = await open(path, FLAGS)
    try {
      expectRegular(where, path, await handle.stat())
      return handle
    } catch (error) {
      await handle.close()
      throw error
    }
  } catch (error) {
    throw readError(where, path, error)
  }
}

/** As `openRegularFile`, for readers of many small values. The caller closes the descriptor. */
export function openRegularFileSync(where: string, path: string): number {
  try {
    expectRegular(where, path, statSync(path))
    const file = openSync(path, FLAGS)
    try {
      expectRegular(where, path, fstatSync(file))
      return file
    } catch (error) {
      closeSync(file)
      throw error
    }
  } catch (error) {
    throw readError(where, path, error)
  }
}

/**
 * The whole file.
 * @throws as `openRegularFile`, and on more than `limit` bytes; the reason of `signal` once it is aborted
 */
export async function readRegularFile(path: string, options: ReadFileOptions): Promise<Buffer> {
  const { where, limit = DEFAULT_LIMIT, signal } = options
  const handle = await openRegularFile(where, path)
  try {
    const { size } = await handle.stat()
    if (size > limit) throw tooLarge(where, path, limit, size)
    // The size is a first guess: the file may grow, and files of the system say 0.
    let bytes = Buffer.allocUnsafe(Math.max(size, Math.min(limit, FIRST_BUFFER)) + 1)
    let length = 0
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) return bytes.subarray(0, length)
      length += bytesRead
      if (length > limit) throw tooLarge(where, path, limit, length)
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * length, limit + 1))
    }
  } catch (error) {
    throw readError(where, path, error)
  } finally {
    await handle.close()
  }
}

/** As `readRegularFile`; undefined where there is no such file. */
export async function readRegularFileIfThere(path: string, options: ReadFileOptions): Promise<Buffer | undefined> {
  try {
    return await readRegularFile(path, options)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Opens a file to append to, or makes it. A link in its place is another program's file, and a pipe would wait for its
 * reader: neither is opened.
 * @returns its descriptor
 * @throws the system's error as it is, and LowrankError for what is no regular file
 */
export function openForAppending(path: string): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_WRONLY } = constants
  const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o666)
  if (fstatSync(file).isFile()) return file
  closeSync(file)
  throw new LowrankError('FILE', 'it is not a regular file')
}

/** The system's name of an error, `ENOENT`, from the error or from what caused it. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  return ownErrorCode(error) ?? errorCode(error.cause)
}

/** The name that an error of the system itself has. Errors that were put in words have it in their cause alone. */
export function ownErrorCode(error: unknown): string | undefined {
  if (error instanceof LowrankError) return undefined
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return undefined
  return UNNAMED[error.code] ?? error.code
}

/** Errors of Linux that Node has no names for. */
const UNNAMED: Readonly<Record<string, string>> = {
  'Unknown system error -116': 'ESTALE',
  'Unknown system error -122': 'EDQUOT',
}

/** Whether an error says that there is no such file or directory. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/**
 * The error to throw when reading `path` failed: what happened in words, and what to do. Other errors than the system's
 * pass.
 */
export function readError(where: string, path: string, error: unknown, kind: 'file' | 'directory' = 'file'): Error {
  const code = ownErrorCode(error)
  const isOfKernel = code === 'EIO' && /^\/(?:proc|sys)\//.test(path)
  const reason = isOfKernel ? NO_DISK : code && (READ_FAILURES[code] ?? systemReason(code))
  if (!reason) return toError(error)
  const what = kind === 'file' ? shownPath(path) : `the directory ${shownPath(path)}`
  const words = kind === 'file' ? reason : reason.replace('there is no such file', 'there is none')
  return new LowrankError('FILE', `[${where}] cannot read ${what}: ${words} (${code})`, { cause: error })
}

/** The names in a directory. @throws naming the path, the system's error in words, and the remedy */
export async function readDirectory(where: string, path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    throw readError(where, path, error, 'directory')
  }
}

/** What the system says of a code that has no words of ours; undefined where the code is none of the system's. */
export function systemReason(code: string): string | undefined {
  for (const [name, description] of getSystemErrorMap().values()) {
    if (name === code) return `the system says "${description}"; look at the path and its disk, then try again`
  }
  if (!code.startsWith('Unknown system error')) return undefined
  return 'the system reports an error without a name; look at the path and its disk, then try again'
}

/** What is at a path, as an error says it. */
export function describeKind(status: Stats): string {
  if (status.isFile()) return 'a file'
  if (status.isDirectory()) return 'a directory'
  if (status.isFIFO()) return 'a pipe'
  if (status.isSocket()) return 'a socket'
  if (status.isSymbolicLink()) return 'a link'
  return 'a device'
}

/** A path as an error message shows it. */
export function shownPath(path: string): string {
  return path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}... (${path.length} characters)` : path
}

const NO_DISK =
  'the system shows what is no file of a disk there, and gives none of it; give the path of a regular file'
const READ_FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file; check the path',
  ENOTDIR: 'a part of the path is a file, not a directory; check the path',
  EACCES: 'no permission to read; change the rights of the file and of the directories above it',
  EPERM: 'no permission to read; change the rights of the file and of the directories above it',
  EISDIR: 'it is a directory; give the path of a file',
  ELOOP: 'its links lead round in a circle, or there are too many; remove the link, and put the file itself there',
  ENAMETOOLONG: 'the path is too long for the file system; check it',
  EMFILE: 'too many files are open in this process; close some or raise the limit (ulimit -n)',
  ENFILE: 'too many files are open on this machine; close some programs',
  EIO: 'the disk reported an error; check it, or copy the file from elsewhere',
  EAGAIN: 'another program holds it, or it is no file that can be read at once; try again, or give a regular file',
  EBUSY: 'another program holds it; end that program, or copy the file',
  ENXIO: 'it is a device or a socket that nothing answers; give the path of a regular file',
  ENODEV: 'it is a device that is not there; give the path of a regular file',
  ESTALE: 'it was replaced on the file server while it was read; try again',
  ETIMEDOUT: 'the file server does not answer; check the connection to it',
  ENOMEM: 'the machine has no memory left; close some programs',
  ERR_INVALID_ARG_VALUE: 'a path cannot hold a null character; check it',
}

function expectRegular(where: string, path: string, status: Stats): void {
  if (status.isFile()) return
  throw new LowrankError(
    'FILE',
    `[${where}] expected ${shownPath(path)} to be a file, got ${describeKind(status)}; give the path of a regular file`,
  )
}

function tooLarge(where: string, path: string, limit: number, size: number): Error {
  return new LowrankError(
    'FILE',
    `[${where}] expected at most ${limit} bytes in ${shownPath(path)}, got ${size}${size > limit ? '' : ' or more'}; is it the right file?`,
  )
}

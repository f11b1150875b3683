/** @file Files of a workspace, by path, as programs use them: volumes, DBFS and the workspace's own folders. */

import { stat } from 'node:fs/promises'
import { LowrankError } from '../../../lowrank-error.js'
import { readOptions } from '../../../options/table.js'
import { openDatabricks } from '../connect.js'
import type { DirectoryEntry, TransferEvent } from './entries.js'
import { fileSystemOf, type RemoteFileSystem } from './file-systems.js'
import { abortEarlier } from './multipart.js'
import {
  DIRECTORY_OPTIONS,
  type DirectoryOptions,
  DOWNLOAD_FILE_OPTIONS,
  type DownloadFileOptions,
  FILE_OPTIONS,
  type FileOptions,
  UPLOAD_FILE_OPTIONS,
  type UploadFileOptions,
} from './options.js'
import { parseRemotePath } from './remote-path.js'
import { openUploadSource, type UploadSource } from './upload-source.js'

/** What `uploadFile` did. */
export interface UploadFileResult {
  /** From the root of its system. */
  readonly path: string
  readonly bytes: number
  /** Parts in which it went. */
  readonly parts: number
  /** Bytes that were there from a call that was killed. */
  readonly resumedBytes: number
}

/** What `downloadFile` did. */
export interface DownloadFileResult {
  readonly path: string
  readonly bytes: number
  /** Bytes that were there from a call that was cut short. */
  readonly resumedBytes: number
}

/**
 * Puts a file, bytes or a stream at a path of the workspace. From 50 MiB on it goes in parts, straight to the storage
 * behind the volume. Readers see the whole file or what was there before.
 * @param source A path or `file:` address, bytes, a `Blob`, or a stream of bytes of any length
 * @param path `/Volumes/catalog/schema/volume/file`, `dbfs:/file` or `workspace:/Users/me/file`
 * @throws ServiceError, OptionError; the reason of the signal. Nothing is left behind then
 */
export async function uploadFile(
  source: UploadSource,
  path: string,
  options: UploadFileOptions = {},
): Promise<UploadFileResult> {
  const given = readOptions('uploadFile', options, UPLOAD_FILE_OPTIONS)
  const { signal, onProgress } = given
  const remote = parseRemotePath(path)
  const opened = await openUploadSource(source)
  try {
    const client = await openDatabricks(given.databricks, signal)
    const totalBytes = opened.kind === 'fixed' ? opened.size : undefined
    const onBytes = counting({ type: 'upload', path: remote.path, totalBytes }, onProgress)
    const { overwrite, partSize, parallelism, resume, format, language } = given
    const job = {
      client,
      path: remote.path,
      overwrite,
      partSize,
      parallelism,
      resume,
      signal,
      onBytes,
      format,
      language,
    }
    return { path: remote.path, ...(await fileSystemOf(remote.kind, client).put(job, opened)) }
  } finally {
    await opened.close()
  }
}

/**
 * Fetches a file of the workspace. The file at `target` changes once all of it is there.
 * @throws ServiceError, OptionError; FILE where it cannot be written; the reason of the signal
 */
export async function downloadFile(
  path: string,
  target: string,
  options: DownloadFileOptions = {},
): Promise<DownloadFileResult> {
  const given = readOptions('downloadFile', options, DOWNLOAD_FILE_OPTIONS)
  const { signal, overwrite, parallelism, resume, format, onProgress } = given
  const remote = parseRemotePath(path)
  if (!overwrite && (await stat(target).catch(() => undefined))) {
    throw new LowrankError(
      'FILE',
      `[databricks] expected nothing at ${target}, got a file; give overwrite: true, or another name`,
    )
  }
  const client = await openDatabricks(given.databricks, signal)
  const onBytes = counting({ type: 'download', path: remote.path, totalBytes: undefined }, onProgress)
  const job = { client, path: remote.path, target, signal, parallelism, resume, onBytes }
  return { path: remote.path, ...(await fileSystemOf(remote.kind, client).fetch(job, format)) }
}

/**
 * The bytes of a file, as they come. A connection that is cut goes on where it was.
 * @throws ServiceError, OptionError; the reason of the signal
 */
export async function* streamFile(path: string, options: FileOptions = {}): AsyncGenerator<Uint8Array> {
  const { remote, system, signal } = await open('streamFile', path, options)
  yield* system.read(remote, signal)
}

/**
 * What a directory holds: page after page, each asked for when it is needed.
 * @throws ServiceError, OptionError; the reason of the signal
 */
export async function* listDirectory(path: string, options: DirectoryOptions = {}): AsyncGenerator<DirectoryEntry> {
  const { recursive, ...rest } = readOptions('listDirectory', options, DIRECTORY_OPTIONS)
  const { remote, system, signal } = await open('listDirectory', path, rest)
  if (recursive) yield* listTree(system, remote, signal)
  else yield* system.list(remote, signal)
}

/** What is at a path; undefined where nothing is. @throws ServiceError, OptionError; the reason of the signal */
export async function getMetadata(path: string, options: FileOptions = {}): Promise<DirectoryEntry | undefined> {
  const { remote, system, signal } = await open('getMetadata', path, options)
  return await system.stat(remote, signal)
}

/** Makes a directory and those above it; one that is there is fine. @throws ServiceError, OptionError */
export async function createDirectory(path: string, options: FileOptions = {}): Promise<void> {
  const { remote, system, signal } = await open('createDirectory', path, options)
  await system.makeDirectory(remote, signal)
}

/** Removes a file. @returns whether it was there @throws ServiceError, OptionError */
export async function deleteFile(path: string, options: FileOptions = {}): Promise<boolean> {
  const { remote, system, signal } = await open('deleteFile', path, options)
  return await system.deleteFile(remote, signal)
}

/**
 * Removes a directory: an empty one, or with `recursive` all that lies below too.
 * @returns whether it was there
 * @throws ServiceError, also where it is not empty; OptionError
 */
export async function deleteDirectory(path: string, options: DirectoryOptions = {}): Promise<boolean> {
  const { recursive, ...rest } = readOptions('deleteDirectory', options, DIRECTORY_OPTIONS)
  const { remote, system, signal } = await open('deleteDirectory', path, rest)
  return await system.deleteDirectory(remote, recursive, signal)
}

/**
 * Takes away the parts of uploads from this machine that were killed and are not wanted any more.
 * @returns how many uploads there were
 */
export async function abortUploads(options: FileOptions = {}): Promise<number> {
  const { databricks, signal } = readOptions('abortUploads', options, FILE_OPTIONS)
  return await abortEarlier({ client: await openDatabricks(databricks, signal), signal })
}

/** All that lies below a directory, each directory before what it holds. */
async function* listTree(
  system: RemoteFileSystem,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry> {
  for await (const entry of system.list(path, signal)) {
    yield entry
    if (entry.isDirectory) yield* listTree(system, entry.path, signal)
  }
}

async function open(
  where: string,
  path: string,
  options: FileOptions,
): Promise<{ readonly remote: string; readonly system: RemoteFileSystem; readonly signal: AbortSignal | undefined }> {
  const { databricks, signal } = readOptions(where, options, FILE_OPTIONS)
  const { kind, path: remote } = parseRemotePath(path)
  return { remote, system: fileSystemOf(kind, await openDatabricks(databricks, signal)), signal }
}

function counting(
  event: Pick<TransferEvent, 'type' | 'path' | 'totalBytes'>,
  onProgress: ((event: TransferEvent) => void) | undefined,
): (change: number) => void {
  let bytes = 0
  return (change) => {
    if (change === 0) return
    bytes += change
    onProgress?.({ ...event, bytes })
  }
}

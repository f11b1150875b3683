/**
 * @file The three systems of files behind one interface: volumes, DBFS, the workspace. What only one has stays in it.
 */

import { utimes } from 'node:fs/promises'
import { writeFileAtomic } from '../../../atomic-write.js'
import type { RestCall } from '../../../http/rest.js'
import type { DatabricksClient } from '../connect.js'
import { deleteFromDbfs, listDbfs, makeDbfsDirectory, readFromDbfs, statDbfs, uploadToDbfs } from './dbfs.js'
import { RemoteBytes } from './download-volume.js'
import type { DirectoryEntry } from './entries.js'
import { type FetchJob, type FetchResult, fetchFromVolume } from './fetch-volume.js'
import {
  deleteVolumeDirectory,
  deleteVolumeFile,
  directoryCall,
  ifThere,
  listVolume,
  makeVolumeDirectory,
  statVolume,
} from './files-api.js'
import { inParallel } from './in-parallel.js'
import type { MultipartResult, UploadJob } from './multipart.js'
import { DOWNLOAD_FILE_OPTIONS, UPLOAD_FILE_OPTIONS } from './options.js'
import type { FileSystemKind } from './remote-path.js'
import { bytesSource, type FixedSource, type FlowingSource } from './upload-source.js'
import { uploadToVolume } from './upload-volume.js'
import {
  deleteFromWorkspace,
  expectImportable,
  exportFromWorkspace,
  importToWorkspace,
  listWorkspace,
  makeWorkspaceDirectory,
  statWorkspace,
  type WorkspaceFormat,
} from './workspace-files.js'

/** What is uploaded, and what a workspace makes of it. */
export interface PutJob extends UploadJob {
  readonly format?: WorkspaceFormat | undefined
  readonly language?: string | undefined
}

/** Files of a workspace, whatever calls serve them. Paths are from the root of the system. */
export interface RemoteFileSystem {
  /** What is at a path; undefined where nothing is. */
  stat(path: string, signal: AbortSignal | undefined): Promise<DirectoryEntry | undefined>
  /** What a directory holds, without what its directories hold. */
  list(path: string, signal: AbortSignal | undefined): AsyncIterable<DirectoryEntry>
  /**
   * By how many milliseconds the service's clock is ahead of this machine's; undefined where nothing is at the path.
   */
  clock(path: string, signal: AbortSignal | undefined): Promise<number | undefined>
  makeDirectory(path: string, signal: AbortSignal | undefined): Promise<void>
  /** @returns whether it was there */
  deleteFile(path: string, signal: AbortSignal | undefined): Promise<boolean>
  /** @returns whether it was there */
  deleteDirectory(path: string, recursive: boolean, signal: AbortSignal | undefined): Promise<boolean>
  put(job: PutJob, source: FixedSource | FlowingSource): Promise<MultipartResult>
  fetch(job: FetchJob, format?: WorkspaceFormat): Promise<FetchResult>
  read(path: string, signal: AbortSignal | undefined, format?: WorkspaceFormat): AsyncIterable<Uint8Array>
}

/** Requests at once where many small ones are to be made. */
const DELETIONS = 16

export function fileSystemOf(kind: FileSystemKind, client: DatabricksClient): RemoteFileSystem {
  switch (kind) {
    case 'volume':
      return volumes(client)
    case 'dbfs':
      return dbfs(client)
    case 'workspace':
      return workspace(client)
    default:
      return kind satisfies never
  }
}

function volumes(client: DatabricksClient): RemoteFileSystem {
  return {
    stat: (path, signal) => statVolume(client, path, signal),
    list: (path, signal) => listVolume(client, path, signal),
    clock: (path, signal) => aheadOf(client, directoryCall('HEAD', path, signal)),
    makeDirectory: (path, signal) => makeVolumeDirectory(client, path, signal),
    deleteFile: (path, signal) => deleteVolumeFile(client, path, signal),
    deleteDirectory: (path, recursive, signal) => deleteTree(client, path, { recursive, signal }),
    put: uploadToVolume,
    fetch: fetchFromVolume,
    read: (path, signal) => new RemoteBytes({ client, path, signal }, { isDirect: false }).pieces(undefined),
  }
}

/** The service removes empty directories alone: first what they hold, then they themselves, the deepest first. */
async function deleteTree(
  client: DatabricksClient,
  path: string,
  { recursive, signal }: { readonly recursive: boolean; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  if (recursive) {
    const within = await entriesOf(client, path, signal)
    const remove = async ({ path: each, isDirectory }: DirectoryEntry, stop: AbortSignal): Promise<void> => {
      if (isDirectory) await deleteTree(client, each, { recursive, signal: stop })
      else await deleteVolumeFile(client, each, stop)
    }
    await inParallel(within, DELETIONS, remove, signal)
  }
  return await deleteVolumeDirectory(client, path, signal)
}

function dbfs(client: DatabricksClient): RemoteFileSystem {
  const read = (path: string, signal: AbortSignal | undefined) => readFromDbfs({ client, path, signal })
  return {
    stat: (path, signal) => statDbfs({ client, path, signal }),
    list: (path, signal) => listDbfs({ client, path, signal }),
    clock: (path, signal) => aheadOf(client, statusCall('dbfs', path, signal)),
    makeDirectory: (path, signal) => makeDbfsDirectory({ client, path, signal }),
    deleteFile: (path, signal) => deleteFromDbfs({ client, path, signal }, false),
    deleteDirectory: (path, recursive, signal) => deleteFromDbfs({ client, path, signal }, recursive),
    async put(job, source) {
      const fixed = source.kind === 'fixed' ? source : bytesSource(await allOf(source))
      await uploadToDbfs(job, fixed, job)
      return { bytes: fixed.size, parts: 1, resumedBytes: 0 }
    },
    fetch: (job) => writeFetched(job, read(job.path, job.signal)),
    read,
  }
}

function workspace(client: DatabricksClient): RemoteFileSystem {
  const read = async function* (
    path: string,
    signal: AbortSignal | undefined,
    format: WorkspaceFormat = DOWNLOAD_FILE_OPTIONS.format.default,
  ) {
    yield await exportFromWorkspace({ client, path, signal }, format)
  }
  return {
    stat: (path, signal) => statWorkspace({ client, path, signal }),
    list: (path, signal) => listWorkspace({ client, path, signal }),
    clock: (path, signal) => aheadOf(client, statusCall('workspace', path, signal)),
    makeDirectory: (path, signal) => makeWorkspaceDirectory({ client, path, signal }),
    deleteFile: (path, signal) => deleteFromWorkspace({ client, path, signal }, false),
    deleteDirectory: (path, recursive, signal) => deleteFromWorkspace({ client, path, signal }, recursive),
    async put(job, source) {
      if (source.kind === 'fixed') expectImportable(job.path, source.size)
      const bytes = await allOf(source, (size) => expectImportable(job.path, size))
      const { overwrite, format = UPLOAD_FILE_OPTIONS.format.default, language } = job
      await importToWorkspace(job, bytes, { overwrite, format, language })
      if (source.kind === 'fixed') await source.expectUnchanged()
      job.onBytes(bytes.byteLength)
      return { bytes: bytes.byteLength, parts: 1, resumedBytes: 0 }
    },
    fetch: (job, format) => writeFetched(job, read(job.path, job.signal, format)),
    read,
  }
}

function statusCall(system: 'dbfs' | 'workspace', path: string, signal: AbortSignal | undefined): RestCall {
  return { path: `/api/2.0/${system}/get-status`, query: { path }, what: `the directory ${system}:${path}`, signal }
}

async function aheadOf(client: DatabricksClient, call: RestCall): Promise<number | undefined> {
  const answer = await ifThere(() => client.send(call))
  if (answer === undefined) return undefined
  await answer.body?.cancel()
  const time = Date.parse(answer.headers.get('date') ?? '')
  // The header has whole seconds: half of one is the best guess of the rest.
  return Number.isNaN(time) ? 0 : time + 500 - Date.now()
}

async function writeFetched(job: FetchJob, pieces: AsyncIterable<Uint8Array>): Promise<FetchResult> {
  let bytes = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      job.signal?.throwIfAborted()
      bytes += piece.byteLength
      job.onBytes(piece.byteLength)
      yield piece
    }
  }
  await writeFileAtomic(job.target, counted(), { isOneOfMany: job.isOneOfMany ?? false })
  const modified = job.known?.lastModified ?? 0
  if (modified > 0) await utimes(job.target, new Date(), new Date(modified))
  return { bytes, resumedBytes: 0 }
}

/** All bytes of a source. @param expectSize Hears how many there are so far. */
async function allOf(source: FixedSource | FlowingSource, expectSize?: (size: number) => void): Promise<Uint8Array> {
  const opened =
    source.kind === 'fixed' ? source.body(0, source.size).open() : { [Symbol.asyncIterator]: () => source.pieces }
  if (opened instanceof Uint8Array) return opened
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of opened) {
    size += piece.byteLength
    expectSize?.(size)
    // The stream of a file uses its buffers again.
    pieces.push(piece.slice())
  }
  return Buffer.concat(pieces)
}

/** All that a directory holds; nothing where it is gone. */
async function entriesOf(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = []
  await ifThere(async () => {
    for await (const entry of listVolume(client, path, signal)) entries.push(entry)
  })
  return entries
}

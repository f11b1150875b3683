/** @file The files of a version: what there is, and each of them on its way to this machine. */

import { createReadStream } from 'node:fs'
import { readdir, stat, utimes } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeFileAtomic } from '../../../atomic-write.js'
import { ServiceError } from '../../../http/service-error.js'
import { readError } from '../../../regular-file.js'
import type { DatabricksClient } from '../connect.js'
import { RemoteBytes } from '../files/download-volume.js'
import { fetchFromVolume } from '../files/fetch-volume.js'
import { listVolume } from '../files/files-api.js'
import type { OpenedRegistry } from './open-registry.js'
import type { FilesWay, ModelVersion } from './registry.js'

/** A file of a version. */
export interface VersionFile {
  /** Below the root of the version, with slashes. */
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970; 0 where the service does not say. */
  readonly lastModified: number
}

/** Where the files of one version are. */
export type VersionPlace =
  | { readonly version: ModelVersion; readonly way: 'folder' }
  | { readonly version: ModelVersion; readonly way: Exclude<FilesWay, 'folder'>; readonly client: DatabricksClient }

/** Finds out how the files of a version are read or written. @throws ServiceError where it cannot be done from here */
export async function placeOf(
  { registry, client }: OpenedRegistry,
  version: ModelVersion,
  access: 'read' | 'write',
  signal: AbortSignal | undefined,
): Promise<VersionPlace> {
  const way = await registry.filesWay(version, access, signal)
  if (way === 'folder') return { version, way }
  if (client !== undefined) return { version, way, client }
  throw new ServiceError(
    `[databricks] expected a folder for ${nameOf(version)} from ${registry.server}, got ${version.storageLocation}; start the server with a root for models that is a file: address`,
  )
}

/** Folders within folders that are looked through. */
const DEEPEST = 20

/** All files of a version, by path. @throws ServiceError for names that would lie elsewhere on this machine */
export async function listVersionFiles(place: VersionPlace, signal: AbortSignal | undefined): Promise<VersionFile[]> {
  const files: VersionFile[] = []
  const list =
    place.way === 'folder' ? listFolder(folderOf(place.version)) : listBelow(place.client, place.version, signal)
  for await (const file of list) {
    const parts = file.path.split('/')
    if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0]/.test(part)))
      throw new ServiceError(
        `[databricks] expected files with plain names in ${nameOf(place.version)}, got ${JSON.stringify(file.path)}; do not load it`,
      )
    files.push(file)
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Brings one file to a path of this machine. @param onBytes told of bytes that are there now */
export async function fetchVersionFile(
  place: VersionPlace,
  file: VersionFile,
  { target, onBytes, signal }: { target: string; onBytes(change: number): void; signal: AbortSignal | undefined },
): Promise<void> {
  const watched = async function* (pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      signal?.throwIfAborted()
      onBytes(piece.byteLength)
      yield piece
    }
  }
  const { version } = place
  if (place.way === 'folder') {
    await writeFileAtomic(target, watched(createReadStream(join(folderOf(version), file.path))))
    return
  }
  const { client, way } = place
  const path = remotePath(version, file.path)
  if (way === 'files-api') {
    const known = { size: file.size, lastModified: file.lastModified }
    await fetchFromVolume({ client, path, target, signal, known, parallelism: undefined, resume: true, onBytes })
    return
  }
  let bytes = 0
  const count = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of watched(
      new RemoteBytes({ client, path, signal }, { isDirect: true }).pieces(undefined),
    )) {
      bytes += piece.byteLength
      yield piece
    }
    if (bytes !== file.size)
      throw new ServiceError(
        `[databricks] expected ${file.size} bytes of ${path}, got ${bytes}; nothing of it was kept: pull again`,
      )
  }
  await writeFileAtomic(target, count())
  // A pull that was stopped knows by the time of a file that it is whole.
  if (file.lastModified > 0) await utimes(target, new Date(), new Date(file.lastModified))
}

/** `/Models/catalog/schema/model/3/peft/adapter_config.json` */
export function remotePath({ name, version }: Pick<ModelVersion, 'name' | 'version'>, path: string): string {
  return ['', 'Models', ...name.split('.'), String(version), path]
    .filter((part, index) => index === 0 || part)
    .join('/')
}

/** The folder that an open-source server names. @throws ServiceError where it is on another machine */
export function folderOf({ storageLocation, name, version }: ModelVersion): string {
  try {
    return fileURLToPath(storageLocation)
  } catch {
    throw new ServiceError(
      `[databricks] expected a folder of this machine for ${nameOf({ name, version })}, got ${storageLocation}; use the machine that the server keeps files on`,
    )
  }
}

export function nameOf({ name, version }: Pick<ModelVersion, 'name' | 'version'>): string {
  return `version ${version} of the model ${name}`
}

async function* listFolder(folder: string): AsyncGenerator<VersionFile> {
  try {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      const { size, mtimeMs } = await stat(path)
      yield { path: relative(folder, path).split(sep).join('/'), size, lastModified: mtimeMs }
    }
  } catch (error) {
    throw readError('databricks', folder, error, 'directory')
  }
}

async function* listBelow(
  client: DatabricksClient,
  version: ModelVersion,
  signal: AbortSignal | undefined,
): AsyncGenerator<VersionFile> {
  const root = remotePath(version, '')
  const folders = [{ path: root, depth: 0 }]
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    for await (const { path, isDirectory, fileSize = 0, lastModified = 0 } of listVolume(client, folder.path, signal)) {
      if (!path.startsWith(`${root}/`) || folder.depth > DEEPEST)
        throw new ServiceError(
          `[databricks] expected what lies in ${root}, got ${JSON.stringify(path)}; do not load this version`,
        )
      if (isDirectory) folders.push({ path, depth: folder.depth + 1 })
      else yield { path: path.slice(root.length + 1), size: fileSize, lastModified }
    }
  }
}

/**
 * @file The calls of the Files API that are one request: what is there, lists, directories, removal. Knows no content.
 */

import type { RestCall } from '../../../http/rest.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { DatabricksClient } from '../connect.js'
import type { DirectoryEntry } from './entries.js'
import { baseNameOf, escapePath, parentOf } from './remote-path.js'

const PAGE_SIZE = 1000

/** A call about a file. */
export function filesCall(
  method: NonNullable<RestCall['method']>,
  path: string,
  signal: AbortSignal | undefined,
): RestCall {
  return { method, path: `/api/2.0/fs/files${escapePath(path)}`, what: `the volume file ${path}`, signal }
}

/** A call about a directory. */
export function directoryCall(
  method: NonNullable<RestCall['method']>,
  path: string,
  signal: AbortSignal | undefined,
): RestCall {
  return { method, path: `/api/2.0/fs/directories${escapePath(path)}`, what: `the volume directory ${path}`, signal }
}

export interface FileHead {
  readonly size: number
  /** Milliseconds since 1970, whole seconds; 0 where the service does not say. */
  readonly lastModified: number
}

/** Size and time of a file; undefined where there is none. */
export async function headFile(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<FileHead | undefined> {
  const answer = await ifThere(() => client.send(filesCall('HEAD', path, signal)))
  await answer?.body?.cancel()
  if (answer === undefined) return undefined
  const lastModified = Date.parse(answer.headers.get('last-modified') ?? '')
  return { size: Number(answer.headers.get('content-length') ?? 0), lastModified: lastModified || 0 }
}

/** What is at a path; undefined where nothing is. */
export async function statVolume(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<DirectoryEntry | undefined> {
  const file = await headFile(client, path, signal)
  const name = baseNameOf(path)
  if (file) return { path, name, isDirectory: false, fileSize: file.size, lastModified: file.lastModified }
  const directory = await ifThere(() => client.send(directoryCall('HEAD', path, signal)))
  await directory?.body?.cancel()
  return directory && { path, name, isDirectory: true }
}

/** What a directory holds, page after page. */
export async function* listVolume(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry> {
  const call = { ...directoryCall('GET', path, signal), query: { page_size: PAGE_SIZE } }
  const entries = client.pages(call, ({ contents }) => (Array.isArray(contents) ? contents.filter(isObject) : []))
  for await (const { path: itsPath, name, is_directory, file_size, last_modified } of entries) {
    const fullPath = String(itsPath ?? `${path}/${String(name)}`).replace(/\/$/, '')
    yield {
      path: fullPath,
      name: baseNameOf(fullPath),
      isDirectory: is_directory === true,
      ...(is_directory !== true && { fileSize: Number(file_size ?? 0) }),
      ...(last_modified !== undefined && { lastModified: Number(last_modified) }),
    }
  }
}

/** Makes a directory and those above it; one that is there is fine. */
export async function makeVolumeDirectory(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await ended(client, directoryCall('PUT', path, signal))
}

/** @returns whether there was such a file */
export async function deleteVolumeFile(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return await wasThere(() => ended(client, filesCall('DELETE', path, signal)))
}

/** Removes an empty directory. @returns whether there was one */
export async function deleteVolumeDirectory(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return await wasThere(() => ended(client, directoryCall('DELETE', path, signal)))
}

/** Sends a call whose answer has no content that matters. */
export async function ended(client: DatabricksClient, call: RestCall): Promise<void> {
  const { body } = await client.send(call)
  await body?.cancel()
}

/** Whether there was something for an action that removes it. */
export async function wasThere(remove: () => Promise<unknown>): Promise<boolean> {
  const done = await ifThere(async () => {
    await remove()
    return true
  })
  return done ?? false
}

/** What an action gives, or undefined where the service says that nothing is there. */
export async function ifThere<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    if (error instanceof ServiceError && error.status === 404) return undefined
    throw error
  }
}

/**
 * Does what needs the directory of a path; where the service says that nothing is there, makes it and does it again.
 */
export async function withParent<T>(
  client: DatabricksClient,
  path: string,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  const done = await ifThere(async () => ({ value: await action() }))
  if (done) return done.value
  await makeVolumeDirectory(client, parentOf(path), signal)
  return await action()
}

/**
 * @file Files of DBFS, whose calls carry at most 1 MB, in base64. A longer file is written block by block under another
 * name and then moved, so that nobody reads a part of it.
 */

import type { RestCall } from '../../../http/rest.js'
import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { DatabricksClient } from '../connect.js'
import type { DirectoryEntry } from './entries.js'
import { ifThere } from './files-api.js'
import { baseNameOf, joinRemote, parentOf } from './remote-path.js'
import type { FixedSource } from './upload-source.js'

/** Bytes of one call: `contents` and `data` are at most 1 MB before base64. */
const DBFS_BLOCK = 1_000_000
/** Times that a file is begun anew because nobody knows whether a block was added. */
const ATTEMPTS = 3

interface DbfsCall {
  readonly client: DatabricksClient
  readonly path: string
  readonly signal: AbortSignal | undefined
}

function call({ path, signal }: Omit<DbfsCall, 'client'>, verb: string, json: Readonly<Record<string, unknown>>) {
  return { method: 'POST' as const, path: `/api/2.0/dbfs/${verb}`, json, what: `the file dbfs:${path}`, signal }
}

/** @param onBytes Hears how many bytes more, or fewer before another try, are there. */
export async function uploadToDbfs(
  target: DbfsCall,
  source: FixedSource,
  { overwrite, onBytes }: { readonly overwrite: boolean; onBytes(change: number): void },
): Promise<void> {
  const { client, path } = target
  if (source.size <= DBFS_BLOCK) {
    const contents = await base64Of(source, 0, source.size)
    await client.json({ ...call(target, 'put', { path, contents, overwrite }), isRepeatable: overwrite })
    onBytes(source.size)
    return await source.expectUnchanged()
  }
  if (!overwrite && (await statDbfs(target)) !== undefined) throw alreadyThere(path)
  // The same name at every try: what a killed upload left is written over.
  const temporary = joinRemote(parentOf(path), `.${baseNameOf(path)}.lowrank-upload`)
  let sent = 0
  const count = (change: number): void => {
    sent += change
    onBytes(change)
  }
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await writeBlocks({ ...target, path: temporary }, source, count)
        break
      } catch (error) {
        // Without a status nobody knows whether the block was added: a second one would be in the file twice.
        const isUnclear = error instanceof ServiceError && error.status === undefined
        if (!isUnclear || attempt >= ATTEMPTS || target.signal?.aborted) throw error
        onBytes(-sent)
        sent = 0
      }
    }
    await source.expectUnchanged()
    await moveOver(target, temporary, { size: source.size, overwrite })
  } catch (error) {
    await deleteFromDbfs({ ...target, path: temporary, signal: undefined }, false).catch(() => {})
    throw error
  }
}

async function writeBlocks(target: DbfsCall, source: FixedSource, onBytes: (change: number) => void): Promise<void> {
  const { client, path } = target
  const handle = await openHandle(target)
  for (let at = 0; at < source.size; at += DBFS_BLOCK) {
    const end = Math.min(at + DBFS_BLOCK, source.size)
    await client.json(handleCall(target, 'add-block', `"handle":${handle},"data":"${await base64Of(source, at, end)}"`))
    onBytes(end - at)
  }
  await client.json(handleCall(target, 'close', `"handle":${handle}`))
  const made = await statDbfs(target)
  if (made?.fileSize === source.size) return
  throw new ServiceError(
    `[databricks] expected dbfs:${path} to have ${source.size} bytes once it is written, got ${made?.fileSize ?? 'no file'}; upload it again`,
  )
}

/** Handles are 64 bits wide: as a number of JavaScript one would be another. */
async function openHandle(target: DbfsCall): Promise<string> {
  // A handle that nobody uses ends by itself.
  const create = { ...call(target, 'create', { path: target.path, overwrite: true }), isRepeatable: true }
  const { body } = await target.client.send(create)
  const pieces: Uint8Array[] = []
  for await (const piece of body ?? []) pieces.push(piece)
  const [, handle] = /"handle"\s*:\s*"?(\d+)/.exec(Buffer.concat(pieces).toString()) ?? []
  if (handle !== undefined) return handle
  throw new ServiceError(
    `[databricks] expected a handle from ${target.client.server} for dbfs:${target.path}, got none; try again later`,
  )
}

function handleCall({ path, signal }: DbfsCall, verb: string, fields: string): RestCall {
  const bytes = Buffer.from(`{${fields}}`)
  return {
    method: 'POST',
    path: `/api/2.0/dbfs/${verb}`,
    headers: { 'content-type': 'application/json' },
    body: { size: bytes.byteLength, open: () => bytes },
    what: `the file dbfs:${path}`,
    signal,
  }
}

async function moveOver(
  target: DbfsCall,
  temporary: string,
  { size, overwrite }: { readonly size: number; readonly overwrite: boolean },
): Promise<void> {
  const { client, path } = target
  if (overwrite) await deleteFromDbfs(target, false)
  try {
    await client.json(call(target, 'move', { source_path: temporary, destination_path: path }))
  } catch (error) {
    // The answer may have been lost after the move was made.
    const isUnclear = error instanceof ServiceError && error.status === undefined
    const isMoved = isUnclear && (await statDbfs({ ...target, path: temporary })) === undefined
    if (!isMoved || (await statDbfs(target))?.fileSize !== size) throw error
  }
}

/** The bytes of a file, call after call. */
export async function* readFromDbfs(target: DbfsCall): AsyncGenerator<Uint8Array> {
  const { client, path, signal } = target
  const head = await statDbfs(target)
  if (head === undefined || head.isDirectory) throw notThere(path)
  const size = head.fileSize ?? 0
  for (let at = 0; at < size; ) {
    const { data, bytes_read: count } = await client.json<{ data?: unknown; bytes_read?: unknown }>({
      path: '/api/2.0/dbfs/read',
      query: { path, offset: at, length: DBFS_BLOCK },
      what: `the file dbfs:${path}`,
      signal,
    })
    const bytes = Buffer.from(String(data ?? ''), 'base64')
    if (bytes.byteLength === 0 || bytes.byteLength !== Number(count)) {
      throw new ServiceError(
        `[databricks] expected ${size} bytes of dbfs:${path}, got ${at} and then ${bytes.byteLength} of ${String(count)}; it was written meanwhile: read it again`,
      )
    }
    at += bytes.byteLength
    yield bytes
  }
  const after = await statDbfs(target)
  if (after?.fileSize === size && after.lastModified === head.lastModified) return
  throw new ServiceError(
    `[databricks] expected dbfs:${path} to stay as it is while it is read, but it was written; read it again`,
  )
}

/** What is at a path; undefined where nothing is. */
export async function statDbfs({ client, path, signal }: DbfsCall): Promise<DirectoryEntry | undefined> {
  const query = { path }
  const status = await ifThere(() =>
    client.json<Record<string, unknown>>({
      path: '/api/2.0/dbfs/get-status',
      query,
      what: `the file dbfs:${path}`,
      signal,
    }),
  )
  return status && entryOf(status)
}

/** What a directory holds; a file holds itself. */
export async function* listDbfs({ client, path, signal }: DbfsCall): AsyncGenerator<DirectoryEntry> {
  const query = { path }
  const { files } = await client.json<{ files?: unknown }>({
    path: '/api/2.0/dbfs/list',
    query,
    what: `the directory dbfs:${path}`,
    signal,
  })
  for (const file of Array.isArray(files) ? files.filter(isObject) : []) {
    const entry = entryOf(file)
    if (entry.path !== path) yield entry
  }
}

export async function makeDbfsDirectory(target: DbfsCall): Promise<void> {
  await target.client.json({ ...call(target, 'mkdirs', { path: target.path }), isRepeatable: true })
}

/** Large directories are removed over several calls, as the service asks for. @returns whether something was there */
export async function deleteFromDbfs(target: DbfsCall, recursive: boolean): Promise<boolean> {
  if ((await statDbfs(target)) === undefined) return false
  for (;;) {
    try {
      await target.client.json({ ...call(target, 'delete', { path: target.path, recursive }), isRepeatable: true })
      return true
    } catch (error) {
      if (!(error instanceof ServiceError) || error.errorCode !== 'PARTIAL_DELETE') throw error
      target.signal?.throwIfAborted()
    }
  }
}

async function base64Of(source: FixedSource, start: number, end: number): Promise<string> {
  const opened = source.body(start, end).open()
  if (opened instanceof Uint8Array)
    return Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength).toString('base64')
  const bytes = Buffer.alloc(end - start)
  let length = 0
  for await (const piece of opened) {
    bytes.set(piece, length)
    length += piece.byteLength
  }
  return bytes.toString('base64')
}

function entryOf({ path, is_dir, file_size, modification_time }: Readonly<Record<string, unknown>>): DirectoryEntry {
  const fullPath = String(path)
  return {
    path: fullPath,
    name: baseNameOf(fullPath),
    isDirectory: is_dir === true,
    ...(is_dir !== true && { fileSize: Number(file_size ?? 0) }),
    ...(modification_time !== undefined && { lastModified: Number(modification_time) }),
  }
}

function alreadyThere(path: string): ServiceError {
  return new ServiceError(
    `[databricks] expected nothing at dbfs:${path}, got a file; give overwrite: true, or another path`,
    {
      status: 400,
      errorCode: 'RESOURCE_ALREADY_EXISTS',
    },
  )
}

function notThere(path: string): ServiceError {
  return new ServiceError(`[databricks] expected a file at dbfs:${path}, got none; check the path`, {
    status: 404,
    errorCode: 'RESOURCE_DOES_NOT_EXIST',
  })
}

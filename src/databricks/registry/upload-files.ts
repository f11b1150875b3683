/** @file The files of a version on their way into a registry: several at once, each as the registry wants it. */

import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../atomic-write.js'
import type { ModelFile } from '../../mlflow/model-directory.js'
import type { DatabricksClient } from '../client/connect.js'
import { inParallel } from '../client/files/in-parallel.js'
import { addressOf, withAddress } from '../client/files/presigned.js'
import { type FixedSource, openUploadSource } from '../client/files/upload-source.js'
import { uploadToVolume } from '../client/files/upload-volume.js'
import { folderOf, remotePath, type VersionPlace } from '../client/models/version-files.js'

/** Files that are under way at the same time; large ones come in parts, several at once. */
const PARALLEL = 8

/** @param onBytes told of bytes that are on their way or there; negative where they go again */
export async function uploadFiles(
  place: VersionPlace,
  files: readonly ModelFile[],
  onBytes: (change: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await inParallel(files, PARALLEL, (file, stop) => uploadFile(place, file, onBytes, stop), signal)
}

async function uploadFile(
  place: VersionPlace,
  { path, source }: ModelFile,
  onBytes: (change: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { version } = place
  if (place.way === 'folder') {
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of typeof source === 'string' ? createReadStream(source) : [source]) {
        signal.throwIfAborted()
        onBytes(piece.byteLength)
        yield piece
      }
    }
    await writeFileAtomic(join(folderOf(version), path), counted())
    return
  }
  const { client, way } = place
  // What has a path or bytes has a length.
  const opened = (await openUploadSource(source)) as FixedSource
  try {
    const to = remotePath(version, path)
    if (way === 'files-api') {
      const job = { client, path: to, overwrite: true, parallelism: undefined, partSize: undefined, resume: true }
      await uploadToVolume({ ...job, signal, onBytes }, opened)
    } else await uploadPresigned(client, to, opened, onBytes, signal)
  } finally {
    await opened.close()
  }
}

async function uploadPresigned(
  client: DatabricksClient,
  path: string,
  source: FixedSource,
  onBytes: (change: number) => void,
  signal: AbortSignal,
): Promise<void> {
  let sent = 0
  const body = source.body(0, source.size, {
    onOpen() {
      onBytes(-sent)
      sent = 0
    },
    onPiece({ byteLength }) {
      sent += byteLength
      onBytes(byteLength)
    },
  })
  const what = `the model file ${path}`
  try {
    await withAddress(
      async () => {
        const json = { path }
        const call = { method: 'POST', path: '/api/2.0/fs/create-upload-url', json, what, signal } as const
        // Addresses that nobody uses do no harm.
        return addressOf(await client.json({ ...call, isRepeatable: true }), client, what)
      },
      async ({ url, headers }) => {
        const answer = await client.sendTo(url, { method: 'PUT', headers, body, what, signal })
        await answer.body?.cancel()
      },
    )
  } catch (error) {
    throw source.failure() ?? error
  }
  await source.expectUnchanged()
}

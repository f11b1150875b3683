/** @file A file to a volume: in one request where it is small or parts are refused, else in parts. */

import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeFileAtomic } from '../../../atomic-write.js'
import { formatBytes } from '../../../bytes.js'
import { ownedName } from '../../../file-owner.js'
import type { RestCall } from '../../../http/rest.js'
import { ServiceError } from '../../../http/service-error.js'
import { ended, filesCall, withParent } from './files-api.js'
import {
  abortEarlier,
  type MultipartResult,
  PartsRefused,
  type UploadJob,
  uploadParts,
  uploadStreamParts,
} from './multipart.js'
import { LARGEST_PUT, MULTIPART_FROM, STREAM_PART } from './part-plan.js'
import { cutIntoParts } from './stream-parts.js'
import { bytesSource, type FixedSource, type FlowingSource, openUploadSource } from './upload-source.js'

/** @throws ServiceError, and as reading the source does; nothing is left behind then */
export async function uploadToVolume(job: UploadJob, source: FixedSource | FlowingSource): Promise<MultipartResult> {
  return source.kind === 'fixed' ? await uploadFixed(job, source) : await uploadFlowing(job, source)
}

async function uploadFixed(job: UploadJob, source: FixedSource): Promise<MultipartResult> {
  if (source.size >= MULTIPART_FROM || (job.partSize !== undefined && source.size > job.partSize)) {
    try {
      return await uploadParts(job, source)
    } catch (error) {
      if (!(error instanceof PartsRefused)) throw error
      expectOneRequest(job.path, source.size, error.reason)
    }
  } else await abortEarlier(job)
  return await putFile(job, source)
}

async function uploadFlowing(job: UploadJob, source: FlowingSource): Promise<MultipartResult> {
  const partSize = job.partSize ?? STREAM_PART
  const stream = cutIntoParts(source.pieces, partSize)
  const { isEnd } = await stream.readAhead(job.partSize === undefined ? MULTIPART_FROM : partSize)
  if (!isEnd) {
    try {
      return await uploadStreamParts(job, source, stream)
    } catch (error) {
      if (!(error instanceof PartsRefused)) throw error
      return await spoolAndPut(job, stream.whole(), error.reason)
    }
  }
  const pieces: Uint8Array[] = []
  for await (const piece of stream.whole()) pieces.push(piece)
  return await uploadFixed({ ...job, partSize: undefined }, bytesSource(Buffer.concat(pieces)))
}

/** One request needs the length first: the stream waits on this machine's disk. */
async function spoolAndPut(
  job: UploadJob,
  pieces: AsyncIterable<Uint8Array>,
  reason: ServiceError,
): Promise<MultipartResult> {
  const file = join(tmpdir(), ownedName('lowrank-upload-'))
  const bounded = async function* (): AsyncGenerator<Uint8Array> {
    let size = 0
    for await (const piece of pieces) {
      job.signal?.throwIfAborted()
      size += piece.byteLength
      expectOneRequest(job.path, size, reason)
      yield piece
    }
  }
  try {
    await writeFileAtomic(file, bounded())
    const spooled = (await openUploadSource(file)) as FixedSource
    try {
      return await putFile(job, spooled)
    } finally {
      await spooled.close()
    }
  } finally {
    await rm(file, { force: true })
  }
}

async function putFile(job: UploadJob, source: FixedSource): Promise<MultipartResult> {
  const { client, path, overwrite, signal } = job
  let sent = 0
  const body = source.body(0, source.size, {
    onOpen() {
      job.onBytes(-sent)
      sent = 0
    },
    onPiece({ byteLength }) {
      sent += byteLength
      job.onBytes(byteLength)
    },
  })
  const call: RestCall = {
    ...filesCall('PUT', path, signal),
    query: { overwrite },
    headers: { 'content-type': 'application/octet-stream' },
    body,
    // Without overwriting, a second try would find the file of the first.
    isRepeatable: overwrite,
  }
  try {
    await withParent(client, path, signal, () => ended(client, call))
  } catch (error) {
    throw source.failure() ?? error
  }
  await source.expectUnchanged()
  return { bytes: source.size, parts: 1, resumedBytes: 0 }
}

function expectOneRequest(path: string, size: number, reason: ServiceError): void {
  if (size <= LARGEST_PUT) return
  throw new ServiceError(
    `[databricks] expected ${path} to have at most ${formatBytes(LARGEST_PUT)} where the storage takes no parts, got ${formatBytes(size)} ` +
      `or more; the storage said: ${reason.message}`,
    { status: reason.status, errorCode: reason.errorCode, requestId: reason.requestId, cause: reason },
  )
}

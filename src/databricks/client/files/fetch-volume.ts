/** @file A file of a volume to this machine's disk: small ones in one request, large ones in ranges at once. */

import { createHash } from 'node:crypto'
import { utimes } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { writeFileAtomic } from '../../../atomic-write.js'
import { ServiceError } from '../../../http/service-error.js'
import { type FileRange, RangesIgnored, RemoteBytes, type RemoteFile } from './download-volume.js'
import { type FileHead, headFile } from './files-api.js'
import { inParallel } from './in-parallel.js'
import { PartialDownload } from './local-file.js'

/** A download from a volume. */
export interface FetchJob extends RemoteFile {
  readonly target: string
  readonly parallelism: number | undefined
  readonly resume: boolean
  /** What a list said of the file, where one was read. */
  readonly known?: FileHead | undefined
  /** Whether leftovers in the directory are removed, and the directory is flushed, by the caller. */
  readonly isOneOfMany?: boolean
  onBytes(change: number): void
}

export interface FetchResult {
  readonly bytes: number
  /** Bytes that were there from an earlier call. */
  readonly resumedBytes: number
}

const MIB = 2 ** 20
/** What is proven, and kept after a kill. */
const RANGE = 8 * MIB
/** What is smaller comes in one request, through the workspace. */
const RANGES_FROM = 2 * RANGE
/**
 * Ranges that one request asks for at most. A request for each would have V8 collect all garbage with each of them: it
 * counts the pieces of the network against a limit that few of them reach.
 */
const RANGES_AT_ONCE = 48
/** More take longer where the network is fast: their writes wait for each other. */
const PARALLELISM = 3
/**
 * Pieces of the network are written as they come, small ones together, as each write has a price. Larger writes take
 * longer: Linux takes pages of their size for them, and has none at hand.
 */
const WRITE = 64 * 1024

/** @throws ServiceError, and as writing files does; the target has its old content then */
export async function fetchFromVolume(job: FetchJob): Promise<FetchResult> {
  const head = job.known ?? (await headFile(job.client, job.path, job.signal))
  if (head === undefined) {
    throw new ServiceError(
      `[databricks] expected a file at ${job.path}, got nothing there (HTTP 404); check the path`,
      {
        status: 404,
        errorCode: 'NOT_FOUND',
      },
    )
  }
  if (head.size < RANGES_FROM)
    return await fetchWhole(job, head, new RemoteBytes(wanted(job, head), { isDirect: false }))
  try {
    return await fetchRanges(job, head)
  } catch (error) {
    if (!(error instanceof RangesIgnored)) throw error
    return await fetchWhole(job, head, new RemoteBytes(wanted(job, head), { isDirect: true }))
  }
}

function wanted(job: FetchJob, { lastModified }: FileHead): RemoteFile {
  return { client: job.client, path: job.path, signal: job.signal, lastModified: lastModified || undefined }
}

async function fetchWhole(job: FetchJob, head: FileHead, remote: RemoteBytes): Promise<FetchResult> {
  const md5 = createHash('md5')
  let bytes = 0
  const checked = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of remote.pieces(undefined)) {
      job.signal?.throwIfAborted()
      bytes += piece.byteLength
      if (remote.md5 !== undefined) md5.update(piece)
      job.onBytes(piece.byteLength)
      yield piece
    }
    expectContent(job.path, { bytes, size: head.size, md5: remote.md5 && md5.digest('hex'), wanted: remote.md5 })
  }
  await writeFileAtomic(job.target, checked(), { isOneOfMany: job.isOneOfMany ?? false })
  // Later comparisons know the file by the time that the service has for it.
  if (head.lastModified > 0) await utimes(job.target, new Date(), new Date(head.lastModified))
  return { bytes, resumedBytes: 0 }
}

async function fetchRanges(job: FetchJob, head: FileHead): Promise<FetchResult> {
  const { client, path, signal } = job
  const count = Math.ceil(head.size / RANGE)
  const ranges = Array.from({ length: count }, (_, index) => ({
    start: index * RANGE,
    end: Math.min((index + 1) * RANGE, head.size),
  }))
  const content = { server: client.server, path, size: head.size, lastModified: head.lastModified }
  const partial = await PartialDownload.open(job.target, content, { ranges, resume: job.resume, signal })
  const remote = new RemoteBytes(wanted(job, head), { isDirect: true })
  let counted = 0
  const progress = (change: number): void => {
    counted += change
    job.onBytes(change)
  }
  try {
    const isDone = ({ start }: FileRange): boolean => partial.done.has(start)
    const resumedBytes = ranges.filter(isDone).reduce((sum, { start, end }) => sum + end - start, 0)
    progress(resumedBytes)
    const fetchStretch = async (stretch: readonly FileRange[], stop: AbortSignal): Promise<void> => {
      const [{ start }, { end }] = [stretch[0] as FileRange, stretch.at(-1) as FileRange]
      let range = stretch[0] as FileRange
      let index = 0
      let sum = 0
      let at = start
      const held = Buffer.allocUnsafeSlow(WRITE)
      let heldBytes = 0
      const put = async (bytes: Uint8Array): Promise<void> => {
        sum = crc32(bytes, sum)
        await partial.write(bytes, at)
        at += bytes.byteLength
        progress(bytes.byteLength)
        if (at < range.end) return
        await partial.markDone(range, sum)
        sum = 0
        range = stretch[++index] ?? range
      }
      for await (const piece of remote.pieces({ start, end }, stop)) {
        for (let taken = 0; taken < piece.byteLength; ) {
          const part = piece.subarray(taken, taken + range.end - at - heldBytes)
          if (heldBytes === 0 && part.byteLength >= WRITE / 2) {
            taken += part.byteLength
            await put(part)
            continue
          }
          const copied = part.subarray(0, WRITE - heldBytes)
          held.set(copied, heldBytes)
          heldBytes += copied.byteLength
          taken += copied.byteLength
          if (heldBytes < WRITE && at + heldBytes < range.end) continue
          const bytes = held.subarray(0, heldBytes)
          heldBytes = 0
          await put(bytes)
        }
      }
    }
    const parallelism = job.parallelism ?? PARALLELISM
    const missing = ranges.filter((range) => !isDone(range))
    await inParallel(stretchesOf(missing, parallelism), parallelism, fetchStretch, signal)
    const md5 = remote.md5 && (await partial.digest('md5'))
    expectContent(path, { bytes: head.size, size: head.size, md5, wanted: remote.md5 })
    await partial.finish(head.lastModified)
    return { bytes: head.size, resumedBytes }
  } catch (error) {
    if (error instanceof RangesIgnored || isContentError(error)) {
      job.onBytes(-counted)
      await partial.discard()
    } else await partial.release()
    throw error
  }
}

/** Ranges behind each other, a list for each request: as many as are sent at once, or several times that. */
function stretchesOf(missing: readonly FileRange[], parallelism: number): FileRange[][] {
  const rounds = Math.ceil(missing.length / (parallelism * RANGES_AT_ONCE))
  const most = Math.ceil(missing.length / (parallelism * rounds))
  const stretches: FileRange[][] = []
  for (const range of missing) {
    const last = stretches.at(-1)
    if (last !== undefined && last.length < most && last.at(-1)?.end === range.start) last.push(range)
    else stretches.push([range])
  }
  return stretches
}

class ContentError extends ServiceError {}

function isContentError(error: unknown): boolean {
  return error instanceof ContentError || (error instanceof ServiceError && error.status === 412)
}

function expectContent(
  path: string,
  { bytes, size, md5, wanted }: { bytes: number; size: number; md5: string | undefined; wanted: string | undefined },
): void {
  const what =
    bytes !== size
      ? `${bytes} bytes where ${size} were announced`
      : md5 !== wanted
        ? 'content with another MD5'
        : undefined
  if (what === undefined) return
  throw new ContentError(
    `[databricks] expected the content that the service has at ${path}, got ${what}; nothing was kept: fetch it again, and keep others from writing it`,
  )
}

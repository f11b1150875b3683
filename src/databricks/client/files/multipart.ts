/**
 * @file A file that goes up in parts, straight to the storage behind a volume. A failure takes away what was sent;
 * after a kill the next call goes on from the parts that are there, or takes them away.
 */

import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { withoutToken } from '../../../http/secret.js'
import { ServiceError } from '../../../http/service-error.js'
import { OptionError } from '../../../lowrank-error.js'
import type { DatabricksClient } from '../connect.js'
import { filesCall, headFile, withParent } from './files-api.js'
import { inParallel } from './in-parallel.js'
import { MOST_PARTS, type PartPlan, planParts } from './part-plan.js'
import { PartAddresses, withAddress } from './presigned.js'
import type { StreamPart, StreamParts } from './stream-parts.js'
import { type FileBefore, UploadRecord } from './upload-record.js'
import { bytesSource, type FixedSource, type FlowingSource, sumPart } from './upload-source.js'

/** An upload to a volume. */
export interface UploadJob {
  readonly client: DatabricksClient
  readonly path: string
  readonly overwrite: boolean
  readonly parallelism: number | undefined
  readonly partSize: number | undefined
  readonly resume: boolean
  readonly signal: AbortSignal | undefined
  /** Hears how many bytes more, or fewer before another try, are on their way or there. */
  onBytes(change: number): void
}

/** What came of an upload in parts. */
export interface MultipartResult {
  readonly bytes: number
  readonly parts: number
  /** Bytes that were there from an earlier call. */
  readonly resumedBytes: number
}

/** The service or the storage takes no parts here. `read` is what was taken from a stream so far. */
export class PartsRefused extends Error {
  readonly reason: ServiceError

  constructor(reason: ServiceError) {
    super('parts are refused', { cause: reason })
    this.name = 'PartsRefused'
    this.reason = reason
  }
}

const PARALLELISM = 10
/** Parts of streams are in memory. */
const STREAM_PARALLELISM = 4
const ABORT_LIMIT_MS = 30_000
/** Nothing is known of such sessions: they were completed or aborted, or are too old. */
const SESSION_GONE = [400, 404, 410]

/** @throws PartsRefused where one request has to do; nothing is left behind then */
export async function uploadParts(job: UploadJob, source: FixedSource): Promise<MultipartResult> {
  const plan = planParts(source.size, job.partSize)
  const found = await earlierUpload(job, source, plan.partSize)
  if (found === 'done') return { bytes: source.size, parts: plan.parts as number, resumedBytes: source.size }
  if (found !== undefined) {
    let counted = 0
    const onBytes = (change: number): void => {
      counted += change
      job.onBytes(change)
    }
    try {
      return await sendParts({ ...job, onBytes }, source, found, plan)
    } catch (error) {
      // The session may be too old, which says nothing of a new one.
      if (!(error instanceof ServiceError) || job.signal?.aborted) throw error
      job.onBytes(-counted)
    }
  }
  return await sendParts(job, source, await begin(job, { source, partSize: plan.partSize }), plan)
}

async function sendParts(
  job: UploadJob,
  source: FixedSource,
  record: UploadRecord,
  plan: PartPlan,
): Promise<MultipartResult> {
  const count = plan.parts as number
  const session = sessionOf(job, record, plan)
  const range = (part: number) => ({
    start: (part - 1) * plan.partSize,
    end: Math.min(part * plan.partSize, source.size),
  })
  let resumedBytes = 0
  for (const part of record.parts.keys()) resumedBytes += range(part).end - range(part).start
  job.onBytes(resumedBytes)
  const missing = Array.from({ length: count }, (_, index) => index + 1).filter((part) => !record.parts.has(part))
  const send = (part: number, signal: AbortSignal | undefined): Promise<void> =>
    session.send(part, (watch) => source.body(range(part).start, range(part).end, watch), signal)
  return await session.guard(async () => {
    if (record.parts.size === 0) await session.first(() => send(missing.shift() as number, job.signal))
    await inParallel(missing, job.parallelism ?? PARALLELISM, send, job.signal)
    await source.expectUnchanged()
    await session.complete(source.size)
    return { bytes: source.size, parts: count, resumedBytes }
  }, source.failure)
}

/** A stream: as many parts as come. @throws PartsRefused as long as the stream can still give all of its bytes */
export async function uploadStreamParts(
  job: UploadJob,
  source: FlowingSource,
  stream: StreamParts,
): Promise<MultipartResult> {
  await abortEarlier(job)
  const plan = planParts(undefined, job.partSize)
  const record = await begin(job, { source, partSize: plan.partSize })
  const session = sessionOf(job, record, plan)
  return await session.guard(async () => {
    let bytes = 0
    let count = 0
    const send = async (
      { bytes: part, number, release }: StreamPart,
      signal: AbortSignal | undefined,
    ): Promise<void> => {
      if (number > MOST_PARTS) throw tooManyParts(job.path, plan.partSize)
      const whole = bytesSource(part)
      await session.send(number, (watch) => whole.body(0, whole.size, watch), signal)
      bytes += part.byteLength
      count++
      release()
    }
    const parts = stream.parts()
    const { value: first } = await parts.next()
    if (first !== undefined) await session.first(() => send(first as StreamPart, job.signal))
    await inParallel(parts, job.parallelism ?? STREAM_PARALLELISM, send, job.signal)
    await session.complete(bytes)
    return { bytes, parts: count, resumedBytes: 0 }
  })
}

/** Aborts the uploads to this path, or to any path of the workspace, that ended without an end. */
export async function abortEarlier(
  job: Pick<UploadJob, 'client' | 'signal'> & { readonly path?: string },
): Promise<number> {
  const records = await UploadRecord.takeOver(job.client.server, job.path)
  for (const record of records) await abort(job.client, record)
  return records.length
}

async function earlierUpload(
  job: UploadJob,
  source: FixedSource,
  partSize: number,
): Promise<UploadRecord | 'done' | undefined> {
  const records = await UploadRecord.takeOver(job.client.server, job.path)
  let usable: UploadRecord | undefined
  for (const record of records) {
    if (usable === undefined && job.resume && fits(record, job, source, partSize)) usable = record
    else await abort(job.client, record)
  }
  if (usable === undefined) return undefined
  if (usable.isCompleting) {
    // Killed while the service made the file: either it is there, or the parts are taken away and sent again.
    const isThere = await isNewFile(job, usable.header.before, source.size)
    if (isThere && (await isSameContent(usable, source, job.signal))) {
      await usable.remove()
      return 'done'
    }
    await abort(job.client, usable)
    return undefined
  }
  await dropChangedParts(usable, source, job.signal)
  return usable
}

function fits({ header }: UploadRecord, job: UploadJob, source: FixedSource, partSize: number): boolean {
  const isSource = header.file === (source.file ?? null) && header.size === source.size
  const isTime = header.modified === (source.modified ?? null)
  return isSource && isTime && header.partSize === partSize && header.overwrite === job.overwrite
}

/** Same size and time say little: each part has to have the content that was sent. */
async function dropChangedParts(
  record: UploadRecord,
  source: FixedSource,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { partSize } = record.header
  for (const { part, crc32: sum } of [...record.parts.values()]) {
    const start = (part - 1) * partSize
    const end = Math.min(part * partSize, source.size)
    if (start >= end || (await sumPart(source, start, end, signal)) !== sum) record.parts.delete(part)
  }
}

async function isSameContent(
  record: UploadRecord,
  source: FixedSource,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const sent = record.parts.size
  await dropChangedParts(record, source, signal)
  return record.parts.size === sent && sent === Math.ceil(source.size / record.header.partSize)
}

async function begin(
  job: UploadJob,
  { source, partSize }: { source: FixedSource | FlowingSource; partSize: number },
): Promise<UploadRecord> {
  const { client, path, overwrite, signal } = job
  const before: FileBefore = (await headFile(client, path, signal)) ?? null
  if (before !== null && !overwrite) {
    throw new ServiceError(
      `[databricks] expected nothing at ${path}, got a file of ${before.size} bytes; give overwrite: true, or another path`,
      { status: 409, errorCode: 'ALREADY_EXISTS' },
    )
  }
  let answer: { multipart_upload?: { session_token?: unknown } }
  try {
    answer = await withParent(client, path, signal, () =>
      client.json({
        ...filesCall('POST', path, signal),
        query: { action: 'initiate-upload', overwrite },
        // A session without parts holds nothing.
        isRepeatable: true,
      }),
    )
  } catch (error) {
    if (error instanceof ServiceError && error.status !== undefined && [400, 403, 501].includes(error.status))
      throw new PartsRefused(error)
    throw error
  }
  const sessionToken = answer.multipart_upload?.session_token
  if (typeof sessionToken !== 'string' || sessionToken === '') {
    // Workspaces on Google Cloud offer an upload in one piece that can be resumed, which current clients leave alone.
    throw new PartsRefused(
      new ServiceError(
        `[databricks] expected ${client.server} to take ${path} in parts, got another offer; it goes in one request`,
      ),
    )
  }
  const isFixed = source.kind === 'fixed'
  return await UploadRecord.create({
    server: client.server,
    path,
    file: (isFixed && source.file) || null,
    size: isFixed ? source.size : null,
    modified: (isFixed && source.modified) || null,
    partSize,
    overwrite,
    before,
    sessionToken,
  })
}

interface UploadSession {
  /** Sends one part, again where storage was busy or its address has expired. */
  send(
    part: number,
    body: (watch: { onOpen(): void; onPiece(piece: Uint8Array): void }) => ReturnType<FixedSource['body']>,
    signal: AbortSignal | undefined,
  ): Promise<void>
  /** The part that shows whether storage lets this machine in. @throws PartsRefused */
  first(send: () => Promise<void>): Promise<void>
  complete(bytes: number): Promise<void>
  /** Aborts the upload where `work` fails. */
  guard<T>(work: () => Promise<T>, failure?: () => Error | undefined): Promise<T>
}

function sessionOf(
  job: UploadJob,
  record: UploadRecord,
  plan: { readonly batch: number; readonly parts: number | undefined },
): UploadSession {
  const { client, path, signal: whole } = job
  const { sessionToken, before } = record.header
  const addresses = new PartAddresses(client, {
    path,
    sessionToken,
    batch: plan.batch,
    parts: plan.parts,
    signal: whole,
  })
  // Whether the storage's ETags are MD5 sums is seen at the first part: with some kinds of encryption they are not.
  let hasSums: boolean | undefined
  return {
    async send(part, body, signal) {
      let sent = 0
      let sum = 0
      let md5: Hash | undefined
      const watch = {
        onOpen() {
          job.onBytes(-sent)
          sent = 0
          sum = 0
          md5 = hasSums === false ? undefined : createHash('md5')
        },
        onPiece(piece: Uint8Array) {
          sent += piece.byteLength
          sum = crc32(piece, sum)
          md5?.update(piece)
          job.onBytes(piece.byteLength)
        },
      }
      const put = async (): Promise<string> => {
        const answer = await withAddress(
          (isRenewed) => addresses.lend(part, isRenewed),
          ({ url, headers }) =>
            client.sendTo(url, {
              method: 'PUT',
              headers: { 'content-type': 'application/octet-stream', ...headers },
              body: body(watch),
              what: `part ${part} of ${path}`,
              signal,
            }),
        )
        await answer.body?.cancel()
        return answer.headers.get('etag') ?? ''
      }
      let etag = await put()
      const isSum = (): boolean =>
        md5 !== undefined && etag.replaceAll('"', '').toLowerCase() === md5.copy().digest('hex')
      hasSums ??= isSum()
      if (hasSums && md5 !== undefined && !isSum()) {
        etag = await put()
        if (!isSum()) throw damaged(path, part)
      }
      await record.addPart({ part, etag, crc32: sum })
    },
    async first(send) {
      try {
        await send()
      } catch (error) {
        if (error instanceof ServiceError && !whole?.aborted) throw new PartsRefused(error)
        throw error
      }
    },
    async complete(bytes) {
      await record.markCompleting()
      const parts = [...record.parts.values()].sort((a, b) => a.part - b.part)
      try {
        await client.json({
          ...filesCall('POST', path, whole),
          query: { action: 'complete-upload', upload_type: 'multipart', session_token: sessionToken },
          json: { parts: parts.map(({ part, etag }) => ({ part_number: part, etag })) },
          isRepeatable: true,
        })
      } catch (error) {
        // The answer of a call that did its work may have been lost: then the session is gone and the file is new.
        const isGone =
          error instanceof ServiceError && error.status !== undefined && SESSION_GONE.includes(error.status)
        if (!isGone || !(await isNewFile(job, before, bytes))) throw error
      }
      const made = await headFile(client, path, whole)
      if (made?.size !== bytes) {
        throw new ServiceError(
          `[databricks] expected ${path} to have ${bytes} bytes once it is uploaded, got ${made?.size ?? 'no file'}; upload it again, and keep others from writing it`,
        )
      }
      await record.remove()
    },
    async guard(work, failure) {
      try {
        return await work()
      } catch (error) {
        await abort(client, record)
        throw failure?.() ?? withoutSession(error, sessionToken)
      }
    },
  }
}

/** What the service says may hold the token of the session. */
function withoutSession(error: unknown, sessionToken: string): unknown {
  const reason = error instanceof PartsRefused ? error.reason : error
  if (!(reason instanceof ServiceError)) return error
  const message = withoutToken(reason.message, { value: sessionToken })
  if (message === reason.message) return error
  const { status, errorCode, requestId } = reason
  const hidden = new ServiceError(message, { status, errorCode, requestId })
  return error instanceof PartsRefused ? new PartsRefused(hidden) : hidden
}

/** Whether the file at the target has this size and is not the one that was there before. */
async function isNewFile(job: UploadJob, before: FileBefore, bytes: number): Promise<boolean> {
  const now = await headFile(job.client, job.path, job.signal)
  return now?.size === bytes && (before === null || now.lastModified !== before.lastModified)
}

/** Takes the parts away. Where that fails the record stays, and the next call to this path tries again. */
async function abort(client: DatabricksClient, record: UploadRecord): Promise<void> {
  const { path, sessionToken } = record.header
  try {
    await client.json({
      ...filesCall('POST', path, AbortSignal.timeout(ABORT_LIMIT_MS)),
      query: { action: 'abort-upload', upload_type: 'multipart', session_token: sessionToken },
      isRepeatable: true,
    })
    await record.remove()
  } catch (error) {
    const isGone = error instanceof ServiceError && error.status !== undefined && SESSION_GONE.includes(error.status)
    if (isGone) await record.remove()
    else await record.release()
  }
}

function tooManyParts(path: string, partSize: number): OptionError {
  return new OptionError(
    `[databricks] expected at most ${MOST_PARTS} parts of ${path}, got a longer stream; set partSize to more than ${partSize} bytes`,
  )
}

function damaged(path: string, part: number): ServiceError {
  return new ServiceError(
    `[databricks] expected the storage to have part ${part} of ${path} as it was sent, got other content, twice; check the connection and the proxy in between`,
  )
}

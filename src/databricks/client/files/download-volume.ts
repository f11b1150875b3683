/**
 * @file Bytes of a file in a volume, from the storage behind it where the workspace lends an address, else through the
 * workspace. What is cut off goes on behind the last byte that came; an answer of 200 is never taken for a range.
 */

import { shorten } from '../../../errors.js'
import type { RestAnswer } from '../../../http/rest.js'
import { ServiceError } from '../../../http/service-error.js'
import type { DatabricksClient } from '../connect.js'
import { filesCall } from './files-api.js'
import { addressOf, expireTime, type LentAddress, withAddress } from './presigned.js'

/** A file that is being read. */
export interface RemoteFile {
  readonly client: DatabricksClient
  readonly path: string
  readonly signal: AbortSignal | undefined
  /** Milliseconds since 1970 of the content that is wanted; what was written since is refused. */
  readonly lastModified?: number | undefined
}

/** A piece of a file and the digest that the service gives for the whole, as soon as one is known. */
export interface FileRange {
  /** First byte, and the one behind the last. */
  readonly start: number
  readonly end: number
}

/** The storage sends the whole file whatever range is asked for. */
export class RangesIgnored extends Error {
  constructor() {
    super('the storage does not give ranges')
    this.name = 'RangesIgnored'
  }
}

/** Cuts in a row without a byte in between. */
const CUTS = 5

/** Where the bytes of one file come from. */
export class RemoteBytes {
  readonly #file: RemoteFile
  #address: Promise<LentAddress> | undefined
  /** Whether the workspace lends no address, or nobody is let in there. */
  #isThroughWorkspace: boolean
  /** MD5 of the whole in hexadecimal, where an answer named it. */
  md5: string | undefined

  /** @param isDirect Whether to ask the workspace for an address of the storage. */
  constructor(file: RemoteFile, { isDirect }: { readonly isDirect: boolean }) {
    this.#file = file
    this.#isThroughWorkspace = !isDirect
  }

  /**
   * The bytes of a range; without one, of the whole file, whatever its size is.
   * @throws RangesIgnored where the first answer is not the range; ServiceError
   */
  async *pieces(range: FileRange | undefined, signal = this.#file.signal): AsyncGenerator<Uint8Array> {
    const start = range?.start ?? 0
    let end = range?.end
    let at = start
    let cuts = 0
    while (end === undefined || at < end) {
      const answer = await this.#open(at === 0 && range === undefined ? undefined : { start: at, end }, signal, !range)
      end ??= sizeOf(answer)
      const before = at
      let wrong: ServiceError | undefined
      // The whole file once more, where its rest was asked for.
      let passed = answer.status === 200 ? at : 0
      try {
        for await (const whole of answer.body ?? []) {
          const piece = passed === 0 ? whole : whole.subarray(passed)
          passed -= whole.byteLength - piece.byteLength
          if (piece.byteLength === 0) continue
          if (end !== undefined && at + piece.byteLength > end) {
            wrong = this.#wrong(`more than its ${end - start} bytes`)
            throw wrong
          }
          at += piece.byteLength
          yield piece
        }
        // Without a length in the answer its end is the end of the file.
        if (end === undefined) return
        if (at < end) throw this.#wrong(`only ${at - start} of ${end - start} before the connection ended`)
      } catch (error) {
        signal?.throwIfAborted()
        if (wrong) throw wrong
        cuts = at > before ? 1 : cuts + 1
        if (end === undefined || cuts > CUTS) throw this.#cut(error)
      }
    }
  }

  async #open(
    range: { readonly start: number; readonly end: number | undefined } | undefined,
    signal: AbortSignal | undefined,
    mayBeWhole: boolean,
  ): Promise<RestAnswer> {
    const { client, path, lastModified } = this.#file
    const headers = {
      ...(range && { range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` }),
      ...(lastModified && { 'if-unmodified-since': new Date(1000 * Math.ceil(lastModified / 1000)).toUTCString() }),
    }
    const answer = await this.#ask(headers, signal)
    this.md5 ??= md5Of(answer.headers, answer.status === 200)
    if (range === undefined) return answer
    const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(answer.headers.get('content-range') ?? '') ?? []
    const isRange = answer.status === 206 && Number(first) === range.start
    if (isRange && (range.end === undefined || Number(last) === range.end - 1)) return answer
    const isWhole = answer.status === 200 && sizeOf(answer) === range.end
    if (isWhole && (mayBeWhole || range.start === 0)) return answer
    await answer.body?.cancel()
    if (answer.status === 200 && !mayBeWhole) throw new RangesIgnored()
    throw this.#wrong(
      `HTTP ${answer.status} with the range "${answer.headers.get('content-range') ?? ''}" for ${path} of ${client.server}`,
    )
  }

  async #ask(headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<RestAnswer> {
    const { client, path } = this.#file
    if (!this.#isThroughWorkspace) {
      try {
        return await withAddress(
          (isRenewed) => this.#lend(isRenewed),
          (address) =>
            client.sendTo(address.url, {
              headers: { ...headers, ...address.headers },
              what: `the volume file ${path}`,
              signal,
            }),
        )
      } catch (error) {
        if (!(error instanceof ServiceError) || error.status === 412 || error.status === 416) throw this.#said(error)
        // No address, or a storage that lets nobody in from here: the workspace gives the bytes itself.
        this.#isThroughWorkspace = true
      }
    }
    try {
      return await client.send({ ...filesCall('GET', path, signal), headers })
    } catch (error) {
      throw this.#said(error)
    }
  }

  #lend(isRenewed: boolean): Promise<LentAddress> {
    const { client, path, signal } = this.#file
    if (isRenewed || this.#address === undefined) {
      const what = `the volume file ${path}`
      this.#address = client
        .json({
          method: 'POST',
          path: '/api/2.0/fs/create-download-url',
          query: { path, expire_time: expireTime() },
          what,
          isRepeatable: true,
          signal,
        })
        .then((answer) => addressOf(answer, client, what))
    }
    return this.#address
  }

  #said(error: unknown): unknown {
    if (!(error instanceof ServiceError) || (error.status !== 412 && error.status !== 416)) return error
    const { status, errorCode, requestId } = error
    return new ServiceError(
      `[databricks] expected ${this.#file.path} to stay as it is while it is read, but it was written since (HTTP ${status}); read it again`,
      { status, errorCode, requestId, cause: error },
    )
  }

  #wrong(what: string): ServiceError {
    return new ServiceError(
      `[databricks] expected the bytes of ${this.#file.path}, got ${what}; try again, and check the proxy in between`,
    )
  }

  #cut(cause: unknown): ServiceError {
    const { message } = cause as Error
    return new ServiceError(
      `[databricks] cannot read all of ${this.#file.path}: it was cut off ${CUTS} times without a byte in between (${shorten(message)}); check the connection, and read it again`,
      { cause },
    )
  }
}

/** Bytes of the file that an answer is about. */
function sizeOf({ headers, status }: RestAnswer): number | undefined {
  const [, total] = /\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? []
  if (total !== undefined) return Number(total)
  // `fetch` unpacks what is sent packed, whose length is another one.
  const length = headers.has('content-encoding') ? null : headers.get('content-length')
  return status === 200 && length !== null ? Number(length) : undefined
}

/** The MD5 of a whole file, where an answer names it. ETags are none: encrypted and multipart files have other ones. */
function md5Of(headers: Headers, isWhole: boolean): string | undefined {
  const [, google] = /(?:^|,)\s*md5=([\w+/]+=*)/.exec(headers.get('x-goog-hash') ?? '') ?? []
  const given = google ?? headers.get('x-ms-blob-content-md5') ?? (isWhole ? headers.get('content-md5') : null)
  return given ? Buffer.from(given, 'base64').toString('hex') : undefined
}

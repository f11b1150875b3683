/**
 * @file The bytes of a file on a server, in pieces or at any place, without a copy on the disk. What is cut off goes on
 * where it was; what is replaced meanwhile is an error.
 */

import { pause } from '../http/patience.js'
import { ATTEMPTS, backoff, get, type HttpAnswer, type HttpTarget, TransportError } from './http.js'
import { HubError } from './hub-error.js'

/** Bytes that are asked for at once: readers of columns go forward in many places, a few bytes at a time. */
const BLOCK_BYTES = 1 << 21
const MOST_BLOCKS = 24
const LEAST_PROGRESS = 2 ** 16

/** A file on a server. */
export class RemoteBytes {
  readonly #url: string
  readonly #target: HttpTarget
  readonly #signal: AbortSignal | undefined
  /** What the server said of the file at first. */
  #etag: string | undefined
  #size: number | undefined
  /** The blocks that were used last, the oldest first. */
  readonly #blocks = new Map<number, Promise<Uint8Array>>()

  constructor(url: string, target: HttpTarget, signal: AbortSignal | undefined) {
    this.#url = url
    this.#target = target
    this.#signal = signal
  }

  /** All bytes in their order. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    let at = 0
    for (let failures = 0; this.#size === undefined || at < this.#size; ) {
      const before = at
      const answer = await this.#get(before > 0 ? `bytes=${before}-` : undefined)
      if (before > 0) expectPart(answer, before, this.#target)
      try {
        for await (const piece of answer.pieces()) {
          at += piece.length
          yield piece
        }
        if (this.#size === undefined || at >= this.#size) return
        throw new TransportError(`[${this.#target.where}] ${this.#target.what} was cut after ${at} bytes; try again`)
      } catch (error) {
        // Without an ETag nobody knows whether the rest would belong to what came.
        if (!(error instanceof TransportError) || this.#etag === undefined) throw error
        failures = !error.isSlow && at - before >= LEAST_PROGRESS ? 1 : failures + 1
        if (failures >= ATTEMPTS) throw error
        await pause(backoff(failures), this.#signal)
      }
    }
  }

  async size(): Promise<number> {
    if (this.#size === undefined) await this.#block(0)
    if (this.#size !== undefined) return this.#size
    throw noParts(this.#target)
  }

  /** The bytes from `start` to `end`; fewer where the file ends. */
  async read(start: number, end: number): Promise<Uint8Array> {
    const last = Math.min(end, await this.size())
    const parts: Uint8Array[] = []
    for (let at = start; at < last; ) {
      const number = Math.floor(at / BLOCK_BYTES)
      const from = number * BLOCK_BYTES
      const part = (await this.#block(number)).subarray(at - from, last - from)
      if (part.length === 0) throw new HubError(`[${this.#target.where}] ${this.#target.what} ends before its end`)
      parts.push(part)
      at += part.length
    }
    // A copy: readers keep what they were given, and a block is large.
    return Buffer.concat(parts)
  }

  #block(number: number): Promise<Uint8Array> {
    const known = this.#blocks.get(number)
    const block = known ?? this.#fetchBlock(number * BLOCK_BYTES)
    this.#blocks.delete(number)
    this.#blocks.set(number, block)
    if (known === undefined) block.catch(() => this.#blocks.delete(number))
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= MOST_BLOCKS) break
      this.#blocks.delete(oldest)
    }
    return block
  }

  async #fetchBlock(start: number): Promise<Uint8Array> {
    for (let failures = 1; ; failures++) {
      const end = Math.min(start + BLOCK_BYTES, this.#size ?? Number.POSITIVE_INFINITY)
      const answer = await this.#get(`bytes=${start}-${Number.isFinite(end) ? end - 1 : start + BLOCK_BYTES - 1}`)
      expectPart(answer, start, this.#target)
      const pieces: Uint8Array[] = []
      try {
        for await (const piece of answer.pieces()) pieces.push(piece)
        const block = Buffer.concat(pieces)
        if (block.length === Math.min(BLOCK_BYTES, (this.#size ?? 0) - start)) return block
        throw new TransportError(`[${this.#target.where}] a part of ${this.#target.what} was cut; try again`)
      } catch (error) {
        if (!(error instanceof TransportError) || failures >= ATTEMPTS) throw error
        await pause(backoff(failures), this.#signal)
      }
    }
  }

  async #get(range: string | undefined): Promise<HttpAnswer> {
    const headers = { 'accept-encoding': 'identity', ...(range !== undefined && { range }) }
    const answer = await get(this.#url, this.#target, { headers, signal: this.#signal, attempts: ATTEMPTS })
    const { headers: said, status } = answer.response
    const etag = said.get('etag') ?? undefined
    const length = status === 206 ? /\/(\d+)$/.exec(said.get('content-range') ?? '')?.[1] : said.get('content-length')
    const size = said.has('content-encoding') || !length ? undefined : Number(length)
    const isFirst = this.#size === undefined && this.#etag === undefined
    if (isFirst) {
      this.#etag = etag
      this.#size = size
    } else if (etag !== this.#etag || size !== this.#size) {
      await answer.response.body?.cancel().catch(() => {})
      const { where, what } = this.#target
      throw new HubError(
        `[${where}] expected ${what} to stay as it is while it is read, but it was replaced; read it again, or without streaming`,
      )
    }
    return answer
  }
}

/** @throws where a server gives the whole file in place of a part */
function expectPart({ response }: HttpAnswer, start: number, target: HttpTarget): void {
  if (response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${start}-`)) return
  response.body?.cancel().catch(() => {})
  throw noParts(target)
}

function noParts({ where, what, server }: HttpTarget): HubError {
  return new HubError(
    `[${where}] expected parts of ${what}, but ${server} gives files as a whole only; read it without streaming`,
  )
}

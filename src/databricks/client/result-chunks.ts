/**
 * @file The chunks of a statement's result: those in answers themselves, and those in storage behind links that expire.
 * Links are asked for when a chunk is fetched and renewed when storage refuses them, whatever the clocks say.
 *
 * 1. Chunks are given in their order, each whole.
 * 2. Chunks are fetched ahead as long as they and the one that is read have room together; one always has.
 * 3. A chunk whose body ends early is fetched again: to read is harmless.
 */

import { describeValue } from '../../errors.js'
import { pause } from '../../http/patience.js'
import { ServiceError } from '../../http/service-error.js'
import { toError } from '../../values.js'
import type { DatabricksClient } from './connect.js'

/** What a result is made of. */
export interface ResultManifest {
  readonly schema?: { readonly columns?: readonly ManifestColumn[] }
  readonly total_chunk_count?: number
  readonly total_row_count?: number | string
  readonly total_byte_count?: number | string
  readonly truncated?: boolean
  readonly chunks?: readonly ManifestChunk[]
}

/** A column of a result. */
interface ManifestColumn {
  readonly name: string
  readonly type_name?: string
  readonly type_text?: string
}

/** What is known of a chunk before it is fetched. */
interface ManifestChunk {
  readonly chunk_index?: number
  readonly row_count?: number | string
  readonly byte_count?: number | string
}

/** A part of a result as an answer has it. */
export interface ResultData {
  readonly data_array?: readonly (readonly (string | null)[])[]
  readonly external_links?: readonly ExternalLink[]
  readonly next_chunk_index?: number
}

/** Where a chunk lies. */
interface ExternalLink {
  readonly chunk_index?: number
  readonly external_link?: string
  readonly http_headers?: Readonly<Record<string, string>>
  readonly row_count?: number | string
}

/** A result whose chunks can be fetched. */
export interface ChunkedResult {
  readonly client: DatabricksClient
  readonly statementId: string
  readonly manifest: ResultManifest
  /** The part that came with the answer. */
  readonly first: ResultData
  readonly maxBufferedBytes: number
  readonly signal: AbortSignal | undefined
}

/** A chunk that was fetched. */
export interface Chunk {
  readonly bytes: Uint8Array
  /** Rows that it should hold; undefined where nobody says. */
  readonly rows: number | undefined
}

/** More at once makes no connection quicker. */
const MOST_AT_ONCE = 8
/** What a chunk takes whose size nobody says. */
const USUAL_BYTES = 20 * 2 ** 20
const TRIES = 4
const FIRST_PAUSE = 250

/** The rows of a result that is in the answers. */
export async function* inlineChunks(result: ChunkedResult): AsyncGenerator<readonly (readonly (string | null)[])[]> {
  let part = result.first
  const total = result.manifest.total_chunk_count ?? 0
  for (let index = 0; ; ) {
    if (part.data_array !== undefined && part.data_array.length > 0) yield part.data_array
    const next = part.next_chunk_index ?? (index + 1 < total ? index + 1 : undefined)
    if (next === undefined) return
    if (next <= index) throw broken(result.statementId, `a chunk behind number ${index}`, `number ${next}`)
    index = next
    part = await chunkAnswer(result, index, result.signal)
  }
}

/** The chunks of a result that lies in storage, fetched ahead. `return()` ends what is fetched. */
export async function* externalChunks(result: ChunkedResult): AsyncGenerator<Chunk> {
  const { maxBufferedBytes, signal, manifest } = result
  const total = manifest.total_chunk_count ?? manifest.chunks?.length ?? result.first.external_links?.length ?? 0
  const stop = new AbortController()
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const links = new LinkBook(result)
  const coming: Promise<Chunk>[] = []
  let next = 0
  let held = 0
  try {
    for (let index = 0; index < total; index++) {
      while (next < total && coming.length < MOST_AT_ONCE) {
        if (next > index && held + bytesOf(result, next) > maxBufferedBytes) break
        held += bytesOf(result, next)
        const chunk = fetchChunk(result, links, next++, both)
        // Whoever takes it hears of its failure; until then it must not end the process.
        chunk.catch(() => {})
        coming.push(chunk)
      }
      yield await (coming.shift() as Promise<Chunk>)
      held -= bytesOf(result, index)
    }
  } finally {
    stop.abort()
    await Promise.allSettled(coming)
  }
}

/** Links by number of the chunk. One answer may have those of several. */
class LinkBook {
  readonly #result: ChunkedResult
  readonly #links = new Map<number, ExternalLink>()

  constructor(result: ChunkedResult) {
    this.#result = result
    this.#keep(result.first)
  }

  /** @param isRefused Whether storage refused the link that is known. */
  async of(index: number, isRefused: boolean, signal: AbortSignal): Promise<ExternalLink & { readonly url: string }> {
    if (isRefused) this.#links.delete(index)
    if (!this.#links.has(index)) this.#keep(await chunkAnswer(this.#result, index, signal))
    const link = this.#links.get(index)
    const url = link?.external_link
    if (link !== undefined && url !== undefined && URL.canParse(url)) return { ...link, url }
    throw broken(
      this.#result.statementId,
      `a link to chunk ${index}`,
      url === undefined ? 'none' : 'what is no address',
    )
  }

  #keep({ external_links: links = [] }: ResultData): void {
    for (const link of links) if (link.chunk_index !== undefined) this.#links.set(link.chunk_index, link)
  }
}

async function chunkAnswer(
  { client, statementId }: ChunkedResult,
  index: number,
  signal: AbortSignal | undefined,
): Promise<ResultData> {
  return await client.json({
    path: `/api/2.0/sql/statements/${encodeURIComponent(statementId)}/result/chunks/${index}`,
    what: whatOf(statementId, index),
    signal,
  })
}

async function fetchChunk(result: ChunkedResult, links: LinkBook, index: number, signal: AbortSignal): Promise<Chunk> {
  const what = whatOf(result.statementId, index)
  let isRefused = false
  for (let tries = 1; ; tries++) {
    const link = await links.of(index, isRefused, signal)
    try {
      const { body, headers } = await result.client.sendTo(link.url, { what, headers: link.http_headers ?? {}, signal })
      const bytes = await readWhole(body, headers, bytesOf(result, index))
      return { bytes, rows: countOf(link.row_count ?? chunkOf(result, index)?.row_count) }
    } catch (thrown) {
      signal.throwIfAborted()
      // Storage words it in many ways that a link is too old; a new one is the answer to all of them.
      const status = thrown instanceof ServiceError ? thrown.status : undefined
      isRefused = status !== undefined && status >= 400 && status < 500
      // Without a status the connection ended, before the body or within it.
      const isFinal = status !== undefined && !isRefused
      if (isFinal || tries >= TRIES) throw thrown instanceof ServiceError ? thrown : cut(what, thrown)
      await pause(FIRST_PAUSE * tries, signal)
    }
  }
}

/** Aligned in memory of its own, so that columns can be looked at where they lie. */
async function readWhole(
  body: ReadableStream<Uint8Array> | null,
  headers: Headers,
  expected: number,
): Promise<Uint8Array> {
  const said = Number(headers.get('content-length') ?? Number.NaN)
  const isKnown = Number.isSafeInteger(said) && said >= 0 && said <= 4 * Math.max(expected, USUAL_BYTES)
  if (!isKnown || headers.has('content-encoding')) {
    const pieces: Uint8Array[] = []
    for await (const piece of body ?? []) pieces.push(piece)
    return Buffer.concat(pieces)
  }
  const bytes = Buffer.allocUnsafeSlow(said)
  let at = 0
  for await (const piece of body ?? []) {
    if (at + piece.length > said) throw toError(`more than ${said} bytes`)
    bytes.set(piece, at)
    at += piece.length
  }
  if (at < said) throw toError(`${at} of ${said} bytes`)
  return bytes
}

function bytesOf(result: ChunkedResult, index: number): number {
  return countOf(chunkOf(result, index)?.byte_count) ?? USUAL_BYTES
}

function chunkOf({ manifest }: ChunkedResult, index: number): ManifestChunk | undefined {
  const chunk = manifest.chunks?.[index]
  return chunk?.chunk_index === undefined || chunk.chunk_index === index
    ? chunk
    : manifest.chunks?.find(({ chunk_index: number }) => number === index)
}

/** Numbers of 64 bits may come as text. */
export function countOf(value: number | string | undefined): number | undefined {
  return value === undefined ? undefined : Number(value)
}

function whatOf(statementId: string, index: number): string {
  return `chunk ${index} of the result of statement ${statementId}`
}

function cut(what: string, thrown: unknown): ServiceError {
  return new ServiceError(
    `[databricks] expected all of ${what}, got a part of it ${TRIES} times: ${toError(thrown).message}; check the connection, and run the statement again`,
  )
}

/** An answer that does not fit the result. */
export function broken(statementId: string, expected: string, got: string): ServiceError {
  return new ServiceError(
    `[databricks] expected ${expected} of the result of statement ${statementId}, got ${describeValue(got)}; run the statement again`,
  )
}

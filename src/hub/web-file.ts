/**
 * @file A file by its address, in a folder of the cache that belongs to the address:
 *
 *   KEY/state.json    what the server said of the content that is here: ETag or date, size
 *   KEY/CONTENT       the content, complete; named by address and ETag
 *
 * The server is asked each time whether the content is still the same; what was cut goes on where it was, but only
 * where the server says that it is the same content.
 */

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { formatBytes } from '../bytes.js'
import { pause } from '../http/patience.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { ATTEMPTS, backoff, get, type HttpAnswer, type HttpTarget, TransportError } from './http.js'
import { HubError } from './hub-error.js'
import { PartialFile } from './partial-file.js'
import type { HubSettings } from './settings.js'
import { shownAddress, webTarget } from './web-target.js'

interface FetchFromOptions {
  /** What forbids requests, as one writes it; undefined: nothing does. */
  readonly offline: string | undefined
  /** The folder of all addresses. */
  readonly directory: string
  readonly signal?: AbortSignal | undefined
  /** Told the bytes that are there, and of how many where the server says it. */
  readonly onBytes?: ((bytes: number, total: number | undefined) => void) | undefined
}

export interface WebFileOptions extends Omit<FetchFromOptions, 'offline'> {
  readonly settings: HubSettings
}

/** What is known of the content in the cache. */
interface State {
  readonly etag?: string
  readonly lastModified?: string
  readonly content: string
  readonly size: number
}

/** What an answer says of its content. */
interface Described {
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /** Undefined where the server does not say it, or packs what it sends. */
  readonly size: number | undefined
  readonly isPacked: boolean
}

const LARGEST_STATE = 1 << 16
/** New bytes after which a transfer that was cut has its full patience again. */
const LEAST_PROGRESS = 2 ** 16
/** Bytes that an answer may have which the server packed on the way, and how many times its packed size beyond them. */
const FREE_BYTES = 64 * 2 ** 20
const LARGEST_RATIO = 400

/**
 * The path of the content of an address.
 * @throws HubError where the server does not give it, and the cache has none that may stand in; OptionError for an
 * address that is not asked; the signal's reason
 */
export async function fetchWebFile(address: string, { settings, ...options }: WebFileOptions): Promise<string> {
  shownAddress(address)
  return await fetchFrom(address, webTarget(address, settings), { ...options, offline: settings.offline })
}

/** `fetchWebFile` of a server that is told in another way. */
export async function fetchFrom(address: string, target: HttpTarget, options: FetchFromOptions): Promise<string> {
  const { signal, offline } = options
  const { what: location, where } = target
  const directory = join(options.directory, sha256(address).slice(0, 32))
  const state = await readState(directory)
  const cached = state && join(directory, state.content)
  if (offline !== undefined) {
    if (cached !== undefined) return cached
    throw new HubError(
      `[${where}] ${location} is not in the cache (${directory}), and ${offline} forbids to fetch it; fetch it without ${offline}`,
    )
  }
  let answer: HttpAnswer
  try {
    answer = await get(address, target, {
      headers: { 'accept-encoding': 'identity', ...conditions(state) },
      signal,
      attempts: cached === undefined ? ATTEMPTS : 1,
      alsoGood: [304],
    })
  } catch (error) {
    if (!(error instanceof HubError && error.cacheMayServe && cached !== undefined)) throw error
    process.emitWarning(`${error.message}. Using what the cache has of it: ${cached}`)
    return cached
  }
  if (answer.response.status === 304) {
    await answer.response.body?.cancel().catch(() => {})
    if (cached !== undefined) return cached
    throw new HubError(
      `[${where}] expected a file at ${location}, got HTTP 304 for what was not asked; check the proxy`,
    )
  }
  const described = describe(answer.response)
  const content = sha256(`${address}\n${described.etag ?? described.lastModified ?? ''}`)
  const size = await download(address, target, { ...options, directory, content, described, first: answer })
  const next: State = {
    ...(described.etag !== undefined && { etag: described.etag }),
    ...(described.lastModified !== undefined && { lastModified: described.lastModified }),
    content,
    size,
  }
  await writeFileAtomic(join(directory, 'state.json'), JSON.stringify(next))
  return join(directory, content)
}

interface Download extends FetchFromOptions {
  readonly content: string
  readonly described: Described
  readonly first: HttpAnswer
}

/** @returns the size of the content */
async function download(address: string, target: HttpTarget, options: Download): Promise<number> {
  const { directory, content, described, first, signal, onBytes } = options
  const { etag, size } = described
  const file = { path: target.what, etag: content, size: size ?? Number.MAX_SAFE_INTEGER }
  const partial = await PartialFile.open(directory, file, 'LOWRANK_CACHE')
  // A weak ETag tells contents apart, but not their bytes.
  const isResumable = etag !== undefined && !etag.startsWith('W/') && size !== undefined
  let next: HttpAnswer | undefined = first
  try {
    if (!isResumable) await partial.restart()
    for (let failures = 0; size === undefined || partial.size < size; ) {
      const before = partial.size
      if (before > 0 && next !== undefined) {
        await next.response.body?.cancel().catch(() => {})
        next = undefined
      }
      next ??= await get(address, target, {
        headers: { 'accept-encoding': 'identity', ...(before > 0 && { range: `bytes=${before}-`, 'if-range': etag }) },
        signal,
        attempts: ATTEMPTS,
      })
      const answer = next
      next = undefined
      expectSame(described, describe(answer.response), target)
      const begins = answer.response.headers.get('content-range')?.startsWith(`bytes ${before}-`) ?? false
      if (before > 0 && !begins) await partial.restart()
      const cut = await append(partial, answer, described, target, () => onBytes?.(partial.size, size))
      if (cut === undefined) break
      if (!isResumable) await partial.restart()
      failures = !cut.isSlow && partial.size - before >= LEAST_PROGRESS ? 1 : failures + 1
      if (failures >= ATTEMPTS) throw cut
      await pause(backoff(failures), signal)
    }
    const length = partial.size
    await partial.finish()
    return length
  } catch (error) {
    await partial.release()
    throw error
  } finally {
    await next?.response.body?.cancel().catch(() => {})
  }
}

/** @returns what cut the body off, where something did */
async function append(
  partial: PartialFile,
  answer: HttpAnswer,
  { size, isPacked }: Described,
  target: HttpTarget,
  count: () => void,
): Promise<TransportError | undefined> {
  const packed = Number(answer.response.headers.get('content-length') ?? 0)
  try {
    for await (const piece of answer.pieces()) {
      if (size !== undefined && partial.size + piece.byteLength > size) {
        await partial.restart()
        return wrongSize(target, size, 'more')
      }
      if (isPacked && partial.size > FREE_BYTES && partial.size > LARGEST_RATIO * packed) throw tooLarge(target, packed)
      await partial.append(piece)
      count()
    }
  } catch (error) {
    if (error instanceof TransportError) return error
    throw error
  }
  return size !== undefined && partial.size < size ? wrongSize(target, size, formatBytes(partial.size)) : undefined
}

function describe({ headers, status }: Response): Described {
  const encoding = headers.get('content-encoding') ?? 'identity'
  const isPacked = encoding.trim().toLowerCase() !== 'identity'
  const whole = /\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1]
  const length = status === 206 ? whole : (headers.get('content-length') ?? undefined)
  return {
    etag: headers.get('etag') ?? undefined,
    lastModified: headers.get('last-modified') ?? undefined,
    size: isPacked || length === undefined ? undefined : Number(length),
    isPacked,
  }
}

/** @throws where the file was replaced between two parts of it */
function expectSame(before: Described, now: Described, { what }: HttpTarget): void {
  if (before.etag === now.etag && (before.size === undefined || before.size === now.size)) return
  throw new HubError(`[data] expected ${what} to stay as it is while it is fetched, but it was replaced; try again`)
}

function conditions(state: State | undefined): Record<string, string> {
  if (state?.etag !== undefined) return { 'if-none-match': state.etag }
  return state?.lastModified === undefined ? {} : { 'if-modified-since': state.lastModified }
}

/** Undefined where there is no content, or not all of it. */
async function readState(directory: string): Promise<State | undefined> {
  const bytes = await readRegularFileIfThere(join(directory, 'state.json'), { where: 'data', limit: LARGEST_STATE })
  if (bytes === undefined) return undefined
  try {
    const state = JSON.parse(bytes.toString()) as State
    if (!/^[0-9a-f]{64}$/.test(state.content)) return undefined
    return (await stat(join(directory, state.content))).size === state.size ? state : undefined
  } catch {
    return undefined
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function wrongSize({ what }: HttpTarget, size: number, got: string): TransportError {
  return new TransportError(
    `[data] expected ${size} bytes of ${what}, got ${got}; try again, and check the proxy in between`,
  )
}

function tooLarge({ what }: HttpTarget, packed: number): HubError {
  return new HubError(
    `[data] expected rows at ${what}, got what unpacks to more than ${LARGEST_RATIO} times the ${packed} bytes that are sent, as is made ` +
      'to fill a disk; nothing of it was kept: check the address',
    { cacheMayServe: false },
  )
}

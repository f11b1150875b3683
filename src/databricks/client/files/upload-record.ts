/**
 * @file What is known of a multipart upload under way, in a file of the cache, so that after a kill the next call goes
 * on with it or takes its parts away. The session's token is in it: it permits nothing without access to the workspace,
 * but nobody else needs it, so that folder and file are the user's alone and lie in the cache, not beside the data.
 * Presigned addresses and access tokens are never in it.
 *
 * 1. The record is on the disk before the first part is sent: no part is there of which nobody knows.
 * 2. A record's name says which process writes it; another takes it over by renaming, once that one has ended.
 * 3. A record goes once the upload is complete or aborted. It stays where neither could be done.
 */

import { createHash, randomBytes } from 'node:crypto'
import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectories, writeError } from '../../../atomic-write.js'
import { cacheDirectory } from '../../../cache-directory.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../../../file-owner.js'
import { appendJournal, readJournal } from './journal.js'

/** What the file at the target was before the upload; null where there was none. */
export type FileBefore = { readonly size: number; readonly lastModified: number } | null

/** The upload as a whole. */
export interface UploadHeader {
  readonly server: string
  readonly path: string
  /** Absolute path of what is uploaded; null for what cannot be read again by another process. */
  readonly file: string | null
  readonly size: number | null
  readonly modified: number | null
  readonly partSize: number
  readonly overwrite: boolean
  readonly before: FileBefore
  readonly sessionToken: string
}

/** A part that the storage has. */
export interface UploadedPart {
  readonly part: number
  readonly etag: string
  /** CRC-32 of what was sent: it proves that the source still has it. */
  readonly crc32: number
}

const NAME = new RegExp(`^([0-9a-f]{32})-(?:left-[0-9a-f]{12}|${OWNER_PATTERN})\\.jsonl$`)

export class UploadRecord {
  readonly header: UploadHeader
  readonly parts: Map<number, UploadedPart>
  /** Whether the service was asked to make the file of the parts. */
  isCompleting: boolean
  #file: string

  private constructor(header: UploadHeader, file: string, parts: Map<number, UploadedPart>, isCompleting: boolean) {
    this.header = header
    this.#file = file
    this.parts = parts
    this.isCompleting = isCompleting
  }

  /** Writes the record of a new upload. */
  static async create(header: UploadHeader): Promise<UploadRecord> {
    const file = join(recordsDirectory(), ownName(header))
    try {
      await makeDirectories(recordsDirectory())
      const handle = await open(file, 'wx', 0o600)
      try {
        await handle.write(`${JSON.stringify(header)}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
    } catch (error) {
      throw writeError(file, error)
    }
    return new UploadRecord(header, file, new Map(), false)
  }

  /**
   * Takes over the records of uploads that ended without an end.
   * @param path Those to this path alone; undefined: all of the server
   */
  static async takeOver(server: string, path: string | undefined): Promise<UploadRecord[]> {
    const key = path === undefined ? undefined : keyOf({ server, path })
    const taken: UploadRecord[] = []
    for (const name of await readdir(recordsDirectory()).catch(() => [])) {
      const [, itsKey = '', place, pid, ticks] = NAME.exec(name) ?? []
      if (itsKey === '' || (key !== undefined && itsKey !== key)) continue
      if (place !== undefined && ownerState(place, Number(pid), Number(ticks)) !== 'ended') continue
      const record = await takeOverFile(join(recordsDirectory(), name), server)
      if (record) taken.push(record)
    }
    return taken
  }

  /** @internal */
  static of(header: UploadHeader, file: string, parts: Map<number, UploadedPart>, isCompleting: boolean): UploadRecord {
    return new UploadRecord(header, file, parts, isCompleting)
  }

  async addPart(part: UploadedPart): Promise<void> {
    this.parts.set(part.part, part)
    await appendJournal(this.#file, { ...part })
  }

  async markCompleting(): Promise<void> {
    this.isCompleting = true
    await appendJournal(this.#file, { isCompleting: true })
  }

  async remove(): Promise<void> {
    await rm(this.#file, { force: true })
  }

  /** Leaves it to the next call. */
  async release(): Promise<void> {
    await rename(
      this.#file,
      join(recordsDirectory(), `${keyOf(this.header)}-left-${randomBytes(6).toString('hex')}.jsonl`),
    ).catch(() => {})
  }
}

async function takeOverFile(from: string, server: string): Promise<UploadRecord | undefined> {
  const lines = await readJournal(from)
  const header = lines && headerOf(lines.header)
  if (header === undefined) {
    // Killed before the header was there: no part was sent.
    await rm(from, { force: true })
    return undefined
  }
  if (header.server !== server) return undefined
  const file = join(recordsDirectory(), ownName(header))
  // Only one of several gets it.
  const isOurs = await rename(from, file).then(
    () => true,
    () => false,
  )
  if (!isOurs) return undefined
  const parts = new Map<number, UploadedPart>()
  for (const { part, etag, crc32 } of lines?.records ?? [])
    if (typeof part === 'number' && typeof etag === 'string' && typeof crc32 === 'number')
      parts.set(part, { part, etag, crc32 })
  return UploadRecord.of(header, file, parts, lines?.records.some(({ isCompleting }) => isCompleting === true) ?? false)
}

function headerOf(value: Readonly<Record<string, unknown>>): UploadHeader | undefined {
  const { server, path, sessionToken, partSize } = value
  const isWhole = [server, path, sessionToken].every((text) => typeof text === 'string') && typeof partSize === 'number'
  return isWhole ? (value as unknown as UploadHeader) : undefined
}

function recordsDirectory(): string {
  return join(cacheDirectory(), 'databricks', 'uploads')
}

function keyOf({ server, path }: Pick<UploadHeader, 'server' | 'path'>): string {
  return createHash('sha256').update(`${server}\n${path}`).digest('hex').slice(0, 32)
}

function ownName(header: UploadHeader): string {
  return `${ownedName(`${keyOf(header)}-`)}.jsonl`
}

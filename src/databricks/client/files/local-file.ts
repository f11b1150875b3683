/**
 * @file A local file that is being fetched in ranges, beside its final name: a folder with the bytes and a record of
 * those ranges that are there. It gets its name once all of it is there; after a kill the next call goes on from it.
 *
 * 1. A folder's name says which process writes it; another takes it over by renaming, once that one has ended.
 * 2. Ranges that are there are read again, and count where they have their CRC-32.
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { makeDirectories, writeError } from '../../../atomic-write.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../../../file-owner.js'
import { LowrankError } from '../../../lowrank-error.js'
import { describeKind, shownPath } from '../../../regular-file.js'
import type { FileRange } from './download-volume.js'
import { appendJournal, readJournal } from './journal.js'

/** What tells one content of a remote file from another. */
export interface ContentId {
  readonly server: string
  readonly path: string
  readonly size: number
  readonly lastModified: number
}

const LONGEST_PREFIX = 40

export class PartialDownload {
  readonly #folder: string
  readonly #target: string
  readonly #handle: FileHandle
  /** Starts of the ranges that are there. */
  readonly done: Set<number>

  private constructor(folder: string, target: string, handle: FileHandle, done: Set<number>) {
    this.#folder = folder
    this.#target = target
    this.#handle = handle
    this.done = done
  }

  /** Goes on from what an earlier call left of the same content, in the same ranges. */
  static async open(
    target: string,
    content: ContentId,
    { ranges, resume, signal }: { ranges: readonly FileRange[]; resume: boolean; signal: AbortSignal | undefined },
  ): Promise<PartialDownload> {
    const path = resolve(target)
    const folder = join(dirname(path), ownedName(`${prefixOf(path)}`))
    try {
      const there = await stat(path).catch(() => undefined)
      if (there && !there.isFile()) {
        throw new LowrankError(
          'FILE',
          `[databricks] expected ${shownPath(path)} to be a file or not to exist, got ${describeKind(there)}; fetch under another name`,
        )
      }
      await makeDirectories(dirname(path))
      const done =
        (await takeOver(path, folder)) && resume ? await provenRanges(folder, content, ranges, signal) : undefined
      if (done === undefined) {
        await rm(folder, { recursive: true, force: true })
        await mkdir(folder, { mode: 0o700 })
        await appendJournal(join(folder, 'ranges'), { ...content })
      }
      // Neither appends nor cuts off: ranges are written in any order.
      const handle = await open(join(folder, 'bytes'), done === undefined ? 'w+' : 'r+')
      return new PartialDownload(folder, path, handle, done ?? new Set())
    } catch (error) {
      throw writeError(path, error)
    }
  }

  async write(piece: Uint8Array, at: number): Promise<void> {
    try {
      for (let written = 0; written < piece.byteLength; )
        written += (await this.#handle.write(piece, written, piece.byteLength - written, at + written)).bytesWritten
    } catch (error) {
      throw writeError(this.#target, error)
    }
  }

  async markDone({ start, end }: FileRange, sum: number): Promise<void> {
    this.done.add(start)
    await appendJournal(join(this.#folder, 'ranges'), { start, end, crc32: sum })
  }

  /** Hash of all bytes, in hexadecimal. */
  async digest(algorithm: 'md5' | 'sha256'): Promise<string> {
    const hash = createHash(algorithm)
    for await (const piece of createReadStream(join(this.#folder, 'bytes'))) hash.update(piece)
    return hash.digest('hex')
  }

  /** Gives it its name and time. */
  async finish(lastModified: number): Promise<void> {
    try {
      await this.#handle.sync()
      await this.#handle.close()
      if (lastModified > 0) await utimes(join(this.#folder, 'bytes'), new Date(), new Date(lastModified))
      await rename(join(this.#folder, 'bytes'), this.#target)
    } catch (error) {
      throw writeError(this.#target, error)
    }
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Leaves it to the next call where something is there, else removes it. */
  async release(): Promise<void> {
    await this.#handle.close().catch(() => {})
    if (this.done.size === 0) await rm(this.#folder, { recursive: true, force: true })
    else await rename(this.#folder, join(dirname(this.#target), `${prefixOf(this.#target)}left`)).catch(() => {})
  }

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => {})
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Folders of one target. Two long names may begin alike, so that a hash of the whole is in it. */
function prefixOf(target: string): string {
  const name = basename(target)
  return `.${name.slice(0, LONGEST_PREFIX)}.${createHash('sha256').update(name).digest('hex').slice(0, 8)}.lowrank-download-`
}

/** Moves what an earlier call left to `folder`, and removes the rest. @returns whether there was something */
async function takeOver(target: string, folder: string): Promise<boolean> {
  const prefix = prefixOf(target)
  let isTaken = false
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(prefix)) continue
    const from = join(dirname(target), name)
    const [, place, pid, ticks] = new RegExp(`^${OWNER_PATTERN}$`).exec(name.slice(prefix.length))?.map(String) ?? []
    const isEnded =
      name.endsWith('-left') || (place !== undefined && ownerState(place, Number(pid), Number(ticks)) === 'ended')
    if (!isEnded || !(await lstat(from).catch(() => undefined))?.isDirectory()) continue
    if (isTaken) await rm(from, { recursive: true, force: true })
    else {
      isTaken = await rename(from, folder).then(
        () => true,
        () => false,
      )
    }
  }
  return isTaken
}

/** Starts of the ranges whose bytes are what came; undefined where the folder is of another content. */
async function provenRanges(
  folder: string,
  content: ContentId,
  ranges: readonly FileRange[],
  signal: AbortSignal | undefined,
): Promise<Set<number> | undefined> {
  const lines = await readJournal(join(folder, 'ranges'))
  const isSame = Object.entries(content).every(([name, value]) => lines?.header[name] === value)
  if (lines === undefined || !isSame) return undefined
  const bytes = await lstat(join(folder, 'bytes')).catch(() => undefined)
  if (!bytes?.isFile()) return undefined
  const proven = new Set<number>()
  for (const { start, end, crc32: sum } of lines.records) {
    const range = ranges.find((each) => each.start === start && each.end === end)
    if (range === undefined || proven.has(range.start)) continue
    signal?.throwIfAborted()
    let found = 0
    for await (const piece of createReadStream(join(folder, 'bytes'), { start: range.start, end: range.end - 1 }))
      found = crc32(piece, found)
    if (found === sum) proven.add(range.start)
  }
  return proven
}

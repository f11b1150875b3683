/**
 * @file A blob while it is being fetched. Who writes one owns it alone, whatever else runs on the same cache:
 *
 * 1. A writer's file says in its name which process writes it (src/file-owner.ts). Nobody takes it before that has
 *    certainly ended.
 * 2. A writer that gives up renames its file to `ETAG.lowrank.incomplete`, from where the next one goes on.
 * 3. A file is taken over by renaming it, which only one of several can do.
 * 4. What huggingface_hub left, and processes on other machines and in other containers, is copied and not taken:
 *    whether they still write there cannot be known.
 * 5. Only `finish()` gives a blob its name, after its content was checked and is on the disk.
 */

import { createHash, type Hash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { copyFile, type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeDirectories, writeError } from '../atomic-write.js'
import { formatBytes } from '../bytes.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../file-owner.js'
import { LowrankError } from '../lowrank-error.js'
import { ownErrorCode } from '../regular-file.js'
import type { HubFile } from './hub-api.js'

const OWN = new RegExp(`^\\.lowrank(?:-${OWNER_PATTERN})?\\.incomplete$`)
/** Partial files of huggingface_hub, and of early versions of this file. */
const FOREIGN = /^(\.[0-9a-f]{8}|\.lowrank-[0-9a-f]{8}-\d+-[0-9a-f]{12})?\.incomplete$/

export class PartialFile {
  readonly #file: HubFile
  readonly #directory: string
  readonly #path: string
  readonly #handle: FileHandle
  readonly #home: string
  #hash: Hash
  #size = 0

  private constructor(file: HubFile, path: string, handle: FileHandle, home: string) {
    this.#file = file
    this.#home = home
    this.#directory = dirname(path)
    this.#path = path
    this.#handle = handle
    this.#hash = newHash(file)
  }

  /**
   * Goes on from what an earlier writer left, where there is some.
   * @param home The variable that moves the cache to another disk.
   */
  static async open(blobs: string, file: HubFile, home = 'HF_HOME'): Promise<PartialFile> {
    const name = `${ownedName(`${file.etag}.lowrank-`)}.incomplete`
    const path = join(blobs, name)
    return await onDisk(path, file, home, async () => {
      await makeDirectories(blobs)
      await takeOver(blobs, file, path)
      const partial = new PartialFile(
        file,
        path,
        await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW),
        home,
      )
      await partial.#readBack()
      return partial
    })
  }

  /** Bytes that are there. */
  get size(): number {
    return this.#size
  }

  async append(piece: Uint8Array): Promise<void> {
    await onDisk(this.#path, this.#file, this.#home, async () => {
      for (let at = 0; at < piece.byteLength; ) {
        const { bytesWritten } = await this.#handle.write(piece, at, piece.byteLength - at, this.#size)
        // Counted write by write, so that a disk that fills up in between loses nothing of what is there.
        this.#hash.update(piece.subarray(at, at + bytesWritten))
        this.#size += bytesWritten
        at += bytesWritten
      }
    })
  }

  /** Forgets what is there. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#hash = newHash(this.#file)
    this.#size = 0
  }

  /** SHA-256 of the content for files in LFS, else the id that Git gives it: what the ETag must be. */
  checksum(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Makes it the blob. */
  async finish(): Promise<void> {
    await onDisk(this.#path, this.#file, this.#home, async () => {
      await this.#handle.sync()
      await this.#handle.close()
      await rename(this.#path, join(this.#directory, this.#file.etag))
    })
  }

  /** Leaves it to the next attempt. */
  async release(): Promise<void> {
    await this.#handle.close().catch(() => {})
    if (this.#size === 0) await rm(this.#path, { force: true })
    else await rename(this.#path, join(this.#directory, `${this.#file.etag}.lowrank.incomplete`)).catch(() => {})
  }

  async #readBack(): Promise<void> {
    for await (const piece of createReadStream(this.#path)) {
      this.#hash.update(piece)
      this.#size += piece.byteLength
    }
  }
}

function newHash({ etag, size }: HubFile): Hash {
  return etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
}

/** Moves the largest file that an earlier writer left to `path`, and removes the others. */
async function takeOver(blobs: string, { etag, size }: HubFile, path: string): Promise<void> {
  const left: { from: string; size: number; isOwn: boolean }[] = []
  for (const name of await readdir(blobs)) {
    if (!name.startsWith(etag)) continue
    const ending = name.slice(etag.length)
    const from = join(blobs, name)
    // A link would lead the transfer into what is someone else's, and a pipe would hold it for ever.
    const found = await lstat(from).catch(() => undefined)
    if (!found?.isFile()) continue
    const [isLeft, place, pid, ticks] = OWN.exec(ending) ?? []
    const state = place === undefined ? 'ended' : ownerState(place, Number(pid), Number(ticks))
    if (isLeft ? state === 'ended' || state === 'unknown' : FOREIGN.test(ending))
      left.push({ from, size: found.size, isOwn: isLeft !== undefined && state === 'ended' })
  }
  left.sort((a, b) => b.size - a.size)
  let isTaken = false
  for (const { from, size: bytes, isOwn } of left) {
    const isUsable = !isTaken && bytes <= size
    // Another writer may have been faster: then there is nothing to take.
    if (isUsable && isOwn) {
      isTaken = await rename(from, path).then(
        () => true,
        () => false,
      )
    } else if (isUsable) {
      await copyFile(from, path, constants.COPYFILE_FICLONE)
      isTaken = true
    } else if (isOwn) await rm(from, { force: true })
  }
}

async function onDisk<T>(
  path: string,
  { path: name, size }: HubFile,
  home: string,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action()
  } catch (error) {
    const code = ownErrorCode(error)
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw writeError(path, error)
    throw new LowrankError(
      'FILE',
      `[hub] no space is left for ${name} (${formatBytes(size)}) in ${dirname(path)} (${code}); free some, or set ${home} to another ` +
        'disk. What came so far is kept, and the next attempt goes on from it',
      { cause: error },
    )
  }
}

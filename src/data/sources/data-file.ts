/**
 * @file A data file that is open: its bytes in pieces or at any place, unpacked where they are packed, its size, its
 * hash. Knows no format.
 */

import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { DataError } from '../../lowrank-error.js'
import { openRegularFile, readError } from '../../regular-file.js'
import { packingOf, unpack, unpackedPath } from './unpack.js'

const PIECE_BYTES = 1 << 18
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

/** What identifies the content of a file: as it lies on the disk, also where it is packed. */
interface FileContent {
  readonly size: number
  /** In hexadecimal; absent where nobody needs it, or parts of a file on a server were read. */
  readonly sha256?: string
}

/** A file whose bytes are fetched as they are read. */
export interface RemoteFile {
  size(): Promise<number>
  /** The bytes from `start` to `end`; fewer where the file ends. */
  read(start: number, end: number): Promise<Uint8Array>
  /** All bytes in their order. */
  pieces(): AsyncIterable<Uint8Array>
}

/** One file that is being read, once. The caller closes it. */
export class DataFile {
  readonly path: string
  /** The path without the ending of a packing, which tells the format. */
  readonly name: string
  /** Absent where a program gave the bytes. */
  readonly #file: FileHandle | RemoteFile | undefined
  readonly #onBytes: (bytes: number) => void
  readonly #needsHash: boolean
  readonly #pieces: AsyncIterator<Uint8Array>
  /** Pieces that `start()` has read, in their order, until `pieces()` gives them. */
  #begun: Uint8Array[] = []
  #content: FileContent | undefined

  #isPacked = false
  /** Bytes that have been read, and whether that is told: what `start()` reads has given no rows yet. */
  #size = 0
  #isRead = false

  private constructor(
    path: string,
    bytes: AsyncIterable<Uint8Array>,
    file?: FileHandle | RemoteFile,
    onBytes: (bytes: number) => void = () => {},
    needsHash = true,
  ) {
    this.path = path
    this.name = unpackedPath(path)
    this.#file = file
    this.#onBytes = onBytes
    this.#needsHash = needsHash
    this.#pieces = withoutMark(this.#unpacked(this.#hashed(bytes)))
  }

  /**
   * @param onBytes Told how many bytes have been read.
   * @param needsHash Whether `content` is to have a hash.
   * @param name What errors call the file, and whose ending tells its format. Default: its path
   * @throws for what cannot be opened or is no regular file
   */
  static async open(
    path: string,
    onBytes: (bytes: number) => void = () => {},
    needsHash = true,
    name = path,
  ): Promise<DataFile> {
    const file = await openRegularFile('data', path)
    return new DataFile(name, bytesOf(file, name), file, onBytes, needsHash)
  }

  /** A file that is on a server and stays there. */
  static ofRemote(
    name: string,
    file: RemoteFile,
    onBytes: (bytes: number) => void = () => {},
    needsHash = true,
  ): DataFile {
    return new DataFile(name, file.pieces(), file, onBytes, needsHash)
  }

  /** Bytes that a program has, as a file of this name. */
  static ofBytes(name: string, bytes: AsyncIterable<Uint8Array>): DataFile {
    return new DataFile(name, inLargePieces(bytes))
  }

  /** Size and hash of the file; undefined before `pieces()` or `measured()` has come to its end. */
  get content(): FileContent | undefined {
    return this.#content
  }

  /** The beginning of the file up to its first piece that has more than white space in it; empty where none has. */
  async start(signal?: AbortSignal): Promise<Uint8Array> {
    for (;;) {
      signal?.throwIfAborted()
      const last = this.#begun.at(-1)
      if (last?.some((byte) => !isSpace(byte))) return last
      const { done, value } = await this.#pieces.next()
      if (done) return new Uint8Array()
      this.#begun.push(value)
    }
  }

  /**
   * All bytes but a byte order mark, in pieces.
   * @throws when the file changes meanwhile: rows of two states of a file belong to neither
   */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const begun = this.#begun
    this.#begun = []
    this.#isRead = true
    this.#onBytes(this.#size)
    yield* begun
    for (let next = await this.#pieces.next(); !next.done; next = await this.#pieces.next()) yield next.value
  }

  /** Bytes that the file has now. @throws where it can only be read from its beginning */
  async size(): Promise<number> {
    const file = this.#handle()
    return isRemote(file) ? await file.size() : (await file.stat()).size
  }

  /**
   * The bytes from `start` to `end`, for formats whose parts are found by their place; fewer where the file ends.
   * @throws where it can only be read from its beginning
   */
  async slice(start: number, end: number): Promise<Uint8Array> {
    const file = this.#handle()
    if (isRemote(file)) {
      // What `start()` began to fetch as a whole would wait for a reader.
      await this.#pieces.return?.()
      return await file.read(start, end)
    }
    const buffer = Buffer.allocUnsafeSlow(end - start)
    for (let at = 0; at < buffer.length; ) {
      const { bytesRead } = await file.read(buffer, at, buffer.length - at, start + at).catch((error: unknown) => {
        throw readError('data', this.path, error)
      })
      if (bytesRead === 0) return buffer.subarray(0, at)
      at += bytesRead
    }
    return buffer
  }

  /** Says how far the file has been read, for formats that read it by `slice()`. */
  reached(bytes: number): void {
    this.#onBytes(bytes)
  }

  /**
   * Reads rows by `slice()`, and then the whole file once more for its hash: that is one of all bytes in their order,
   * which is not the order in which such formats read. A file on a server is not fetched for it.
   * @throws when the file changes meanwhile
   */
  async *measured<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
    const file = this.#handle()
    if (isRemote(file)) {
      yield* rows
      this.#content = { size: await file.size() }
      return
    }
    const before = await file.stat()
    yield* rows
    if (this.#needsHash) {
      const whole = this.#hashed(bytesOf(file, this.path))
      while (!(await whole.next()).done);
    } else this.#content = { size: before.size }
    if (!isSame(before, await file.stat())) throw changed(this.path)
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
    if (this.#file !== undefined && !isRemote(this.#file)) await this.#file.close()
  }

  #handle(): FileHandle | RemoteFile {
    if (this.#file !== undefined && !this.#isPacked) return this.#file
    throw new DataError(
      `[data] expected a file of this format on the disk, not packed, got ${this.path}; it is read at several places: unpack it, or write ` +
        'it to a file',
      { file: this.path },
    )
  }

  /** The bytes themselves, whether they were packed or not. */
  async *#unpacked(bytes: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    const first = await bytes.next()
    if (first.done) return
    const all = startingWith(first.value, bytes)
    const packing = packingOf(first.value)
    this.#isPacked = packing !== undefined
    yield* packing === undefined ? all : unpack(packing, all, this.path)
  }

  async *#hashed(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const hash = this.#needsHash ? createHash('sha256') : undefined
    let size = 0
    for await (const piece of bytes) {
      size += piece.length
      hash?.update(piece)
      this.#size = size
      if (this.#isRead) this.#onBytes(size)
      yield piece
    }
    this.#content = { size, ...(hash && { sha256: hash.digest('hex') }) }
  }
}

function isRemote(file: FileHandle | RemoteFile): file is RemoteFile {
  return 'pieces' in file
}

/** Whether a byte is white space between values of JSON, and blank in any other text. */
export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

async function* bytesOf(file: FileHandle, path: string): AsyncGenerator<Uint8Array> {
  const before = await file.stat()
  for (let size = 0; ; ) {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES)
    const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES, size).catch((error: unknown) => {
      throw readError('data', path, error)
    })
    size += bytesRead
    // A file that is written to as fast as it is read would have no end. Files of /proc have no size.
    const isLonger = before.size > 0 && size > before.size
    if (isLonger || (bytesRead === 0 && !isSame(before, await file.stat()))) throw changed(path)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

async function* startingWith(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  yield* rest
}

async function* withoutMark(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let isFirst = true
  for await (const piece of inLargePieces(bytes)) {
    const isMarked = isFirst && BYTE_ORDER_MARK.every((byte, index) => piece[index] === byte)
    isFirst = false
    const text = isMarked ? piece.subarray(BYTE_ORDER_MARK.length) : piece
    if (text.length > 0) yield text
  }
}

/** Small pieces are joined, as streams and archives give them: a reader cuts few rows, and a head is whole. */
async function* inLargePieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let small: Uint8Array[] = []
  let length = 0
  for await (const piece of bytes) {
    small.push(piece)
    length += piece.length
    if (length < PIECE_BYTES / 4) continue
    yield small.length === 1 ? piece : Buffer.concat(small, length)
    small = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(small, length)
}

function isSame(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs
}

function changed(path: string): Error {
  return new DataError(
    `[data] expected ${path} to stay as it is while it is read, but it was written to; wait for its writer`,
    { file: path },
  )
}

/** @file A data file that is open: its bytes in pieces or at any place, its size and its hash. Knows no format. */

import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { DataError } from '../../lowrank-error.js'
import { openRegularFile, readError } from '../../regular-file.js'

const PIECE_BYTES = 1 << 18
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

/** What identifies the content of a file. */
interface FileContent {
  readonly size: number
  /** In hexadecimal. */
  readonly sha256: string
}

/** One file that is being read. The caller closes it. */
export class DataFile {
  readonly path: string
  readonly #file: FileHandle
  readonly #onBytes: (bytes: number) => void
  #content: FileContent | undefined

  private constructor(path: string, file: FileHandle, onBytes: (bytes: number) => void) {
    this.path = path
    this.#file = file
    this.#onBytes = onBytes
  }

  /**
   * @param onBytes Told how many bytes have been read.
   * @throws for what cannot be opened or is no regular file
   */
  static async open(path: string, onBytes: (bytes: number) => void = () => {}): Promise<DataFile> {
    return new DataFile(path, await openRegularFile('data', path), onBytes)
  }

  /** Size and hash of the file; undefined before `pieces()` or `measured()` has come to its end. */
  get content(): FileContent | undefined {
    return this.#content
  }

  /** The beginning of the file up to its first piece that has more than white space in it; empty where none has. */
  async start(): Promise<Uint8Array> {
    for (let at = 0; ; at += PIECE_BYTES) {
      const piece = await this.#read(at)
      if (piece.length === 0 || piece.some((byte) => !isSpace(byte))) return piece
    }
  }

  /**
   * All bytes but a byte order mark, in pieces.
   * @throws when the file changes meanwhile: rows of two states of a file belong to neither
   */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const before = await this.#file.stat()
    const hash = createHash('sha256')
    let size = 0
    for (;;) {
      const piece = await this.#read(size)
      size += piece.length
      this.#onBytes(size)
      // A file that is written to as fast as it is read would have no end. Files of /proc have no size.
      const isLonger = before.size > 0 && size > before.size
      if (isLonger || (piece.length === 0 && !isSame(before, await this.#file.stat()))) throw this.#changed()
      if (piece.length === 0) break
      hash.update(piece)
      const isMarked = size === piece.length && BYTE_ORDER_MARK.every((byte, index) => piece[index] === byte)
      yield isMarked ? piece.subarray(BYTE_ORDER_MARK.length) : piece
    }
    this.#content = { size, sha256: hash.digest('hex') }
  }

  /** Bytes that the file has now. */
  async size(): Promise<number> {
    return (await this.#file.stat()).size
  }

  /** The bytes from `start` to `end`, for formats whose parts are found by their place; fewer where the file ends. */
  async slice(start: number, end: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(end - start)
    for (let at = 0; at < buffer.length; ) {
      const { bytesRead } = await this.#file
        .read(buffer, at, buffer.length - at, start + at)
        .catch((error: unknown) => {
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
   * Reads rows by `slice()`, and then the whole file once more for its `content`: its SHA-256 is that of all bytes in
   * their order, which is not the order in which such formats read.
   * @throws when the file changes meanwhile
   */
  async *measured<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
    const before = await this.#file.stat()
    yield* rows
    const hash = createHash('sha256')
    let size = 0
    for (let piece = await this.#read(0); piece.length > 0; piece = await this.#read(size)) {
      hash.update(piece)
      size += piece.length
      if (size > before.size) throw this.#changed()
    }
    if (!isSame(before, await this.#file.stat())) throw this.#changed()
    this.#content = { size, sha256: hash.digest('hex') }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #read(position: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES)
    const { bytesRead } = await this.#file.read(buffer, 0, PIECE_BYTES, position).catch((error: unknown) => {
      throw readError('data', this.path, error)
    })
    return buffer.subarray(0, bytesRead)
  }

  #changed(): Error {
    return new DataError(
      `[data] expected ${this.path} to stay as it is while it is read, but it was written to; wait for its writer`,
      { file: this.path },
    )
  }
}

/** Whether a byte is white space between values of JSON, and blank in any other text. */
export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function isSame(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs
}

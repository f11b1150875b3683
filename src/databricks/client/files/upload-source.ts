/** @file What is uploaded: a file, bytes, a blob, or a stream of which nobody knows the length. Knows no service. */

import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { describeValue } from '../../../errors.js'
import type { RestBody } from '../../../http/exchange.js'
import { LowrankError, OptionError } from '../../../lowrank-error.js'
import { openRegularFile, readError } from '../../../regular-file.js'
import { pieceStream } from './piece-stream.js'

/** A path or `file:` address of a file, bytes, a `Blob`, or a stream of bytes. */
export type UploadSource = string | URL | Uint8Array | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>

/** A source that can be read again from any place. */
export interface FixedSource {
  readonly kind: 'fixed'
  readonly size: number
  /** Absolute path; undefined for what is no file. */
  readonly file: string | undefined
  /** Milliseconds since 1970; undefined for what is no file. */
  readonly modified: number | undefined
  /**
   * The bytes from `start` to before `end`. @param onPiece Sees them in order at each opening; `onOpen` comes first.
   */
  body(start: number, end: number, watch?: PieceWatch): RestBody
  /** What failed at reading, which a request shows as a connection that ended. */
  failure(): Error | undefined
  /** Throws where a file is not what it was when it was opened. */
  expectUnchanged(): Promise<void>
  close(): Promise<void>
}

/** Sees what goes out. */
export interface PieceWatch {
  onOpen(): void
  onPiece(piece: Uint8Array): void
}

/** A source that is read once. */
export interface FlowingSource {
  readonly kind: 'flowing'
  readonly pieces: AsyncIterator<Uint8Array>
  close(): Promise<void>
}

/** @throws OptionError for what is no source; as reading a file does */
export async function openUploadSource(source: UploadSource): Promise<FixedSource | FlowingSource> {
  if (typeof source === 'string' || source instanceof URL) return await openFile(pathOf(source))
  if (source instanceof Uint8Array) return bytesSource(source)
  if (source instanceof Blob) return blobSource(source)
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) {
    const pieces = source[Symbol.asyncIterator]()
    return { kind: 'flowing', pieces, close: async () => void (await pieces.return?.()) }
  }
  throw new OptionError(
    `[databricks] expected a path, bytes, a Blob or a stream of bytes to upload, got ${describeValue(source)}; give one of these`,
  )
}

function pathOf(source: string | URL): string {
  if (typeof source === 'string') return resolve(source)
  if (source.protocol === 'file:') return fileURLToPath(source)
  throw new OptionError(
    `[databricks] expected a file: address to upload, got one of ${source.protocol}; fetch it and give its body`,
  )
}

async function openFile(file: string): Promise<FixedSource> {
  const handle = await openRegularFile('databricks', file)
  const { size, mtimeMs } = await handle.stat()
  let failure: Error | undefined
  const fail = (error: Error): Error => {
    failure = error
    return error
  }
  const shortened = (at: number): Error => fail(changed(file, `it ends after ${at} bytes of ${size}`))
  return {
    kind: 'fixed',
    size,
    file,
    modified: mtimeMs,
    body: (start, end, watch) => ({
      size: end - start,
      open() {
        watch?.onOpen()
        if (start === end) return new Uint8Array(0)
        const read = readAt(handle, file, fail)
        return pieceStream(
          read,
          { start, end },
          { shortened, ...(watch && { onPiece: (piece) => watch.onPiece(piece) }) },
        )
      },
    }),
    failure: () => failure,
    async expectUnchanged() {
      if (failure) throw failure
      const now = await handle.stat()
      if (now.size === size && now.mtimeMs === mtimeMs) return
      throw changed(file, now.size === size ? 'it was written to' : `it has ${now.size} bytes now and had ${size}`)
    },
    close: () => handle.close(),
  }
}

function readAt(handle: FileHandle, file: string, fail: (error: Error) => Error) {
  return async (into: Uint8Array, position: number): Promise<number> => {
    try {
      return (await handle.read(into, 0, into.length, position)).bytesRead
    } catch (error) {
      throw fail(readError('databricks', file, error))
    }
  }
}

function changed(file: string, how: string): LowrankError {
  return new LowrankError(
    'FILE',
    `[databricks] expected ${file} to stay as it is while it is uploaded, but ${how}; nothing was left behind: upload it once it is complete`,
  )
}

const NEVER_CHANGES = {
  file: undefined,
  modified: undefined,
  failure: () => undefined,
  expectUnchanged: async () => {},
  close: async () => {},
}

export function bytesSource(bytes: Uint8Array): FixedSource {
  return {
    kind: 'fixed',
    size: bytes.byteLength,
    ...NEVER_CHANGES,
    body: (start, end, watch) => ({
      size: end - start,
      open() {
        const part = bytes.subarray(start, end)
        watch?.onOpen()
        watch?.onPiece(part)
        return part
      },
    }),
  }
}

function blobSource(blob: Blob): FixedSource {
  return {
    kind: 'fixed',
    size: blob.size,
    ...NEVER_CHANGES,
    body: (start, end, watch) => ({
      size: end - start,
      open() {
        watch?.onOpen()
        const stream = blob.slice(start, end).stream()
        if (watch === undefined) return stream
        const tap = new TransformStream<Uint8Array, Uint8Array>({
          transform(piece, controller) {
            watch.onPiece(piece)
            controller.enqueue(piece)
          },
        })
        return stream.pipeThrough(tap)
      },
    }),
  }
}

/** CRC-32 of a part of a source. */
export async function sumPart(
  source: FixedSource,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let sum = 0
  const opened = source.body(start, end).open()
  if (opened instanceof Uint8Array) return crc32(opened)
  for await (const piece of opened) {
    signal?.throwIfAborted()
    sum = crc32(piece, sum)
  }
  return sum
}

/** SHA-256 of a source, in hexadecimal. */
export async function hashSource(source: FixedSource, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256')
  const opened = source.body(0, source.size).open()
  if (opened instanceof Uint8Array) return hash.update(opened).digest('hex')
  for await (const piece of opened) {
    signal?.throwIfAborted()
    hash.update(piece)
  }
  return hash.digest('hex')
}

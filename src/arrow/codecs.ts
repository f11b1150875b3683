/** @file What unpacks Arrow buffers, whose size the metadata says: Zstandard, and LZ4 in frames. */

import { Decompress, decompress as decompressAll } from 'fzstd'
import { DataError } from '../lowrank-error.js'
import { toError } from '../values.js'
import { expectFrame } from './zstd.js'

/**
 * Unpacks a buffer.
 * @param size what the metadata says of it
 * @throws DataError for damage, and where it has another size
 */
export function decompress(codec: 'LZ4' | 'Zstandard', packed: Uint8Array, size: number): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = codec === 'LZ4' ? decompressLz4Frame(packed, size) : decompressZstd(packed, size)
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(`a damaged ${codec} buffer (${toError(error).message})`, { cause: error })
  }
  if (bytes.length === size) return bytes
  throw new DataError(`a ${codec} buffer of ${bytes.length} bytes where the metadata says ${size}`)
}

function decompressZstd(packed: Uint8Array, size: number): Uint8Array {
  if (expectFrame(packed, size)) return decompressAll(packed, new Uint8Array(size))
  const pieces: Uint8Array[] = []
  let count = 0
  const keep = (piece: Uint8Array): void => {
    count += piece.length
    if (count > size) throw new DataError(`a Zstandard buffer of more than the ${size} bytes that the metadata says`)
    // fzstd uses its buffers again.
    pieces.push(piece.slice())
  }
  new Decompress(keep).push(packed, true)
  const output = new BoundedBytes(count)
  for (const piece of pieces) output.append(piece)
  return output.bytes
}

const FRAME_MAGIC = 0x184d2204
// A byte says at most that 255 more are copied.
const MOST_LZ4_RATIO = 255

/**
 * Decodes an LZ4 frame (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md) without checking its checksums.
 */
function decompressLz4Frame(frame: Uint8Array, size: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (frame.length < 7 || view.getUint32(0, true) !== FRAME_MAGIC) throw new DataError('a buffer that is no LZ4 frame')
  const flags = view.getUint8(4)
  const hasBlockChecksum = (flags & 0x10) !== 0
  let at = 6 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0) + 1
  const output = new BoundedBytes(Math.min(size, MOST_LZ4_RATIO * frame.length))
  for (;;) {
    const head = view.getUint32(at, true)
    at += 4
    if (head === 0) return output.bytes
    const length = head & 0x7fffffff
    if (at + length > frame.length) throw new DataError('an LZ4 block that ends too early')
    const block = frame.subarray(at, at + length)
    if (head >>> 31 === 1) output.append(block)
    else decompressBlock(block, output)
    at += length + (hasBlockChecksum ? 4 : 0)
  }
}

/** One block: literals, then a copy of what came before, again and again. Copies reach into earlier blocks. */
function decompressBlock(block: Uint8Array, output: BoundedBytes): void {
  let at = 0
  const lengthOf = (nibble: number): number => {
    let length = nibble
    for (let more = nibble === 15; more; at++) {
      const byte = block[at] ?? 0
      length += byte
      more = byte === 255
    }
    return length
  }
  while (at < block.length) {
    const token = block[at++] as number
    const literals = lengthOf(token >> 4)
    output.append(block.subarray(at, at + literals))
    at += literals
    // The last sequence has literals alone.
    if (at >= block.length) return
    const distance = (block[at] as number) | ((block[at + 1] ?? 0) << 8)
    at += 2
    output.repeat(distance, lengthOf(token & 15) + 4)
  }
}

/** Bytes of which there are not more than was said. */
class BoundedBytes {
  readonly #buffer: Uint8Array
  #length = 0

  constructor(size: number) {
    this.#buffer = new Uint8Array(size)
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  append(bytes: Uint8Array): void {
    this.#expectRoom(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  repeat(distance: number, length: number): void {
    if (distance === 0 || distance > this.#length) throw new DataError('an LZ4 block that copies from before its frame')
    this.#expectRoom(length)
    const from = this.#length - distance
    // A copy may overlap what it writes, so it goes byte by byte.
    for (let index = 0; index < length; index++) {
      this.#buffer[this.#length + index] = this.#buffer[from + index] as number
    }
    this.#length += length
  }

  #expectRoom(more: number): void {
    if (this.#length + more > this.#buffer.length)
      throw new DataError(`an LZ4 buffer of more than the ${this.#buffer.length} bytes that the metadata says`)
  }
}

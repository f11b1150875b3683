/** @file What decompresses Arrow buffers, which apache-arrow leaves to the program: Zstandard, and LZ4 in frames. */

import type * as Arrow from 'apache-arrow'
import { decompressZstd } from 'hyparquet-compressors'
import { DataError } from '../../lowrank-error.js'

/** Registers both codecs, unless the program has its own. */
export function registerCodecs({ compressionRegistry, CompressionType }: typeof Arrow): void {
  const own = [
    [CompressionType.ZSTD, (bytes: Uint8Array) => decompressZstd(bytes)],
    [CompressionType.LZ4_FRAME, decompressLz4Frame],
  ] as const
  for (const [type, decode] of own) {
    // Values are read in place, so memory has to be aligned: that of a new array is.
    if (compressionRegistry.get(type) === null)
      compressionRegistry.set(type, { decode: (bytes) => Uint8Array.from(decode(bytes)) })
  }
}

const FRAME_MAGIC = 0x184d2204

/**
 * Decodes an LZ4 frame (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md) without checking its checksums.
 */
function decompressLz4Frame(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (frame.length < 7 || view.getUint32(0, true) !== FRAME_MAGIC) throw new DataError('a buffer that is no LZ4 frame')
  const flags = view.getUint8(4)
  const hasBlockChecksum = (flags & 0x10) !== 0
  let at = 6 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0) + 1
  const output = new GrowingBytes()
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
function decompressBlock(block: Uint8Array, output: GrowingBytes): void {
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

/** Bytes whose number is not known before. */
class GrowingBytes {
  #buffer = new Uint8Array(1 << 16)
  #length = 0

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  repeat(distance: number, length: number): void {
    if (distance === 0 || distance > this.#length) throw new DataError('an LZ4 block that copies from before its frame')
    this.#reserve(length)
    const from = this.#length - distance
    // A copy may overlap what it writes, so it goes byte by byte.
    for (let index = 0; index < length; index++) {
      this.#buffer[this.#length + index] = this.#buffer[from + index] as number
    }
    this.#length += length
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + more))
    larger.set(this.bytes)
    this.#buffer = larger
  }
}

/**
 * @file Reading a file of unknown structure from front to back: what is asked for is checked against the file before
 * memory is taken for it.
 */

import { isUtf8 } from 'node:buffer'
import { readSync } from 'node:fs'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'

const WINDOW = 1 << 18

/** The largest part of a file that may be structure rather than tensors. Vocabularies of 250,000 tokens take 15 MB. */
const LARGEST_HEADER = 100_000_000

/** A position in a file, little-endian. Reads are synchronous, since a header is many small values. */
export class Cursor {
  readonly path: string
  readonly size: number
  /** What is being read, for errors. */
  what = 'the header'
  readonly #file: number
  #window = Buffer.alloc(0)
  #windowStart = 0
  #position = 0

  constructor(file: number, path: string, size: number) {
    this.#file = file
    this.path = path
    this.size = size
  }

  get position(): number {
    return this.#position
  }

  /** Bytes from here to the end of the file. */
  get left(): number {
    return this.size - this.#position
  }

  uint8(): number {
    const at = this.#take(1)
    return this.#window.readUInt8(at)
  }

  int8(): number {
    const at = this.#take(1)
    return this.#window.readInt8(at)
  }

  uint16(): number {
    const at = this.#take(2)
    return this.#window.readUInt16LE(at)
  }

  int16(): number {
    const at = this.#take(2)
    return this.#window.readInt16LE(at)
  }

  uint32(): number {
    const at = this.#take(4)
    return this.#window.readUInt32LE(at)
  }

  int32(): number {
    const at = this.#take(4)
    return this.#window.readInt32LE(at)
  }

  float32(): number {
    const at = this.#take(4)
    return this.#window.readFloatLE(at)
  }

  float64(): number {
    const at = this.#take(8)
    return this.#window.readDoubleLE(at)
  }

  /** @throws when it is above 2^53. */
  uint64(): number {
    const at = this.#take(8)
    return this.#exact(this.#window.readBigUInt64LE(at))
  }

  /** @throws when it is beyond 2^53. */
  int64(): number {
    const at = this.#take(8)
    return this.#exact(this.#window.readBigInt64LE(at))
  }

  boolean(): boolean {
    const byte = this.uint8()
    if (byte > 1) throw this.error(`expected 0 or 1 for a truth value, got ${byte}`)
    return byte === 1
  }

  /** Its length in 8 bytes, then UTF-8. */
  text(most: number): string {
    const length = this.uint64()
    if (length > most) throw this.error(`expected text of at most ${most} bytes, got a length of ${length}`)
    const start = this.#take(length)
    const text = this.#window.toString('utf8', start, start + length)
    // The replacement character stands for broken bytes, or for itself.
    if (text.includes('\ufffd') && !isUtf8(this.#window.subarray(start, start + length)))
      throw this.error(`expected UTF-8 text, got ${describeValue(text)}`)
    return text
  }

  /** How many of something follow, each at least so many bytes. */
  count(leastBytes: number, most: number, things: string): number {
    const count = this.uint64()
    if (count > most) throw this.error(`expected at most ${most} ${things}, got ${count}`)
    if (count * leastBytes > this.left)
      throw this.error(`${count} ${things} do not fit into the ${this.left} bytes that are left of the file`)
    return count
  }

  error(problem: string): Error {
    return new ModelError(
      `[gguf] ${this.path}: ${this.what}: ${problem}; the file is damaged or incomplete: download it again`,
    )
  }

  #exact(value: bigint): number {
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
      throw this.error(`the number ${value} is too large`)
    return Number(value)
  }

  /** Moves on by `count` bytes, into another window where need be. @returns where they are in it */
  #take(count: number): number {
    if (count > this.left) throw this.error(`the file of ${this.size} bytes ends here`)
    const end = this.#position + count
    if (end > LARGEST_HEADER) throw this.error(`more than ${LARGEST_HEADER} bytes come before the tensors`)
    if (end > this.#windowStart + this.#window.length) this.#fill(count)
    const at = this.#position - this.#windowStart
    this.#position = end
    return at
  }

  #fill(count: number): void {
    const length = Math.min(this.left, Math.max(count, WINDOW))
    const window = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; ) {
      const read = readSync(this.#file, window, at, length - at, this.#position + at)
      if (read === 0) throw this.error('the file ended while it was read')
      at += read
    }
    this.#window = window
    this.#windowStart = this.#position
  }
}

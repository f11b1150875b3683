/**
 * @file Lists of numbers in a file of their own, read back one by one. The file loses its name as soon as it is open,
 * where the system allows that: its space is free once the process has ended, in whatever way. Else `close` removes it.
 */

import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { writeError } from '../atomic-write.js'
import { ownedName } from '../file-owner.js'
import { LowrankError } from '../lowrank-error.js'

const BYTES = Uint32Array.BYTES_PER_ELEMENT
// What is not in the file yet.
const PENDING_NUMBERS = 1 << 18

/** The lists, by number from 0. The caller closes it. */
export class Spool {
  readonly #path: string
  readonly #file: number
  #pending = new Uint32Array(PENDING_NUMBERS)
  #pendingLength = 0
  /** Numbers in the file. */
  #written = 0
  #count = 0
  #starts = new Float64Array(1024)
  #sizes = new Uint32Array(1024)

  constructor(directory: string) {
    this.#path = join(directory, ownedName('.runs.lowrank-'))
    this.#file = this.#try(() => openSync(this.#path, 'wx+', 0o600))
    try {
      rmSync(this.#path)
    } catch {
      // Some systems keep the name of a file that is open.
    }
  }

  get count(): number {
    return this.#count
  }

  /** Bytes that it holds in memory. */
  get memory(): number {
    return this.#pending.byteLength + this.#starts.byteLength + this.#sizes.byteLength
  }

  /** Adds a list. @returns its number */
  add(numbers: Uint32Array): number {
    if (this.#pendingLength + numbers.length > this.#pending.length) this.#flush()
    if (numbers.length > this.#pending.length) this.#pending = new Uint32Array(numbers.length)
    if (this.#count === this.#sizes.length) {
      const starts = new Float64Array(2 * this.#count)
      const sizes = new Uint32Array(2 * this.#count)
      starts.set(this.#starts)
      sizes.set(this.#sizes)
      this.#starts = starts
      this.#sizes = sizes
    }
    this.#pending.set(numbers, this.#pendingLength)
    this.#starts[this.#count] = this.#written + this.#pendingLength
    this.#sizes[this.#count] = numbers.length
    this.#pendingLength += numbers.length
    return this.#count++
  }

  sizeOf(index: number): number {
    return this.#sizes[index] as number
  }

  /** A list that was added. It is valid until the next call. */
  read(index: number): Uint32Array {
    const start = this.#starts[index] as number
    const size = this.sizeOf(index)
    if (start >= this.#written) return this.#pending.subarray(start - this.#written, start - this.#written + size)
    const numbers = new Uint32Array(size)
    const bytes = new Uint8Array(numbers.buffer)
    for (let at = 0; at < bytes.length; ) {
      const read = this.#try(() => readSync(this.#file, bytes, at, bytes.length - at, start * BYTES + at))
      if (read === 0) throw new LowrankError('FILE', `[data] expected ${this.#path} to stay as it is, but it was cut`)
      at += read
    }
    return numbers
  }

  close(): void {
    closeSync(this.#file)
    rmSync(this.#path, { force: true })
  }

  #flush(): void {
    const bytes = new Uint8Array(this.#pending.buffer, 0, this.#pendingLength * BYTES)
    for (let at = 0; at < bytes.length; )
      at += this.#try(() => writeSync(this.#file, bytes, at, bytes.length - at, this.#written * BYTES + at))
    this.#written += this.#pendingLength
    this.#pendingLength = 0
  }

  #try<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw writeError(this.#path, error)
    }
  }
}

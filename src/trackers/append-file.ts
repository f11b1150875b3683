/**
 * @file A file that a tracker appends to. Knows nothing of what is written.
 *
 * 1. Points may wait: those that follow another write within 100 ms are written together. All else is written at once,
 *    and a process that ends by itself writes what waits.
 * 2. What a full disk or a directory without permission does not take stays in memory, and is written in its order once
 *    that is possible. A write that was cut short goes on where it ended.
 * 3. The file and its directory are made with the first write.
 */

import { closeSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { LowrankError } from '../lowrank-error.js'
import { openForAppending } from '../regular-file.js'
import { toError } from '../values.js'
import { makeDirectoriesSync } from './make-directories.js'

/** Milliseconds between two writes of points: one for each would cost more than all else that is done with them. */
const WRITE_PACE = 100
const FIRST_SIZE = 1 << 14

export class AppendFile {
  readonly path: string
  readonly #where: string
  #file: number | undefined
  #waiting: Buffer = Buffer.allocUnsafe(FIRST_SIZE)
  #length = 0
  #writtenAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  /** What a write said for which nothing waited; the next one throws it. */
  #problem: unknown
  readonly #writeQuietly = (): void => {
    try {
      this.write()
    } catch (error) {
      this.#problem = error
    }
  }

  /** @param where names the tracker in messages */
  constructor(path: string, where: string) {
    this.path = path
    this.#where = where
  }

  /** Keeps bytes for the next write. */
  add(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length
    if (needed > this.#waiting.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#waiting.length))
      this.#waiting.copy(larger, 0, 0, this.#length)
      this.#waiting = larger
    }
    this.#waiting.set(bytes, this.#length)
    this.#length = needed
  }

  /**
   * Writes what waits, now or within the pace.
   * @throws LowrankError where the file cannot be written, once for each reason
   */
  writeSoon(): void {
    const problem = this.#problem
    this.#problem = undefined
    if (problem !== undefined) throw problem
    const wait = this.#writtenAt + WRITE_PACE - performance.now()
    if (wait <= 0) this.write()
    else if (this.#timer === undefined) {
      // The process need not wait for it: what is left is written as it ends.
      this.#timer = setTimeout(this.#writeQuietly, wait).unref()
      process.once('exit', this.#writeQuietly)
    }
  }

  /** Writes what waits. @throws LowrankError where the file cannot be written */
  write(): void {
    this.#endWait()
    this.#writtenAt = performance.now()
    let at = 0
    try {
      this.#file ??= this.#open()
      while (at < this.#length) at += writeSync(this.#file, this.#waiting, at, this.#length - at)
      this.#length = 0
      this.#problem = undefined
    } catch (error) {
      this.#waiting.copyWithin(0, at, this.#length)
      this.#length -= at
      throw new LowrankError(
        'FILE',
        `[${this.#where}] cannot write ${this.path}: ${toError(error).message}; what it lacks is written as soon as that is possible`,
        { cause: error },
      )
    }
  }

  /** Writes what waits and lets go of the file. @throws LowrankError where the file cannot be written */
  close(): void {
    try {
      this.write()
    } finally {
      this.letGo()
    }
  }

  /** Closes the file; the next write opens what is there then. */
  letGo(): void {
    this.#endWait()
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #open(): number {
    makeDirectoriesSync(dirname(this.path))
    return openForAppending(this.path)
  }

  #endWait(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    process.off('exit', this.#writeQuietly)
  }
}

/**
 * @file A growing list of whole numbers that never copies what it holds: the last in a plain array, more in typed
 * arrays of one size before it. Lists of millions take half the memory of plain arrays, and none of their pushes takes
 * long.
 */

import type { Steps } from '../../turns.js'

const CHUNK_BITS = 13
const CHUNK = 2 ** CHUNK_BITS
/** JavaScript makes hash tables of longer arrays that are made in one go. */
const LARGEST_ARRAY = 2 ** 25

/** Anything that takes numbers. */
export interface NumberSink {
  push(value: number): unknown
}

/** Whole numbers from 0 to 2^32 - 1. */
export class NumberList implements NumberSink {
  #chunks: Uint32Array[] = []
  /** The last, fewer than a chunk. */
  #tail: number[] = []
  #before = 0

  get length(): number {
    return this.#before + this.#tail.length
  }

  push(value: number): void {
    if (this.#tail.push(value) === CHUNK) this.#seal()
  }

  #seal(): void {
    this.#chunks.push(new Uint32Array(this.#tail))
    this.#tail = []
    this.#before += CHUNK
  }

  get(at: number): number {
    return at < this.#before ? this.#chunks[at >>> CHUNK_BITS]![at & (CHUNK - 1)]! : this.#tail[at - this.#before]!
  }

  set(at: number, value: number): void {
    if (at < this.#before) this.#chunks[at >>> CHUNK_BITS]![at & (CHUNK - 1)] = value
    else this.#tail[at - this.#before] = value
  }

  /** Takes the last out; there has to be one. */
  pop(): number {
    if (this.#tail.length === 0) this.#open()
    return this.#tail.pop()!
  }

  /** Keeps the first `length` of them. */
  truncate(length: number): void {
    while (this.#before > length) {
      this.#tail = []
      this.#open()
    }
    this.#tail.length = length - this.#before
  }

  #open(): void {
    this.#tail = Array.from(this.#chunks.pop()!)
    this.#before -= CHUNK
  }

  clear(): void {
    // Setting a length of 0 again costs more than asking for it.
    if (this.length === 0) return
    if (this.#before > 0) this.#chunks = []
    this.#before = 0
    this.#tail.length = 0
  }

  /** Puts all of another list behind. */
  *append(other: NumberList): Steps<void> {
    for (let at = 0; at < other.length; at++) {
      this.push(other.get(at))
      if (at % CHUNK === CHUNK - 1) yield
    }
  }

  /** The numbers as a plain array, which takes them out of the list. */
  *drain(): Steps<number[]> {
    if (this.#before === 0) return this.#takeTail()
    const array: number[] = this.length > LARGEST_ARRAY ? [] : new Array<number>(this.length)
    yield* this.#drainInto(array)
    return array
  }

  /** The same, in a typed array where they are many: it takes half the memory, and none of its time at a stretch. */
  *drainTyped(): Steps<ArrayLike<number>> {
    if (this.#before === 0) return this.#takeTail()
    const array = new Uint32Array(this.length)
    yield* this.#drainInto(array)
    return array
  }

  #takeTail(): number[] {
    const tail = this.#tail
    this.#tail = []
    return tail
  }

  *#drainInto(array: number[] | Uint32Array): Steps<void> {
    let at = 0
    for (let index = 0; index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index]!
      for (let place = 0; place < CHUNK; place++) array[at++] = chunk[place]!
      this.#chunks[index] = NONE
      yield
    }
    for (const value of this.#tail) array[at++] = value
    this.clear()
  }
}

const NONE = new Uint32Array(0)

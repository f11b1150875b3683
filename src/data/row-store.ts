/**
 * @file Encoded rows in bounded memory: up to a budget they lie in memory, the rest in one file. Knows what an item
 * takes and where it lies, 20 bytes for each, 24 where items have several sequences; nothing of how it was made.
 *
 * 1. Items are added, then `finish` is called, then they are read in any order.
 * 2. The file loses its name as soon as it is open, where the system allows that: its space is free once the process
 *    has ended, in whatever way. Else `close` removes it.
 * 3. Reads are positioned and go into one buffer, from the system's cache of files most times; they take microseconds,
 *    like a page of a mapped file.
 */

import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { writeError } from '../atomic-write.js'
import { ownedName } from '../file-owner.js'
import { LowrankError } from '../lowrank-error.js'
import { readError } from '../regular-file.js'
import { hasWeights, type Item, type ItemList, longestOf, tokensOf, weightOf } from './items.js'
import { itemOf, recordOf } from './row-record.js'

/** Where the rows of a store go. */
export interface RowStoreOptions {
  /** Bytes of encoded rows that stay in memory. Default: all. */
  readonly memory?: number
  /** Directory of the file with the others; made where it is missing. Only needed with `memory`. */
  readonly directory?: string
}

/** An item that is already in words, and what is to be known of it without reading them. */
export interface StoredRecord {
  readonly words: Int32Array
  readonly tokens: number
  readonly longest: number
  readonly weight: number
  /** Some of its tokens counts another weight than 1. */
  readonly isWeighted: boolean
}

export function storedRecordOf(item: Item): StoredRecord {
  return {
    words: recordOf(item),
    tokens: tokensOf(item),
    longest: longestOf(item),
    weight: weightOf(item),
    isWeighted: hasWeights([item]),
  }
}

// Words of a piece of memory, or of one write.
const BLOCK = 1 << 18
const WORD_BYTES = 4

/** Words that were added one record after the other. No record lies in two blocks. */
interface Block {
  /** Where it begins among all words. */
  readonly start: number
  readonly words: Int32Array
}

export class RowStore<I extends Item = Item> implements ItemList<I> {
  readonly #memory: number
  readonly #directory: string | undefined
  readonly #blocks: Block[] = []
  /** Where records begin, and where the last one ends. */
  readonly #offsets = new Column(Float64Array)
  readonly #tokens = new Column(Int32Array)
  /** Only where some item has another longest sequence than all of it. */
  #longest: Column | undefined
  readonly #weights = new Column(Float64Array)
  #isWeighted = false
  #tail = new Int32Array(BLOCK)
  #tailStart = 0
  #filled = 0
  #file: StoreFile | undefined
  /** The first word that is in the file. */
  #fileStart = 0
  #buffer = new Int32Array(0)

  constructor({ memory = Number.POSITIVE_INFINITY, directory }: RowStoreOptions = {}) {
    this.#memory = memory
    this.#directory = directory
    this.#offsets.push(0)
  }

  get length(): number {
    return this.#tokens.length
  }

  /** Bytes of rows in memory, and in the file. */
  get bytes(): { readonly memory: number; readonly file: number } {
    const end = this.#offsets.at(this.length)
    const inFile = this.#file === undefined ? 0 : this.#tailStart - this.#fileStart
    return { memory: (end - inFile) * WORD_BYTES, file: inFile * WORD_BYTES }
  }

  /** @throws LowrankError where the file cannot be written, as on a full disk */
  add(item: I): void {
    this.addRecord(storedRecordOf(item))
  }

  /** @throws as `add` */
  addRecord({ words, tokens, longest, weight, isWeighted }: StoredRecord): void {
    if (this.#filled + words.length > this.#tail.length) this.#seal(Math.max(BLOCK, words.length))
    this.#tail.set(words, this.#filled)
    this.#filled += words.length
    this.#offsets.push(this.#tailStart + this.#filled)
    this.#tokens.push(tokens)
    if (longest !== tokens && this.#longest === undefined) {
      this.#longest = new Column(Int32Array)
      for (let row = 0; row < this.length - 1; row++) this.#longest.push(this.tokensAt(row))
    }
    this.#longest?.push(longest)
    this.#weights.push(weight)
    this.#isWeighted ||= isWeighted
  }

  /** No item is added any more. @throws as `add` */
  finish(): void {
    this.#seal(0)
  }

  at(row: number): I {
    const start = this.#offsets.at(row)
    const size = this.#offsets.at(row + 1) - start
    return itemOf(this.#wordsAt(start, size))
  }

  /** The record of an item, as long as no other is asked for. */
  recordAt(row: number): StoredRecord {
    const start = this.#offsets.at(row)
    const words = this.#wordsAt(start, this.#offsets.at(row + 1) - start)
    const [tokens, longest, weight] = [this.tokensAt(row), this.longestAt(row), this.weightAt(row)]
    // Which of the items have weights is asked of nobody.
    return { words, tokens, longest, weight, isWeighted: this.#isWeighted }
  }

  tokensAt(row: number): number {
    return this.#tokens.at(row)
  }

  longestAt(row: number): number {
    return (this.#longest ?? this.#tokens).at(row)
  }

  weightAt(row: number): number {
    return this.#weights.at(row)
  }

  get isWeighted(): boolean {
    return this.#isWeighted
  }

  *[Symbol.iterator](): Generator<I> {
    for (let row = 0; row < this.length; row++) yield this.at(row)
  }

  /** Frees memory and file. May be called more than once. */
  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#blocks.length = 0
  }

  #wordsAt(start: number, size: number): Int32Array {
    if (this.#file !== undefined && start >= this.#fileStart) {
      if (this.#buffer.length < size) this.#buffer = new Int32Array(size)
      const words = this.#buffer.subarray(0, size)
      this.#file.read(words, start - this.#fileStart)
      return words
    }
    const block = this.#blocks[lastAtOrBelow(this.#blocks, start)]
    if (block === undefined) throw new LowrankError('INVALID_CALL', '[data] expected rows that are not closed yet')
    return block.words.subarray(start - block.start, start - block.start + size)
  }

  /** Puts what was added since the last time into memory or file. */
  #seal(room: number): void {
    const block = { start: this.#tailStart, words: this.#tail.subarray(0, this.#filled) }
    const end = block.start + this.#filled
    if (this.#filled > 0) {
      if (this.#file === undefined && end * WORD_BYTES <= this.#memory)
        this.#blocks.push(room > 0 ? block : { ...block, words: block.words.slice() })
      else {
        if (this.#file === undefined) {
          this.#file = new StoreFile(this.#directory ?? '.')
          this.#fileStart = block.start
        }
        this.#file.append(block.words)
      }
    }
    this.#tailStart = end
    const isFree = this.#file !== undefined && this.#tail.length === room
    if (!isFree) this.#tail = new Int32Array(room)
    this.#filled = 0
  }
}

/** The last block that begins at a word or before it. */
function lastAtOrBelow(blocks: readonly Block[], word: number): number {
  let [low, high] = [0, blocks.length]
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if ((blocks[middle] as Block).start <= word) low = middle
    else high = middle
  }
  return low
}

/** A file that belongs to one store. */
class StoreFile {
  readonly #path: string
  readonly #descriptor: number
  #hasName: boolean
  #size = 0

  constructor(directory: string) {
    this.#path = join(directory, ownedName('.rows'))
    this.#descriptor = this.#attempt(() => {
      mkdirSync(directory, { recursive: true })
      return openSync(this.#path, 'wx+', 0o600)
    })
    this.#hasName = true
    try {
      rmSync(this.#path)
      this.#hasName = false
    } catch {
      // Some systems keep the name of a file that is open.
    }
  }

  append(words: Int32Array): void {
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
    this.#attempt(() => {
      for (let at = 0; at < bytes.length; )
        at += writeSync(this.#descriptor, bytes, at, bytes.length - at, this.#size + at)
    })
    this.#size += bytes.length
  }

  /** Fills `words` with those from `at` on. */
  read(words: Int32Array, at: number): void {
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
    for (let done = 0; done < bytes.length; ) {
      let read: number
      try {
        read = readSync(this.#descriptor, bytes, done, bytes.length - done, at * WORD_BYTES + done)
      } catch (error) {
        throw readError('data', this.#path, error)
      }
      if (read === 0) {
        throw new LowrankError(
          'FILE',
          `[data] expected ${this.#size} bytes of rows in ${this.#path}, got ${fstatSync(this.#descriptor).size}; ` +
            'another program has changed the file',
        )
      }
      done += read
    }
  }

  close(): void {
    closeSync(this.#descriptor)
    if (this.#hasName) rmSync(this.#path, { force: true })
  }

  #attempt<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw writeError(this.#path, error)
    }
  }
}

// Values of a piece of a column.
const PIECE_BITS = 16

/** Numbers that become more, in pieces: none is copied. */
class Column {
  readonly #pieces: (Int32Array | Float64Array)[] = []
  readonly #type: Int32ArrayConstructor | Float64ArrayConstructor
  length = 0

  constructor(type: Int32ArrayConstructor | Float64ArrayConstructor) {
    this.#type = type
  }

  push(value: number): void {
    const at = this.length & (2 ** PIECE_BITS - 1)
    const index = this.length >>> PIECE_BITS
    let piece = this.#pieces[index]
    if (piece === undefined || at === piece.length) {
      // The first one grows, since most data sets are small.
      const larger = new this.#type(index > 0 ? 2 ** PIECE_BITS : Math.max(1024, 4 * at))
      if (piece !== undefined) larger.set(piece)
      this.#pieces[index] = larger
      piece = larger
    }
    piece[at] = value
    this.length++
  }

  at(index: number): number {
    return (this.#pieces[index >>> PIECE_BITS] as Int32Array)[index & (2 ** PIECE_BITS - 1)] as number
  }
}

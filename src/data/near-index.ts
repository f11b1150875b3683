/**
 * @file An index of texts that finds those of a high Jaccard similarity: MinHash by one permutation in bins (Li, Owen
 * and Zhang 2012, empty bins filled as by Shrivastava 2017), looked up in bands, each candidate compared exactly.
 *
 * 1. In memory are 6 bytes for each band of a text, in a table that is half full on average, and 12 bytes for a text.
 * 2. The hashed runs of words of each text lie in a file, from which candidates are read.
 * 3. A band that very many texts share, as of a common beginning, takes no more of them: others find these texts.
 */

import { makeDirectories } from '../atomic-write.js'
import { jaccard } from './shingles.js'
import { Spool } from './spool.js'
import { mix } from './word-hashes.js'

const BINS = 128
/** Texts of one band; beyond that it says too little. */
const MOST_OF_A_BAND = 256
/** An estimate over the few bins of a short text is so far below the similarity; so many must be found still. */
const SLACK = 0.15
const LEAST_FOUND = 0.98
const LEAST_SLOTS = 1 << 12
const LARGEST_LOAD = 0.7

/** A text that was found. */
export interface Neighbour {
  /** Number under which it was added, from 0. */
  readonly id: number
  readonly similarity: number
}

/** The index. The caller closes it, which removes its file. */
export class NearIndex {
  readonly #threshold: number
  readonly #rows: number
  readonly #bands: number
  readonly #spool: Spool
  readonly #signature = new Uint32Array(BINS)
  #slots = LEAST_SLOTS
  /** The id and 1 of each slot; 0: it is free. */
  #ids = new Uint32Array(LEAST_SLOTS)
  #marks = new Uint16Array(LEAST_SLOTS)
  #used = 0
  #compared = 0

  private constructor(threshold: number, spool: Spool) {
    this.#threshold = threshold
    this.#spool = spool
    this.#rows = rowsOfBand(threshold)
    this.#bands = Math.floor(BINS / this.#rows)
  }

  /** @param directory Where its file may lie. */
  static async open(threshold: number, directory: string): Promise<NearIndex> {
    await makeDirectories(directory)
    return new NearIndex(threshold, new Spool(directory))
  }

  /** Bytes that it holds in memory. */
  get memory(): number {
    return this.#ids.byteLength + this.#marks.byteLength + this.#spool.memory
  }

  /** Pairs of texts that were compared exactly. */
  get compared(): number {
    return this.#compared
  }

  /** The most similar text of those added, where one reaches the threshold; of equal ones the first. */
  find(shingles: Uint32Array): Neighbour | undefined {
    this.#sign(shingles)
    let best: Neighbour | undefined
    const seen = new Set<number>()
    for (let band = 0; band < this.#bands; band++) {
      const hash = this.#bandHash(band)
      for (let slot = this.#slotOf(hash); this.#ids[slot] !== 0; slot = (slot + 1) % this.#slots) {
        const id = (this.#ids[slot] as number) - 1
        if (this.#marks[slot] !== hash >>> 16 || seen.has(id)) continue
        seen.add(id)
        const similarity = this.#similarity(shingles, id)
        if (similarity >= this.#threshold && (best === undefined || isBetter(similarity, id, best)))
          best = { id, similarity }
      }
    }
    return best
  }

  /** Adds a text under the next id. */
  add(shingles: Uint32Array): void {
    while ((this.#used + this.#bands) / this.#slots > LARGEST_LOAD) this.#grow()
    const id = this.#spool.add(shingles)
    this.#sign(shingles)
    for (let band = 0; band < this.#bands; band++) this.#insert(this.#bandHash(band), id)
  }

  close(): void {
    this.#spool.close()
  }

  #similarity(shingles: Uint32Array, id: number): number {
    const size = this.#spool.sizeOf(id)
    const [low, high] = size < shingles.length ? [size, shingles.length] : [shingles.length, size]
    // Sets of such different sizes cannot reach the threshold, whatever they have in common.
    if (low < this.#threshold * high) return 0
    this.#compared++
    return jaccard(shingles, this.#spool.read(id))
  }

  /** Takes the smallest hash of each bin; an empty bin takes that of another, by a rule that is the same for all. */
  #sign(shingles: Uint32Array): void {
    const signature = this.#signature
    const empty = 0xffffffff
    signature.fill(empty)
    for (const shingle of shingles) {
      const hash = mix(shingle ^ 0x9e3779b9)
      const bin = hash >>> 25
      const value = hash & 0x1ffffff
      if (value < (signature[bin] as number)) signature[bin] = value
    }
    if (shingles.length === 0) return
    const filled = signature.slice()
    for (let bin = 0; bin < BINS; bin++) {
      for (let attempt = 1; signature[bin] === empty; attempt++)
        signature[bin] = filled[mix(Math.imul(bin + 1, 0x9e3779b1) ^ Math.imul(attempt, 0x85ebca77)) % BINS] as number
    }
  }

  #bandHash(band: number): number {
    let hash = band + 1
    for (let row = 0; row < this.#rows; row++)
      hash = mix(Math.imul(hash, 0x01000193) ^ (this.#signature[band * this.#rows + row] as number))
    return hash
  }

  #slotOf(hash: number): number {
    // The mark is the upper half of the hash: the place must not follow from it.
    return Math.imul(hash, 0x9e3779b1) >>> (32 - Math.log2(this.#slots))
  }

  #insert(hash: number, id: number): void {
    let slot = this.#slotOf(hash)
    for (let same = 0; this.#ids[slot] !== 0; slot = (slot + 1) % this.#slots) {
      if (this.#marks[slot] === hash >>> 16 && ++same >= MOST_OF_A_BAND) return
    }
    this.#ids[slot] = id + 1
    this.#marks[slot] = hash >>> 16
    this.#used++
  }

  /** A table of twice the size; the bands of each text are worked out anew, since a slot holds half a hash alone. */
  #grow(): void {
    this.#slots *= 2
    this.#ids = new Uint32Array(this.#slots)
    this.#marks = new Uint16Array(this.#slots)
    this.#used = 0
    for (let id = 0; id < this.#spool.count; id++) {
      this.#sign(this.#spool.read(id))
      for (let band = 0; band < this.#bands; band++) this.#insert(this.#bandHash(band), id)
    }
  }
}

/**
 * Rows of a band: as many as still find nearly all texts whose similarity is a little below the threshold. More rows
 * give fewer candidates.
 */
function rowsOfBand(threshold: number): number {
  const similarity = Math.max(0.05, threshold - SLACK)
  for (let rows = 12; rows > 1; rows--) {
    const found = 1 - (1 - similarity ** rows) ** Math.floor(BINS / rows)
    if (found >= LEAST_FOUND) return rows
  }
  return 1
}

function isBetter(similarity: number, id: number, best: Neighbour): boolean {
  return similarity > best.similarity || (similarity === best.similarity && id < best.id)
}

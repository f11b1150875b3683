/** @file A set of hashes of 128 bits in one typed array: 16 bytes each, at most three quarters full. */

const WORDS = 4
const LEAST_SLOTS = 1 << 10
const LARGEST_LOAD = 0.75

/** The set. A hash of zeros alone is none of it, which nobody will see. */
export class HashSet {
  #slots = LEAST_SLOTS
  #words = new Uint32Array(LEAST_SLOTS * WORDS)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Bytes that it holds in memory. */
  get memory(): number {
    return this.#words.byteLength
  }

  has(hash: Uint32Array): boolean {
    return !isFree(this.#words, this.#find(hash))
  }

  /** Adds a hash. @returns whether it was not there yet */
  add(hash: Uint32Array): boolean {
    if ((this.#size + 1) / this.#slots > LARGEST_LOAD) this.#grow()
    const at = this.#find(hash)
    if (!isFree(this.#words, at)) return false
    this.#words.set(hash, at)
    this.#size++
    return true
  }

  /** Where a hash stands, or the free place for it. */
  #find(hash: Uint32Array): number {
    for (let slot = (hash[0] as number) % this.#slots; ; slot = (slot + 1) % this.#slots) {
      const at = slot * WORDS
      if (isFree(this.#words, at) || isSame(this.#words, at, hash)) return at
    }
  }

  #grow(): void {
    const old = this.#words
    this.#slots *= 2
    this.#words = new Uint32Array(this.#slots * WORDS)
    for (let at = 0; at < old.length; at += WORDS) {
      if (isFree(old, at)) continue
      const hash = old.subarray(at, at + WORDS)
      this.#words.set(hash, this.#find(hash))
    }
  }
}

function isFree(words: Uint32Array, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0
}

function isSame(words: Uint32Array, at: number, hash: Uint32Array): boolean {
  return words[at] === hash[0] && words[at + 1] === hash[1] && words[at + 2] === hash[2] && words[at + 3] === hash[3]
}

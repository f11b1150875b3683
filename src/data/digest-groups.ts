/**
 * @file Numbers for digests, equal ones for equal ones, in the order in which they first come: a hash table of 128 bits
 * for each, where a Map of texts would take ten times as much.
 */

const WORDS = 4

export class DigestGroups {
  /** Digests of the groups, one after the other. */
  #digests = new Uint32Array(1024 * WORDS)
  /** Numbers of groups + 1, at the place that the first word of the digest asks for or behind it. */
  #places = new Int32Array(4096)
  count = 0

  /** @param digest at least 128 bits */
  numberOf(digest: Buffer): number {
    const words = Uint32Array.from({ length: WORDS }, (_, word) => digest.readUInt32LE(4 * word))
    let place = this.#freeOrSame(words)
    const found = this.#places[place] as number
    if (found > 0) return found - 1
    if (this.count * WORDS === this.#digests.length) {
      this.#grow()
      place = this.#freeOrSame(words)
    }
    this.#digests.set(words, this.count * WORDS)
    this.#places[place] = ++this.count
    return this.count - 1
  }

  /** The place of a digest, or the free one that it would get. */
  #freeOrSame(words: Uint32Array): number {
    const mask = this.#places.length - 1
    for (let place = (words[0] as number) & mask; ; place = (place + 1) & mask) {
      const number = this.#places[place] as number
      if (number === 0) return place
      const at = (number - 1) * WORDS
      if (words.every((word, index) => this.#digests[at + index] === word)) return place
    }
  }

  /** A quarter of the places is taken before, and an eighth behind. */
  #grow(): void {
    const digests = new Uint32Array(this.#digests.length * 2)
    digests.set(this.#digests)
    this.#digests = digests
    this.#places = new Int32Array(this.#places.length * 2)
    for (let group = 0; group < this.count; group++) {
      const place = this.#freeOrSame(digests.subarray(group * WORDS, (group + 1) * WORDS))
      this.#places[place] = group + 1
    }
  }
}

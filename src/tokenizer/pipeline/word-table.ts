/**
 * @file The words of a tokenizer that came lately, with their tokens: a bounded number of them, in typed arrays. A word
 * is looked up where it stands in a text, so that no string is made of it.
 */

import type { NumberList } from './number-list.js'

/** The tokens of a word, and where each begins and ends in it: `[start0, end0, start1, ...]` in UTF-16 units. */
export interface KnownWord {
  readonly ids: readonly number[]
  readonly offsets: readonly number[]
}

const LONGEST = 64
const WORDS = 1 << 15
const FIRST_WORDS = 1 << 10

/** Words that are asked for again stay; the others go once so many new ones have come. */
export class WordTable {
  #recent = new Generation()
  #older: Generation | undefined

  /**
   * Puts the tokens of the word `[start, end)` of a text's units behind those in `ids`, and their places, moved by
   * `shift`, behind those in `offsets`. False where the word is not known.
   */
  put(
    text: Uint16Array,
    start: number,
    end: number,
    ids: NumberList,
    offsets: NumberList | undefined,
    shift: number,
  ): boolean {
    if (end - start > LONGEST) return false
    const hash = hashOf(text, start, end)
    let words = this.#recent
    let word = words.find(text, start, end, hash)
    if (word < 0) {
      if (this.#older === undefined) return false
      const old = this.#older.find(text, start, end, hash)
      if (old < 0) return false
      const known = this.#older.wordAt(old)
      this.#makeRoom()
      words = this.#recent
      word = words.add(text, start, end, hash, known)
    }
    words.put(word, ids, offsets, shift)
    return true
  }

  /** Remembers a word that is not known. */
  add(text: Uint16Array, start: number, end: number, known: KnownWord): void {
    if (end - start > LONGEST) return
    this.#makeRoom()
    this.#recent.add(text, start, end, hashOf(text, start, end), known)
  }

  #makeRoom(): void {
    if (this.#recent.size < WORDS) return
    const oldest = this.#older ?? new Generation()
    oldest.clear()
    this.#older = this.#recent
    this.#recent = oldest
  }
}

function hashOf(text: Uint16Array, start: number, end: number): number {
  let hash = end - start
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ text[at]!, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}

// What is known of a word: its hash, where its units and tokens begin, and how many these are.
const FIELDS = 5

class Generation {
  size = 0
  #room = FIRST_WORDS
  /** Number of a word and 1 by its hash; 0 where there is none. */
  #slots = new Int32Array(4 * FIRST_WORDS)
  #words = new Int32Array(FIELDS * FIRST_WORDS)
  #units = new Uint16Array(8 * FIRST_WORDS)
  #unitCount = 0
  /** Three numbers for each token: its id, start and end. */
  #tokens = new Uint32Array(6 * FIRST_WORDS)
  #tokenCount = 0

  /** Number of a word, or -1. */
  find(text: Uint16Array, start: number, end: number, hash: number): number {
    const slots = this.#slots
    const words = this.#words
    const units = this.#units
    const mask = slots.length - 1
    const length = end - start
    next: for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const word = slots[slot]! - 1
      if (word < 0) return -1
      const place = word * FIELDS
      if (words[place] !== hash || words[place + 2] !== length) continue
      const first = words[place + 1]!
      for (let at = 0; at < length; at++) if (units[first + at] !== text[start + at]) continue next
      return word
    }
  }

  put(word: number, ids: NumberList, offsets: NumberList | undefined, shift: number): void {
    const tokens = this.#tokens
    const first = this.#words[word * FIELDS + 3]!
    const last = first + 3 * this.#words[word * FIELDS + 4]!
    for (let at = first; at < last; at += 3) ids.push(tokens[at]!)
    if (offsets === undefined) return
    for (let at = first; at < last; at += 3) {
      offsets.push(shift + tokens[at + 1]!)
      offsets.push(shift + tokens[at + 2]!)
    }
  }

  wordAt(word: number): KnownWord {
    const first = this.#words[word * FIELDS + 3]!
    const last = first + 3 * this.#words[word * FIELDS + 4]!
    const ids: number[] = []
    const offsets: number[] = []
    for (let at = first; at < last; at += 3) {
      ids.push(this.#tokens[at]!)
      offsets.push(this.#tokens[at + 1]!, this.#tokens[at + 2]!)
    }
    return { ids, offsets }
  }

  /** Gives the number of the word. */
  add(text: Uint16Array, start: number, end: number, hash: number, { ids, offsets }: KnownWord): number {
    if (this.size === this.#room) this.#grow()
    const length = end - start
    if (this.#unitCount + length > this.#units.length) this.#units = larger(this.#units, Uint16Array)
    while (this.#tokenCount + 3 * ids.length > this.#tokens.length) this.#tokens = larger(this.#tokens, Uint32Array)
    const word = this.size++
    this.#words.set([hash, this.#unitCount, length, this.#tokenCount, ids.length], word * FIELDS)
    for (let at = start; at < end; at++) this.#units[this.#unitCount++] = text[at]!
    for (let at = 0; at < ids.length; at++) {
      this.#tokens[this.#tokenCount++] = ids[at]!
      this.#tokens[this.#tokenCount++] = offsets[2 * at]!
      this.#tokens[this.#tokenCount++] = offsets[2 * at + 1]!
    }
    this.#enter(word)
    return word
  }

  clear(): void {
    this.size = 0
    this.#unitCount = 0
    this.#tokenCount = 0
    this.#slots.fill(0)
  }

  #grow(): void {
    this.#room *= 2
    this.#words = larger(this.#words, Int32Array)
    this.#slots = new Int32Array(4 * this.#room)
    for (let word = 0; word < this.size; word++) this.#enter(word)
  }

  #enter(word: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#words[word * FIELDS]! & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = word + 1
  }
}

function larger<T extends Int32Array | Uint16Array | Uint32Array>(values: T, type: new (length: number) => T): T {
  const made = new type(2 * values.length)
  made.set(values)
  return made
}

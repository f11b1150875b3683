/**
 * @file Tokens of a vocabulary inside strings of JSON, sorted by how many characters they begin: masks of strings of
 * any length come from one walk over the vocabulary.
 */

import type { Steps } from '../turns.js'
import type { TerminalMask } from './terminal-masks.js'
import { setBit, type TokenTrie } from './token-trie.js'

const STEP = 4096

/** Any string of JSON as a table. */
export interface StringTable {
  /** The place behind a byte: `next[256 * place + byte]`; -1: the byte may not come. */
  readonly next: Int8Array
  /** The place between two characters. */
  readonly inside: number
  /** The place behind the string. */
  readonly behind: number
}

/** Values in the order of their counts; those with count `n` are `values[from[n]]` to `values[from[n + 1] - 1]`. */
interface ByCount {
  readonly values: Int32Array
  readonly from: Int32Array
}

/** The tokens that may come at one place of a string. */
export class StringTokens {
  /** Tokens that do not end the string. */
  readonly #open: ByCount
  readonly #allOpen: Uint32Array
  /** Tokens whose last byte ends it. */
  readonly #closing: ByCount
  /** Nodes of the trie whose byte ends it while tokens go on below. */
  readonly #exits: ByCount

  private constructor(allOpen: Uint32Array, open: ByCount, closing: ByCount, exits: ByCount) {
    this.#allOpen = allOpen
    this.#open = open
    this.#closing = closing
    this.#exits = exits
  }

  /** Walks over a vocabulary. */
  static *read(
    { byte, depth, end, first, ids, longest }: TokenTrie,
    size: number,
    { next, inside, behind }: StringTable,
    place: number,
  ): Steps<StringTokens> {
    const places = new Uint8Array(longest + 1)
    const begun = new Uint16Array(longest + 1)
    const open = new Counted()
    const closing = new Counted()
    const exits = new Counted()
    const allOpen = new Uint32Array((size + 31) >>> 5)
    places[0] = place
    let steps = 0
    for (let node = 1; node < byte.length; ) {
      if (++steps % STEP === 0) yield
      const level = depth[node]!
      const before = places[level - 1]!
      const to = next[256 * before + byte[node]!]!
      if (to < 0) {
        node = end[node]!
        continue
      }
      const isEnd = to === behind
      const count = begun[level - 1]! + (before === inside && !isEnd ? 1 : 0)
      places[level] = to
      begun[level] = count
      for (let at = first[node]!; at < first[node + 1]!; at++) {
        if (!isEnd) setBit(allOpen, ids[at]!)
        const list = isEnd ? closing : open
        list.add(ids[at]!, count)
      }
      if (isEnd && end[node]! > node + 1) exits.add(node, count)
      node = isEnd ? end[node]! : node + 1
    }
    return new StringTokens(allOpen, yield* open.sorted(), yield* closing.sorted(), yield* exits.sorted())
  }

  /** @param needed characters that have to come before the end @param most characters that may come; may be infinite */
  mask(needed: number, most: number): TerminalMask {
    const { values, from } = this.#open
    const fitting = endOf(this.#open, most)
    const areMost = fitting > values.length >>> 1
    const inside = areMost ? this.#allOpen.slice() : new Uint32Array(this.#allOpen.length)
    if (areMost) for (let at = fitting; at < values.length; at++) clearBit(inside, values[at]!)
    else for (let at = from[0]!; at < fitting; at++) setBit(inside, values[at]!)
    const last = endOf(this.#closing, most)
    for (let at = endOf(this.#closing, needed - 1); at < last; at++) setBit(inside, this.#closing.values[at]!)
    const begin = endOf(this.#exits, needed - 1)
    const end = endOf(this.#exits, most)
    const all = this.#exits.values
    // The same list where all are there: what comes behind is looked up by it.
    const exits = begin === 0 && end === all.length ? all : all.slice(Math.min(begin, end), end)
    return { inside, exits }
  }
}

/** Where the values end that have at most so many. */
function endOf({ values, from }: ByCount, count: number): number {
  if (count < 0) return 0
  return count + 1 < from.length ? from[count + 1]! : values.length
}

function clearBit(words: Uint32Array, id: number): void {
  words[id >>> 5]! &= ~(1 << (id & 31))
}

class Counted {
  readonly #values: number[] = []
  readonly #counts: number[] = []
  #most = 0

  add(value: number, count: number): void {
    this.#values.push(value)
    this.#counts.push(count)
    if (count > this.#most) this.#most = count
  }

  /** By counting: those of one count stay in their order. */
  *sorted(): Steps<ByCount> {
    const from = new Int32Array(this.#most + 2)
    for (const count of this.#counts) from[count + 1]!++
    for (let count = 0; count <= this.#most; count++) from[count + 1]! += from[count]!
    yield
    const at = from.slice()
    const values = new Int32Array(this.#values.length)
    for (let index = 0; index < values.length; index++) values[at[this.#counts[index]!]!++] = this.#values[index]!
    yield
    return { values, from }
  }
}

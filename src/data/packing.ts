/** @file Packing: whole rows put together so that few tokens of a sequence slot stay empty. Rows are never cut. */

import type { Steps } from '../turns.js'
import type { PackingStrategy } from './options.js'

/**
 * Groups rows so that the lengths of a group sum to at most `capacity`.
 *
 * @param order Row numbers, in the order they would be trained in; ties are resolved by it.
 * @param lengths Length of each row by row number, each at most `capacity`.
 * @returns Groups of row numbers; each row is in exactly one.
 */
export function packRows(
  order: Int32Array,
  lengths: Int32Array,
  capacity: number,
  strategy: PackingStrategy,
): Steps<number[][]> {
  return strategy === 'bfd' ? bestFitDecreasing(order, lengths, capacity) : sequential(order, lengths, capacity)
}

function* sequential(order: Int32Array, lengths: Int32Array, capacity: number): Steps<number[][]> {
  const packs: number[][] = []
  let room = -1
  for (const row of order) {
    const length = lengths[row] as number
    if (length > room) {
      yield
      packs.push([])
      room = capacity
    }
    packs.at(-1)?.push(row)
    room -= length
  }
  return packs
}

/**
 * Longest rows first, each into the fullest pack that still has room: at most 11/9 of the fewest packs possible, plus
 * one.
 */
function* bestFitDecreasing(order: Int32Array, lengths: Int32Array, capacity: number): Steps<number[][]> {
  const packs: number[][] = []
  const withRoom = new Map<number, number[][]>()
  const rooms = new SmallestAtLeast(capacity + 1)
  for (const row of yield* longestFirst(order, lengths, capacity)) {
    yield
    const length = lengths[row] as number
    const room = rooms.find(length)
    const fullest = withRoom.get(room)
    let pack = fullest?.pop()
    if (pack === undefined) {
      pack = []
      packs.push(pack)
    } else if (fullest?.length === 0) rooms.remove(room)
    pack.push(row)
    const left = (room < 0 ? capacity : room) - length
    const others = withRoom.get(left)
    if (others === undefined) withRoom.set(left, [pack])
    else others.push(pack)
    rooms.add(left)
  }
  return packs
}

const ROWS_PER_STEP = 4096

/** Rows of one length keep their order: they are counted and put in place. */
function* longestFirst(order: Int32Array, lengths: Int32Array, capacity: number): Steps<Int32Array> {
  const next = new Int32Array(capacity + 2)
  for (const [index, row] of order.entries()) {
    if (index % ROWS_PER_STEP === 0) yield
    // All rows that are longer than a length stand before it.
    next[capacity - (lengths[row] as number) + 1]!++
  }
  for (let at = 1; at < next.length; at++) next[at]! += next[at - 1] as number
  const sorted = new Int32Array(order.length)
  for (const [index, row] of order.entries()) {
    if (index % ROWS_PER_STEP === 0) yield
    sorted[next[capacity - (lengths[row] as number)]!++] = row
  }
  return sorted
}

/**
 * A set of small whole numbers that finds its smallest member at or above a bound: a bit for each number, above these a
 * bit for each word that has any, and so on.
 */
class SmallestAtLeast {
  readonly #levels: Uint32Array[] = []

  constructor(size: number) {
    for (let words = size; words > 1 || this.#levels.length === 0; ) {
      words = Math.ceil(words / 32)
      this.#levels.push(new Uint32Array(words))
    }
  }

  add(value: number): void {
    let at = value
    for (const words of this.#levels) {
      words[at >>> 5] = (words[at >>> 5] ?? 0) | (1 << (at & 31))
      at >>>= 5
    }
  }

  remove(value: number): void {
    let at = value
    for (const words of this.#levels) {
      const left = (words[at >>> 5] ?? 0) & ~(1 << (at & 31))
      words[at >>> 5] = left
      if (left !== 0) return
      at >>>= 5
    }
  }

  /** The smallest member >= `bound`, or -1. */
  find(bound: number): number {
    let from = bound
    for (const [level, words] of this.#levels.entries()) {
      const at = from >>> 5
      if (at >= words.length) return -1
      const word = (words[at] as number) & (-1 << (from & 31))
      if (word !== 0) return this.#smallestBelow(level, at * 32 + lowestBit(word))
      // Nothing is left in this word: look for a later one.
      from = at + 1
    }
    return -1
  }

  #smallestBelow(level: number, found: number): number {
    let at = found
    for (let below = level - 1; below >= 0; below--) at = at * 32 + lowestBit(this.#levels[below]?.[at] as number)
    return at
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word)
}

/** @file Packing: whole rows put together so that few tokens of a sequence slot stay empty. Rows are never cut. */

import type { PackingStrategy } from './options.js'

/**
 * Groups rows so that the lengths of a group sum to at most `capacity`.
 *
 * @param order Row numbers, in the order they would be trained in; ties are resolved by it.
 * @param lengths Length of each row by row number, each at most `capacity`.
 * @returns Groups of row numbers; each row is in exactly one.
 */
export function packRows(
  order: readonly number[],
  lengths: readonly number[],
  capacity: number,
  strategy: PackingStrategy,
): number[][] {
  return strategy === 'bfd' ? bestFitDecreasing(order, lengths, capacity) : sequential(order, lengths, capacity)
}

function sequential(order: readonly number[], lengths: readonly number[], capacity: number): number[][] {
  const packs: number[][] = []
  let room = -1
  for (const row of order) {
    const length = lengths[row] as number
    if (length > room) {
      packs.push([])
      room = capacity
    }
    packs.at(-1)?.push(row)
    room -= length
  }
  return packs
}

/** Longest rows first, each into the fullest pack that still has room: at most 11/9 of the fewest packs possible, plus one. */
function bestFitDecreasing(order: readonly number[], lengths: readonly number[], capacity: number): number[][] {
  const sorted = [...order].sort((a, b) => (lengths[b] as number) - (lengths[a] as number)) // stable
  const packs: number[][] = []
  const withRoom: number[][][] = Array.from({ length: capacity + 1 }, () => [])
  const rooms = new SmallestAtLeast(capacity + 1)
  for (const row of sorted) {
    const length = lengths[row] as number
    const room = rooms.find(length)
    let pack: number[]
    if (room < 0) {
      pack = []
      packs.push(pack)
    } else {
      pack = withRoom[room]?.pop() as number[]
      if (withRoom[room]?.length === 0) rooms.remove(room)
    }
    pack.push(row)
    const left = (room < 0 ? capacity : room) - length
    withRoom[left]?.push(pack)
    rooms.add(left)
  }
  return packs
}

/** A set of small whole numbers that finds its smallest member at or above a bound, 32 candidates at a time. */
class SmallestAtLeast {
  readonly #words: Uint32Array

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32))
  }

  add(value: number): void {
    this.#words[value >>> 5] = (this.#words[value >>> 5] ?? 0) | (1 << (value & 31))
  }

  remove(value: number): void {
    this.#words[value >>> 5] = (this.#words[value >>> 5] ?? 0) & ~(1 << (value & 31))
  }

  /** The smallest member >= `bound`, or -1. */
  find(bound: number): number {
    let at = bound >>> 5
    let word = (this.#words[at] ?? 0) & (-1 << (bound & 31))
    while (word === 0) {
      if (++at >= this.#words.length) return -1
      word = this.#words[at] ?? 0
    }
    return at * 32 + (31 - Math.clz32(word & -word))
  }
}

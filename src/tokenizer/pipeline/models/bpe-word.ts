/**
 * @file Merging the symbols of one piece, the lowest rank first and of equal ones the leftmost: a heap, so that a piece
 * of a million characters takes time that grows with its length.
 */

import { ModelError } from '../../../lowrank-error.js'
import type { NumberList } from '../number-list.js'
import type { MergeTable } from './merge-table.js'

/** Symbols in order; `lengths` are their bytes of UTF-8. */
export interface Word<Numbers = number[]> {
  readonly ids: Numbers
  readonly lengths: Numbers
}

// A key is the rank and the position in one exact number.
const POSITIONS = 2 ** 30

/** Merging under way. */
export interface Merging {
  /** Does up to `count` steps; false when nothing is left to merge. */
  advance(count: number): boolean
  /** Calls for each symbol that is left, in order, until `count` have been; false when none is left. */
  each(count: number, visit: (id: number, length: number) => void): boolean
}

export function mergeWord({ ids, lengths }: Word<NumberList>, table: MergeTable): Merging {
  const size = ids.length
  if (size >= POSITIONS) throw new ModelError(`[tokenizer] expected a piece of less than 2^30 symbols, got ${size}`)
  const symbols = new Uint32Array(size)
  const bytes = new Uint32Array(size)
  const next = new Int32Array(size)
  const previous = new Int32Array(size)
  const removed = new Uint8Array(size)
  // Each merge takes one entry out and puts at most two in.
  const heap = new Float64Array(2 * size)
  let heapSize = 0
  let read = 0
  let seeded = 0
  let reading = size === 0 ? -1 : 0
  const push = (key: number): void => {
    let at = heapSize++
    while (at > 0) {
      const parent = (at - 1) >> 2
      if (heap[parent]! <= key) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = key
  }
  const pop = (): number => {
    const top = heap[0]!
    const key = heap[--heapSize]!
    let at = 0
    for (;;) {
      const first = 4 * at + 1
      if (first >= heapSize) break
      let smallest = first
      const last = Math.min(first + 4, heapSize)
      for (let child = first + 1; child < last; child++) if (heap[child]! < heap[smallest]!) smallest = child
      if (heap[smallest]! >= key) break
      heap[at] = heap[smallest]!
      at = smallest
    }
    heap[at] = key
    return top
  }
  const offer = (at: number): void => {
    const right = next[at]!
    if (right < 0) return
    const rank = table.rank(symbols[at]!, symbols[right]!)
    if (rank >= 0) push(rank * POSITIONS + at)
  }
  const step = (): void => {
    const key = pop()
    const rank = Math.floor(key / POSITIONS)
    const at = key - rank * POSITIONS
    if (removed[at] === 1) return
    const right = next[at]!
    if (right < 0) return
    const made = table.made(rank)
    // What stands here may have changed since; then its own entry comes, or has come.
    const now = table.rank(symbols[at]!, symbols[right]!)
    if (now < 0 || table.made(now) !== made) return
    symbols[at] = made
    bytes[at]! += bytes[right]!
    removed[right] = 1
    const after = next[right]!
    next[at] = after
    if (after >= 0) previous[after] = at
    const before = previous[at]!
    if (before >= 0) offer(before)
    offer(at)
  }
  return {
    advance(count) {
      let left = count
      for (; left > 0 && read < size; left--) {
        symbols[read] = ids.get(read)
        bytes[read] = lengths.get(read++)
      }
      for (; left > 0 && seeded < size; left--) {
        next[seeded] = seeded + 1 < size ? seeded + 1 : -1
        previous[seeded] = seeded - 1
        offer(seeded++)
      }
      for (; left > 0 && heapSize > 0; left--) step()
      return seeded < size || heapSize > 0
    },
    each(count, visit) {
      for (let left = count; left > 0 && reading >= 0; left--) {
        visit(symbols[reading]!, bytes[reading]!)
        reading = next[reading]!
      }
      return reading >= 0
    },
  }
}

/** The same for a few symbols, without the heap; in the word itself. */
export function mergeShortWord({ ids, lengths }: Word, table: MergeTable): void {
  const ranks: number[] = []
  for (let at = 0; at + 1 < ids.length; at++) ranks.push(table.rank(ids[at]!, ids[at + 1]!))
  for (;;) {
    let best = -1
    let bestAt = -1
    for (let at = 0; at < ranks.length; at++) {
      const rank = ranks[at]!
      if (rank >= 0 && (best < 0 || rank < best)) {
        best = rank
        bestAt = at
      }
    }
    if (bestAt < 0) return
    ids[bestAt] = table.made(best)
    lengths[bestAt]! += lengths[bestAt + 1]!
    for (let at = bestAt + 1; at + 1 < ids.length; at++) {
      ids[at] = ids[at + 1]!
      lengths[at] = lengths[at + 1]!
    }
    for (let at = bestAt; at + 1 < ranks.length; at++) ranks[at] = ranks[at + 1]!
    ids.pop()
    lengths.pop()
    ranks.pop()
    if (bestAt > 0) ranks[bestAt - 1] = table.rank(ids[bestAt - 1]!, ids[bestAt]!)
    if (bestAt < ranks.length) ranks[bestAt] = table.rank(ids[bestAt]!, ids[bestAt + 1]!)
  }
}

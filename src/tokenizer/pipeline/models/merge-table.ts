/**
 * @file The merges of a BPE model, found by the ids of their two parts: a hash table in typed arrays, since there may
 * be hundreds of thousands.
 */

export interface MergeTable {
  /** Rank of the merge of two tokens, or -1. A later merge of the same two takes the place of an earlier one. */
  rank(left: number, right: number): number
  add(left: number, right: number, rank: number, made: number): void
  /** Id that the merge of a rank makes. */
  made(rank: number): number
}

export function mergeTable(count: number): MergeTable {
  let bits = 4
  while (2 ** bits < 2 * count) bits++
  const mask = 2 ** bits - 1
  const lefts = new Uint32Array(mask + 1)
  const rights = new Uint32Array(mask + 1)
  const ranks = new Int32Array(mask + 1).fill(-1)
  const madeBy = new Uint32Array(count)
  const slotOf = (left: number, right: number): number => {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right ^ (right >>> 15), 0x85ebca77)
    hash ^= hash >>> 16
    let slot = hash & mask
    while (ranks[slot] !== -1 && (lefts[slot] !== left || rights[slot] !== right)) slot = (slot + 1) & mask
    return slot
  }
  return {
    rank: (left, right) => ranks[slotOf(left, right)]!,
    made: (rank) => madeBy[rank]!,
    add: (left, right, rank, made) => {
      const slot = slotOf(left, right)
      lefts[slot] = left
      rights[slot] = right
      ranks[slot] = rank
      madeBy[rank] = made
    },
  }
}

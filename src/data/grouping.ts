/** @file Batches by length: rows of similar length side by side, and batches filled up to a number of tokens. */

import type { Steps } from '../turns.js'

// As LengthGroupedSampler of transformers has it: so many batches, or a quarter of all, are sorted together.
const BATCHES_SORTED = 50
const FEWEST_PARTS = 4
const ROWS_PER_STEP = 4096

/**
 * Rows in parts that are sorted by length, the longest first; of all parts that with the longest row comes first. The
 * rows of a batch are alike, and the order of batches still depends on the shuffle.
 *
 * @param order Row numbers, shuffled.
 * @param lengths Length of each row by row number.
 * @param batchSize Rows of an optimizer step.
 */
export function* groupedByLength(order: Int32Array, lengths: Int32Array, batchSize: number): Steps<Int32Array> {
  const batches = Math.max(1, Math.min(Math.floor(order.length / (batchSize * FEWEST_PARTS)), BATCHES_SORTED))
  const size = batches * batchSize
  const lengthOf = (row: number): number => lengths[row] as number
  const parts: number[][] = []
  for (let start = 0; start < order.length; start += size) {
    yield
    // Rows of one length keep their order, as sorted() of Python has it with reverse=True.
    parts.push([...order.subarray(start, start + size)].sort((left, right) => lengthOf(right) - lengthOf(left)))
  }
  let longest = 0
  parts.forEach(([first = 0], part) => {
    if (lengthOf(first) > lengthOf(parts[longest]?.[0] as number)) longest = part
  })
  // The longest row of all changes places with the first.
  const [first, other] = [parts[0] as number[], parts[longest] as number[]]
  ;[first[0], other[0]] = [other[0] as number, first[0] as number]
  const grouped = new Int32Array(order.length)
  let at = 0
  for (const part of parts) {
    yield
    grouped.set(part, at)
    at += part.length
  }
  return grouped
}

/**
 * Where batches begin that take rows in order as long as their tokens fit, one more than there are batches.
 *
 * @param lengths Length of each row by row number, each at most `capacity`.
 */
export function* filledBatches(order: Int32Array, lengths: Int32Array, capacity: number): Steps<Int32Array> {
  const starts = [0]
  let tokens = 0
  for (const [at, row] of order.entries()) {
    if (at % ROWS_PER_STEP === 0) yield
    const length = lengths[row] as number
    if (tokens + length > capacity) {
      starts.push(at)
      tokens = 0
    }
    tokens += length
  }
  starts.push(order.length)
  return Int32Array.from(starts)
}

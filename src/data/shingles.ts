/** @file A text as a set of hashed runs of words, and how much two of them have in common. */

import { mix, wordHashes } from './word-hashes.js'

/**
 * The set of runs of `size` words, hashed to 32 bits and sorted. A shorter text is one run; a text without words has
 * none.
 */
export function shinglesOf(text: string, size: number): Uint32Array {
  const words = wordHashes(text)
  if (words.length === 0) return new Uint32Array(0)
  const count = Math.max(1, words.length - size + 1)
  const hashes = new Uint32Array(count)
  for (let start = 0; start < count; start++) {
    let hash = 0
    const end = Math.min(start + size, words.length)
    for (let at = start; at < end; at++) hash = mix(Math.imul(hash, 0x1000193) ^ (words[at] as number))
    hashes[start] = hash
  }
  hashes.sort()
  let kept = 1
  for (let at = 1; at < count; at++) if (hashes[at] !== hashes[at - 1]) hashes[kept++] = hashes[at] as number
  return hashes.subarray(0, kept)
}

/** The share of runs that two sorted sets have in common, of all runs of both. */
export function jaccard(first: Uint32Array, second: Uint32Array): number {
  let common = 0
  for (let i = 0, j = 0; i < first.length && j < second.length; ) {
    const difference = (first[i] as number) - (second[j] as number)
    if (difference === 0) common++
    if (difference <= 0) i++
    if (difference >= 0) j++
  }
  const all = first.length + second.length - common
  return all === 0 ? 1 : common / all
}

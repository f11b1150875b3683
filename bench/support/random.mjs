// @ts-check
/** @file Numbers from a seed: ids of tokens and values that nobody looks at. */

/** Numbers in [0, 1) from a seed (mulberry32). @param {number} seed */
export function uniform(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Values in [-scale, scale), a block of them over and over: as good as random for what takes the time. @param {number} count */
export function values(count, scale = 1) {
  const result = new Float32Array(count)
  const random = uniform(11)
  const block = Math.min(count, 65_537)
  for (let i = 0; i < block; i++) result[i] = (2 * random() - 1) * scale
  for (let filled = block; filled < count; filled *= 2) result.copyWithin(filled, 0, Math.min(filled, count - filled))
  return result
}

/** @param {() => number} random @param {number} count @param {number} vocabSize */
export function randomIds(random, count, vocabSize) {
  return Array.from({ length: count }, () => Math.floor(random() * vocabSize))
}

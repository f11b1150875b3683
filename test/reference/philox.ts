/**
 * @file Philox 4x32-10 (Salmon et al. 2011) in BigInt arithmetic, and the dropout factors that the engine makes from
 * it.
 */

const MASK = 0xffffffffn

/** The four output words of one counter under one key. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  let [k0, k1] = key.map(BigInt) as [bigint, bigint]
  for (let round = 0; round < 10; round++) {
    const first = 0xd2511f53n * c0
    const second = 0xcd9e8d57n * c2
    c0 = (second >> 32n) ^ c1 ^ k0
    c2 = (first >> 32n) ^ c3 ^ k1
    c1 = second & MASK
    c3 = first & MASK
    k0 = (k0 + 0x9e3779b9n) & MASK
    k1 = (k1 + 0xbb67ae85n) & MASK
  }
  return [c0, c1, c2, c3].map(Number)
}

export interface DropoutKey {
  p: number
  seed: number
  microStep: number
  dropoutStream: number
}

/**
 * What element e = row * cols + col is multiplied by: 1 / (1 - p), or 0. p counts as the float32 that the engine gets.
 */
export function dropoutFactor({ p, seed, microStep, dropoutStream }: DropoutKey, element: number): number {
  const rounded = Math.fround(p)
  const block = Math.floor(element / 4)
  const counter = [block % 2 ** 32, Math.floor(block / 2 ** 32), microStep, dropoutStream]
  const word = philox(counter, [seed % 2 ** 32, Math.floor(seed / 2 ** 32)])[element % 4] as number
  return word >= rounded * 2 ** 32 ? 1 / (1 - rounded) : 0
}

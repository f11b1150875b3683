/** @file Seeded random numbers, small and the same on every machine: for shuffling, splits and fresh weights. */

/**
 * xoshiro128** (Blackman and Vigna, https://prng.di.unimi.it), its state filled by splitmix32 from the seed and the
 * numbers that tell streams apart, for example the epoch. JavaScript's Math.random cannot be seeded.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number, ...streams: readonly number[]) {
    let state = 0x9e3779b9
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0
      let mixed = state
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
      return mixed ^ (mixed >>> 15)
    }
    for (const value of [seed, ...streams]) {
      state = next() ^ (value | 0)
      state = next() ^ Math.floor(value / 2 ** 32)
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1 // never all zero
  }

  /** The next 32 bits, as a number from 0 to 2^32 - 1. */
  next(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotate(this.#d, 11)
    return result
  }

  /** A whole number from 0 to `bound` - 1, each equally likely. */
  below(bound: number): number {
    // Values above the last whole multiple of `bound` would favour small results.
    const limit = 2 ** 32 - (2 ** 32 % bound)
    let value = this.next()
    while (value >= limit) value = this.next()
    return value % bound
  }

  /** So many values from a normal distribution: of two uniform numbers, two normal ones are made (Box and Muller). */
  normals(count: number, mean: number, std: number): Float32Array {
    const values = new Float32Array(count)
    for (let i = 0; i < count; i += 2) {
      const radius = std * Math.sqrt(-2 * Math.log((this.next() + 1) / 2 ** 32))
      const angle = (2 * Math.PI * this.next()) / 2 ** 32
      values[i] = mean + radius * Math.cos(angle)
      if (i + 1 < count) values[i + 1] = mean + radius * Math.sin(angle)
    }
    return values
  }

  /** So many values from -bound to bound, each equally likely. */
  uniforms(count: number, bound: number): Float32Array {
    const values = new Float32Array(count)
    for (let i = 0; i < count; i++) values[i] = (this.next() / 2 ** 31 - 1) * bound
    return values
  }

  /** Shuffles in place (Fisher-Yates) and returns its argument. */
  shuffle_<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let last = items.length - 1; last > 0; last--) this.#swap(items, last)
    return items
  }

  /** `shuffle_` for many items: yields wherever it may be interrupted. */
  *shuffleSteps_<T extends { length: number; [index: number]: unknown }>(items: T): Generator<undefined, T, undefined> {
    for (let last = items.length - 1; last > 0; last--) {
      if (last % SWAPS_PER_STEP === 0) yield
      this.#swap(items, last)
    }
    return items
  }

  #swap(items: { [index: number]: unknown }, last: number): void {
    const other = this.below(last + 1)
    const kept = items[last]
    items[last] = items[other]
    items[other] = kept
  }
}

const SWAPS_PER_STEP = 4096

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

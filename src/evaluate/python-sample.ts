/**
 * @file Draws as `random.Random(seed).sample(range(n), k)` of Python does, number by number, so that a task has the
 * examples that lm-evaluation-harness draws for it. For everything else there is src/random.ts.
 */

const SIZE = 624
const MIDDLE = 397

/**
 * MT19937 (Matsumoto and Nishimura 1998, http://www.math.sci.hiroshima-u.ac.jp/m-mat/MT/emt.html), seeded from a
 * number as Python seeds it.
 */
export class PythonRandom {
  readonly #state = new Uint32Array(SIZE)
  #place = SIZE

  /** @param seed A whole number from 0 to 2^32 - 1. */
  constructor(seed: number) {
    const state = this.#state
    state[0] = 19650218
    const mixed = (place: number): number => {
      const before = state[place - 1] as number
      return before ^ (before >>> 30)
    }
    for (let place = 1; place < SIZE; place++) state[place] = Math.imul(1812433253, mixed(place)) + place
    // The key is the seed alone, so its place among the keys is always 0.
    let place = 1
    const step = (factor: number, added: number, sign: number): void => {
      state[place] = ((state[place] as number) ^ Math.imul(factor, mixed(place))) + added - sign * place
      place++
      if (place < SIZE) return
      state[0] = state[SIZE - 1] as number
      place = 1
    }
    for (let count = 0; count < SIZE; count++) step(1664525, seed, 0)
    for (let count = 1; count < SIZE; count++) step(1566083941, 0, 1)
    state[0] = 0x80000000
  }

  /** The next 32 bits. */
  #next(): number {
    if (this.#place === SIZE) this.#twist()
    let bits = this.#state[this.#place++] as number
    bits ^= bits >>> 11
    bits ^= (bits << 7) & 0x9d2c5680
    bits ^= (bits << 15) & 0xefc60000
    return (bits ^ (bits >>> 18)) >>> 0
  }

  #twist(): void {
    const state = this.#state
    for (let place = 0; place < SIZE; place++) {
      const next = state[(place + 1) % SIZE] as number
      const bits = ((state[place] as number) & 0x80000000) | (next & 0x7fffffff)
      state[place] = (state[(place + MIDDLE) % SIZE] as number) ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0)
    }
    this.#place = 0
  }

  #below(bound: number): number {
    const bits = 32 - Math.clz32(bound)
    let value = this.#next() >>> (32 - bits)
    while (value >= bound) value = this.#next() >>> (32 - bits)
    return value
  }

  /** `count` different numbers from 0 to `size` - 1. @param count At most `size`. */
  sample(size: number, count: number): number[] {
    const drawn: number[] = []
    // Python copies small lists, and remembers what it took of large ones: the numbers drawn differ.
    const smallest = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0)
    if (size <= smallest) {
      const left = Array.from({ length: size }, (_, index) => index)
      for (let taken = 0; taken < count; taken++) {
        const place = this.#below(size - taken)
        drawn.push(left[place] as number)
        left[place] = left[size - taken - 1] as number
      }
      return drawn
    }
    const taken = new Set<number>()
    while (drawn.length < count) {
      const place = this.#below(size)
      if (taken.has(place)) continue
      taken.add(place)
      drawn.push(place)
    }
    return drawn
  }
}

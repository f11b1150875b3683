/**
 * @file Which rows share a run of words with an evaluation set: a run of 13 words is what is usually asked for (Brown
 * et al. 2020, appendix C). Knows no files.
 */

import { HashSet } from './hash-set.js'
import { mix, wordHashes } from './word-hashes.js'

/** Words of a short value that people do not write by chance. */
const LEAST_WORDS = 6

/** The runs of words of an evaluation set. */
export class EvaluationRuns {
  readonly #size: number
  readonly #runs = new HashSet()
  readonly #hash = new Uint32Array(4)

  /** @param size Words of a run. */
  constructor(size: number) {
    this.#size = size
  }

  /** Bytes that it holds in memory. */
  get memory(): number {
    return this.#runs.memory
  }

  get count(): number {
    return this.#runs.size
  }

  /** Adds the runs of the values of a row. */
  add(values: readonly string[]): void {
    for (const run of this.#runsOf(values)) this.#runs.add(run)
  }

  /** Whether the values of a row have one of the runs. */
  isIn(values: readonly string[]): boolean {
    for (const run of this.#runsOf(values)) if (this.#runs.has(run)) return true
    return false
  }

  /** A run lies within one value. A value that is shorter is one run; a few words alone say nothing. */
  *#runsOf(values: readonly string[]): Generator<Uint32Array> {
    for (const value of values) {
      const words = wordHashes(value)
      const size = Math.min(this.#size, words.length)
      if (size < Math.min(this.#size, LEAST_WORDS)) continue
      for (let start = 0; start + size <= words.length; start++) yield this.#hashOf(words, start, size)
    }
  }

  #hashOf(words: readonly number[], start: number, size: number): Uint32Array {
    const hash = this.#hash
    // The length is part of it: a short text is found where it is all of a row, not within every sentence.
    for (let lane = 0; lane < hash.length; lane++) hash[lane] = mix(size * 4 + lane)
    for (let at = start; at < start + size; at++) {
      const word = words[at] as number
      for (let lane = 0; lane < hash.length; lane++)
        hash[lane] = mix(Math.imul((hash[lane] as number) ^ word, 0x9e3779b1 + 2 * lane))
    }
    return hash
  }
}

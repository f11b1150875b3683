/** @file The words of a tokenizer that came lately, with their tokens: a bounded number of them. */

/** The tokens of a word, and where each begins and ends in it: `[start0, end0, start1, ...]` in UTF-16 units. */
export interface KnownWord {
  readonly ids: readonly number[]
  readonly offsets: readonly number[]
}

const LONGEST = 64
const WORDS = 30_000

/** Words that are asked for again stay; the others go once so many new ones have come. */
export class WordCache {
  #recent = new Map<string, KnownWord>()
  #older = new Map<string, KnownWord>()

  get(word: string): KnownWord | undefined {
    if (word.length > LONGEST) return undefined
    const known = this.#recent.get(word)
    if (known !== undefined) return known
    const old = this.#older.get(word)
    if (old !== undefined) this.set(word, old)
    return old
  }

  set(word: string, known: KnownWord): void {
    if (word.length > LONGEST) return
    if (this.#recent.size >= WORDS) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(word, known)
  }
}

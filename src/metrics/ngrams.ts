/** @file How often runs of tokens (n-grams) of one text stand in others. */

/**
 * The n-grams of a text, of all lengths up to an order, each with its number.
 * @template Token what the text is made of: words, or the codes of characters
 */
export class NgramIndex<Token> {
  /** How often the text has each n-gram, by its number. */
  readonly counts: number[] = []
  /** The length of each n-gram, by its number. */
  readonly lengths: number[] = []
  readonly #order: number
  readonly #tokens = new Map<Token, number>()
  // An n-gram is the one without its last token, and this token: one number for both.
  readonly #numbers = new Map<number, number>()

  constructor(text: readonly Token[], order: number) {
    this.#order = order
    for (const token of text) if (!this.#tokens.has(token)) this.#tokens.set(token, this.#tokens.size)
    const tokens = this.#numbersOf(text)
    for (let start = 0; start < tokens.length; start++) {
      const end = Math.min(start + order, tokens.length)
      let ngram = -1
      for (let i = start; i < end; i++) {
        const key = (ngram + 1) * this.#tokens.size + tokens[i]!
        let number = this.#numbers.get(key)
        if (number === undefined) {
          number = this.counts.length
          this.#numbers.set(key, number)
          this.counts.push(0)
          this.lengths.push(i - start + 1)
        }
        this.counts[number]!++
        ngram = number
      }
    }
  }

  /** How often another text has each n-gram of this one. */
  countIn(text: readonly Token[]): Int32Array {
    const counts = new Int32Array(this.counts.length)
    const tokens = this.#numbersOf(text)
    for (let start = 0; start < tokens.length; start++) {
      const end = Math.min(start + this.#order, tokens.length)
      let ngram = -1
      for (let i = start; i < end && tokens[i]! >= 0; i++) {
        const number = this.#numbers.get((ngram + 1) * this.#tokens.size + tokens[i]!)
        // What begins with a run that is not there is not there either.
        if (number === undefined) break
        counts[number]!++
        ngram = number
      }
    }
    return counts
  }

  /**
   * How many n-grams of each length, from 1, both have: each as often as the one that has it less often.
   * @param counts how often the other has each n-gram of this text
   */
  matches(counts: Int32Array): Float64Array {
    const matches = new Float64Array(this.#order)
    for (let number = 0; number < counts.length; number++)
      matches[this.lengths[number]! - 1]! += Math.min(this.counts[number]!, counts[number]!)
    return matches
  }

  /** The number of each token; -1 for those that this text does not have. */
  #numbersOf(text: readonly Token[]): Int32Array {
    return Int32Array.from(text, (token) => this.#tokens.get(token) ?? -1)
  }
}

/** How many n-grams of a length a text of some tokens has. */
export function ngramTotal(tokens: number, length: number): number {
  return Math.max(0, tokens - length + 1)
}

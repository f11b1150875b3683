/** @file Tokens to text while they come: whole characters only, and nothing that a stop string may take back. */

import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** What a decoder writes for bytes that are no whole character (yet). */
const REPLACEMENT = '\ufffd'

/** The text of a growing list of ids, piece by piece. */
export class IncrementalText {
  readonly #tokenizer: Tokenizer
  readonly #stopStrings: readonly string[]
  readonly #ids: number[] = []
  /** Ids before `#told` are in the text already. Those from `#context` on are decoded with the new ones, which may look different without them. */
  #context = 0
  #told = 0
  /** Text that is decoded but may be the beginning of a stop string. */
  #held = ''
  #stopped = false

  constructor(tokenizer: Tokenizer, stopStrings: readonly string[] = []) {
    this.#tokenizer = tokenizer
    this.#stopStrings = stopStrings
  }

  /** Whether a stop string came. It is not part of the text. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Takes the next id; returns the text that is certain now. Special tokens have none. */
  push(id: number): string {
    this.#ids.push(id)
    const piece = this.#newText()
    if (piece === '' || piece.endsWith(REPLACEMENT)) return ''
    this.#context = this.#told
    this.#told = this.#ids.length
    return this.#release(piece)
  }

  /** The text that was held back, when no more ids come. */
  end(): string {
    if (this.#stopped) return ''
    const rest = this.#release(this.#newText())
    const held = this.#held
    this.#held = ''
    return this.#stopped ? rest : rest + held
  }

  #newText(): string {
    const decode = (end: number): string =>
      this.#tokenizer.decode(this.#ids.slice(this.#context, end), { skipSpecialTokens: true })
    return decode(this.#ids.length).slice(decode(this.#told).length)
  }

  /** Up to a stop string, else up to what may become one. */
  #release(piece: string): string {
    const text = this.#held + piece
    const stops = this.#stopStrings.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
    this.#stopped = stops.length > 0
    const end = this.#stopped ? Math.min(...stops) : text.length - heldLength(text, this.#stopStrings)
    this.#held = this.#stopped ? '' : text.slice(end)
    return text.slice(0, end)
  }
}

/** Length of the longest end of `text` that a stop string begins with. */
function heldLength(text: string, stopStrings: readonly string[]): number {
  let longest = 0
  for (const stop of stopStrings) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--)
      if (text.endsWith(stop.slice(0, length))) longest = length
  }
  return longest
}

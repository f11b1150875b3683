/** @file Tokens to text while they come: whole characters only, and nothing that a stop string may take back. */

import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** What a decoder writes for bytes that are no whole character (yet). */
const REPLACEMENT = '\ufffd'

/**
 * A piece of what stop strings are looked for in. The text of special tokens is a part of that, but not of the answer.
 */
interface Piece {
  readonly text: string
  readonly isTold: boolean
}

/** The text of a growing list of ids, piece by piece. */
export class IncrementalText {
  readonly #tokenizer: Tokenizer
  readonly #stopStrings: readonly string[]
  /** Texts of special tokens by id; empty where no stop string could have a part of one. */
  readonly #specialTexts: ReadonlyMap<number, string>
  readonly #ids: number[] = []
  /**
   * Ids before `#told` are in the text already. Those from `#context` on are decoded with the new ones, which may look
   * different without them.
   */
  #context = 0
  #told = 0
  /** What is decoded but may be the beginning of a stop string. */
  #held: readonly Piece[] = []
  #stopped = false
  #decoded = 0

  constructor(tokenizer: Tokenizer, stopStrings: readonly string[] = []) {
    this.#tokenizer = tokenizer
    this.#stopStrings = stopStrings
    const special = stopStrings.length > 0 ? [...tokenizer.specialTokens] : []
    this.#specialTexts = new Map(special.map(([text, id]) => [id, text]))
  }

  /** Whether a stop string came. It is not part of the text. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** UTF-16 units of all that is decoded, held back or not. */
  get decodedLength(): number {
    return this.#decoded
  }

  /**
   * Takes the next id; returns the text that is certain now. Special tokens have none, but stop strings may name them.
   */
  push(id: number): string {
    this.#ids.push(id)
    const text = this.#newText()
    const special = { text: this.#specialTexts.get(id) ?? '', isTold: false }
    // A special token ends a character that is not whole, and its text comes behind it.
    const mayGoOn = text.endsWith(REPLACEMENT) && special.text === ''
    if (text === '' || mayGoOn) return this.#release(special)
    this.#context = this.#told
    this.#told = this.#ids.length
    this.#decoded += text.length
    return this.#release({ text, isTold: true }, special)
  }

  /** The text that was held back, when no more ids come. */
  end(): string {
    if (this.#stopped) return ''
    const text = this.#newText()
    this.#decoded += text.length
    const rest = this.#release({ text, isTold: true })
    const held = this.#held
    this.#held = []
    return this.#stopped ? rest : rest + toldText(held)
  }

  #newText(): string {
    const decode = (end: number): string =>
      this.#tokenizer.decode(this.#ids.slice(this.#context, end), { skipSpecialTokens: true })
    const [all, told] = [decode(this.#ids.length), decode(this.#told)]
    if (all.startsWith(told)) return all.slice(told.length)
    // The new ids changed what was told, as where a decoder takes a space away before a full stop: what is new comes
    // whole.
    let same = 0
    while (same < told.length && all[same] === told[same]) same++
    return all.slice(same)
  }

  /** Up to a stop string, else up to what may become one. */
  #release(...pieces: readonly Piece[]): string {
    const all = [...this.#held, ...pieces].filter(({ text }) => text !== '')
    const text = all.map((piece) => piece.text).join('')
    const stops = this.#stopStrings.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
    this.#stopped = stops.length > 0
    const end = this.#stopped ? Math.min(...stops) : text.length - heldLength(text, this.#stopStrings)
    const [released, held] = splitAt(all, end)
    this.#held = this.#stopped ? [] : held
    return toldText(released)
  }
}

function toldText(pieces: readonly Piece[]): string {
  return pieces.map(({ text, isTold }) => (isTold ? text : '')).join('')
}

/** The pieces before and from a place in their text. */
function splitAt(pieces: readonly Piece[], at: number): [before: Piece[], after: Piece[]] {
  const before: Piece[] = []
  const after: Piece[] = []
  let start = 0
  for (const piece of pieces) {
    const cut = Math.min(Math.max(at - start, 0), piece.text.length)
    if (cut > 0) before.push({ ...piece, text: piece.text.slice(0, cut) })
    if (cut < piece.text.length) after.push({ ...piece, text: piece.text.slice(cut) })
    start += piece.text.length
  }
  return [before, after]
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

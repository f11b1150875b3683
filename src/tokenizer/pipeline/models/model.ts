/** @file What every model of a tokenizer does: pieces of text to ids of its vocabulary. */

import { ModelError } from '../../../lowrank-error.js'
import type { Steps } from '../../../turns.js'
import { NumberList } from '../number-list.js'
import { pushEdges } from '../post-processors.js'

/** Where the tokens of a piece stand in it, in bytes of UTF-8. */
export class Spans {
  readonly starts = new NumberList()
  readonly ends = new NumberList()
  readonly #edges: NumberList | undefined

  /** @param edges Takes the white space that each token begins and ends with. Default: nobody asks for it. */
  constructor(edges: NumberList | undefined) {
    this.#edges = edges
  }

  /** Whether `push` needs the text of a token. */
  get asksText(): boolean {
    return this.#edges !== undefined
  }

  push(start: number, end: number, text: string): void {
    this.starts.push(start)
    this.ends.push(end)
    if (this.#edges !== undefined) pushEdges(text, this.#edges)
  }

  /** Begins another piece. */
  clear(): void {
    this.starts.clear()
    this.ends.clear()
  }
}

export interface Model {
  readonly vocabulary: Vocabulary
  /**
   * Appends the ids of a piece, and where they stand if that is asked for.
   * @throws where a piece has no id and there is no unknown token
   */
  tokenize(piece: string, ids: NumberList, spans?: Spans): void
  /**
   * The ids of a short piece and how many of its units each covers, not remembered; undefined for pieces that are not
   * only letters, of ASCII or for bytes.
   */
  wordOfLetters?(piece: string): { readonly ids: readonly number[]; readonly lengths: readonly number[] } | undefined
  /** The same for a long piece, in steps. */
  tokenizeInSteps(piece: string, ids: NumberList, spans?: Spans): Steps<void>
}

/** Tokens and their ids. */
export interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>
  readonly texts: ReadonlyMap<number, string> | readonly (string | undefined)[]
  /** Number of tokens. */
  readonly size: number
}

export function textOfId({ texts }: Vocabulary, id: number): string | undefined {
  return Array.isArray(texts) ? texts[id] : (texts as ReadonlyMap<number, string>).get(id)
}

/** For models whose pieces are short: all at once. */
export function* atOnce(model: Pick<Model, 'tokenize'>, piece: string, ids: NumberList, spans?: Spans): Steps<void> {
  yield
  model.tokenize(piece, ids, spans)
}

/** The error for text that a vocabulary cannot say. */
export function noToken(): Error {
  return new ModelError(
    '[tokenizer] expected every token in the vocabulary of the tokenizer, got text that it has none for, and no ' +
      'unk_token; remove unusual characters or use another tokenizer',
  )
}

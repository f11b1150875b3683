/** @file Which ids may come next in an answer: what a grammar tells whoever draws tokens. */

/** Says which ids may come next in an answer: a grammar, as the engine sees it. It belongs to one answer. */
export interface TokenMask {
  /**
   * Sets bit `id % 32` of word `id >> 5` for each id that may come next and clears the others.
   *
   * @param words ceil(V / 32) words
   * @returns false where every id may come: `words` then mean nothing
   */
  allowed(words: Uint32Array): boolean
  /**
   * Makes what `allowed` tells next, in short turns of the event loop. Whoever does not call it waits in `allowed`.
   *
   * @returns undefined where nothing is left to make
   */
  prepare?(): Promise<void> | undefined
  /** The id that came. */
  accept(id: number): void
}

/** @file The text of each token of a sequence, so that all texts together are the decoded sequence. */

import type { Tokenizer } from '../tokenizer/tokenizer.js'

// Tokens that are decoded together with the next one: what a decoder does with a token depends on its neighbours.
const CONTEXT_TOKENS = 8
const UNFINISHED = '\ufffd'
// A character has at most four bytes, and a token at least one.
const MOST_TOKENS_OF_CHARACTER = 4

/**
 * What each token adds to the text. Where several tokens share a character, the last of them has it, and the others
 * have the empty string.
 */
export function tokenTexts(tokenizer: Pick<Tokenizer, 'decode'>, ids: ArrayLike<number>): string[] {
  const all = Array.from(ids)
  const texts: string[] = []
  let from = 0
  while (from < all.length) {
    const context = all.slice(Math.max(0, from - CONTEXT_TOKENS), from)
    const before = tokenizer.decode(context, { skipSpecialTokens: false })
    let size = 1
    let added = ''
    for (; ; size++) {
      added = addedTo(
        before,
        tokenizer.decode([...context, ...all.slice(from, from + size)], { skipSpecialTokens: false }),
      )
      const isWhole = !added.endsWith(UNFINISHED) || size === MOST_TOKENS_OF_CHARACTER || from + size >= all.length
      if (isWhole) break
    }
    for (let at = 1; at < size; at++) texts.push('')
    texts.push(added)
    from += size
  }
  return texts
}

function addedTo(before: string, after: string): string {
  if (after.startsWith(before)) return after.slice(before.length)
  let same = 0
  while (same < before.length && before[same] === after[same]) same++
  return after.slice(same)
}

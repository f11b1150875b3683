/** @file Log probabilities of tokens as OpenAI writes them: with the text and the bytes of each token. */

import type { InferenceToken, TokenLogprob } from '../inference/inference-request.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** A token with its log probability, as chat completions and responses have it. */
interface TokenEntry {
  readonly token: string
  readonly logprob: number
  /** UTF-8; null where the text is a part of a character. */
  readonly bytes: readonly number[] | null
}

/** An impossible token's, as OpenAI writes it: JSON has no -Infinity. */
const LOWEST = -9999

/** The text of one token. */
export function tokenText(tokenizer: Tokenizer, id: number): string {
  return tokenizer.decode([id], { skipSpecialTokens: false })
}

function tokenEntry(tokenizer: Tokenizer, { id, logprob }: TokenLogprob): TokenEntry {
  const token = tokenText(tokenizer, id)
  const bytes = token.includes('\ufffd') ? null : [...new TextEncoder().encode(token)]
  return { token, logprob: Math.max(LOWEST, logprob), bytes }
}

/** A token and the most likely ones in its place. */
export function logprobEntry(
  tokenizer: Tokenizer,
  { id, logprob = 0, topLogprobs = [] }: InferenceToken,
): TokenEntry & { readonly top_logprobs: readonly TokenEntry[] } {
  const top = topLogprobs.map((likely) => tokenEntry(tokenizer, likely))
  return { ...tokenEntry(tokenizer, { id, logprob }), top_logprobs: top }
}

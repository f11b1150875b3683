/** @file Log probabilities of tokens as OpenAI writes them: with the text and the bytes of each token. */

import type { InferenceToken, TokenLogprob } from '../inference/inference-request.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/** A token with its log probability, as chat completions and responses have it. */
interface TokenEntry {
  readonly token: string
  readonly logprob: number
  /** UTF-8; null where the text is a part of a character, and the tokenizer does not tell bytes. */
  readonly bytes: readonly number[] | null
}

/** An impossible token's, as OpenAI writes it: JSON has no -Infinity. */
const LOWEST = -9999

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of one token in OpenAI's older form: a part of a character is `bytes:\xe2\x82`. */
export function tokenText(tokenizer: Tokenizer, id: number): string {
  const { text, bytes } = tokenOf(tokenizer, id)
  return text ?? (bytes === null ? decoded(tokenizer, id) : `bytes:${escaped(bytes)}`)
}

/** Where tokens begin in the text that they make, in characters of JavaScript; a part of one counts with its last. */
export class TextOffsets {
  readonly #tokenizer: Tokenizer
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #length = 0

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer
  }

  /** The place of the next token. */
  next(id: number): number {
    const at = this.#length
    const { bytes } = tokenOf(this.#tokenizer, id)
    this.#length += bytes === null ? 1 : this.#decoder.decode(bytes, { stream: true }).length
    return at
  }
}

/** A part of a character is written as `\xe2\x82`, as OpenAI writes it. */
function tokenEntry(tokenizer: Tokenizer, { id, logprob }: TokenLogprob): TokenEntry {
  const { text, bytes } = tokenOf(tokenizer, id)
  const token = text ?? (bytes === null ? decoded(tokenizer, id) : escaped(bytes))
  return { token, logprob: Math.max(LOWEST, logprob), bytes: bytes && [...bytes] }
}

/** @returns `text` undefined where the token is a part of a character */
function tokenOf(tokenizer: Tokenizer, id: number): { text: string | undefined; bytes: Uint8Array | null } {
  // Added tokens have no bytes of their own, but a text.
  const bytes = tokenizer.tokenBytes?.(id)
  if (bytes === undefined) {
    const text = decoded(tokenizer, id)
    return text.includes('\ufffd') ? { text: undefined, bytes: null } : { text, bytes: new TextEncoder().encode(text) }
  }
  return { text: wholeText(bytes), bytes }
}

/** Undefined where bytes are no text of UTF-8. */
function wholeText(bytes: Uint8Array): string | undefined {
  try {
    return STRICT.decode(bytes)
  } catch {
    return undefined
  }
}

function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

function decoded(tokenizer: Tokenizer, id: number): string {
  return tokenizer.decode([id], { skipSpecialTokens: false })
}

/** A token and the most likely ones in its place. */
export function logprobEntry(
  tokenizer: Tokenizer,
  { id, logprob = 0, topLogprobs = [] }: InferenceToken,
): TokenEntry & { readonly top_logprobs: readonly TokenEntry[] } {
  const top = topLogprobs.map((likely) => tokenEntry(tokenizer, likely))
  return { ...tokenEntry(tokenizer, { id, logprob }), top_logprobs: top }
}

/** @file Work in slices: what would hold the event loop up is done a few milliseconds at a time. */

import type { EncodedText, EncodeOptions, Tokenizer } from './tokenizer.js'

/** Processor time of the main thread that a slice takes at most, but for its last step. */
const SLICE_MS = 8

/** Texts of up to this many characters are encoded at once: that takes no more than a few milliseconds. */
export const SHORT_TEXT = 20_000

/**
 * Runs steps a slice at a time, and lets the event loop turn between them.
 *
 * @param signal Ends the work between two slices.
 * @throws what the steps throw, or the signal's reason
 */
export async function runInSlices<T>(steps: Generator<undefined, T, undefined>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    signal?.throwIfAborted()
    const start = performance.now()
    do {
      const { done, value } = steps.next()
      if (done) return value
    } while (performance.now() - start < SLICE_MS)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * Encodes a text without holding the event loop up, however long it is. Tokenizers of other libraries encode at once.
 *
 * @returns ids, and offsets where the tokenizer gives them
 */
export async function encodeAsync(
  tokenizer: Tokenizer,
  text: string,
  options: EncodeOptions & { signal?: AbortSignal } = {},
): Promise<{ ids: number[]; offsets?: EncodedText['offsets'] }> {
  const { signal, ...rest } = options
  if (tokenizer.encodeWithOffsets !== undefined && text.length <= SHORT_TEXT)
    return tokenizer.encodeWithOffsets(text, rest)
  if (tokenizer.encodeInSteps === undefined) return { ids: tokenizer.encode(text, rest) }
  return await runInSlices(tokenizer.encodeInSteps(text, rest), signal)
}

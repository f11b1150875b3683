/** @file How an answer is shown while it comes, of `generate` and `chat`. */

import type { GeneratedText } from '../generation/generate-text.js'

/** Writes an answer to stdout as it comes, unless it is for a program: then nothing. */
export async function showAnswer(
  pieces: AsyncGenerator<string, GeneratedText, undefined>,
  json: boolean,
): Promise<GeneratedText> {
  for (;;) {
    const next = await pieces.next()
    if (!json) process.stdout.write(next.done ? '\n' : next.value)
    if (next.done) return next.value
  }
}

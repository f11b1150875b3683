/** @file Rows as lines of text, collected until they are worth a write. */

import type { RowEncoder } from './format-writer.js'

const ENOUGH_CHARACTERS = 1 << 18

/** Encodes rows as text, each by itself, below a header. */
export function textEncoder(header: string, lineOf: (row: unknown) => string): RowEncoder {
  let text = header
  return {
    add(row) {
      text += lineOf(row)
      return text.length >= ENOUGH_CHARACTERS
    },
    take() {
      const bytes = Buffer.from(text)
      text = ''
      return bytes
    },
    end: () => new Uint8Array(),
  }
}

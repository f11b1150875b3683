/** @file Rows as JSON Lines. */

import type { RowEncoder } from './format-writer.js'
import { jsonLine } from './json-value.js'
import { entriesOf } from './row-schema.js'
import { textEncoder } from './text-encoder.js'

/** Encodes rows as JSON Lines. */
export function jsonLinesEncoder(): RowEncoder {
  return textEncoder('', (row) => {
    // JSON could hold anything, but a row is an object.
    if (typeof row !== 'object' || row === null || Array.isArray(row)) entriesOf(row)
    return `${jsonLine(row)}\n`
  })
}

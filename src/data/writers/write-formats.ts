/**
 * @file The formats in which rows are written. A new one is a file beside this one and an entry in the list. The code
 * that writes one is loaded when one is written.
 */

import { loadPeer } from '../load-peer.js'
import type { FormatWriter } from './format-writer.js'

const JSON_LINES_WRITER: FormatWriter = {
  name: 'jsonl',
  endings: ['.jsonl'],
  needsSchema: false,
  open: async () => (await import('./json-lines-encoder.js')).jsonLinesEncoder(),
}

export const WRITE_FORMATS: readonly FormatWriter[] = [
  JSON_LINES_WRITER,
  {
    name: 'csv',
    endings: ['.csv'],
    needsSchema: true,
    open: async (schema) => (await import('./csv-encoder.js')).csvEncoder(schema),
  },
  {
    name: 'parquet',
    endings: ['.parquet'],
    needsSchema: true,
    open: async (schema) => (await import('./parquet-encoder.js')).parquetEncoder(schema),
  },
  {
    name: 'arrow',
    endings: ['.arrow', '.feather'],
    needsSchema: true,
    check: async () => void (await loadPeer('apache-arrow', 'to write Arrow')),
    open: async (schema) => (await import('./arrow-encoder.js')).arrowEncoder(schema),
  },
]

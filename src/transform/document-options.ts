/** @file What splitting documents takes. Loads nothing that reads them, so that a command line can show it. */

import { either, instance, integer, listOf, oneOf, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { OUTPUT, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'

/** What `splitDocuments` takes. */
export interface SplitDocumentsOptions extends TransformOptions {
  /** Paths, folders and globs of PDF, DOCX, HTML, Markdown and text files. */
  documents: string | readonly string[]
  /** Counts the tokens: what `loadTokenizer()` gives. */
  tokenizer: Tokenizer
  /** Path of the file of chunks, whose ending names its format, or of a Delta table, which ends in `/`. */
  output: string
  /**
   * Tokens that a chunk has at most.
   * @default 500
   */
  maxTokens?: number
  /**
   * Tokens that a chunk has in common with the one before it.
   * @default 50
   */
  overlap?: number
  /**
   * What becomes of a document that cannot be read: 'error' ends the work, 'skip' leaves it out and counts it.
   * @default 'error'
   */
  onError?: 'error' | 'skip'
}

/** The options of `splitDocuments`. */
export const SPLIT_DOCUMENTS_OPTIONS = {
  documents: {
    rule: either(text, listOf(text, 'a list of paths, folders and globs', { minItems: 1 })),
    isRequired: true,
    help: 'paths, folders and globs of documents',
  },
  tokenizer: {
    rule: instance(
      'what loadTokenizer() gives',
      (value) => typeof (value as Tokenizer | undefined)?.encode === 'function',
    ),
    isRequired: true,
    help: 'counts the tokens',
  },
  output: OUTPUT,
  maxTokens: { rule: integer({ min: 2 }), default: 500 as number, help: 'tokens that a chunk has at most' },
  overlap: { rule: integer({ min: 0 }), default: 50 as number, help: 'tokens that a chunk shares with the one before' },
  onError: {
    rule: oneOf(['error', 'skip']),
    default: 'error' as 'error' | 'skip',
    help: 'whether a document that cannot be read ends the work, or is left out and counted',
  },
  ...TRANSFORM_OPTIONS,
} as const satisfies OptionTable<SplitDocumentsOptions>

/** @file The options of `writeGgufModel`. Loads nothing of the engine. */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { FILE_TYPE_NAMES, type GgufFileType } from '../gguf/file-types.js'
import { callback, instance, integer, listOf, oneOf, path, text } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

/** Options of `writeGgufModel`. */
export interface WriteGgufOptions {
  /**
   * Format of the matrices; see docs/export-gguf.md.
   * @default 'F16'
   */
  type?: GgufFileType
  /**
   * An adapter that is active on the model, to be folded in.
   * @default none: the base model is written
   */
  adapter?: LoraAdapter
  /**
   * Directory or GGUF file whose tokenizer is written.
   * @default the model's
   */
  tokenizerFrom?: string
  /**
   * Jinja text, or name of a format, in place of the tokenizer's templates.
   * @default those of the tokenizer
   */
  chatTemplate?: string
  /**
   * Name of the model in the file.
   * @default the last part of what the model was loaded from
   */
  name?: string
  /**
   * Sequences of token ids whose activations say which columns of each matrix matter: the importance matrix. Only
   * formats in "K" look at it.
   * @default none: all columns matter alike
   */
  calibration?: readonly (readonly number[])[]
  /**
   * Stops before the next tensor; nothing is left at the path.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called after each tensor.
   * @default none
   */
  onProgress?: (tensors: number, total: number) => void
}

/** The options of `writeGgufModel`. */
export const WRITE_GGUF_OPTIONS = {
  type: { rule: oneOf(FILE_TYPE_NAMES), default: 'F16', help: 'format of the matrices' },
  adapter: {
    rule: instance('a LoraAdapter', (value) => typeof value === 'object' && value !== null && 'mergedTensors' in value),
    otherwise: 'none, the base model is written',
    help: 'an adapter that is active on the model, to be folded in',
  },
  tokenizerFrom: { rule: path, otherwise: "the model's", help: 'directory or GGUF file whose tokenizer is written' },
  chatTemplate: {
    rule: text,
    otherwise: 'those of the tokenizer',
    help: "Jinja text, or name of a format, in place of the tokenizer's templates",
  },
  name: {
    rule: text,
    otherwise: 'the last part of what the model was loaded from',
    help: 'name of the model in the file',
  },
  calibration: {
    rule: listOf(listOf(integer({ min: 0 }), '', { minItems: 1 }), 'lists of token ids, at least one in each,', {
      minItems: 1,
    }),
    otherwise: 'none, all columns matter alike',
    help: 'sequences of token ids whose activations say which columns of each matrix matter',
  },
  signal: { ...SIGNAL, help: 'stops before the next tensor; nothing is left at the path' },
  onProgress: {
    rule: callback,
    otherwise: 'none',
    help: 'called after each tensor with how many are done, of how many',
  },
} as const satisfies OptionTable<WriteGgufOptions>

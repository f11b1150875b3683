/** @file The options of `LoraAdapter.merge`. Loads nothing of the engine. */

import type { FileDType } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE } from '../checkpoint/shard-size.js'
import { DTYPES } from '../nn/model-options.js'
import { callback, integer, listOf, path } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

export interface MergeOptions {
  /**
   * Dtype of the weights in the files.
   * @default that of config.json where it has 16 bits, 'bfloat16' for float32; where it names none, that of most of the
   * base's weights in its files
   */
  dtype?: FileDType
  /**
   * Largest size of one file of weights, in bytes or like '5GB' (10^9 bytes) or '500MiB' (2^20 bytes).
   * @default '5GB'
   */
  maxShardSize?: number | string
  /**
   * Directory whose tokenizer files are copied, or GGUF file whose tokenizer is written; generation_config.json is the
   * model's.
   * @default the model's
   */
  tokenizerFrom?: string
  /**
   * Token ids that the logits are compared on.
   * @default 64 tokens drawn from the vocabulary, always the same
   */
  prompts?: readonly (readonly number[])[]
  /**
   * Stops before the next tensor; nothing is left in the directory.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called after each tensor.
   * @default none
   */
  onProgress?: (tensors: number, total: number) => void
}

const TOKEN_IDS = listOf(
  listOf(integer({ min: 0 }), '', { minItems: 1 }),
  'lists of token ids, at least one in each,',
  { minItems: 1 },
)

/** The options of `LoraAdapter.merge`. */
export const MERGE_OPTIONS = {
  dtype: {
    rule: { ...DTYPES, expected: "'bfloat16', 'float16' or 'float32'" },
    otherwise:
      "that of config.json where it has 16 bits, bfloat16 for float32; where it names none, that of most of the base's weights in its files",
    help: 'dtype of the files',
  },
  maxShardSize: MAX_SHARD_SIZE,
  tokenizerFrom: {
    rule: path,
    otherwise: "the model's",
    help: 'directory whose tokenizer files are copied, or GGUF file whose tokenizer is written',
  },
  prompts: {
    rule: TOKEN_IDS,
    otherwise: '64 tokens drawn from the vocabulary, always the same',
    help: 'token ids that the logits are compared on',
  },
  signal: { ...SIGNAL, help: 'stops before the next tensor; nothing is left in the directory' },
  onProgress: {
    rule: callback,
    otherwise: 'none',
    help: 'called after each tensor with how many are done, of how many',
  },
} as const satisfies OptionTable<MergeOptions>

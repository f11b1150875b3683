/**
 * @file Merging an adapter: into a directory that holds a whole model, or into the loaded model. The arithmetic is in
 * merge-updates.ts.
 */

import { readdir, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { writeDirectoryAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { type FileDType, writeModelFiles } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE } from '../checkpoint/weights-on-disk.js'
import { describeValue, expectPath, listNames } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { DTYPES } from '../nn/model-options.js'
import { callback, integer, listOf, path } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { type MergedTensors, MergeUpdates } from './merge-updates.js'

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

/** What `LoraAdapter.merge` did. */
export interface MergeReport {
  readonly directory: string
  /** Dtype of the weights in the files. */
  readonly dtype: FileDType
  readonly files: readonly string[]
  /** Projections that an update was added to. */
  readonly mergedModules: number
  /** Projections that were in NF4 and are dense in the files. */
  readonly dequantizedModules: number
  /** The head had the embedding's weight; in the files each has its own, since the adapter changes only one. */
  readonly untied: boolean
  /**
   * Largest absolute difference between a logit of model and adapter and the same logit of the merged model, both
   * computed in the model's dtype.
   */
  readonly logitDifference: number
  /** Largest absolute logit of model and adapter, to compare the difference with. */
  readonly largestLogit: number
  /** Tokens whose logits were compared. */
  readonly comparedTokens: number
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

/** See `LoraAdapter.merge`. */
export async function mergeIntoDirectory(
  model: CausalLM,
  parts: MergedTensors,
  directory: string,
  options: MergeOptions,
): Promise<MergeReport> {
  const resolved = readOptions('merge', options, MERGE_OPTIONS)
  const {
    dtype = defaultDType(model),
    tokenizerFrom = model.path,
    maxShardSize,
    prompts,
    signal,
    onProgress,
  } = resolved
  expectPath('merge', 'directory', directory)
  if (prompts) expectIds(prompts, model.config.vocabSize)
  await expectEmptyDirectory(directory)
  const updates = await MergeUpdates.create(model, parts)
  try {
    const { torch_dtype: _, ...rest } = model.rawConfig
    const config = { ...rest, dtype, ...(updates.untied && { tie_word_embeddings: false }) }
    // Before anything is written: it also finds weights that are no numbers.
    const compared = await updates.compareLogits(dtype, prompts)
    let done = 0
    const tensors = updates.tensors(dtype).map((tensor, _, { length }) => ({
      ...tensor,
      bytes: async () => {
        signal?.throwIfAborted()
        const bytes = await tensor.bytes()
        onProgress?.(++done, length)
        return bytes
      },
    }))
    let files: string[] = []
    // An empty directory behind a link, as on a larger disk, is as good.
    const target = await realpath(directory).catch(() => directory)
    await writeDirectoryAtomic(target, async (temporary) => {
      await writeModelFiles(temporary, { tensors, config, maxShardSize, tokenizerFrom, generationFrom: model.path })
      files = (await readdir(temporary)).sort()
    })
    return {
      directory: resolve(directory),
      dtype,
      files,
      mergedModules: parts.pairs.length,
      dequantizedModules: model.quantizedWeights().size,
      untied: updates.untied,
      logitDifference: compared.difference,
      largestLogit: compared.largest,
      comparedTokens: compared.tokens,
    }
  } finally {
    updates.dispose()
  }
}

/** See `LoraAdapter.mergeAndUnload`; the adapter has still to be disposed. */
export async function mergeInPlace(model: CausalLM, parts: MergedTensors): Promise<void> {
  const { pairs } = parts
  const quantized = pairs.filter(({ linear }) => linear.isQuantized).length
  if (quantized > 0) {
    throw new LowrankError(
      'INVALID_CALL',
      `[merge] expected dense weights for mergeAndUnload(), but ${quantized} of ${pairs.length} projections are in NF4, and quantising the sum again ` +
        'would change it; merge(directory) writes a dense model',
    )
  }
  const updates = await MergeUpdates.create(model, parts)
  try {
    if (updates.untied) {
      throw new LowrankError(
        'INVALID_CALL',
        `[merge] expected an adapter that leaves the tied weight of ${model.head.path} and the embedding alone for mergeAndUnload(), but it changes one of ` +
          'them; merge(directory) writes a model in which each has its own',
      )
    }
    await updates.apply()
    model.origin = {}
  } finally {
    updates.dispose()
  }
}

function defaultDType({ rawConfig, storedDType }: CausalLM): FileDType {
  const named = rawConfig.dtype ?? rawConfig.torch_dtype
  if (named === undefined || named === null) return storedDType ?? 'bfloat16'
  return named === 'float16' ? 'float16' : 'bfloat16'
}

/** @throws unless they are ids of the model. */
function expectIds(prompts: readonly (readonly number[])[], vocabSize: number): void {
  if (prompts.every((ids) => ids.every((id) => id < vocabSize))) return
  throw new OptionError(
    `[merge] expected lists of token ids in [0, ${vocabSize}) for prompts, got ${describeValue(prompts)}`,
  )
}

/** @throws where a merged model would come among other files */
export async function expectEmptyDirectory(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  if (names.length === 0) return
  throw new LowrankError(
    'FILE',
    `[merge] expected a new or empty directory to write the merged model to, got ${resolve(directory)}, which holds ${listNames(names.sort())}; ` +
      'choose another, or remove it',
  )
}

/**
 * @file Merging an adapter: into a directory that holds a whole model, or into the loaded model. The arithmetic is in
 * merge-updates.ts.
 */

import { readdir, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { writeDirectoryAtomic } from '../atomic-write.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { type FileDType, writeModelFiles } from '../checkpoint/save-model.js'
import type { SavedTokenizer } from '../checkpoint/save-tokenizer.js'
import { describeValue, expectPath, listNames } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import { MERGE_OPTIONS, type MergeOptions } from './merge-options.js'
import { type MergedTensors, MergeUpdates } from './merge-updates.js'

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

/** See `LoraAdapter.merge`. */
export async function mergeIntoDirectory(
  model: CausalLM,
  parts: MergedTensors,
  directory: string,
  options: MergeOptions,
  saved: SavedTokenizer | undefined,
): Promise<MergeReport> {
  const resolved = readOptions('merge', options, MERGE_OPTIONS)
  const {
    dtype = defaultDType(model),
    tokenizerFrom = saved?.tokenizerFrom ?? model.path,
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
      // Another tokenizer has templates of its own.
      const chatTemplate = resolved.tokenizerFrom === undefined ? saved?.chatTemplate : undefined
      const generationFrom = model.path
      await writeModelFiles(temporary, { tensors, config, maxShardSize, tokenizerFrom, chatTemplate, generationFrom })
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

/** The tensors of a merged model, for writers of files. */
export interface MergedModel {
  /** Each of its bytes is computed when it is asked for. */
  readonly tensors: readonly TensorToWrite[]
  /** The head had the embedding's weight; here each has its own, since the adapter changes only one. */
  readonly untied: boolean
  /** Frees what was made of the adapter. */
  dispose(): void
}

/** See `LoraAdapter.mergedTensors`; without `parts` the model as it is, its NF4 weights decoded. */
export async function mergedTensors(
  model: CausalLM,
  dtype: FileDType,
  parts: MergedTensors = { pairs: [], replacements: [] },
): Promise<MergedModel> {
  const updates = await MergeUpdates.create(model, parts)
  return { tensors: updates.tensors(dtype), untied: updates.untied, dispose: () => updates.dispose() }
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

/** The dtype that merged weights are written in where none is asked for. */
export function defaultDType({ rawConfig, storedDType }: CausalLM): FileDType {
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

/**
 * @param where of error messages
 * @param what is written
 * @throws where it would come among other files
 */
export async function expectEmptyDirectory(
  directory: string,
  where = 'merge',
  what = 'the merged model',
): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  if (names.length === 0) return
  throw new LowrankError(
    'FILE',
    `[${where}] expected a new or empty directory to write ${what} to, got ${resolve(directory)}, which holds ${listNames(names.sort())}; ` +
      'choose another, or remove it',
  )
}

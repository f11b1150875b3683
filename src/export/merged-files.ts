/** @file A whole model as Hugging Face's files, the adapter folded in: what several formats write. */

import { mergedTensors } from '../adapters/merge.js'
import type { RawConfig } from '../architecture/config.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { loadModel } from '../checkpoint/load-model.js'
import { writeModelFiles } from '../checkpoint/save-model.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import type { ExportJob, Reopened, ReopenJob } from './export-format.js'
import { hasTokenizer } from './tokenizer-place.js'

/** How files differ from those of Hugging Face. */
interface MergedLayout {
  /** The content of config.json, made from that of Hugging Face. */
  readonly config?: (config: RawConfig, model: CausalLM) => RawConfig
  /** The name of a tensor, from that of Hugging Face. */
  readonly rename?: (name: string) => string
  /** What the header of each file says. */
  readonly metadata?: Readonly<Record<string, string>>
}

/** Writes config.json, weights, tokenizer, chat template and generation_config.json. */
export async function writeMerged(job: ExportJob, layout: MergedLayout = {}): Promise<void> {
  const { model, adapter, directory, dtype, maxShardSize, saved } = job
  const { config: configOf = (config) => config, rename = (name) => name, metadata } = layout
  const merged = adapter ? await adapter.mergedTensors(dtype) : await mergedTensors(model, dtype)
  try {
    const { torch_dtype: _, ...rest } = model.rawConfig
    const config = configOf({ ...rest, dtype, ...(merged.untied && { tie_word_embeddings: false }) }, model)
    await writeModelFiles(directory, {
      tensors: counted(merged.tensors, job).map((tensor) => ({ ...tensor, name: rename(tensor.name) })),
      config,
      maxShardSize,
      ...saved,
      generationFrom: model.path,
      metadata,
    })
  } finally {
    merged.dispose()
  }
}

/** Opens a model in Hugging Face's files. */
export async function reopenMerged({ output, source }: ReopenJob): Promise<Reopened> {
  const model = await loadModel(output, source)
  return { kind: 'model', model, tokenizer: await tokenizerOf(output) }
}

/** The tokenizer in a directory; undefined where there is none. */
export async function tokenizerOf(directory: string): Promise<Tokenizer | undefined> {
  return (await hasTokenizer(directory)) ? await loadTokenizer(directory) : undefined
}

/** The tensors, which report each that is written and stop where the job is to end. */
function counted(
  tensors: readonly TensorToWrite[],
  { signal, onTensor }: Pick<ExportJob, 'signal' | 'onTensor'>,
): TensorToWrite[] {
  let done = 0
  return tensors.map((tensor) => ({
    ...tensor,
    bytes: async () => {
      signal?.throwIfAborted()
      const bytes = await tensor.bytes()
      onTensor?.(++done, tensors.length)
      return bytes
    },
  }))
}

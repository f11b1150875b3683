/** @file Writing a model as Hugging Face has it: config.json, safetensors, and the tokenizer files beside them. */

import { join } from 'node:path'
import { fillDirectory, writeFileAtomic } from '../atomic-write.js'
import type { Parameter } from '../autograd/parameter.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { expectPath } from '../errors.js'
import { endingTokenIds } from '../gguf/ending-tokens.js'
import { isGgufPath, readGguf } from '../gguf/reader.js'
import { OptionError } from '../lowrank-error.js'
import { DTYPES } from '../nn/model-options.js'
import { path, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readRegularFileIfThere } from '../regular-file.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import type { JsonObject } from '../weights/strict-json.js'
import { bnb4bitConfig, nf4Tensors } from './bnb-4bit.js'
import { GENERATION_CONFIG_FILE } from './generation-config.js'
import { type SavedTokenizer, tokenizerFiles } from './save-tokenizer.js'
import { type WriteCheckpointOptions, writeCheckpoint } from './weights-on-disk.js'

/** What weights can be in a file, and safetensors' names of these. */
export const FILE_DTYPES = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' } as const
export type FileDType = keyof typeof FILE_DTYPES

export interface SaveModelOptions extends SavedTokenizer {
  /**
   * Dtype of the weights in the file. float32 keeps the masters of trained parameters exactly.
   * @default the model's
   */
  dtype?: ComputeDType
  tokenizerFrom?: string
  chatTemplate?: string
}

const TOKENIZER_FROM = 'directory whose tokenizer files are copied, or GGUF file whose tokenizer is written'

/** The options of `saveModel`. */
export const SAVE_MODEL_OPTIONS = {
  dtype: {
    rule: DTYPES,
    otherwise: "the model's",
    help: 'dtype of the file; float32 keeps the masters of trained parameters exactly',
  },
  tokenizerFrom: { rule: path, otherwise: 'none, no tokenizer is written', help: TOKENIZER_FROM },
  chatTemplate: {
    rule: text,
    otherwise: 'that of tokenizerFrom',
    help: 'Jinja text, or name of a format, that is written as chat_template.jinja',
  },
} as const satisfies OptionTable<SaveModelOptions>

/**
 * Writes the base model's weights (adapters are not merged in) so that transformers and `loadModel` read them. Weights
 * in NF4 are written as they are, in the format of bitsandbytes; `dtype` is of all others.
 * @throws LowrankError with code FILE if the disk is full or not writable, OptionError on a weight that float16 cannot
 * hold.
 */
export async function saveModel(model: CausalLM, directory: string, options: SaveModelOptions = {}): Promise<void> {
  expectModel('saveModel', model)
  model.expectLive('saveModel')
  const { dtype = model.dtype, tokenizerFrom, chatTemplate } = readOptions('saveModel', options, SAVE_MODEL_OPTIONS)
  expectPath('saveModel', 'directory', directory)
  const { torch_dtype: _, ...rest } = model.rawConfig
  const config = { ...rest, dtype, ...quantizationConfig(model, dtype) }
  await fillDirectory(directory, async () =>
    writeModelFiles(directory, { tensors: await modelTensors(model, dtype), config, tokenizerFrom, chatTemplate }),
  )
}

/** All that makes a model in a directory. */
export interface ModelFiles extends Pick<WriteCheckpointOptions, 'maxShardSize' | 'metadata'>, SavedTokenizer {
  tensors: Iterable<TensorToWrite>
  /** The content of config.json. */
  config: JsonObject
  /** The same for generation_config.json, which is the model's; default `tokenizerFrom`. */
  generationFrom?: string | undefined
}

/** Writes weights, config.json and tokenizer files into `directory`, which exists. */
export async function writeModelFiles(
  directory: string,
  { tensors, config, tokenizerFrom, chatTemplate, generationFrom = tokenizerFrom, maxShardSize, metadata }: ModelFiles,
): Promise<void> {
  await writeCheckpoint(directory, tensors, { maxShardSize, metadata })
  await writeFileAtomic(join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
  for (const { path, content } of await tokenizerFiles(directory, { tokenizerFrom, chatTemplate }))
    await writeFileAtomic(path, content)
  if (generationFrom) await saveGenerationConfig(generationFrom, directory)
}

async function saveGenerationConfig(from: string, directory: string): Promise<void> {
  const path = join(directory, GENERATION_CONFIG_FILE)
  if (isGgufPath(from)) {
    const ending = endingTokenIds(readGguf(from).metadata)
    if (ending.length > 0) await writeFileAtomic(path, `${JSON.stringify({ eos_token_id: ending }, null, 2)}\n`)
    return
  }
  const bytes = await readRegularFileIfThere(join(from, GENERATION_CONFIG_FILE), { where: 'saveModel' })
  if (bytes) await writeFileAtomic(path, bytes)
}

/** All weights of the base model as tensors to write, one at a time in host memory. */
async function modelTensors(model: CausalLM, dtype: ComputeDType): Promise<TensorToWrite[]> {
  const tensors: TensorToWrite[] = []
  for (const [name, parameter] of model.parameters()) {
    if (parameter.nf4) tensors.push(...(await nf4Tensors(name, parameter.nf4, dtype)))
    else
      tensors.push({
        name,
        dtype: FILE_DTYPES[dtype],
        shape: [...parameter.shape],
        bytes: () => parameterBytes(parameter, dtype),
      })
  }
  return tensors
}

/** Whether none of the float16 numbers is infinite or NaN, as what is above 65504 becomes. */
export function isFiniteFloat16(bytes: Uint8Array): boolean {
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  return !words.some((word) => (word & 0x7c00) === 0x7c00)
}

/** What config.json holds beside weights in NF4. */
function quantizationConfig(model: CausalLM, dtype: ComputeDType): { quantization_config?: object } {
  const [first] = model.quantizedWeights().keys()
  if (!first) return {}
  const dense = [...model.modules.linears.values()].filter(({ isQuantized }) => !isQuantized)
  const skipped = dense.map(({ path }) => path)
  return { quantization_config: bnb4bitConfig(dtype, first.nf4?.offset !== undefined, skipped) }
}

async function parameterBytes(parameter: Parameter, dtype: ComputeDType): Promise<Uint8Array> {
  const source = parameter.requiresGrad ? parameter.master : parameter.value
  const { device } = parameter
  if (source.dtype === dtype) return device.readBytes(source)
  const converted = Tensor.empty(device, source.shape, dtype)
  device.enqueue('copy', { x: source, y: converted })
  const bytes = await device.readBytes(converted)
  converted.dispose()
  if (dtype === 'float16' && !isFiniteFloat16(bytes)) {
    throw new OptionError(
      `[saveModel] expected ${parameter.name} to fit float16, got elements above 65504 or no numbers; save in bfloat16 or float32`,
    )
  }
  return bytes
}

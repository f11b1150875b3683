/** @file Writing a model as Hugging Face has it: config.json, safetensors, and the tokenizer files beside them. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fillDirectory, writeFileAtomic } from '../atomic-write.js'
import type { Parameter } from '../autograd/parameter.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { expectPath } from '../errors.js'
import { endingTokenIds } from '../gguf/ending-tokens.js'
import { isGgufPath, readGguf } from '../gguf/reader.js'
import { OptionError } from '../lowrank-error.js'
import { DTYPES } from '../nn/model-options.js'
import { path } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readDirectory, readRegularFile, readRegularFileIfThere } from '../regular-file.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { ggufTokenizerFiles } from '../tokenizer/gguf.js'
import { runAtOnce } from '../turns.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import type { JsonObject } from '../weights/strict-json.js'
import { bnb4bitConfig, nf4Tensors } from './bnb-4bit.js'
import { GENERATION_CONFIG_FILE } from './generation-config.js'
import { type WriteCheckpointOptions, writeCheckpoint } from './weights-on-disk.js'

/** What weights can be in a file, and safetensors' names of these. */
export const FILE_DTYPES = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' } as const
export type FileDType = keyof typeof FILE_DTYPES

const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
]

/** Chat templates beside the default one, `tool_use` for example. */
const TEMPLATE_DIRECTORY = 'additional_chat_templates'

export interface SaveModelOptions {
  /**
   * Dtype of the weights in the file. float32 keeps the masters of trained parameters exactly.
   * @default the model's
   */
  dtype?: ComputeDType
  /**
   * Directory whose tokenizer files are copied, or GGUF file whose tokenizer is written.
   * @default none: no tokenizer is written
   */
  tokenizerFrom?: string
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
  const { dtype = model.dtype, tokenizerFrom } = readOptions('saveModel', options, SAVE_MODEL_OPTIONS)
  expectPath('saveModel', 'directory', directory)
  const { torch_dtype: _, ...rest } = model.rawConfig
  const config = { ...rest, dtype, ...quantizationConfig(model, dtype) }
  await fillDirectory(directory, async () =>
    writeModelFiles(directory, { tensors: await modelTensors(model, dtype), config, tokenizerFrom }),
  )
}

/** All that makes a model in a directory. */
export interface ModelFiles extends Pick<WriteCheckpointOptions, 'maxShardSize'> {
  tensors: Iterable<TensorToWrite>
  /** The content of config.json. */
  config: JsonObject
  /** Directory or GGUF file whose tokenizer is written. */
  tokenizerFrom?: string | undefined
  /** The same for generation_config.json, which is the model's; default `tokenizerFrom`. */
  generationFrom?: string | undefined
}

/** Writes weights, config.json and tokenizer files into `directory`, which exists. */
export async function writeModelFiles(
  directory: string,
  { tensors, config, tokenizerFrom, generationFrom = tokenizerFrom, maxShardSize }: ModelFiles,
): Promise<void> {
  await writeCheckpoint(directory, tensors, { maxShardSize })
  await writeFileAtomic(join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
  if (tokenizerFrom) await saveTokenizer(tokenizerFrom, directory)
  if (generationFrom) await saveGenerationConfig(generationFrom, directory)
}

async function saveTokenizer(from: string, directory: string): Promise<void> {
  if (isGgufPath(from)) {
    const { metadata } = readGguf(from)
    const { tokenizer, config } = runAtOnce(ggufTokenizerFiles(metadata))
    await writeFileAtomic(join(directory, 'tokenizer.json'), JSON.stringify(tokenizer, mapsAsObjects))
    await writeFileAtomic(join(directory, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`)
    return
  }
  for (const name of await readDirectory('saveModel', from)) {
    if (!TOKENIZER_FILES.includes(name)) continue
    await writeFileAtomic(join(directory, name), await readRegularFile(join(from, name), { where: 'saveModel' }))
  }
  const templates = await readdir(join(from, TEMPLATE_DIRECTORY)).catch(() => [])
  for (const name of templates.filter((file) => file.endsWith('.jinja'))) {
    const path = join(TEMPLATE_DIRECTORY, name)
    await writeFileAtomic(join(directory, path), await readRegularFile(join(from, path), { where: 'saveModel' }))
  }
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

function mapsAsObjects(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value
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

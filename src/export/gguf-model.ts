/** @file writeGgufModel: a model, or a model with its adapter folded in, as a GGUF file that llama.cpp loads. */

import { basename, join } from 'node:path'
import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { type MergedModel, mergedTensors } from '../adapters/merge.js'
import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { expectPath } from '../errors.js'
import { endingTokenIds } from '../gguf/ending-tokens.js'
import { type FormatName, packRows } from '../gguf/formats.js'
import { GgufMetadata, type GgufValue } from '../gguf/metadata.js'
import { ggufName, hasInterleavedRows } from '../gguf/names.js'
import { isGgufPath, readGguf } from '../gguf/reader.js'
import { type GgufTensor, string, type TypedKeys, uint32, writeGguf } from '../gguf/writer.js'
import { LowrankError, ModelError, OptionError } from '../lowrank-error.js'
import { readRegularFile } from '../regular-file.js'
import { copiedTokenizerKeys, type TokenizerKeys, tokenizerKeys } from '../tokenizer/gguf-keys.js'
import { parseJsonInSteps } from '../tokenizer/json-steps.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import { transpose } from '../transpose.js'
import { Turns } from '../turns.js'
import type { TensorToWrite } from '../weights/safetensors.js'
import { columnImportance } from './column-importance.js'
import { FILE_TYPES, type GgufFileType } from './gguf-file-types.js'
import { interleave } from './gguf-layout.js'
import { modelKeys, ROPE_TENSOR } from './gguf-model-keys.js'
import { formatOf } from './gguf-tensor-formats.js'

/** How `writeGgufModel` writes. */
export interface WriteGgufOptions {
  /**
   * Format of the matrices.
   * @default 'F16'
   */
  readonly type?: GgufFileType
  /** An adapter that is active on the model, to be folded in; absent: the base model is written. */
  readonly adapter?: LoraAdapter
  /** Directory or GGUF file whose tokenizer is written; absent: that of the adapter, else of the model. */
  readonly tokenizerFrom?: string
  /** Jinja text, or name of a format, in place of the tokenizer's templates. */
  readonly chatTemplate?: string
  /** Name of the model in the file; absent: the last part of what it was loaded from. */
  readonly name?: string
  /**
   * Sequences of token ids: what the columns are multiplied by there says how much an error in each counts (importance
   * matrix). Only formats in "K" look at it.
   */
  readonly calibration?: readonly (readonly number[])[]
  /** Stops before the next tensor; nothing is left at the path. */
  readonly signal?: AbortSignal
  /** Called after each piece of the calibration. */
  readonly onCalibrate?: (tokens: number, total: number) => void
  /** Called after each tensor. */
  readonly onProgress?: (tensors: number, total: number) => void
}

/** What `writeGgufModel` wrote. */
export interface GgufReport {
  readonly path: string
  readonly type: GgufFileType
  /** How many tensors there are of each format. */
  readonly formats: Readonly<Partial<Record<FormatName, number>>>
  /** What llama.cpp does in another way than this library, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * Writes a model in one file with its tokenizer and chat template, one tensor in memory at a time. NF4 weights are
 * decoded first.
 * @param path of the file; it appears with all its content or not at all
 * @throws where llama.cpp would compute something else, or where it cannot hold the tokenizer, naming the part
 */
export async function writeGgufModel(
  model: CausalLM,
  path: string,
  options: WriteGgufOptions = {},
): Promise<GgufReport> {
  const { type = 'F16', adapter, calibration, signal, onCalibrate, onProgress } = options
  expectModel('gguf', model)
  model.expectLive('gguf')
  expectPath('gguf', 'path', path)
  if (!isGgufPath(path)) throw new OptionError(`[gguf] expected a path that ends in .gguf, got ${path}`)
  if (adapter && adapter.model !== model)
    throw new LowrankError(
      'INVALID_CALL',
      '[gguf] expected an adapter of the model that is written, got one of another',
    )
  const described = modelKeys(model)
  const tokenizer = await tokenizerOf(model, options)
  const keys: TypedKeys = {
    'general.architecture': described.keys['general.architecture'] as TypedKeys[string],
    'general.type': string('model'),
    'general.name': string(options.name ?? basename(model.nameOrPath).replace(/\.gguf$/i, '')),
    'general.file_type': uint32(FILE_TYPES[type].fileType),
    'general.quantization_version': uint32(2),
    ...described.keys,
    ...tokenizer.keys,
  }
  const importance = calibration && (await columnImportance(model, calibration, { signal, onTokens: onCalibrate }))
  const merged = adapter ? await adapter.mergedTensors('float32') : await mergedTensors(model, 'float32')
  try {
    const tensors = describeTensors(model, merged, described, type, importance)
    const formats: Partial<Record<FormatName, number>> = {}
    for (const { format } of tensors) formats[format] = (formats[format] ?? 0) + 1
    let done = 0
    const told = tensors.map((tensor) => ({
      ...tensor,
      bytes: async () => {
        signal?.throwIfAborted()
        const bytes = await tensor.bytes()
        onProgress?.(++done, tensors.length)
        return bytes
      },
    }))
    await writeGguf(path, keys, told)
    return { path, type, formats, warnings: [...described.warnings, ...tokenizer.warnings] }
  } finally {
    merged.dispose()
  }
}

/** The tensors under llama.cpp's names and in its layouts. */
function describeTensors(
  model: CausalLM,
  { tensors, untied }: MergedModel,
  { architecture, ropeFactors }: ReturnType<typeof modelKeys>,
  type: GgufFileType,
  importance: ReadonlyMap<string, Float32Array> | undefined,
): GgufTensor[] {
  const { numHiddenLayers: layers, headDim, numAttentionHeads, numKeyValueHeads } = model.config
  const mix = {
    layers,
    isTied: !model.hasOwnHead && !untied,
    is70B: layers === 80 && numAttentionHeads !== numKeyValueHeads,
    hasImportance: importance !== undefined,
  }
  const written = tensors.map((tensor): GgufTensor => {
    const name = ggufName(tensor.name, architecture)
    if (name === undefined)
      throw new ModelError(`[gguf] expected a weight that llama.cpp has for ${architecture}, got ${tensor.name}`)
    const isTurned = architecture === 'gpt2' && /\.(c_attn|c_proj|c_fc)\.weight$/.test(tensor.name)
    const shape = isTurned ? [...tensor.shape].reverse() : tensor.shape
    const format = formatOf(name, shape, type, mix)
    const interleaved = hasInterleavedRows(tensor.name, architecture) ? headDim : undefined
    return {
      name,
      format,
      shape,
      bytes: async () =>
        packRows(tensor.name, format, await valuesOf(tensor, isTurned, interleaved), importance?.get(tensor.name)),
    }
  })
  if (!ropeFactors) return written
  return [
    ...written,
    {
      name: ROPE_TENSOR,
      format: 'F32',
      shape: [ropeFactors.length],
      bytes: async () => new Uint8Array(ropeFactors.buffer),
    },
  ]
}

/** The values in llama.cpp's order. */
async function valuesOf(
  tensor: TensorToWrite,
  isTurned: boolean,
  interleaved: number | undefined,
): Promise<Float32Array> {
  const bytes = await tensor.bytes()
  const values = new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / 4)
  const [rows, cols = 1] = tensor.shape as [number, number?]
  if (isTurned) return transpose(values, rows, cols)
  return interleaved === undefined ? values : interleave(values, rows, interleaved)
}

async function tokenizerOf(
  model: CausalLM,
  { tokenizerFrom, chatTemplate, adapter }: WriteGgufOptions,
): Promise<TokenizerKeys> {
  const saved = tokenizerFrom === undefined ? adapter?.tokenizer : undefined
  const from = tokenizerFrom ?? saved?.tokenizerFrom ?? model.path
  if (from === undefined)
    throw new OptionError(
      '[gguf] expected tokenizerFrom to name a directory or GGUF file with a tokenizer, got none, and a model that was loaded from nowhere',
    )
  const rows = model.config.vocabSize
  const tokenizer = withChatTemplate(await loadTokenizer(from), chatTemplate ?? saved?.chatTemplate)
  if (isGgufPath(from)) {
    const { metadata } = readGguf(from)
    return { keys: copiedTokenizerKeys(metadata, tokenizer.chatTemplate, rows), warnings: [] }
  }
  const path = join(from, 'tokenizer.json')
  const file = await new Turns().run(parseJsonInSteps(await readRegularFile(path, { where: 'gguf' })))
  const [eosTokenId] = model.config.eosTokenId
  const written = tokenizerKeys({ file: file as Record<string, unknown>, tokenizer, path, rows, eosTokenId })
  return withEndings(written, model, tokenizer, path)
}

/** What else ends an answer: by its text, as llama.cpp finds it, or by a key. */
function withEndings(written: TokenizerKeys, model: CausalLM, tokenizer: Tokenizer, path: string): TokenizerKeys {
  const values = new Map(Object.entries(written.keys).map(([key, { value }]) => [key, value as GgufValue]))
  const known = endingTokenIds(new GgufMetadata(path, values))
  const ending = new Set([
    ...tokenizer.eosTokenIds,
    ...model.config.eosTokenId,
    ...(model.generationDefaults?.eosTokenIds ?? []),
  ])
  const [eot, eom, ...lost] = [...ending].filter((id) => !known.includes(id))
  const keys = {
    ...written.keys,
    ...(eot === undefined ? {} : { 'tokenizer.ggml.eot_token_id': uint32(eot) }),
    ...(eom === undefined ? {} : { 'tokenizer.ggml.eom_token_id': uint32(eom) }),
  }
  if (lost.length === 0) return { keys, warnings: written.warnings }
  const texts = lost.map((id) => tokenizer.idToToken(id) ?? String(id))
  const warning = `llama.cpp does not end an answer at ${texts.join(', ')}, as the model does: give it to the program as a stop text`
  return { keys, warnings: [...written.warnings, warning] }
}

/**
 * @file From the metadata of a GGUF file to the config.json that Hugging Face has for such a model. What is not
 * understood is an error.
 */

import type { RawConfig } from '../architecture/config.js'
import { ModelError } from '../lowrank-error.js'
import { ArchitectureKeys } from './architecture-keys.js'
import type { GgufFile } from './reader.js'
import { llama3Scaling, ROPE_FACTORS } from './rope-factors.js'

/** Architectures by the names of llama.cpp; 'llama' is Mistral, SmolLM2 and others too. */
export const ARCHITECTURES = ['llama', 'qwen2', 'qwen3', 'gpt2'] as const
export type GgufArchitecture = (typeof ARCHITECTURES)[number]

/** Version of the block format. Version 1 (2023) used other layouts. */
const QUANTIZATION_VERSION = 2

/** Which architecture a file is of. @throws on one that is not supported, and on files that hold no model */
export function architectureOf({ path, metadata }: GgufFile): GgufArchitecture {
  const type = metadata.text('general.type', 'model')
  if (type === 'adapter' || metadata.has('adapter.type'))
    throw new ModelError(
      `[gguf] ${path} is an adapter of llama.cpp, not a model; give the model that it was trained on`,
    )
  if (type !== 'model') throw metadata.error('general.type', '"model"', type)
  const name = metadata.text('general.architecture')
  const known = ARCHITECTURES.find((architecture) => architecture === name)
  if (known) return known
  throw metadata.error('general.architecture', `one of ${ARCHITECTURES.join(', ')}`, name)
}

/** The config of the model in a file. @throws naming the key that is missing, of the wrong type or not understood */
export function configOf(file: GgufFile): RawConfig {
  const architecture = architectureOf(file)
  const { metadata, tensors } = file
  if ([...tensors.values()].some(({ blocks }) => blocks)) {
    const version = metadata.integer('general.quantization_version', QUANTIZATION_VERSION)
    if (version !== QUANTIZATION_VERSION)
      throw metadata.error('general.quantization_version', String(QUANTIZATION_VERSION), version)
  }
  const keys = new ArchitectureKeys(metadata, architecture)
  // Some converters write these for every model, with the values that say nothing.
  keys.ignore('rope.scaling.finetuned')
  keys.expect('expert_count', 0)
  keys.expect('expert_used_count', 0)
  keys.expect('attention.causal', true)
  keys.expect('rope.scale_linear', 1)
  const config = architecture === 'gpt2' ? gpt2Config(keys, file) : decoderConfig(keys, file, architecture)
  const vocabSize = vocabularySize(keys, file)
  keys.finish()
  return { ...config, vocab_size: vocabSize, ...endOfText(file) }
}

function gpt2Config(keys: ArchitectureKeys, { tensors }: GgufFile): RawConfig {
  const embeddings = tensors.get('position_embd.weight')
  const positions = keys.integer('context_length')
  if (embeddings && embeddings.shape[0] !== positions)
    throw keys.error('context_length', `${embeddings.shape[0]}, the rows of position_embd.weight`, positions)
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    n_embd: keys.integer('embedding_length'),
    n_layer: keys.integer('block_count'),
    n_head: keys.integer('attention.head_count'),
    n_positions: positions,
    n_inner: keys.integer('feed_forward_length'),
    layer_norm_epsilon: keys.number('attention.layer_norm_epsilon'),
    activation_function: 'gelu_new',
  }
}

const CLASSES = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
} as const

/** Configuration of the decoders that follow Llama's. */
function decoderConfig(
  keys: ArchitectureKeys,
  file: GgufFile,
  architecture: Exclude<GgufArchitecture, 'gpt2'>,
): RawConfig {
  const { tensors } = file
  const hiddenSize = keys.integer('embedding_length')
  const heads = keys.integer('attention.head_count')
  const headDim = keys.integer('attention.key_length', hiddenSize / heads)
  keys.expect('attention.value_length', headDim)
  keys.expect('rope.dimension_count', headDim)
  // What old converters say of the order of rows in q and k, which is that of all files.
  if (architecture === 'llama') keys.expect('tensor_data_layout', 'Meta AI original pth')
  const contextLength = keys.integer('context_length')
  const window = architecture === 'llama' ? slidingWindow(keys, contextLength) : undefined
  const modelType = window === undefined ? architecture : 'mistral'
  const theta = keys.number('rope.freq_base', 10000)
  return {
    architectures: [CLASSES[modelType]],
    model_type: modelType,
    hidden_size: hiddenSize,
    intermediate_size: keys.integer('feed_forward_length'),
    num_hidden_layers: keys.integer('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: keys.integer('attention.head_count_kv', heads),
    ...(headDim !== hiddenSize / heads || architecture === 'qwen3' ? { head_dim: headDim } : {}),
    max_position_embeddings: contextLength,
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    rope_theta: theta,
    ...ropeScaling(keys, file, theta, headDim),
    hidden_act: 'silu',
    ...(architecture !== 'qwen2' && window === undefined && tensors.has('blk.0.attn_q.bias')
      ? { attention_bias: true }
      : {}),
    ...(architecture === 'llama' && window === undefined && tensors.has('blk.0.ffn_gate.bias')
      ? { mlp_bias: true }
      : {}),
    ...(window === undefined ? {} : { sliding_window: window }),
    tie_word_embeddings: !tensors.has('output.weight'),
  }
}

/** The window of Mistral's attention; undefined where every position sees all before it anyway. */
function slidingWindow(keys: ArchitectureKeys, contextLength: number): number | undefined {
  const name = 'attention.sliding_window'
  const window = keys.has(name) ? keys.integer(name) : contextLength
  return window < contextLength ? window : undefined
}

function ropeScaling(keys: ArchitectureKeys, file: GgufFile, theta: number, headDim: number): RawConfig {
  // A factor alone is linear: files of 2023 have no type.
  const type = keys.text('rope.scaling.type', keys.has('rope.scaling.factor') ? 'linear' : 'none')
  const factor = keys.number('rope.scaling.factor', 1)
  const original = 'rope.scaling.original_context_length'
  const factors = file.tensors.get(ROPE_FACTORS)
  if (factors) {
    if (type !== 'none') throw keys.error('rope.scaling.type', `"none" beside ${ROPE_FACTORS}`, type)
    return { rope_scaling: llama3Scaling(factors, theta, headDim) }
  }
  switch (type) {
    case 'none':
      keys.ignore(original)
      return {}
    case 'linear':
      keys.ignore(original)
      return factor === 1 ? {} : { rope_scaling: { rope_type: 'linear', factor } }
    case 'yarn':
      return {
        rope_scaling: { rope_type: 'yarn', factor, original_max_position_embeddings: keys.integer(original) },
      }
    default:
      throw keys.error('rope.scaling.type', 'one of none, linear, yarn', type)
  }
}

/** The rows of the embedding, of which a vocabulary may leave some without a token. */
function vocabularySize(keys: ArchitectureKeys, { path, metadata, tensors }: GgufFile): number {
  const rows = tensors.get('token_embd.weight')?.shape[0]
  if (rows === undefined)
    throw new ModelError(`[gguf] ${path}: expected tensor "token_embd.weight", got none; the file holds no whole model`)
  keys.expect('vocab_size', rows)
  const tokens = metadata.get('tokenizer.ggml.tokens')
  if (Array.isArray(tokens) && tokens.length > rows)
    throw metadata.error(
      'tokenizer.ggml.tokens',
      `at most ${rows} tokens, the rows of token_embd.weight`,
      tokens.length,
    )
  return rows
}

/** Ids that begin and end texts: those of chat turns and messages end an answer too. */
function endOfText({ metadata }: GgufFile): RawConfig {
  const idOf = (name: string): number[] => {
    const key = `tokenizer.ggml.${name}_token_id`
    return metadata.has(key) ? [metadata.integer(key)] : []
  }
  const [bos] = idOf('bos')
  const eos = [...new Set(['eos', 'eot', 'eom'].flatMap(idOf))]
  return {
    ...(bos === undefined ? {} : { bos_token_id: bos }),
    ...(eos.length === 0 ? {} : { eos_token_id: eos.length === 1 ? eos[0] : eos }),
  }
}

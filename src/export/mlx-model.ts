/**
 * @file Format `mlx`: a whole model as mlx-lm loads it: Hugging Face's safetensors, with a config.json that says what
 * mlx-lm would otherwise assume.
 */

import type { RawConfig } from '../architecture/config.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { isJsonObject } from '../weights/strict-json.js'
import type { ExportFormat } from './export-format.js'
import { reopenMerged, writeMerged } from './merged-files.js'
import { mlxTensorName } from './mlx-names.js'
import { roundingShare } from './tolerances.js'

export const mlxModel: ExportFormat = {
  name: 'mlx',
  summary: 'a model as mlx-lm loads it, the adapter folded in, with tokenizer, chat template and generation config',
  opens: 'mlx-lm, LM Studio on a Mac',
  holds: 'model',
  takes: ['dtype', 'maxShardSize'],
  notCompared: 'mlx-lm did not run; its files were read back and computed here',
  tolerance: roundingShare,
  write: (job) =>
    writeMerged(job, {
      config: mlxConfig,
      rename: (name) => mlxTensorName(job.model, name),
      metadata: { format: 'mlx' },
    }),
  reopen: reopenMerged,
}

/** Kinds of rotary scaling that mlx-lm computes as transformers does. */
const ROPE_TYPES: readonly unknown[] = ['default', 'linear', 'llama3']

/**
 * The config.json that mlx-lm reads: what has another default there, or another name, is written out.
 * @throws on what mlx-lm would ignore, naming it
 */
function mlxConfig(config: RawConfig, model: CausalLM): RawConfig {
  return config.model_type === 'gpt2' ? gpt2Config(config, model) : decoderConfig(config, model)
}

function gpt2Config(config: RawConfig, model: CausalLM): RawConfig {
  const { n_embd: width, n_inner: inner, n_positions: positions } = config
  if (inner !== undefined && inner !== null && inner !== 4 * (width as number))
    throw unsupported('n_inner', inner, `${4 * (width as number)}, four times n_embd`)
  const activation = config.activation_function ?? 'gelu_new'
  if (activation !== 'gelu_new' && activation !== 'gelu_pytorch_tanh')
    throw unsupported('activation_function', activation, '"gelu_new"')
  if (config.tie_word_embeddings === false) throw unsupported('tie_word_embeddings', false, 'true')
  return { ...config, vocab_size: model.config.vocabSize, n_positions: positions ?? 1024, n_ctx: positions ?? 1024 }
}

function decoderConfig(config: RawConfig, model: CausalLM): RawConfig {
  const { numKeyValueHeads, numAttentionHeads, headDim, hiddenSize } = model.config
  const { rope_parameters: parameters, ...rest } = config
  const nested = isJsonObject(parameters) ? parameters : {}
  const { rope_theta: nestedTheta, ...nestedScaling } = nested
  const scaling = isJsonObject(config.rope_scaling) ? config.rope_scaling : nestedScaling
  const type = scaling.rope_type ?? scaling.type ?? 'default'
  if (!ROPE_TYPES.includes(type)) throw unsupported('rope_type', type, 'default, linear or llama3')
  if (config.model_type === 'qwen2' && headDim * numAttentionHeads !== hiddenSize)
    throw unsupported('head_dim', headDim, `${hiddenSize / numAttentionHeads}, hidden_size / num_attention_heads`)
  if (config.model_type === 'qwen3' && config.attention_bias === true)
    throw unsupported('attention_bias', true, 'false')
  expectNoWindow(config, model)
  return {
    ...rest,
    rms_norm_eps: config.rms_norm_eps ?? 1e-6,
    max_position_embeddings: config.max_position_embeddings ?? model.config.maxPositionEmbeddings,
    num_key_value_heads: numKeyValueHeads,
    head_dim: headDim,
    rope_theta: config.rope_theta ?? nestedTheta ?? 10000,
    rope_scaling: type === 'default' ? null : scaling,
    tie_word_embeddings: config.tie_word_embeddings ?? false,
  }
}

/** mlx-lm's models of these types see all tokens before them. */
function expectNoWindow(config: RawConfig, { config: { maxPositionEmbeddings } }: CausalLM): void {
  const isMistral = config.model_type === 'mistral'
  const window = isMistral ? (config.sliding_window === undefined ? 4096 : config.sliding_window) : undefined
  const isUsed = isMistral
    ? typeof window === 'number' && window < maxPositionEmbeddings
    : config.use_sliding_window === true
  if (isUsed) throw unsupported(isMistral ? 'sliding_window' : 'use_sliding_window', isMistral ? window : true, 'none')
}

function unsupported(field: string, value: unknown, expected: string): Error {
  return new ModelError(
    `[export] expected ${expected} for ${field} of a model for mlx-lm, got ${describeValue(value)}, which mlx-lm 0.32.2 does not compute; ` +
      "export it with format 'merged'",
  )
}

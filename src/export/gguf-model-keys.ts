/**
 * @file A model's configuration as the keys of a GGUF file. What llama.cpp would compute otherwise is refused. The
 * reader is src/gguf/config.ts.
 */

import type { RopeConfig } from '../architecture/rope.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import type { GgufArchitecture } from '../gguf/config.js'
import { ROPE_FACTORS } from '../gguf/rope-factors.js'
import { float32, string, type TypedKeys, type TypedValue, uint32 } from '../gguf/writer.js'
import { ModelError } from '../lowrank-error.js'
import type { Gpt2Config } from '../models/gpt2.js'
import type { LlamaConfig } from '../models/llama.js'

/** What a file says of a model beside its tokenizer and weights. */
export interface ModelKeys {
  readonly architecture: GgufArchitecture
  readonly keys: TypedKeys
  /** By what llama.cpp divides each rotary frequency: `rope_freqs.weight`. */
  readonly ropeFactors?: Float32Array
  readonly warnings: readonly string[]
}

/** By model type; Mistral is a llama to llama.cpp. */
const ARCHITECTURE_OF: Readonly<Record<string, GgufArchitecture>> = {
  llama: 'llama',
  mistral: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gpt2: 'gpt2',
}

/** The architecture that llama.cpp has for a model. @throws where it has none */
export function ggufArchitecture({ config: { modelType }, nameOrPath }: CausalLM): GgufArchitecture {
  if (Object.hasOwn(ARCHITECTURE_OF, modelType)) return ARCHITECTURE_OF[modelType] as GgufArchitecture
  throw refuse(nameOrPath, `model type '${modelType}'`)
}

/** @throws naming what llama.cpp does not compute */
export function modelKeys(model: CausalLM): ModelKeys {
  const architecture = ggufArchitecture(model)
  const { config } = model
  const parts =
    architecture === 'gpt2'
      ? gpt2Keys(config as Gpt2Config, model.nameOrPath)
      : decoderKeys(config as LlamaConfig, model, architecture)
  const own = Object.entries(parts.keys).map(([name, value]): [string, TypedValue] => [
    `${architecture}.${name}`,
    value,
  ])
  return { ...parts, architecture, keys: { 'general.architecture': string(architecture), ...Object.fromEntries(own) } }
}

type Parts = Omit<ModelKeys, 'architecture'>

function gpt2Keys(config: Gpt2Config, path: string): Parts {
  const { headDim, attentionScale, geluTanh } = config
  const usual = 1 / Math.sqrt(headDim)
  if (attentionScale.some((scale) => scale !== usual))
    throw refuse(path, 'scale_attn_weights false or scale_attn_by_inverse_layer_idx true')
  if (!geluTanh) throw refuse(path, "activation_function 'gelu', which is not the approximation by tanh")
  return {
    keys: {
      vocab_size: uint32(config.vocabSize),
      context_length: uint32(config.maxPositionEmbeddings),
      embedding_length: uint32(config.hiddenSize),
      feed_forward_length: uint32(config.innerSize),
      block_count: uint32(config.numHiddenLayers),
      'attention.head_count': uint32(config.numAttentionHeads),
      'attention.layer_norm_epsilon': float32(config.layerNormEpsilon),
    },
    warnings: [],
  }
}

function decoderKeys(config: LlamaConfig, { rawConfig, nameOrPath }: CausalLM, architecture: GgufArchitecture): Parts {
  const { modelType, headDim, maxPositionEmbeddings, windows } = config
  if (architecture === 'qwen3' && config.qkvBias) throw refuse(nameOrPath, 'attention_bias true for qwen3')
  const contextLength = (rawConfig.max_position_embeddings as number | undefined) ?? maxPositionEmbeddings
  const window = Math.min(...windows.map((size) => (size === 0 ? Number.POSITIVE_INFINITY : size)))
  const hasWindow = window < contextLength
  if (hasWindow && modelType !== 'mistral')
    throw refuse(nameOrPath, `a sliding window of ${window} tokens for ${modelType}`)
  const warnings = hasWindow
    ? [
        `llama.cpp has no sliding window for ${modelType}: beyond ${window} tokens it attends to all that come before, and its answers differ from those of the model`,
      ]
    : []
  const { keys, factors } = ropeKeys(config.rope, headDim, nameOrPath)
  return {
    keys: {
      vocab_size: uint32(config.vocabSize),
      context_length: uint32(contextLength),
      embedding_length: uint32(config.hiddenSize),
      block_count: uint32(config.numHiddenLayers),
      feed_forward_length: uint32(config.intermediateSize),
      'attention.head_count': uint32(config.numAttentionHeads),
      'attention.head_count_kv': uint32(config.numKeyValueHeads),
      'attention.key_length': uint32(headDim),
      'attention.value_length': uint32(headDim),
      'attention.layer_norm_rms_epsilon': float32(config.rmsNormEps),
      ...(hasWindow ? { 'attention.sliding_window': uint32(window) } : {}),
      'rope.dimension_count': uint32(headDim),
      'rope.freq_base': float32(config.rope.theta),
      ...keys,
    },
    ...(factors && { ropeFactors: factors }),
    warnings,
  }
}

function ropeKeys(
  { theta, scaling }: RopeConfig,
  headDim: number,
  path: string,
): { keys: TypedKeys; factors?: Float32Array } {
  const type = 'rope.scaling.type'
  switch (scaling.type) {
    case 'default':
      return { keys: {} }
    case 'linear':
      return { keys: { [type]: string('linear'), 'rope.scaling.factor': float32(scaling.factor) } }
    case 'yarn': {
      const { factor, originalMaxPositionEmbeddings, betaFast, betaSlow, truncate, attentionFactor } = scaling
      const usual = factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1
      if (betaFast !== 32 || betaSlow !== 1 || !truncate || attentionFactor !== usual)
        throw refuse(path, 'rope scaling yarn with beta_fast, beta_slow, truncate or attention_factor of its own')
      return {
        keys: {
          [type]: string('yarn'),
          'rope.scaling.factor': float32(factor),
          'rope.scaling.original_context_length': uint32(originalMaxPositionEmbeddings),
        },
      }
    }
    case 'llama3': {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling
      const factors = Float32Array.from({ length: headDim / 2 }, (_, i) => {
        const turns = (originalMaxPositionEmbeddings * theta ** ((-2 * i) / headDim)) / (2 * Math.PI)
        if (turns < lowFreqFactor) return factor
        if (turns > highFreqFactor) return 1
        const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
        return 1 / ((1 - smooth) / factor + smooth)
      })
      return { keys: {}, factors }
    }
    case 'dynamic':
      throw refuse(path, 'rope scaling dynamic')
    default:
      return scaling satisfies never
  }
}

/** The tensor of `ropeFactors`. */
export const ROPE_TENSOR = ROPE_FACTORS

function refuse(path: string, what: string): Error {
  return new ModelError(
    `[gguf] expected a model that llama.cpp computes, got ${describeValue(path)} with ${what}; export it to another format`,
  )
}

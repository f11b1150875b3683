/**
 * @file Llama 2, 3, 3.1, 3.2 and what shares their architecture, SmolLM2 among them (Touvron et al. 2023,
 * arXiv:2307.09288). The decoder also serves model types that differ in what the config can say: mistral.ts, qwen2.ts,
 * qwen3.ts.
 */

import type { Architecture, Decoder, ForwardContext, RaggedInput } from '../architecture/architecture.js'
import {
  ConfigReader,
  LARGEST_HEAD_DIM,
  MOST_LAYERS,
  type ModelConfig,
  type RawConfig,
} from '../architecture/config.js'
import { longestSequence, type RopeConfig, readRopeConfig } from '../architecture/rope.js'
import { RopeTable } from '../architecture/rope-table.js'
import { checkpoint } from '../autograd/gradient-checkpointing.js'
import { type Embedding, type Linear, linearGroup, type ModelBuilder, type RmsNorm } from '../nn/module.js'
import { add } from '../ops/add.js'
import { attention } from '../ops/attention.js'
import { rope_ } from '../ops/rope.js'
import { splitColumns } from '../ops/split-columns.js'
import { swiglu } from '../ops/swiglu.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** What the decoder reads of config.json. */
export interface LlamaConfig extends ModelConfig {
  readonly intermediateSize: number
  readonly rmsNormEps: number
  readonly rope: RopeConfig
  /** Whether q_proj, k_proj and v_proj have a bias. */
  readonly qkvBias: boolean
  readonly oBias: boolean
  readonly mlpBias: boolean
  /** RMSNorm of every head of q and k, before it is rotated. */
  readonly qkNorm: boolean
  readonly tieWordEmbeddings: boolean
  /** Per layer: the keys that a query sees, itself included; 0: all. */
  readonly windows: readonly number[]
}

function readConfig(raw: RawConfig, where: string): LlamaConfig {
  const config = new ConfigReader(raw, where)
  const attentionBias = config.boolean('attention_bias', false)
  const common = readCommonConfig(config, where, { maxPositionEmbeddings: 2048 })
  const result: LlamaConfig = {
    ...common,
    modelType: 'llama',
    qkvBias: attentionBias,
    oBias: attentionBias,
    mlpBias: config.boolean('mlp_bias', false),
    qkNorm: false,
    windows: Array.from({ length: common.numHiddenLayers }, () => 0),
  }
  config.finish()
  return result
}

/** The fields that the model types of this decoder spell alike, and those whose default they do not share. */
export function readCommonConfig(
  config: ConfigReader,
  where: string,
  defaults: { maxPositionEmbeddings: number; numKeyValueHeads?: number; headDim?: number },
): Omit<LlamaConfig, 'modelType' | 'qkvBias' | 'oBias' | 'mlpBias' | 'qkNorm' | 'windows'> {
  const hiddenSize = config.integer('hidden_size')
  const numAttentionHeads = config.integer('num_attention_heads')
  const defaultHeadDim = defaults.headDim ?? hiddenSize / numAttentionHeads
  if (!config.has('head_dim') && !Number.isInteger(defaultHeadDim)) {
    throw config.error('num_attention_heads', `a divisor of hidden_size = ${hiddenSize}`, numAttentionHeads)
  }
  const defaultKeyHeads = config.isNull('num_key_value_heads') ? undefined : defaults.numKeyValueHeads
  const numKeyValueHeads = config.integer('num_key_value_heads', defaultKeyHeads ?? numAttentionHeads)
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw config.error(
      'num_key_value_heads',
      `a divisor of num_attention_heads = ${numAttentionHeads}`,
      numKeyValueHeads,
    )
  }
  const headDim = config.integer('head_dim', defaultHeadDim, LARGEST_HEAD_DIM)
  if (headDim % 2 !== 0) throw config.error('head_dim', 'an even number', headDim)
  config.choice('hidden_act', ['silu'], 'silu')
  const maxPositionEmbeddings = config.integer('max_position_embeddings', defaults.maxPositionEmbeddings)
  const rope = readRopeConfig(config, where, maxPositionEmbeddings)
  // It divides by the width without two.
  if (rope.scaling.type === 'dynamic' && headDim === 2)
    throw config.error('head_dim', 'a number above 2 for rope scaling dynamic', headDim)
  return {
    vocabSize: config.integer('vocab_size'),
    hiddenSize,
    intermediateSize: config.integer('intermediate_size'),
    numHiddenLayers: config.integer('num_hidden_layers', undefined, MOST_LAYERS),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings: longestSequence(rope, maxPositionEmbeddings),
    rmsNormEps: config.epsilon('rms_norm_eps', 1e-6),
    rope,
    tieWordEmbeddings: config.boolean('tie_word_embeddings', false),
    bosTokenId: config.tokenIds('bos_token_id')[0],
    eosTokenId: config.tokenIds('eos_token_id'),
  }
}

class LlamaAttention {
  readonly #config: LlamaConfig
  readonly #layer: number
  readonly #qProj: Linear
  readonly #kProj: Linear
  readonly #vProj: Linear
  readonly #oProj: Linear
  readonly #norms: { q: RmsNorm; k: RmsNorm } | undefined

  constructor(config: LlamaConfig, layer: number, builder: ModelBuilder) {
    const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads, qkvBias, oBias, rmsNormEps } = config
    this.#config = config
    this.#layer = layer
    this.#qProj = builder.linear('q_proj', hiddenSize, numAttentionHeads * headDim, { bias: qkvBias })
    this.#kProj = builder.linear('k_proj', hiddenSize, numKeyValueHeads * headDim, { bias: qkvBias })
    this.#vProj = builder.linear('v_proj', hiddenSize, numKeyValueHeads * headDim, { bias: qkvBias })
    this.#oProj = builder.linear('o_proj', numAttentionHeads * headDim, hiddenSize, { bias: oBias })
    if (config.qkNorm) {
      const [q, k] = [builder.rmsNorm('q_norm', headDim, rmsNormEps), builder.rmsNorm('k_norm', headDim, rmsNormEps)]
      this.#norms = { q, k }
    }
  }

  /** [N, D] -> [N, D]. */
  forward(x: Tensor, input: RaggedInput, cosSin: Tensor, { dropout, cache }: ForwardContext): Tensor {
    const { headDim, windows } = this.#config
    const qkv = linearGroup(x, [this.#qProj, this.#kProj, this.#vProj], dropout) // [N, (H + 2 Hkv) * headDim]
    const [q, k, v] = this.#rotate(qkv, cosSin, input.positions)
    const all = cache ? cache.append(this.#layer, k, v, input.cacheRows) : { k, v }
    const { cuSeqlensQ, cuSeqlensK, seqUsedK, blockTable, blockSize } = input
    const window = windows[this.#layer] as number
    const keys = { cuSeqlensK, seqUsedK, blockTable, blockSize }
    const y = attention(q, all.k, all.v, { headDim, cuSeqlensQ, ...keys, window })
    return this.#oProj.forward(y, dropout)
  }

  /**
   * q, k and v of a [q | k | v] projection, q and k rotated: in place, unless norms that have to keep their input make
   * new ones.
   */
  #rotate(qkv: Tensor, cosSin: Tensor, positions: Tensor): [Tensor, Tensor, Tensor] {
    const { headDim, numAttentionHeads, numKeyValueHeads } = this.#config
    const [queryWidth, keyWidth] = [numAttentionHeads * headDim, numKeyValueHeads * headDim]
    const split = (x: Tensor) => splitColumns(x, [queryWidth, keyWidth, keyWidth]) as [Tensor, Tensor, Tensor]
    const rotate = (x: Tensor, columns: number) => rope_(x, cosSin, positions, { headDim, columns })
    if (!this.#norms) return split(rotate(qkv, queryWidth + keyWidth))
    const [q, k, v] = split(qkv)
    const { q: qNorm, k: kNorm } = this.#norms
    return [
      rotate(qNorm.forwardHeads(q, numAttentionHeads), queryWidth),
      rotate(kNorm.forwardHeads(k, numKeyValueHeads), keyWidth),
      v,
    ]
  }
}

class LlamaMlp {
  readonly #gateProj: Linear
  readonly #upProj: Linear
  readonly #downProj: Linear

  constructor({ hiddenSize, intermediateSize, mlpBias: bias }: LlamaConfig, builder: ModelBuilder) {
    this.#gateProj = builder.linear('gate_proj', hiddenSize, intermediateSize, { bias })
    this.#upProj = builder.linear('up_proj', hiddenSize, intermediateSize, { bias })
    this.#downProj = builder.linear('down_proj', intermediateSize, hiddenSize, { bias })
  }

  /** [N, D] -> [N, D]. */
  forward(x: Tensor, { dropout }: ForwardContext): Tensor {
    const gateUp = linearGroup(x, [this.#gateProj, this.#upProj], dropout) // [N, 2F]
    return this.#downProj.forward(swiglu(gateUp), dropout, { lastOfBlock: true })
  }
}

class LlamaLayer {
  readonly #inputLayernorm: RmsNorm
  readonly #attention: LlamaAttention
  readonly #postAttentionLayernorm: RmsNorm
  readonly #mlp: LlamaMlp

  constructor(config: LlamaConfig, layer: number, builder: ModelBuilder) {
    this.#attention = new LlamaAttention(config, layer, builder.child('self_attn'))
    this.#mlp = new LlamaMlp(config, builder.child('mlp'))
    this.#inputLayernorm = builder.rmsNorm('input_layernorm', config.hiddenSize, config.rmsNormEps)
    this.#postAttentionLayernorm = builder.rmsNorm('post_attention_layernorm', config.hiddenSize, config.rmsNormEps)
  }

  /** [N, D] -> [N, D]. */
  forward(hidden: Tensor, input: RaggedInput, cosSin: Tensor, context: ForwardContext): Tensor {
    const attended = this.#attention.forward(this.#inputLayernorm.forward(hidden).y, input, cosSin, context)
    const { y, sum } = this.#postAttentionLayernorm.forward(attended, hidden)
    return add(this.#mlp.forward(y, context), sum, { lastOfBlock: true })
  }
}

export class LlamaDecoder implements Decoder {
  readonly config: LlamaConfig
  readonly head: Linear
  readonly #embedTokens: Embedding
  readonly #layers: LlamaLayer[]
  readonly #norm: RmsNorm
  readonly #rope: RopeTable

  constructor(config: LlamaConfig, builder: ModelBuilder) {
    const model = builder.child('model')
    this.config = config
    this.#embedTokens = model.embedding('embed_tokens', config.vocabSize, config.hiddenSize)
    this.#layers = Array.from(
      { length: config.numHiddenLayers },
      (_, i) => new LlamaLayer(config, i, model.child(`layers.${i}`)),
    )
    this.#norm = model.rmsNorm('norm', config.hiddenSize, config.rmsNormEps)
    this.#rope = new RopeTable(config.rope, config.headDim, builder.device)
    this.head = builder.head(
      'lm_head',
      config.vocabSize,
      config.hiddenSize,
      config.tieWordEmbeddings ? this.#embedTokens : undefined,
    )
  }

  forward(input: RaggedInput, context: ForwardContext): Tensor {
    const cosSin = this.#rope.upTo(input.positionCount, input.sequenceLength)
    const full = context.gradientCheckpointing === 'full'
    let hidden = this.#embedTokens.forward(input.inputIds)
    for (const layer of this.#layers) {
      const block = (x: Tensor, positions: Tensor, cuSeqlens: Tensor, table: Tensor): Tensor[] => {
        const again = { ...input, positions, cuSeqlensQ: cuSeqlens, cuSeqlensK: cuSeqlens }
        return [layer.forward(x, again, table, context)]
      }
      const [next] = context.gradientCheckpointing
        ? checkpoint(block, [hidden], context.trainable, [input.positions, input.cuSeqlensQ, cosSin], full)
        : scope(() => [layer.forward(hidden, input, cosSin, context)])
      hidden.dispose()
      hidden = next as Tensor
    }
    return this.#norm.forward(hidden).y
  }
}

export const llama: Architecture = {
  modelType: 'llama',
  basePrefix: 'model.',
  ignoredTensors: /(^|\.)rotary_emb\.inv_freq$/,
  create: (raw, builder, where) => new LlamaDecoder(readConfig(raw, where), builder),
  initialize: ({ name }) => {
    if (name.endsWith('.bias')) return { mean: 0, std: 0 }
    return name.endsWith('norm.weight') ? { mean: 1, std: 0 } : { mean: 0, std: 0.02 }
  },
}

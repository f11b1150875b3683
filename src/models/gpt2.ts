/**
 * @file GPT-2 (Radford et al. 2019): learned positions, LayerNorm, Conv1D projections, a head that is tied unless the
 * config says otherwise.
 */

import type { Architecture, Decoder, ForwardContext, RaggedInput } from '../architecture/architecture.js'
import { ConfigReader, MOST_LAYERS, type ModelConfig, type RawConfig } from '../architecture/config.js'
import { checkpoint } from '../autograd/gradient-checkpointing.js'
import { LowrankError } from '../lowrank-error.js'
import type { Embedding, LayerNorm, Linear, ModelBuilder } from '../nn/module.js'
import { add } from '../ops/add.js'
import { attention } from '../ops/attention.js'
import { gelu } from '../ops/gelu.js'
import { splitColumns } from '../ops/split-columns.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** config.json of `model_type: gpt2`. */
export interface Gpt2Config extends ModelConfig {
  readonly innerSize: number
  readonly layerNormEpsilon: number
  readonly geluTanh: boolean
  /** Factor of q k^T in each layer. */
  readonly attentionScale: readonly number[]
  readonly tieWordEmbeddings: boolean
}

function readConfig(raw: RawConfig, where: string): Gpt2Config {
  const config = new ConfigReader(raw, where)
  const hiddenSize = config.integer('n_embd', 768)
  const numHiddenLayers = config.integer('n_layer', 12, MOST_LAYERS)
  const numAttentionHeads = config.integer('n_head', 12)
  const headDim = hiddenSize / numAttentionHeads
  const scaled = config.boolean('scale_attn_weights', true) ? 1 / Math.sqrt(headDim) : 1
  const byLayer = config.boolean('scale_attn_by_inverse_layer_idx', false)
  const activation = config.choice(
    'activation_function',
    ['gelu_new', 'gelu', 'gelu_pytorch_tanh', 'gelu_fast'],
    'gelu_new',
  )
  const result: Gpt2Config = {
    modelType: 'gpt2',
    vocabSize: config.integer('vocab_size', 50257),
    hiddenSize,
    innerSize: config.integer('n_inner', 4 * hiddenSize),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: numAttentionHeads,
    headDim,
    maxPositionEmbeddings: config.integer('n_positions', 1024),
    layerNormEpsilon: config.epsilon('layer_norm_epsilon', 1e-5),
    geluTanh: activation !== 'gelu',
    tieWordEmbeddings: config.boolean('tie_word_embeddings', true),
    attentionScale: Array.from({ length: numHiddenLayers }, (_, i) => (byLayer ? scaled / (i + 1) : scaled)),
    bosTokenId: config.tokenIds('bos_token_id')[0],
    eosTokenId: config.tokenIds('eos_token_id'),
  }
  if (!Number.isInteger(headDim)) throw config.error('n_head', `a divisor of n_embd = ${hiddenSize}`, numAttentionHeads)
  // A float32 detour for scores in float16, which are float32 here.
  config.expectValue('reorder_and_upcast_attn', [false, true])
  config.finish()
  return result
}

class Gpt2Block {
  readonly #config: Gpt2Config
  readonly #layer: number
  readonly #ln1: LayerNorm
  readonly #attnProjection: Linear
  readonly #attnOutput: Linear
  readonly #ln2: LayerNorm
  readonly #mlpIn: Linear
  readonly #mlpOut: Linear

  constructor(config: Gpt2Config, layer: number, builder: ModelBuilder) {
    const { hiddenSize, innerSize, layerNormEpsilon } = config
    this.#config = config
    this.#layer = layer
    this.#ln1 = builder.layerNorm('ln_1', hiddenSize, layerNormEpsilon)
    this.#attnProjection = builder.child('attn').conv1d('c_attn', hiddenSize, 3 * hiddenSize)
    this.#attnOutput = builder.child('attn').conv1d('c_proj', hiddenSize, hiddenSize)
    this.#ln2 = builder.layerNorm('ln_2', hiddenSize, layerNormEpsilon)
    this.#mlpIn = builder.child('mlp').conv1d('c_fc', hiddenSize, innerSize)
    this.#mlpOut = builder.child('mlp').conv1d('c_proj', innerSize, hiddenSize)
  }

  /** [N, D] -> [N, D]. */
  forward(hidden: Tensor, input: RaggedInput, context: ForwardContext): Tensor {
    const attended = this.#attend(this.#ln1.forward(hidden).y, input, context)
    const { y, sum } = this.#ln2.forward(attended, hidden)
    const inner = gelu(this.#mlpIn.forward(y, context.dropout), { tanh: this.#config.geluTanh })
    return add(this.#mlpOut.forward(inner, context.dropout, { lastOfBlock: true }), sum, { lastOfBlock: true })
  }

  #attend(x: Tensor, input: RaggedInput, { dropout, cache }: ForwardContext): Tensor {
    const { hiddenSize, headDim, attentionScale } = this.#config
    const qkv = this.#attnProjection.forward(x, dropout) // [N, 3D]
    const [q, k, v] = splitColumns(qkv, [hiddenSize, hiddenSize, hiddenSize]) as [Tensor, Tensor, Tensor]
    const all = cache ? cache.append(this.#layer, k, v, input.cacheRows) : { k, v }
    const { cuSeqlensQ, cuSeqlensK, seqUsedK, blockTable, blockSize } = input
    const y = attention(q, all.k, all.v, {
      headDim,
      cuSeqlensQ,
      cuSeqlensK,
      seqUsedK,
      blockTable,
      blockSize,
      scale: attentionScale[this.#layer] as number,
    })
    return this.#attnOutput.forward(y, dropout)
  }
}

class Gpt2Decoder implements Decoder {
  readonly config: Gpt2Config
  readonly head: Linear
  readonly #wte: Embedding
  readonly #wpe: Embedding
  readonly #blocks: Gpt2Block[]
  readonly #lnF: LayerNorm

  constructor(config: Gpt2Config, builder: ModelBuilder) {
    const { vocabSize, hiddenSize, maxPositionEmbeddings, numHiddenLayers, layerNormEpsilon } = config
    const transformer = builder.child('transformer')
    this.config = config
    this.#wte = transformer.embedding('wte', vocabSize, hiddenSize)
    this.#wpe = transformer.embedding('wpe', maxPositionEmbeddings, hiddenSize)
    this.#blocks = Array.from(
      { length: numHiddenLayers },
      (_, i) => new Gpt2Block(config, i, transformer.child(`h.${i}`)),
    )
    this.#lnF = transformer.layerNorm('ln_f', hiddenSize, layerNormEpsilon)
    this.head = builder.head('lm_head', vocabSize, hiddenSize, config.tieWordEmbeddings ? this.#wte : undefined)
  }

  forward(input: RaggedInput, context: ForwardContext): Tensor {
    const { maxPositionEmbeddings } = this.config
    if (input.positionCount > maxPositionEmbeddings) {
      throw new LowrankError(
        'INVALID_CALL',
        `[gpt2] expected at most ${maxPositionEmbeddings} tokens in a sequence (n_positions), got ${input.positionCount}; lower maxLength`,
      )
    }
    let hidden = add(this.#wte.forward(input.inputIds), this.#wpe.forward(input.positions))
    const full = context.gradientCheckpointing === 'full'
    for (const block of this.#blocks) {
      const run = (x: Tensor, cuSeqlens: Tensor): Tensor[] => [
        block.forward(x, { ...input, cuSeqlensQ: cuSeqlens, cuSeqlensK: cuSeqlens }, context),
      ]
      const [next] = context.gradientCheckpointing
        ? checkpoint(run, [hidden], context.trainable, [input.cuSeqlensQ], full)
        : scope(() => [block.forward(hidden, input, context)])
      hidden.dispose()
      hidden = next as Tensor
    }
    return this.#lnF.forward(hidden).y
  }
}

export const gpt2: Architecture = {
  modelType: 'gpt2',
  basePrefix: 'transformer.',
  ignoredTensors: /(^|\.)attn\.(bias|masked_bias)$/,
  create: (raw, builder, where) => new Gpt2Decoder(readConfig(raw, where), builder),
  initialize: ({ name }) => {
    if (name.endsWith('.bias')) return { mean: 0, std: 0 }
    return /(^|\.)ln_(1|2|f)\.weight$/.test(name) ? { mean: 1, std: 0 } : { mean: 0, std: 0.02 }
  },
}

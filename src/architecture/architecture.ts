/** @file The contract between a model file and everything above it. */

import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import type { Parameter } from '../autograd/parameter.js'
import type { Linear, ModelBuilder } from '../nn/module.js'
import type { DropoutState } from '../ops/linear.js'
import type { Tensor } from '../tensor/tensor.js'
import type { ModelConfig, RawConfig } from './config.js'

/** Tokens of all sequences in one axis. */
export interface RaggedInput {
  /** int32 [N]. */
  readonly inputIds: Tensor
  /** int32 [N]: position of each token in its sequence. */
  readonly positions: Tensor
  /** Above all positions, those of decoding steps that will follow included. */
  readonly positionCount: number
  /**
   * The largest position + 1, where all tokens are rotated as those of the longest sequence are; see `RopeScaling`.
   * Absent in decoding steps: each token is the last of its sequence.
   * @default that of each sequence
   */
  readonly sequenceLength?: number
  /** int32 [S + 1]: where sequences begin; of the queries. */
  readonly cuSeqlensQ: Tensor
  /**
   * Bounds of the sequences' keys: the same tensor as `cuSeqlensQ` unless a cache holds earlier keys. Left out beside
   * `blockTable`.
   * @default none: keys lie in blocks
   */
  readonly cuSeqlensK?: Tensor | undefined
  /**
   * int32 [S]: how many of a sequence's keys are there; without it all.
   * @default none: all keys count
   */
  readonly seqUsedK?: Tensor
  /**
   * int32 [S, blocks]: the blocks of the cache that hold each sequence's keys; see `attention`. With `seqUsedK` and
   * `blockSize`.
   * @default none: keys lie in a row
   */
  readonly blockTable?: Tensor | undefined
  /**
   * Keys per block.
   * @default none: keys lie in a row
   */
  readonly blockSize?: number | undefined
  /**
   * With a cache, int32 [N]: where in it each token's key and value go.
   * @default none: there is no cache
   */
  readonly cacheRows?: Tensor
}

/** Keys and values of earlier tokens, as a decoder sees them. */
export interface KeyValueCache {
  /** Writes new tokens' keys and values [N, Hkv * headDim] to `rows`, int32 [N], and returns all of the layer's. */
  append(layer: number, k: Tensor, v: Tensor, rows: Tensor | undefined): { k: Tensor; v: Tensor }
}

/** What a forward pass needs besides tokens. */
export interface ForwardContext {
  /** Present while training. */
  readonly dropout?: DropoutState
  /** Keep block inputs and compute blocks again in backward. */
  readonly gradientCheckpointing: GradientCheckpointing
  /** True when some parameter needs a gradient. */
  readonly trainable: boolean
  /** Generation: keys and values of earlier tokens. */
  readonly cache?: KeyValueCache
}

/** A decoder: tokens to final hidden states, and the head that turns these into logits. */
export interface Decoder {
  readonly config: ModelConfig
  readonly head: Linear
  /** [N] tokens -> [N, D], normalised. */
  forward(input: RaggedInput, context: ForwardContext): Tensor
}

/** What a model file exports. */
export interface Architecture {
  readonly modelType: string
  /** Reads config.json (strictly) and registers all weights with the builder. `where` names the file in errors. */
  create(raw: RawConfig, builder: ModelBuilder, where: string): Decoder
  /** Prefix that checkpoints of the bare model leave out: `transformer.` in GPT-2's. */
  readonly basePrefix: string
  /** Tensors in checkpoints that are not weights. */
  readonly ignoredTensors: RegExp
  /** Values of a fresh model, for training from scratch: how to fill a parameter. */
  initialize(parameter: Parameter, config: ModelConfig): { mean: number; std: number }
}

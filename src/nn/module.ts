/**
 * @file Building blocks of models: linear, embedding, norms, and the builder that names their weights as the checkpoint
 * does.
 */

import { Parameter } from '../autograd/parameter.js'
import { OptionError } from '../lowrank-error.js'
import { embedding } from '../ops/embedding.js'
import { layerNorm } from '../ops/layer-norm.js'
import { type DropoutState, type LinearOptions, type LoraPair, linear, type Projection } from '../ops/linear.js'
import type { NormResult } from '../ops/norm.js'
import { rmsNorm } from '../ops/rms-norm.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'

/** What a linear is to PEFT: an ordinary one, GPT-2's transposed one, or the output head. */
export type LinearKind = 'linear' | 'conv1d' | 'head'

/** How weights of projections can be held beside 16 or 32 bits. */
export type Quantization = 'nf4'

/** A projection: weight, optional bias, and the LoRA adapters attached to it. */
export class Linear implements Projection {
  /** Dotted module path, as in the checkpoint: `model.layers.0.self_attn.q_proj`. */
  readonly path: string
  readonly kind: LinearKind
  readonly inFeatures: number
  readonly outFeatures: number
  /** True when the weight is stored [in, out]. */
  readonly inOut: boolean
  /** True when the weight is held in NF4, always as [out, in]. */
  readonly isQuantized: boolean
  /** Replaced by a trainable copy under `modulesToSave`. */
  weight: Parameter
  /** The same, and where an adapter trains biases. */
  bias: Parameter | undefined
  pairs: LoraPair[] = []
  /** Set while inputs are measured. */
  observe: ((x: Tensor) => void) | undefined

  constructor(path: string, kind: LinearKind, weight: Parameter, bias?: Parameter, isQuantized = false) {
    this.path = path
    this.kind = kind
    this.weight = weight
    this.bias = bias
    this.isQuantized = isQuantized
    this.inOut = kind === 'conv1d' && !isQuantized
    const [first, second] = weight.shape as [number, number]
    this.outFeatures = this.inOut ? second : first
    this.inFeatures = this.inOut ? first : second
  }

  /** [N, in] -> [N, out]. */
  forward(x: Tensor, dropout?: DropoutState, options: Pick<LinearOptions, 'lastOfBlock'> = {}): Tensor {
    return linear(x, [this], { dropout, ...options })
  }
}

/** Several projections of one input, side by side: [N, in] -> [N, sum of out]. */
export function linearGroup(x: Tensor, parts: readonly Linear[], dropout?: DropoutState): Tensor {
  return linear(x, parts, { dropout })
}

/** A table of vectors by id. */
export class Embedding {
  readonly path: string
  /** [V, D]; replaced by a trainable copy under `modulesToSave`. */
  weight: Parameter

  constructor(path: string, weight: Parameter) {
    this.path = path
    this.weight = weight
  }

  /** int32 [N] -> [N, D]. */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight)
  }
}

/** RMSNorm; see src/ops/rms-norm.ts. */
export class RmsNorm {
  readonly path: string
  /** Replaced by a trainable copy under `modulesToSave`. */
  weight: Parameter
  readonly eps: number

  constructor(path: string, weight: Parameter, eps: number) {
    this.path = path
    this.weight = weight
    this.eps = eps
  }

  /** [N, D] -> y [N, D] and the sum that was normalised. */
  forward(x: Tensor, residual?: Tensor): NormResult {
    return rmsNorm(x, this.weight, { eps: this.eps, residual })
  }

  /** [N, heads * D] -> [N, heads * D], every head by itself. */
  forwardHeads(x: Tensor, heads: number): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps, heads }).y
  }
}

/** LayerNorm; see src/ops/layer-norm.ts. */
export class LayerNorm {
  readonly path: string
  /** Replaced by a trainable copy under `modulesToSave`. */
  weight: Parameter
  /** The same, and where an adapter trains biases. */
  bias: Parameter
  readonly eps: number

  constructor(path: string, weight: Parameter, bias: Parameter, eps: number) {
    this.path = path
    this.weight = weight
    this.bias = bias
    this.eps = eps
  }

  /** [N, D] -> y [N, D] and the sum that was normalised. */
  forward(x: Tensor, residual?: Tensor): NormResult {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, residual })
  }
}

/** Everything that a model registered, by name and path. */
export interface ModelModules {
  readonly parameters: Map<string, Parameter>
  readonly linears: Map<string, Linear>
  readonly embeddings: Map<string, Embedding>
  readonly norms: Map<string, RmsNorm | LayerNorm>
}

/** How weights are held. */
export interface WeightOptions {
  /**
   * Tells which projections hold their weight in NF4, by the weight's name; default none.
   * @default none: no weight is quantised
   */
  readonly isQuantized?: ((weight: string) => boolean) | undefined
  /**
   * On a GPU: embeddings are left in the machine's memory, pinned; forward reads the rows that it needs over the bus.
   * Default false.
   * @default false
   */
  readonly offloadEmbedding?: boolean | undefined
}

/** Makes modules under a path and registers their weights under the names that the checkpoint has. */
export class ModelBuilder {
  readonly device: Device
  readonly dtype: ComputeDType
  readonly parts: ModelModules
  readonly #weights: WeightOptions
  readonly #path: string

  constructor(device: Device, dtype: ComputeDType, weights: WeightOptions = {}, path = '', parts?: ModelModules) {
    this.device = device
    this.dtype = dtype
    this.#weights = weights
    this.#path = path
    this.parts = parts ?? { parameters: new Map(), linears: new Map(), embeddings: new Map(), norms: new Map() }
  }

  /** A builder for the module `name` below this one. */
  child(name: string): ModelBuilder {
    return new ModelBuilder(this.device, this.dtype, this.#weights, this.#join(name), this.parts)
  }

  /** Weight [out, in] and optional bias [out]. */
  linear(name: string, inFeatures: number, outFeatures: number, { bias = false } = {}): Linear {
    return this.#linear(name, 'linear', inFeatures, outFeatures, bias)
  }

  /** GPT-2's Conv1D: weight [in, out], [out, in] in NF4, and bias [out]. */
  conv1d(name: string, inFeatures: number, outFeatures: number): Linear {
    return this.#linear(name, 'conv1d', inFeatures, outFeatures, true)
  }

  /**
   * The output head [V, D]: `tied` shares the embedding's weight.
   * @throws when that is offloaded: the head reads all of it.
   */
  head(name: string, vocabSize: number, hiddenSize: number, tied?: Embedding): Linear {
    const path = this.#join(name)
    if (tied?.weight.isOffloaded) {
      throw new OptionError(
        `[model] expected a head with weights of its own for offloadEmbedding, but ${path} shares ${tied.weight.name}; leave out offloadEmbedding`,
      )
    }
    const weight = tied ? tied.weight : this.#parameter(`${path}.weight`, [vocabSize, hiddenSize])
    const head = new Linear(path, 'head', weight)
    this.parts.linears.set(path, head)
    return head
  }

  embedding(name: string, count: number, width: number): Embedding {
    const path = this.#join(name)
    const offload = this.#weights.offloadEmbedding === true && this.device.isGpu
    const module = new Embedding(path, this.#parameter(`${path}.weight`, [count, width], offload))
    this.parts.embeddings.set(path, module)
    return module
  }

  rmsNorm(name: string, width: number, eps: number): RmsNorm {
    const path = this.#join(name)
    const module = new RmsNorm(path, this.#parameter(`${path}.weight`, [width]), eps)
    this.parts.norms.set(path, module)
    return module
  }

  layerNorm(name: string, width: number, eps: number): LayerNorm {
    const path = this.#join(name)
    const weight = this.#parameter(`${path}.weight`, [width])
    const module = new LayerNorm(path, weight, this.#parameter(`${path}.bias`, [width]), eps)
    this.parts.norms.set(path, module)
    return module
  }

  #linear(name: string, kind: LinearKind, inFeatures: number, outFeatures: number, hasBias: boolean): Linear {
    const path = this.#join(name)
    const isQuantized = this.#weights.isQuantized?.(`${path}.weight`) ?? false
    const inOut = kind === 'conv1d' && !isQuantized
    const weight = this.#parameter(`${path}.weight`, inOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures])
    const bias = hasBias ? this.#parameter(`${path}.bias`, [outFeatures]) : undefined
    const module = new Linear(path, kind, weight, bias, isQuantized)
    this.parts.linears.set(path, module)
    return module
  }

  #parameter(name: string, shape: readonly number[], isOffloaded = false): Parameter {
    const parameter = new Parameter(name, shape, this.device, this.dtype, isOffloaded)
    this.parts.parameters.set(name, parameter)
    return parameter
  }

  #join(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name
  }
}

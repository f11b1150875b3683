/** @file Building blocks of models: linear, embedding, norms, and the builder that names their weights as the checkpoint does. */

import { Parameter } from '../autograd/parameter.js'
import { embedding } from '../ops/embedding.js'
import { layerNorm } from '../ops/layer-norm.js'
import { type DropoutState, type LinearOptions, type LinearPart, type LoraSlab, linear } from '../ops/linear.js'
import type { NormResult } from '../ops/norm.js'
import { rmsNorm } from '../ops/rms-norm.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'

/** What a linear is to PEFT: an ordinary one, GPT-2's transposed one, or the output head. */
export type LinearKind = 'linear' | 'conv1d' | 'head'

/** A projection: weight, optional bias, and the LoRA adapters attached to it. */
export class Linear implements LinearPart {
  /** Dotted module path, as in the checkpoint: `model.layers.0.self_attn.q_proj`. */
  readonly path: string
  readonly kind: LinearKind
  readonly inFeatures: number
  readonly outFeatures: number
  /** Replaced by a trainable copy under `modulesToSave`. */
  weight: Parameter
  bias: Parameter | undefined
  slabs: LoraSlab[] = []

  constructor(path: string, kind: LinearKind, weight: Parameter, bias?: Parameter) {
    this.path = path
    this.kind = kind
    this.weight = weight
    this.bias = bias
    const [first, second] = weight.shape as [number, number]
    this.outFeatures = this.inOut ? second : first
    this.inFeatures = this.inOut ? first : second
  }

  /** True when the weight is stored [in, out]. */
  get inOut(): boolean {
    return this.kind === 'conv1d'
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
  readonly weight: Parameter
  readonly eps: number

  constructor(weight: Parameter, eps: number) {
    this.weight = weight
    this.eps = eps
  }

  /** [N, D] -> y [N, D] and the sum that was normalised. */
  forward(x: Tensor, residual?: Tensor): NormResult {
    return rmsNorm(x, this.weight, { eps: this.eps, residual })
  }
}

/** LayerNorm; see src/ops/layer-norm.ts. */
export class LayerNorm {
  readonly weight: Parameter
  readonly bias: Parameter
  readonly eps: number

  constructor(weight: Parameter, bias: Parameter, eps: number) {
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
export interface ModelParts {
  readonly parameters: Map<string, Parameter>
  readonly linears: Map<string, Linear>
  readonly embeddings: Map<string, Embedding>
}

/** Makes modules under a path and registers their weights under the names that the checkpoint has. */
export class ModelBuilder {
  readonly device: Device
  readonly dtype: ComputeDType
  readonly parts: ModelParts
  readonly #path: string

  constructor(device: Device, dtype: ComputeDType, path = '', parts?: ModelParts) {
    this.device = device
    this.dtype = dtype
    this.#path = path
    this.parts = parts ?? { parameters: new Map(), linears: new Map(), embeddings: new Map() }
  }

  /** A builder for the module `name` below this one. */
  child(name: string): ModelBuilder {
    return new ModelBuilder(this.device, this.dtype, this.#join(name), this.parts)
  }

  /** Weight [out, in] and optional bias [out]. */
  linear(name: string, inFeatures: number, outFeatures: number, { bias = false } = {}): Linear {
    return this.#linear(name, 'linear', [outFeatures, inFeatures], bias ? outFeatures : undefined)
  }

  /** GPT-2's Conv1D: weight [in, out] and bias [out]. */
  conv1d(name: string, inFeatures: number, outFeatures: number): Linear {
    return this.#linear(name, 'conv1d', [inFeatures, outFeatures], outFeatures)
  }

  /** The output head [V, D]: `tied` shares the embedding's weight. */
  head(name: string, vocabSize: number, hiddenSize: number, tied?: Embedding): Linear {
    const path = this.#join(name)
    const weight = tied ? tied.weight : this.#parameter(`${path}.weight`, [vocabSize, hiddenSize])
    const head = new Linear(path, 'head', weight)
    this.parts.linears.set(path, head)
    return head
  }

  embedding(name: string, count: number, width: number): Embedding {
    const path = this.#join(name)
    const module = new Embedding(path, this.#parameter(`${path}.weight`, [count, width]))
    this.parts.embeddings.set(path, module)
    return module
  }

  rmsNorm(name: string, width: number, eps: number): RmsNorm {
    return new RmsNorm(this.#parameter(`${this.#join(name)}.weight`, [width]), eps)
  }

  layerNorm(name: string, width: number, eps: number): LayerNorm {
    const path = this.#join(name)
    return new LayerNorm(this.#parameter(`${path}.weight`, [width]), this.#parameter(`${path}.bias`, [width]), eps)
  }

  #linear(name: string, kind: LinearKind, shape: number[], biasSize: number | undefined): Linear {
    const path = this.#join(name)
    const weight = this.#parameter(`${path}.weight`, shape)
    const module = new Linear(path, kind, weight, biasSize ? this.#parameter(`${path}.bias`, [biasSize]) : undefined)
    this.parts.linears.set(path, module)
    return module
  }

  #parameter(name: string, shape: readonly number[]): Parameter {
    const parameter = new Parameter(name, shape, this.device, this.dtype)
    this.parts.parameters.set(name, parameter)
    return parameter
  }

  #join(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name
  }
}

/**
 * @file What a run trains: an adapter or every weight of the model, as the optimizer, checkpoints and the program's own
 * `save()` take it.
 */

import { join } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { PEFT_WEIGHTS_FILE } from '../adapters/peft-names.js'
import type { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { saveModel } from '../checkpoint/save-model.js'
import type { SavedTokenizer } from '../checkpoint/save-tokenizer.js'
import { openCheckpoint } from '../checkpoint/weights-on-disk.js'
import { readSafetensorsHeader } from '../weights/safetensors.js'
import { AdamW } from './adamw.js'
import type { ResolvedTrainOptions } from './options.js'
import type { ResolvedTrainingOptions } from './training-options.js'
import type { TrainedWeights } from './training-state.js'

export interface TrainedPart {
  readonly kind: 'adapter' | 'model'
  /** Undefined with method 'full'. */
  readonly adapter: LoraAdapter | undefined
  readonly weights: TrainedWeights
  readonly counts: { readonly trainableParameters: number; readonly totalParameters: number }
  /** Writes it for others to load: the adapter, or the model in its own dtype with its tokenizer. */
  save(directory: string): Promise<void>
}

/**
 * Puts an adapter on the model, or makes all of its weights trainable.
 * @param modelPath Where the tokenizer lies.
 */
export function createTrainedPart(options: ResolvedTrainOptions, model: CausalLM, modelPath: string): TrainedPart {
  const { chatTemplate } = options.training
  const adapter = options.lora && LoraAdapter.create(model, options.lora, { seed: options.training.seed })
  const tokenizer = { tokenizerFrom: modelPath, chatTemplate }
  if (adapter) {
    adapter.baseModelName = options.baseModelName
    // The files of a tokenizer that a program gave are not known.
    if (chatTemplate !== undefined) adapter.tokenizer = options.tokenizer ? { chatTemplate } : tokenizer
  }
  const weights = adapter ? adapterWeights(adapter) : modelWeights(model, tokenizer)
  const totalParameters = count(model.parameters().values()) + (adapter?.numAddedParameters ?? 0)
  return {
    kind: adapter ? 'adapter' : 'model',
    adapter,
    weights,
    counts: { trainableParameters: count(weights.parameters.values()), totalParameters },
    save: async (directory) => await (adapter ? adapter.save(directory) : saveModel(model, directory, tokenizer)),
  }
}

/** The optimizer of a run. Vectors (norm weights and biases) are not decayed, as in transformers' Trainer. */
export function createOptimizer({ weights }: TrainedPart, training: ResolvedTrainingOptions): AdamW {
  const { learningRate, adamBeta1, adamBeta2, adamEpsilon, weightDecay } = training
  return new AdamW(weights.parameters, {
    lr: learningRate,
    betas: [adamBeta1, adamBeta2],
    eps: adamEpsilon,
    weightDecay,
    decays: (_, { shape }) => shape.length > 1,
  })
}

function adapterWeights(adapter: LoraAdapter): TrainedWeights {
  return {
    parameters: adapter.parameters(),
    save: (directory) => adapter.save(directory),
    tensors: async (directory) => (await readSafetensorsHeader(join(directory, PEFT_WEIGHTS_FILE))).tensors,
  }
}

function modelWeights(model: CausalLM, tokenizer: SavedTokenizer): TrainedWeights {
  for (const parameter of model.parameters().values()) parameter.unfreeze()
  return {
    parameters: model.parameters(),
    save: (directory) => saveModel(model, directory, { dtype: 'float32', ...tokenizer }),
    tensors: async (directory) => (await openCheckpoint(directory)).tensors,
  }
}

function count(parameters: Iterable<Parameter>): number {
  let sum = 0
  for (const { size } of parameters) sum += size
  return sum
}

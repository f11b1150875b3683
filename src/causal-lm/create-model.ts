/**
 * @file Models from scratch: architecture from a config, weights drawn from a seed. For pre-training and for
 * measurements.
 */

import type { RawConfig } from '../architecture/config.js'
import { findArchitecture } from '../models/registry.js'
import { MODEL_OPTIONS, OPEN_DEVICE } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { quantizeNf4 } from '../ops/nf4.js'
import { SEED } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { Random } from '../random.js'
import { Device, type DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { CausalLM } from './causal-lm.js'

export interface CreateModelOptions {
  /**
   * A name opens a device of its own; pass a `Device` to share one.
   * @default 'cpu'
   */
  device?: DeviceName | Device
  /**
   * What the model computes in.
   * @default 'float32'
   */
  dtype?: ComputeDType
  /**
   * 'nf4': the projections of the decoder are quantised as they are drawn; see `loadModel`.
   * @default none: the weights are held in `dtype`
   */
  quantization?: Quantization
  /**
   * On a GPU: the embeddings stay in the machine's memory; see `loadModel`.
   * @default false
   */
  offloadEmbedding?: boolean
  /**
   * Seed of the initial weights, a whole number of at least 0.
   * @default 42
   */
  seed?: number
}

/** The options of `createModel`. */
export const CREATE_MODEL_OPTIONS = {
  ...MODEL_OPTIONS,
  device: OPEN_DEVICE,
  dtype: { ...MODEL_OPTIONS.dtype, default: 'float32' },
  quantization: { ...MODEL_OPTIONS.quantization, otherwise: 'none, the weights are held in dtype' },
  seed: { ...SEED, help: 'seed of the weights' },
} as const satisfies OptionTable<CreateModelOptions>

// Elements made and handed over at a time: the weights never stand in host memory as a whole.
const CHUNK = 1 << 20

/**
 * A model whose weights are fresh: normal with the standard deviation that the architecture starts from, norms one,
 * biases zero.
 * @param config what config.json would hold.
 * @throws on an unknown model type or config field.
 */
export function createModel(config: RawConfig, options: CreateModelOptions = {}): CausalLM {
  const resolved = readOptions('createModel', options, CREATE_MODEL_OPTIONS)
  const { device: where, dtype, quantization, offloadEmbedding, seed } = resolved
  const architecture = findArchitecture(config, 'createModel')
  const device = where instanceof Device ? where : Device.open(where)
  try {
    const model = new CausalLM(architecture, config, device, dtype, 'createModel', {
      isQuantized: quantization && (() => true),
      offloadEmbedding,
    })
    model.ownsDevice = device !== where
    drawWeights(model, seed)
    return model
  } catch (error) {
    if (device !== where) device.close()
    throw error
  }
}

function drawWeights(model: CausalLM, seed: number): void {
  const { device, dtype } = model
  const quantized = model.quantizedWeights()
  let stream = 0
  for (const parameter of model.parameters().values()) {
    const { mean, std } = model.architecture.initialize(parameter, model.config)
    const isQuantized = quantized.has(parameter)
    const y = isQuantized ? Tensor.empty(device, parameter.shape, dtype) : parameter.value
    // A dry run has no use for the draw.
    if (std === 0 || device.dryRun) device.enqueue('fill', { y, value: mean })
    else fillNormal(y, mean, std, new Random(seed, stream))
    if (isQuantized) {
      parameter.quantize(quantizeNf4(y))
      y.dispose()
    }
    stream++
  }
}

function fillNormal(tensor: Tensor, mean: number, std: number, random: Random): void {
  const flat = tensor.reshape([tensor.size])
  for (let start = 0; start < flat.cols; start += CHUNK) {
    const part = flat.columns(start, Math.min(start + CHUNK, flat.cols))
    tensor.device.upload(part, random.normals(part.cols, mean, std), 'float32')
    part.dispose()
  }
  flat.dispose()
}

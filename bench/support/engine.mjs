// @ts-check
/** @file Opening the engine for a measurement: device, models of a real shape with random weights, adapters that do something. */

import { CausalLM } from '../../dist/causal-lm/causal-lm.js'
import { createModel, Device, LoraAdapter, Tensor } from '../../dist/index.js'
import { findArchitecture } from '../../dist/models/registry.js'
import { quantizeNf4 } from '../../dist/ops/nf4.js'
import { loadAddon } from '../../dist/tensor/addon.js'
import { DEVICE_NAMES, namesDevice } from '../../dist/tensor/device.js'
import { MODEL_SHAPES } from '../model-shapes.mjs'
import { UsageError } from './options.mjs'
import { uniform, values } from './random.mjs'

export const SHAPE_NAMES = Object.keys(MODEL_SHAPES)

/** Shapes whose weights fit into any memory: what a list of shapes is by default. */
export const SMALL_SHAPE_NAMES = SHAPE_NAMES.filter((name) => name !== 'tiny' && !isLarge(MODEL_SHAPES[name] ?? {}))

/** The option of measurements that run on GPUs too. @type {import('./options.mjs').OptionTable} */
export const DEVICE_OPTION = {
  device: { default: 'cpu', help: 'cpu, cuda, cuda:N or auto', peer: true },
}

/** The option of measurements that compare levels of a CPU. @type {import('./options.mjs').OptionTable} */
export const ISA_OPTION = {
  isa: {
    choices: ['generic', 'avx2', 'avx512', 'avx512bf16', 'amx'],
    help: 'the instructions that the engine may use; default: the fastest that the machine has',
  },
}

/**
 * The device of a measurement, and the fields that say what it is: of a GPU its name, of the CPU what of it is used. With `profile` its `times()`
 * are those of the device.
 * @param {import('./options.mjs').Values} options
 */
export function openDevice({ threads, device: name = 'cpu', profile = false, isa }) {
  if (!namesDevice(name)) throw new UsageError(`expected ${DEVICE_NAMES} for --device, got ${name}`)
  const addon = loadAddon()
  const info = addon.info()
  const device = Device.open(name, { threads, timeOps: profile, isa })
  const { type } = device
  if (type === 'cpu') return { device, about: { device: type, isa: isa ?? info.isa, threads: threads ?? info.threads } }
  const gpu = addon.cuda()?.devices[Number(type.split(':')[1])]?.name ?? type
  return { device, about: { device: type, gpu } }
}

/**
 * A model of that shape, with LoRA r 16 on all linear layers unless it is left out. B is not zero, so that no product is.
 * @param {{ modelShape: string, dtype: 'float32' | 'bfloat16', quantization?: 'nf4', offloadEmbedding?: boolean, adapter?: boolean,
 *   device: Device }} options
 */
export function buildModel({
  modelShape,
  dtype,
  quantization,
  offloadEmbedding = false,
  adapter: wanted = true,
  device,
}) {
  const config = MODEL_SHAPES[modelShape] ?? {}
  const model = isLarge(config)
    ? fillModel(config, dtype, quantization, offloadEmbedding, device)
    : createModel(config, { device, dtype, offloadEmbedding, ...(quantization && { quantization }) })
  if (!wanted) return { model }
  const adapter = LoraAdapter.create(model, { r: 16, loraAlpha: 32, targetModules: 'all-linear' })
  const random = uniform(7)
  for (const [name, parameter] of adapter.parameters()) {
    if (name.includes('lora_B'))
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.02 * (random() - 0.5)))
  }
  return { model, adapter }
}

/** Drawing the weights would take longer than measuring. @param {Record<string, any>} config */
function isLarge({ hidden_size: width, num_hidden_layers: layers }) {
  return width * layers > 100_000
}

/**
 * `createModel` with weights that repeat a short series instead of being drawn one by one: some ten seconds in place of minutes.
 * @param {Record<string, any>} config @param {'float32' | 'bfloat16'} dtype @param {'nf4' | undefined} quantization
 * @param {boolean} offloadEmbedding @param {Device} device
 */
function fillModel(config, dtype, quantization, offloadEmbedding, device) {
  const architecture = findArchitecture(config, 'bench')
  const model = new CausalLM(architecture, config, device, dtype, 'bench', {
    isQuantized: quantization && (() => true),
    offloadEmbedding,
  })
  const quantized = model.quantizedWeights()
  const series = values(1 << 20, Math.sqrt(3)) // uniform, of standard deviation 1
  for (const parameter of model.parameters().values()) {
    const { mean, std } = architecture.initialize(parameter, model.config)
    const isQuantized = quantized.has(parameter)
    const y = isQuantized ? Tensor.empty(device, parameter.shape, dtype) : parameter.value
    if (std === 0) device.enqueue('fill', { y, value: mean })
    else
      fill(
        y,
        series.map((value) => mean + std * value),
      )
    if (isQuantized) {
      parameter.quantize(quantizeNf4(y))
      y.dispose()
    }
  }
  return model
}

/** @param {Tensor} tensor @param {Float32Array} series */
function fill(tensor, series) {
  const flat = tensor.reshape([tensor.size])
  for (let start = 0; start < flat.cols; start += series.length) {
    const part = flat.columns(start, Math.min(start + series.length, flat.cols))
    tensor.device.upload(part, series.subarray(0, part.cols), 'float32')
    part.dispose()
  }
  flat.dispose()
}

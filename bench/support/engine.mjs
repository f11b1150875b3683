// @ts-check
/** @file Opening the engine for a measurement: device, models of a real shape with random weights, adapters that do something. */

import { createModel, Device, LoraAdapter } from '../../dist/index.js'
import { loadAddon } from '../../dist/tensor/addon.js'
import { MODEL_SHAPES } from '../model-shapes.mjs'
import { uniform } from './random.mjs'

export const SHAPE_NAMES = Object.keys(MODEL_SHAPES)

/** The device of a measurement, and the fields that say what it is. @param {{ threads?: number }} options */
export function openDevice({ threads }) {
  const info = loadAddon().info()
  const device = Device.open('cpu', { threads })
  return { device, about: { isa: info.isa, threads: threads ?? info.threads } }
}

/**
 * A model of that shape, with LoRA r 16 on all linear layers unless it is left out. B is not zero, so that no product is.
 * @param {{ modelShape: string, dtype: 'float32' | 'bfloat16', quantization?: 'nf4', adapter?: boolean, device: Device }} options
 */
export function buildModel({ modelShape, dtype, quantization, adapter: wanted = true, device }) {
  const model = createModel(MODEL_SHAPES[modelShape] ?? {}, { device, dtype, ...(quantization && { quantization }) })
  if (!wanted) return { model }
  const adapter = LoraAdapter.create(model, { r: 16, loraAlpha: 32, targetModules: 'all-linear' })
  const random = uniform(7)
  for (const [name, parameter] of adapter.parameters()) {
    if (name.includes('lora_B'))
      parameter.set(Float32Array.from({ length: parameter.size }, () => 0.02 * (random() - 0.5)))
  }
  return { model, adapter }
}

/** @param {() => number} random @param {number} count @param {number} vocabSize */
export function randomIds(random, count, vocabSize) {
  return Array.from({ length: count }, () => Math.floor(random() * vocabSize))
}

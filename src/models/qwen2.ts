/**
 * @file Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv:2407.10671): Llama's decoder with biases on q, k and v, and in some
 * layers a window on the keys that a query sees.
 */

import type { Architecture } from '../architecture/architecture.js'
import { ConfigReader, type RawConfig } from '../architecture/config.js'
import { type LlamaConfig, LlamaDecoder, llama, readCommonConfig } from './llama.js'

const LAYER_TYPES: readonly unknown[] = ['full_attention', 'sliding_attention']

function readConfig(raw: RawConfig, where: string): LlamaConfig {
  const config = new ConfigReader(raw, where)
  const common = readCommonConfig(config, where, { maxPositionEmbeddings: 32768, numKeyValueHeads: 32 })
  const windows = readWindows(config, common.numHiddenLayers)
  // transformers does not look at it: q, k and v have biases, and nothing else has.
  config.expectValue('attention_bias', [false, true])
  config.finish()
  return { ...common, modelType: 'qwen2', qkvBias: true, oBias: false, mlpBias: false, qkNorm: false, windows }
}

/**
 * The window of each layer, 0 for none. `layer_types` (transformers 5) says it by name; without it the layers from
 * `max_window_layers` on have one.
 */
export function readWindows(config: ConfigReader, layers: number): number[] {
  const use = config.boolean('use_sliding_window', false)
  const size = config.integer('sliding_window', 4096)
  const window = use && !config.isNull('sliding_window') ? size : 0
  const firstLayer = config.number('max_window_layers', 28)
  const types = config.list('layer_types')
  if (!types) return Array.from({ length: layers }, (_, layer) => (layer >= firstLayer ? window : 0))
  if (types.length !== layers || !types.every((type) => LAYER_TYPES.includes(type)))
    throw config.error('layer_types', `'full_attention' or 'sliding_attention' for each of ${layers} layers`, types)
  if (window === 0 && types.includes('sliding_attention'))
    throw config.error('layer_types', "only 'full_attention' without use_sliding_window and sliding_window", types)
  return types.map((type) => (type === 'sliding_attention' ? window : 0))
}

export const qwen2: Architecture = {
  ...llama,
  modelType: 'qwen2',
  create: (raw, builder, where) => new LlamaDecoder(readConfig(raw, where), builder),
}

/**
 * @file Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama's decoder with, in some of its versions, a window on the
 * keys that a query sees.
 */

import type { Architecture } from '../architecture/architecture.js'
import { ConfigReader, type RawConfig } from '../architecture/config.js'
import { type LlamaConfig, LlamaDecoder, llama, readCommonConfig } from './llama.js'

function readConfig(raw: RawConfig, where: string): LlamaConfig {
  const config = new ConfigReader(raw, where)
  const common = readCommonConfig(config, where, { maxPositionEmbeddings: 131072, numKeyValueHeads: 8 })
  // Absent, it is that of the first version; later ones, which have none, say null.
  const size = config.integer('sliding_window', 4096)
  const window = config.isNull('sliding_window') ? 0 : size
  config.finish()
  return {
    ...common,
    modelType: 'mistral',
    qkvBias: false,
    oBias: false,
    mlpBias: false,
    qkNorm: false,
    windows: Array.from({ length: common.numHiddenLayers }, () => window),
  }
}

export const mistral: Architecture = {
  ...llama,
  modelType: 'mistral',
  create: (raw, builder, where) => new LlamaDecoder(readConfig(raw, where), builder),
}

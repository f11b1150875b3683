/**
 * @file Qwen3, the dense models (Yang et al. 2025, arXiv:2505.09388): Llama's decoder with every head of q and k
 * normalised, and the windows of Qwen2.
 */

import type { Architecture } from '../architecture/architecture.js'
import { ConfigReader, type RawConfig } from '../architecture/config.js'
import { type LlamaConfig, LlamaDecoder, llama, readCommonConfig } from './llama.js'
import { readWindows } from './qwen2.js'

function readConfig(raw: RawConfig, where: string): LlamaConfig {
  const config = new ConfigReader(raw, where)
  // transformers refuses it too: the default is 128, not what the width and the heads make.
  if (config.isNull('head_dim')) throw config.error('head_dim', 'a whole number > 0', null)
  const attentionBias = config.boolean('attention_bias', false)
  const common = readCommonConfig(config, where, { maxPositionEmbeddings: 32768, numKeyValueHeads: 32, headDim: 128 })
  const windows = readWindows(config, common.numHiddenLayers)
  config.finish()
  return {
    ...common,
    modelType: 'qwen3',
    qkvBias: attentionBias,
    oBias: attentionBias,
    mlpBias: false,
    qkNorm: true,
    windows,
  }
}

export const qwen3: Architecture = {
  ...llama,
  modelType: 'qwen3',
  create: (raw, builder, where) => new LlamaDecoder(readConfig(raw, where), builder),
}

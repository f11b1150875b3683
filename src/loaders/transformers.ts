/** @file What transformers refuses of models and adapters. */

import { type Finding, type Loader, needs, refused } from './loader.js'

export const transformers: Loader = {
  name: 'transformers',
  version: '5.24.0',
  read: 'its loader runs in tests',
  check({ config, adapter }): Finding[] {
    const quantization = config?.quantization_config
    const isQuantized = typeof quantization === 'object' && quantization !== null
    return [
      ...(adapter ? [needs('adapter', 'it needs the package peft to load an adapter')] : []),
      ...(isQuantized ? [needs('quantization_config', 'it needs bitsandbytes for weights in NF4')] : []),
      ...(adapter?.settings.peft_type !== undefined && adapter.settings.peft_type !== 'LORA'
        ? [refused('peft_type', `only adapters of LoRA are checked here, got ${String(adapter.settings.peft_type)}`)]
        : []),
    ]
  },
}

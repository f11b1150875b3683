/** @file What PEFT refuses or drops of adapters. */

import { type Finding, ignored, type Loader, needs } from './loader.js'

/** The settings of its LoraConfig. */
const SETTINGS = new Set(
  (
    'alora_invocation_tokens alpha_pattern arrow_config auto_mapping base_model_name_or_path bias corda_config ' +
    'ensure_weight_tying eva_config exclude_modules fan_in_fan_out inference_mode init_lora_weights kasa_config ' +
    'layer_replication layers_pattern layers_to_transform loftq_config lora_alpha lora_bias lora_dropout ' +
    'lora_ga_config megatron_config megatron_core modules_to_save monteclora_config peft_type peft_version ' +
    'qalora_group_size r rank_pattern revision runtime_config target_modules target_parameters task_type ' +
    'trainable_token_indices use_bdlora use_dora use_qalora use_rslora velora_config'
  ).split(' '),
)

export const peft: Loader = {
  name: 'peft',
  version: '0.21.2',
  read: 'tuners/lora/config.py of its wheel; its loader runs in tests',
  check({ config, adapter }): Finding[] {
    if (!adapter) return []
    const unknown = Object.keys(adapter.settings).filter((name) => !SETTINGS.has(name))
    const isQuantized = typeof config?.quantization_config === 'object' && config.quantization_config !== null
    return [
      ...(unknown.length > 0
        ? [
            ignored(
              unknown.join(', '),
              `it drops settings that it does not know, with a warning: ${unknown.join(', ')}`,
            ),
          ]
        : []),
      ...(isQuantized
        ? [needs('quantization_config', 'it needs bitsandbytes for a base model whose weights are in NF4')]
        : []),
    ]
  },
}

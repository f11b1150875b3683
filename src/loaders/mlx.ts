/** @file What mlx-lm refuses of models and adapters. */

import type { RawConfig } from '../architecture/config.js'
import { tiesHead } from './llama-cpp.js'
import { type Finding, ignored, type Loader, MERGE, mergeOr, refused } from './loader.js'

const MODELS = ['llama', 'mistral', 'qwen2', 'qwen3', 'gpt2']
const MERGED = "format 'merged' for other programs"

export const mlx: Loader = {
  name: 'mlx',
  version: 'mlx-lm 0.32.2',
  read: 'tuner/utils.py, tuner/lora.py, utils.py and the model files of its wheel',
  check({ config, adapter }) {
    const findings = config ? ofModel(config) : []
    if (!adapter) return findings
    const { modulesToSave, bias, targetsEmbedding, targetsExperts, targetsHead, switches, patterns } = adapter
    if (modulesToSave.length > 0)
      findings.push(
        refused(
          'modulesToSave',
          `it loads pairs of LoRA alone, no whole ${modulesToSave.join(', ')}; ${mergeForMlx('modulesToSave')}`,
        ),
      )
    if (bias !== 'none')
      findings.push(refused('bias', `it loads pairs of LoRA alone, got bias '${bias}'; ${mergeForMlx('bias')}`))
    for (const name of switches)
      findings.push(refused(name, `its files have no place for ${name} of PEFT; export format 'mlx'`))
    if (targetsEmbedding)
      findings.push(refused('targetModules', "LoRA on embeddings is not written for it here; export format 'mlx'"))
    if (targetsExperts)
      findings.push(refused('target_parameters', "updates of experts are not written for it here; export format 'mlx'"))
    if (targetsHead && config && tiesHead(config))
      findings.push(
        refused('targetModules', `it has no lm_head where head and embedding are one; ${mergeForMlx('lm_head')}`),
      )
    if (patterns.length > 0)
      findings.push(
        ignored(
          patterns.join(', '),
          "its files have one rank and one scale; format 'mlx-adapter' fills ranks up and folds scales into B, which computes the same",
        ),
      )
    return findings
  },
}

function mergeForMlx(option: string): string {
  return mergeOr(option).replace(MERGE, "export the merged model (format 'mlx')")
}

function ofModel(config: RawConfig): Finding[] {
  const type = config.model_type
  const findings: Finding[] = []
  if (!MODELS.includes(type as string))
    findings.push(refused('model_type', `no file of model_type '${String(type)}' is written for it here`))
  const scaling = (config.rope_scaling ?? config.rope_parameters ?? {}) as Record<string, unknown>
  const rope = scaling.rope_type ?? scaling.type ?? 'default'
  if (!['default', 'linear', 'llama3'].includes(rope as string))
    findings.push(refused('rope_type', `rotary scaling '${String(rope)}' is not written for it here; ${MERGED}`))
  if (type === 'qwen3' && config.attention_bias === true)
    findings.push(refused('attention_bias', `its qwen3 has no biases in attention; ${MERGED}`))
  const window = type === 'mistral' ? (config.sliding_window === undefined ? 4096 : config.sliding_window) : null
  if ((type === 'qwen2' || type === 'qwen3') && config.use_sliding_window === true)
    findings.push(refused('use_sliding_window', `its ${type} sees all tokens before it, without a window; ${MERGED}`))
  if (typeof window === 'number' && window < Number(config.max_position_embeddings ?? 131072))
    findings.push(
      refused(
        'sliding_window',
        `its llama, which computes mistral, has no window in every layer, got ${window}; ${MERGED}`,
      ),
    )
  return findings
}

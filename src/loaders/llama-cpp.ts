/** @file What llama.cpp refuses of models and GGUF adapters. */

import type { RawConfig } from '../architecture/config.js'
import type { AdapterFeatures } from './adapter-features.js'
import { type Finding, ignored, type Loader, MERGE, mergeOr, refused } from './loader.js'
import { templatesByName } from './template-features.js'

const MODELS = ['llama', 'mistral', 'qwen2', 'qwen3', 'gpt2']
const ROPE_TYPES: readonly unknown[] = ['default', 'linear', 'llama3', 'yarn']

export const llamaCpp: Loader = {
  name: 'llama.cpp',
  version: 'commits 0650ea8 and 0b03ada',
  read: 'src/llama-adapter.cpp and convert_lora_to_gguf.py of ggml-org/llama.cpp',
  check({ config, adapter, chatTemplate }) {
    return [
      ...ofModel(config),
      ...(adapter ? ggufAdapterFindings(adapter, config) : []),
      ...templatesByName(chatTemplate)
        .filter(({ name }) => name !== 'default' && name !== 'tool_use')
        .map(({ name }) => ignored('chatTemplate', `it reads the templates default and tool_use alone, not ${name}`)),
    ]
  },
}

function ofModel(config: RawConfig | undefined): Finding[] {
  if (config === undefined) return []
  const type = config.model_type
  const findings: Finding[] = []
  if (!MODELS.includes(type as string))
    findings.push(refused('model_type', `no GGUF file of model_type '${String(type)}' is written here`))
  const scaling = (config.rope_scaling ?? config.rope_parameters ?? {}) as Record<string, unknown>
  const rope = scaling.rope_type ?? scaling.type ?? 'default'
  if (!ROPE_TYPES.includes(rope))
    findings.push(
      refused(
        'rope_type',
        `it has no key for rotary scaling '${String(rope)}'; only default, linear, llama3 and yarn have one`,
      ),
    )
  if (type === 'qwen2' || type === 'qwen3') {
    if (config.use_sliding_window === true)
      findings.push(
        ignored(
          'use_sliding_window',
          `it computes ${type} without windows; answers differ beyond ${String(config.sliding_window)} tokens`,
        ),
      )
  }
  return findings
}

/** What no GGUF adapter holds. */
export function ggufAdapterFindings(
  { modulesToSave, bias, targetsEmbedding, targetsExperts, targetsHead, switches, init }: AdapterFeatures,
  config: RawConfig | undefined,
): Finding[] {
  const findings: Finding[] = []
  if (modulesToSave.length > 0)
    findings.push(
      refused(
        'modulesToSave',
        `a GGUF adapter holds pairs of LoRA alone, no whole ${modulesToSave.join(', ')}; ${mergeOr('modulesToSave')}`,
      ),
    )
  if (bias !== 'none')
    findings.push(refused('bias', `a GGUF adapter holds no biases, got bias '${bias}'; ${mergeOr('bias')}`))
  for (const name of switches) findings.push(refused(name, `a GGUF adapter has no place for ${name}; ${MERGE}`))
  if (targetsEmbedding)
    findings.push(refused('targetModules', `LoRA on embeddings is not written to GGUF adapters here; ${MERGE}`))
  if (targetsExperts)
    findings.push(refused('target_parameters', `updates of experts are not written to GGUF adapters here; ${MERGE}`))
  if (targetsHead && config && tiesHead(config))
    findings.push(
      refused(
        'targetModules',
        `its model has no tensor output.weight where head and embedding are one; ${mergeOr('lm_head')}`,
      ),
    )
  if (typeof init === 'string' && /^(pissa|olora|corda|loftq)/i.test(init))
    findings.push(refused('initLoraWeights', `'${init}' changed the base model; convert the adapter in PEFT first`))
  return findings
}

/** Whether the head has the embedding's weight; GPT-2's has where the config is silent. */
export function tiesHead({ model_type: type, tie_word_embeddings: tied }: RawConfig): boolean {
  return tied === true || (type === 'gpt2' && tied !== false)
}

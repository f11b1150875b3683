/** @file What vLLM refuses of adapters and models. */

import type { RawConfig } from '../architecture/config.js'
import type { AdapterFeatures } from './adapter-features.js'
import { type Finding, ignored, type Loader, MERGE, mergeOr, needs, refused } from './loader.js'

/** What `--max-lora-rank` takes. */
const RANKS = [1, 8, 16, 32, 64, 128, 256, 320, 512]
const DEFAULT_RANK = 16
const LARGEST_VOCABULARY = 258048

/** What each feature is called in its messages. */
const SWITCHES: Readonly<Record<string, string>> = {
  use_dora: 'DoRA',
  lora_bias: 'a bias of LoRA itself',
  alora_invocation_tokens: 'activated LoRA',
  layer_replication: 'replicated layers',
  use_bdlora: 'block-diagonal LoRA',
  use_qalora: 'QALoRA',
}
/** Initialisations that leave the base model as it is. */
const INITS = ['gaussian', 'eva', 'orthogonal', 'mica', 'lora_ga']
/** Full modules of classifiers. */
const SAVED = ['classifier', 'score']
/** Models with updates of embeddings and the head. */
const WITH_EMBEDDINGS = ['llama', 'qwen3']
const MODELS = ['llama', 'mistral', 'qwen2', 'qwen3', 'gpt2']

export const vllm: Loader = {
  name: 'vllm',
  version: '0.33.0',
  read: 'lora/peft_helper.py, lora/lora_model.py, lora/utils.py, config/lora.py and the model files of its wheel; patterns also in 0.20.0',
  check({ config, adapter }) {
    const type = config?.model_type
    if (adapter === undefined)
      return typeof type === 'string' && !MODELS.includes(type)
        ? [
            needs(
              'model_type',
              `the rules for model_type '${type}' were not read; look at its list of supported models`,
            ),
          ]
        : []
    return [...ofModel(type), ...ofFeatures(adapter), ...ofTargets(adapter, config)]
  },
}

function ofModel(type: unknown): Finding[] {
  if (type !== 'gpt2') return []
  return [refused('model_type', "it has no LoRA for GPT-2; export the merged model (format 'merged')")]
}

function ofFeatures({ rank, patterns, modulesToSave, bias, init, switches }: AdapterFeatures): Finding[] {
  const findings: Finding[] = []
  const saved = modulesToSave.filter((name) => !SAVED.includes(name))
  if (saved.length > 0)
    findings.push(
      refused(
        'modulesToSave',
        `it takes none but classifier and score, got ${saved.join(', ')}; ${mergeOr('modulesToSave')}`,
      ),
    )
  if (bias !== 'none') findings.push(refused('bias', `it takes only bias 'none', got '${bias}'; ${mergeOr('bias')}`))
  for (const name of switches)
    if (SWITCHES[name]) findings.push(refused(name, `it does not have ${SWITCHES[name]}; ${MERGE}`))
  if (typeof init === 'string' && !INITS.includes(init.toLowerCase()))
    findings.push(
      refused(
        'initLoraWeights',
        `it refuses '${init}', which changed the base model; convert the adapter in PEFT first`,
      ),
    )
  const largest = RANKS.at(-1) as number
  const option = RANKS.find((size) => size >= rank)
  if (option === undefined)
    findings.push(refused('r', `its largest rank is ${largest}, got ${rank}; train with a smaller rank, or ${MERGE}`))
  else if (rank > DEFAULT_RANK)
    findings.push(
      needs(
        'r',
        `it serves rank ${rank} only when started with --max-lora-rank ${option}; its default is ${DEFAULT_RANK}`,
      ),
    )
  if (patterns.length > 0)
    findings.push(
      ignored(
        patterns.join(', '),
        "0.33.0 follows patterns, 0.20.0 ignores them and computes something else; format 'vllm' writes one rank and one scale, which both compute rightly",
      ),
    )
  return findings
}

function ofTargets({ targetsHead, targetsEmbedding }: AdapterFeatures, config: RawConfig | undefined): Finding[] {
  const type = config?.model_type
  const findings: Finding[] = []
  const isUnknown = typeof type !== 'string' || WITH_EMBEDDINGS.includes(type)
  if (targetsHead && !isUnknown)
    findings.push(
      refused('targetModules', `it has no update of lm_head for model_type '${type}'; ${mergeOr('lm_head')}`),
    )
  if (targetsEmbedding && !isUnknown)
    findings.push(refused('targetModules', `it has no update of embeddings for model_type '${type}'; ${MERGE}`))
  const size = config?.vocab_size
  if (targetsHead && typeof size === 'number' && size > LARGEST_VOCABULARY)
    findings.push(
      refused(
        'targetModules',
        `it takes updates of lm_head for at most ${LARGEST_VOCABULARY} tokens, got ${size}; ${mergeOr('lm_head')}`,
      ),
    )
  return findings
}

/** @file What an adapter uses of PEFT, as loaders ask: from its two files, or from settings before training. */

import { DEFAULT_LORA_CONFIG, type LoraConfig } from '../adapters/lora-config.js'
import { parsePeftTensorName } from '../adapters/peft-names.js'
import { ALL_LINEAR } from '../adapters/target-modules.js'
import { snakeCase } from '../options/spelling.js'
import { isPlainObject } from '../values.js'
import type { JsonObject } from '../weights/strict-json.js'

/** What an adapter uses. */
export interface AdapterFeatures {
  /** The largest rank. */
  readonly rank: number
  readonly loraAlpha: number
  readonly useRslora: boolean
  /** Whether modules differ in rank or alpha. */
  readonly patterns: readonly ('rankPattern' | 'alphaPattern')[]
  readonly modulesToSave: readonly string[]
  readonly bias: string
  /** `true`, or the name of an initialisation. */
  readonly init: unknown
  readonly targetsHead: boolean
  readonly targetsEmbedding: boolean
  readonly targetsExperts: boolean
  readonly layersToTransform: boolean
  /** PEFT's other settings that are on, as PEFT spells them: `use_dora`. */
  readonly switches: readonly string[]
  /** All settings, as PEFT spells them. */
  readonly settings: JsonObject
}

/** PEFT's settings that change what an adapter is. */
const SWITCHES = [
  'use_dora',
  'lora_bias',
  'alora_invocation_tokens',
  'layer_replication',
  'use_bdlora',
  'use_qalora',
  'trainable_token_indices',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'velora_config',
] as const

const HEADS = ['lm_head', 'embed_out', 'output']
const EMBEDDINGS = ['embed_tokens', 'wte', 'wpe', 'tok_embeddings']

/** From settings of trainLora. */
export function featuresOfConfig(config: LoraConfig): AdapterFeatures {
  const settings = Object.fromEntries(Object.entries(config).map(([name, value]) => [snakeCase(name), value]))
  return featuresOf(settings)
}

/**
 * From the files of an adapter.
 * @param settings what adapter_config.json holds
 * @param tensors names in adapter_model.safetensors; before training there are none
 */
export function featuresOf(settings: JsonObject, tensors: readonly string[] = []): AdapterFeatures {
  const number = (value: unknown, fallback: number): number => (typeof value === 'number' ? value : fallback)
  const ranks = isPlainObject(settings.rank_pattern) ? Object.values(settings.rank_pattern) : []
  const alphas = isPlainObject(settings.alpha_pattern) ? Object.values(settings.alpha_pattern) : []
  const r = number(settings.r, DEFAULT_LORA_CONFIG.r)
  const parsed = tensors.flatMap((name) => parsePeftTensorName(name) ?? [])
  const modules = parsed.filter(({ kind }) => kind !== 'module' && kind !== 'base').map(({ module }) => module)
  const named = namesOf(settings.target_modules)
  const targets = (names: readonly string[]): boolean =>
    [...modules.map(lastName), ...named.map(lastName)].some((name) => names.includes(name))
  const features = new Set(parsed.flatMap((name) => (name.kind === 'unsupported' ? [name.feature] : [])))
  const isOn = (name: string): boolean => !isOff(settings[name]) || features.has(name)
  return {
    rank: Math.max(r, ...ranks.map((rank) => number(rank, 0))),
    loraAlpha: number(settings.lora_alpha, DEFAULT_LORA_CONFIG.loraAlpha),
    useRslora: settings.use_rslora === true,
    patterns: [
      ...(ranks.length > 0 ? (['rankPattern'] as const) : []),
      ...(alphas.length > 0 ? (['alphaPattern'] as const) : []),
    ],
    modulesToSave: namesOf(settings.modules_to_save),
    bias: typeof settings.bias === 'string' ? settings.bias : 'none',
    init: settings.init_lora_weights ?? true,
    targetsHead: targets(HEADS),
    targetsEmbedding: targets(EMBEDDINGS) || features.has('LoRA on an embedding'),
    targetsExperts: !isOff(settings.target_parameters) || modules.some((module) => /(^|\.)experts(\.|$)/.test(module)),
    layersToTransform: !isOff(settings.layers_to_transform),
    switches: SWITCHES.filter(isOn),
    settings,
  }
}

/** Names of a list; those that stand in a regular expression as words. */
function namesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.filter((name) => typeof name === 'string')
  if (typeof value !== 'string' || value === ALL_LINEAR) return []
  return value.match(/[a-z][a-z_]*/gi) ?? []
}

function lastName(path: string): string {
  return path.split('.').at(-1) as string
}

function isOff(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true
  return Array.isArray(value) ? value.length === 0 : isPlainObject(value) && Object.keys(value).length === 0
}

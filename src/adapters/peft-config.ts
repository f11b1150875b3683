/** @file LoRA settings: from options, and from and to PEFT's adapter_config.json. What is not supported is an error, never ignored. */

import { join } from 'node:path'
import { isJsonObject, type JsonObject, readJsonObject } from '../checkpoint/strict-json.js'
import { describeValue, unknownOption } from '../errors.js'
import { ALL_LINEAR } from './target-modules.js'

/** The settings of a LoRA adapter, named as in PEFT's LoraConfig. Paper: https://arxiv.org/abs/2106.09685 */
export interface LoraConfig {
  /** Rank of the update: A is [r, in], B is [out, r]. Default 16. */
  r: number
  /** The update is scaled by `loraAlpha / r`, or `loraAlpha / sqrt(r)` with `useRslora`. Default 32. */
  loraAlpha: number
  /** Probability of dropping an input of A while training. Default 0. */
  loraDropout: number
  /**
   * Module names (`'q_proj'` matches every path that is it or ends in `.q_proj`), a regular expression for whole paths, or
   * 'all-linear' for all linear layers but the output head. Default 'all-linear'.
   */
  targetModules: string[] | string
  /** Rank-stabilised scaling, https://arxiv.org/abs/2312.03732. Default false. */
  useRslora: boolean
  /** Modules trained and saved in full beside the adapter. Default none. */
  modulesToSave: string[]
}

/** What users give: any of the settings. */
export type LoraOptions = Partial<LoraConfig>

/** What adapter_config.json says. */
export interface PeftConfig {
  lora: LoraConfig
  /** The model that the adapter belongs to, as whoever saved it named it. */
  baseModel: string | undefined
}

/** What `toPeftConfig` needs beside the settings. */
export interface ToPeftConfigOptions {
  /** Hub id or path of the base model, or null where it is not known. */
  baseModel: string | null
  /** Commit of the base model on the Hub; left out where it is not from there. */
  revision?: string
  /** True for models whose weights are stored as [in, out] (Conv1D of GPT-2). */
  fanInFanOut: boolean
}

/** The name of PEFT's configuration file in an adapter's directory. */
export const PEFT_CONFIG_FILE = 'adapter_config.json'

/** The defaults of `LoraConfig`. PEFT's own differ: r 8, alpha 8, and target modules from a table of models. */
export const DEFAULT_LORA_CONFIG: Readonly<LoraConfig> = {
  r: 16,
  loraAlpha: 32,
  loraDropout: 0,
  targetModules: ALL_LINEAR,
  useRslora: false,
  modulesToSave: [],
}

type Check = (value: unknown) => boolean

const isNothing: Check = (value) =>
  value === null ||
  value === undefined ||
  value === false ||
  (Array.isArray(value) && value.length === 0) ||
  (isJsonObject(value) && Object.keys(value).length === 0)
const anything: Check = () => true

/** PEFT's other settings that would change the result: the values with which they do not, which are all that is supported. */
const UNSUPPORTED: Record<string, Check> = {
  alora_invocation_tokens: isNothing,
  alpha_pattern: isNothing,
  arrow_config: isNothing,
  bias: (value) => isNothing(value) || value === 'none',
  corda_config: isNothing,
  ensure_weight_tying: isNothing,
  exclude_modules: isNothing,
  kasa_config: isNothing,
  layer_replication: isNothing,
  layers_to_transform: isNothing,
  loftq_config: isNothing,
  lora_bias: isNothing,
  lora_ga_config: isNothing,
  megatron_config: isNothing,
  monteclora_config: isNothing,
  rank_pattern: isNothing,
  target_parameters: isNothing,
  trainable_token_indices: isNothing,
  use_bdlora: isNothing,
  use_dora: isNothing,
  use_qalora: isNothing,
  velora_config: isNothing,
}

/** Settings that say nothing about the result of this library: labels, and settings of features that are off. */
const HARMLESS = [
  'auto_mapping',
  'base_model_name_or_path',
  'fan_in_fan_out',
  'inference_mode',
  'layers_pattern',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
]

/** How the weights began. These change A and B only, so that a file holds all there is to know; the others change the base model too. */
const LOADABLE_INITS: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal']

/**
 * Settings from options, keys in camelCase or in PEFT's snake_case, completed with the defaults.
 * @throws on a value of the wrong kind, an option of PEFT that is not supported yet, and an unknown one, naming the nearest
 */
export function parseLoraOptions(options: object = {}): LoraConfig {
  const where = 'lora'
  if (!isJsonObject(options)) throw new Error(`[${where}] expected an object of options, got ${describeValue(options)}`)
  const given: JsonObject = {}
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue
    const name = snakeCase(key)
    if (Object.hasOwn(given, name)) throw new Error(`[${where}] the option ${camelCase(name)} is given twice`)
    given[name] = value
  }
  for (const [name, value] of Object.entries(given)) {
    if (SETTINGS.includes(name)) continue
    const isDefault = optionDefault(name)
    if (isDefault === undefined)
      throw unknownOption(where, Object.keys(options).find((key) => snakeCase(key) === name)!, OPTIONS)
    if (!isDefault(value)) {
      throw new Error(
        `[${where}] the PEFT option ${camelCase(name)} is not supported yet, got ${describeValue(value)}; leave it out`,
      )
    }
  }
  return parseSettings(where, given)
}

/** Reads adapter_config.json in `directory`. @throws as `fromPeftConfig`, and if the file is missing or damaged */
export async function readPeftConfig(directory: string): Promise<PeftConfig> {
  const path = join(directory, PEFT_CONFIG_FILE)
  return fromPeftConfig(await readJsonObject('adapter', path), path)
}

/**
 * Settings from the content of an adapter_config.json; keys that it lacks have PEFT's defaults. Keys that are not known are
 * dropped, as PEFT does, unless they switch something on.
 * @param source where it comes from, for error messages
 * @throws on features that change the result and are not supported
 */
export function fromPeftConfig(json: JsonObject, source: string = PEFT_CONFIG_FILE): PeftConfig {
  const where = `adapter ${source}`
  if (json.peft_type !== 'LORA') {
    throw new Error(
      `[${where}] expected "LORA" for peft_type, got ${describeValue(json.peft_type)}; only LoRA is supported`,
    )
  }
  if (!isNothing(json.task_type) && json.task_type !== 'CAUSAL_LM') {
    throw new Error(
      `[${where}] expected "CAUSAL_LM" for task_type, got ${describeValue(json.task_type)}; only it is supported`,
    )
  }
  const init = json.init_lora_weights
  if (!LOADABLE_INITS.includes(init)) {
    throw new Error(
      `[${where}] init_lora_weights ${describeValue(init)} changes the base model, which is not supported yet; convert the ` +
        'adapter with save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT',
    )
  }
  for (const [name, value] of Object.entries(json)) {
    if (SETTINGS.includes(name) || HARMLESS.includes(name) || CHECKED.includes(name)) continue
    const isDefault = UNSUPPORTED[name]
    if (isDefault !== undefined && !isDefault(value)) {
      throw new Error(`[${where}] the PEFT feature ${name} is not supported yet, got ${describeValue(value)}`)
    }
    const switchesOn = value === true || (!isNothing(value) && typeof value === 'object')
    if (isDefault === undefined && switchesOn) {
      throw new Error(
        `[${where}] the setting ${describeValue(name)} is not known here, got ${describeValue(value)}; remove it from the file ` +
          'if it does not change what the adapter computes',
      )
    }
  }
  const lora = parseSettings(where, { r: 8, lora_alpha: 8, ...json }, ['target_modules'])
  const base = json.base_model_name_or_path
  return { lora, baseModel: typeof base === 'string' && base !== '' ? base : undefined }
}

/** The text of adapter_config.json, with every key that PEFT 0.20 writes, in its layout. */
export function toPeftConfig(config: LoraConfig, options: ToPeftConfigOptions): string {
  const { targetModules, modulesToSave } = config
  const json: JsonObject = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: options.baseModel,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: options.fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.loraAlpha,
    lora_bias: false,
    lora_dropout: config.loraDropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: modulesToSave.length > 0 ? [...modulesToSave].sort() : null,
    peft_type: 'LORA',
    // The version whose format this is; loaders use it to explain keys that they do not know.
    peft_version: '0.20.0',
    qalora_group_size: 16,
    r: config.r,
    rank_pattern: {},
    revision: options.revision ?? null,
    target_modules: typeof targetModules === 'string' ? targetModules : [...targetModules].sort(),
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: config.useRslora,
  }
  return JSON.stringify(json, null, 2)
}

const SETTINGS = ['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'use_rslora', 'modules_to_save']
const OPTIONS = SETTINGS.map(camelCase)
/** Looked at before the others; eva_config says only how A began. */
const CHECKED = ['peft_type', 'task_type', 'init_lora_weights', 'eva_config']

/** For a PEFT option that is not one of the settings: which values mean what this library does anyway. */
function optionDefault(name: string): Check | undefined {
  if (name === 'peft_type') return (value) => value === 'LORA'
  if (name === 'task_type') return (value) => value === null || value === 'CAUSAL_LM'
  if (name === 'init_lora_weights') return (value) => value === null || value === true
  if (name === 'eva_config') return isNothing
  if (HARMLESS.includes(name)) return anything
  return Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined
}

function parseSettings(where: string, given: JsonObject, required: readonly string[] = []): LoraConfig {
  const expect = (name: string, value: unknown, ok: boolean, what: string) => {
    const shown = where === 'lora' ? camelCase(name) : name
    if (!ok) throw new Error(`[${where}] expected ${what} for ${shown}, got ${describeValue(value)}`)
  }
  const read = (name: string, fallback: unknown) => given[name] ?? (required.includes(name) ? given[name] : fallback)
  const isText: Check = (value) => typeof value === 'string' && value !== ''

  const defaults = DEFAULT_LORA_CONFIG
  const r = read('r', defaults.r)
  expect('r', r, Number.isSafeInteger(r) && (r as number) > 0, 'a whole number above 0')
  const loraAlpha = read('lora_alpha', defaults.loraAlpha)
  expect('lora_alpha', loraAlpha, Number.isFinite(loraAlpha) && (loraAlpha as number) > 0, 'a number above 0')
  const loraDropout = read('lora_dropout', defaults.loraDropout) as number
  expect(
    'lora_dropout',
    loraDropout,
    Number.isFinite(loraDropout) && loraDropout >= 0 && loraDropout < 1,
    'a number in [0, 1)',
  )
  const useRslora = read('use_rslora', defaults.useRslora)
  expect('use_rslora', useRslora, typeof useRslora === 'boolean', 'true or false')
  const target = read('target_modules', defaults.targetModules)
  const isList: Check = (value) => Array.isArray(value) && value.every(isText)
  const isTarget = isText(target) || (isList(target) && (target as string[]).length > 0)
  expect('target_modules', target, isTarget, 'module names, a regular expression or "all-linear"')
  const save = read('modules_to_save', defaults.modulesToSave)
  expect('modules_to_save', save, isList(save), 'a list of module names')

  return {
    r: r as number,
    loraAlpha: loraAlpha as number,
    loraDropout,
    targetModules: Array.isArray(target) ? [...new Set(target as string[])] : spellAllLinear(target as string),
    useRslora: useRslora as boolean,
    modulesToSave: [...new Set(save as string[])],
  }
}

/** PEFT takes 'All-Linear' as well. */
function spellAllLinear(target: string): string {
  return target.toLowerCase() === ALL_LINEAR ? ALL_LINEAR : target
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

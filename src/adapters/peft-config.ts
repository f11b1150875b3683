/**
 * @file How LoRA settings are spelled: options, and PEFT's adapter_config.json in and out. What is not supported is an
 * error, never ignored.
 */

import { join } from 'node:path'
import { misplacedAdapter } from '../checkpoint/misplaced.js'
import { describeValue, expectObject, unknownOption } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { anything, mismatch, type Rule } from '../options/rules.js'
import { camelCase, snakeCase } from '../options/spelling.js'
import { namesOf } from '../options/table.js'
import { isMissing } from '../regular-file.js'
import { isJsonObject, type JsonObject, readJsonObject } from '../weights/strict-json.js'
import { LORA_OPTIONS, type LoraConfig, type OnProblem, parseSettings, throwFirst } from './lora-config.js'
import { MERGE_IN_PEFT } from './peft-names.js'

/** What adapter_config.json says. */
export interface PeftConfig {
  lora: LoraConfig
  /** The model that the adapter belongs to, as whoever saved it named it. */
  baseModel: string | undefined
  /** Revision of the base model on the Hub. */
  revision: string | undefined
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

/** A feature of PEFT that is off. */
const OFF: Rule = {
  expected: 'null, false or something empty',
  accepts: (value) =>
    value === null ||
    value === undefined ||
    value === false ||
    (Array.isArray(value) && value.length === 0) ||
    (isJsonObject(value) && Object.keys(value).length === 0),
}
const PEFT_TYPE: Rule = { expected: '"LORA"', accepts: (value) => value === 'LORA' }
const TASK_TYPE: Rule = { expected: '"CAUSAL_LM"', accepts: (value) => value === null || value === 'CAUSAL_LM' }
/** The other values of PEFT change what is trained; those of lowrank have a rule of their own. */
const INIT: Rule = {
  expected: "true, false or 'gaussian'",
  accepts: (value) => typeof value !== 'string' || !UNSUPPORTED_INITS.test(value),
}

const OPTIONS = namesOf(LORA_OPTIONS)
/** The settings that are supported, as PEFT spells them. */
const SETTINGS = OPTIONS.map(snakeCase)

/** PEFT's other settings that would change the result: lowrank supports none of them, so they must be off. */
const UNSUPPORTED: readonly string[] = [
  'alora_invocation_tokens',
  'arrow_config',
  'corda_config',
  'ensure_weight_tying',
  'kasa_config',
  'layer_replication',
  'loftq_config',
  'lora_bias',
  'lora_ga_config',
  'megatron_config',
  'monteclora_config',
  'target_parameters',
  'trainable_token_indices',
  'use_bdlora',
  'use_dora',
  'use_qalora',
  'velora_config',
]

/** Settings that say nothing about the result of this library: labels, and settings of features that are off. */
const HARMLESS = [
  'auto_mapping',
  'base_model_name_or_path',
  'fan_in_fan_out',
  'inference_mode',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
]

/** Settings with rules of their own; eva_config says only how A began. */
const CHECKED: ReadonlyMap<string, Rule> = new Map([
  ['peft_type', PEFT_TYPE],
  ['task_type', TASK_TYPE],
  ['eva_config', OFF],
])

/** PEFT's other values of init_lora_weights. */
const UNSUPPORTED_INITS = /^(eva|olora|orthogonal|pissa|pissa_niter_\d+|corda|loftq|lora_ga|mica)$/

/**
 * Those of them that change A and B only, so that a file holds all there is to know; the others change the base model
 * too.
 */
const LOADABLE_INITS: readonly unknown[] = ['eva', 'orthogonal']

/** What the command line and other trainers call options, and their names here. */
export const SHORT_LORA_NAMES: ReadonlyMap<string, string> = new Map([
  ['rank', 'r'],
  ['loraR', 'r'],
  ['alpha', 'loraAlpha'],
  ['dropout', 'loraDropout'],
])

/**
 * Settings from options, keys in camelCase or in PEFT's snake_case, completed with the defaults.
 * @param onProblem is told of everything that is wrong, with the keys that it is about; without it the first is thrown
 * @throws on a value of the wrong kind, an option of PEFT that is not supported yet, and an unknown one, naming the
 * nearest
 */
export function parseLoraOptions(options: object = {}, onProblem: OnProblem = throwFirst): LoraConfig {
  const where = 'lora'
  const spelled = (name: string): string =>
    Object.keys(options).find((key) => snakeCase(key) === name) ?? camelCase(name)
  expectObject(where, 'options', options)
  // Without a prototype, so that `__proto__` is a name like any other.
  const given = Object.create(null) as JsonObject
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue
    const name = snakeCase(key)
    if (Object.hasOwn(given, name)) onProblem([key], `[${where}] the option ${camelCase(name)} is given twice`)
    given[name] = value
  }
  for (const [name, value] of Object.entries(given)) {
    const rule = ruleOf(name)
    if (rule === undefined)
      onProblem([spelled(name)], unknownOption(where, spelled(name), OPTIONS, SHORT_LORA_NAMES).message)
    else if (!rule.accepts(value)) {
      const message = `[${where}] the PEFT option ${camelCase(name)} is not supported yet, got ${describeValue(value)}; leave it out`
      onProblem([spelled(name)], message)
      delete given[name]
    }
  }
  return parseSettings(where, given, camelCase, (names, message) => onProblem(names.map(spelled), message))
}

/** Reads adapter_config.json in `directory`. @throws as `fromPeftConfig`, and if the file is missing or damaged */
export async function readPeftConfig(directory: string): Promise<PeftConfig> {
  const path = join(directory, PEFT_CONFIG_FILE)
  const json = await readJsonObject('adapter', path).catch(async (error: unknown) => {
    throw isMissing(error) ? await misplacedAdapter(directory, error) : error
  })
  return fromPeftConfig(json, path)
}

/**
 * Settings from the content of an adapter_config.json; keys that it lacks have PEFT's defaults. Keys that are not known
 * are dropped, as PEFT does, unless they switch something on.
 * @param source where it comes from, for error messages
 * @throws on features that change the result and are not supported
 */
export function fromPeftConfig(json: JsonObject, source: string = PEFT_CONFIG_FILE): PeftConfig {
  const where = `adapter ${source}`
  const { peft_type: peftType, task_type: taskType, target_modules: targets } = json
  if (!PEFT_TYPE.accepts(peftType))
    throw new ModelError(`${mismatch(where, 'peft_type', peftType, PEFT_TYPE)}; only LoRA is supported`)
  if (!OFF.accepts(taskType) && !TASK_TYPE.accepts(taskType))
    throw new ModelError(`${mismatch(where, 'task_type', taskType, TASK_TYPE)}; only it is supported`)
  if (OFF.accepts(targets))
    throw new ModelError(mismatch(where, 'target_modules', targets, LORA_OPTIONS.targetModules.rule))
  const init = json.init_lora_weights
  const isLoadable = LOADABLE_INITS.includes(init)
  if (!INIT.accepts(init) && !isLoadable) {
    throw new ModelError(
      `[${where}] init_lora_weights ${describeValue(init)} changes the base model, which is not supported yet; convert the ` +
        'adapter with save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT',
    )
  }
  for (const [name, value] of Object.entries(json)) {
    if (SETTINGS.includes(name) || HARMLESS.includes(name) || CHECKED.has(name)) continue
    if (name === 'ensure_weight_tying' && value === true && leavesTiedWeights(json)) continue
    const isFeature = UNSUPPORTED.includes(name)
    if (isFeature && !OFF.accepts(value)) {
      throw new ModelError(
        `[${where}] the PEFT feature ${name} is not supported yet, got ${describeValue(value)}; ${MERGE_IN_PEFT}`,
      )
    }
    const switchesOn = value === true || (!OFF.accepts(value) && typeof value === 'object')
    if (!isFeature && switchesOn) {
      throw new ModelError(
        `[${where}] the setting ${describeValue(name)} is not known here, got ${describeValue(value)}; remove it from the file ` +
          'if it does not change what the adapter computes',
      )
    }
  }
  const given = { r: 8, lora_alpha: 8, ...json, ...(isLoadable && { init_lora_weights: true }) }
  const lora = parseSettings(where, given, (name) => name)
  const base = json.base_model_name_or_path
  return { lora, baseModel: textOf(base), revision: textOf(json.revision) }
}

/** The text of adapter_config.json, with every key that PEFT 0.20 writes, in its layout. */
export function toPeftConfig(config: LoraConfig, options: ToPeftConfigOptions): string {
  const json: JsonObject = {
    alpha_pattern: config.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: options.baseModel,
    bias: config.bias,
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: config.excludeModules.length > 0 ? sortedNames(config.excludeModules) : null,
    fan_in_fan_out: options.fanInFanOut,
    inference_mode: true,
    init_lora_weights: config.initLoraWeights,
    layer_replication: null,
    layers_pattern: config.layersPattern,
    layers_to_transform: config.layersToTransform,
    loftq_config: {},
    lora_alpha: config.loraAlpha,
    lora_bias: false,
    lora_dropout: config.loraDropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: config.modulesToSave.length > 0 ? sortedNames(config.modulesToSave) : null,
    peft_type: 'LORA',
    // The version whose format this is; loaders use it to explain keys that they do not know.
    peft_version: '0.20.0',
    qalora_group_size: 16,
    r: config.r,
    // Patterns keep their order, since the first that matches counts. PEFT sorts them, and then may not load what it
    // saved.
    rank_pattern: config.rankPattern,
    revision: options.revision ?? null,
    target_modules: sortedNames(config.targetModules),
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: config.useRslora,
  }
  return JSON.stringify(json, null, 2)
}

/** What the value of an option of PEFT must be before `parseSettings` judges all; undefined where PEFT has none. */
function ruleOf(name: string): Rule | undefined {
  if (name === 'init_lora_weights') return INIT
  if (SETTINGS.includes(name) || HARMLESS.includes(name)) return anything
  return UNSUPPORTED.includes(name) ? OFF : CHECKED.get(name)
}

/** Modules whose weight can be another's too. */
const TIED_MODULES = ['embed_tokens', 'lm_head', 'wte']

/**
 * Whether an adapter changes no module whose weight can be tied, so that there is nothing to keep tied: names of
 * others, and nothing saved whole.
 */
function leavesTiedWeights({ target_modules: targets, modules_to_save: saved }: JsonObject): boolean {
  const isOther = (name: unknown): boolean =>
    typeof name === 'string' && !TIED_MODULES.some((tied) => tied.endsWith(name.split('.').at(-1) as string))
  return OFF.accepts(saved) && Array.isArray(targets) && targets.every(isOther)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** As PEFT writes its sets. */
function sortedNames(names: string | readonly string[]): string | string[] {
  return typeof names === 'string' ? names : [...names].sort()
}

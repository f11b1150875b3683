/** @file The settings of a LoRA adapter: types, defaults, and the one place where their values are checked. Spelling is peft-config's. */

import { describeValue } from '../errors.js'
import { isJsonObject, type JsonObject } from '../weights/strict-json.js'
import { ALL_LINEAR } from './target-modules.js'

/** Which biases of the base model are trained beside an adapter: none, all, or those of the modules with an update. */
export type LoraBias = 'none' | 'all' | 'lora_only'

/** The settings of a LoRA adapter, named as in PEFT's LoraConfig. Paper: https://arxiv.org/abs/2106.09685 */
export interface LoraConfig {
  /**
   * Rank of the update: A is [r, in], B is [out, r].
   * @default 16
   */
  r: number
  /**
   * The update is scaled by `loraAlpha / r`, or `loraAlpha / sqrt(r)` with `useRslora`.
   * @default 32
   */
  loraAlpha: number
  /**
   * Probability, from 0 to below 1, of dropping an input of A while training.
   * @default 0
   */
  loraDropout: number
  /**
   * Module names (`'q_proj'` matches every path that is it or ends in `.q_proj`), a regular expression for whole
   * paths, or 'all-linear' for all linear layers but the output head.
   * @default 'all-linear'
   */
  targetModules: string[] | string
  /**
   * Modules that `targetModules` leaves out: names, or a regular expression for whole paths.
   * @default []
   */
  excludeModules: string[] | string
  /**
   * Layers, counted from 0, that a list of `targetModules` is limited to; a whole path in the list stays. Null: all.
   * @default null
   */
  layersToTransform: number[] | number | null
  /**
   * What stands before a layer's number in paths, 'layers' or 'h': names or regular expressions. Null: any name.
   * @default null
   */
  layersPattern: string[] | string | null
  /**
   * Ranks that differ from `r`, by name or by a regular expression for the end of a path; of several the first counts.
   * @default {}
   */
  rankPattern: Record<string, number>
  /**
   * Values of `loraAlpha` that differ from it, by name or by a regular expression for the end of a path; of several
   * the first counts.
   * @default {}
   */
  alphaPattern: Record<string, number>
  /**
   * Biases of the base model that are trained and saved as well.
   * @default 'none'
   */
  bias: LoraBias
  /**
   * Rank-stabilised scaling, https://arxiv.org/abs/2312.03732.
   * @default false
   */
  useRslora: boolean
  /**
   * Modules trained and saved in full beside the adapter: all whose path ends in one of the names, norms as well, and
   * what is inside of them. 'norm' means 'model.norm' and 'input_layernorm' both, '.norm' the first alone.
   * @default []
   */
  modulesToSave: string[]
  /**
   * How A and B begin. True: A uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5), B zero. 'gaussian': A normal with
   * standard deviation 1/r, B zero. False: A as with true, B uniform in +-1/sqrt(r), so that the model changes at
   * once; for tests.
   * @default true
   */
  initLoraWeights: boolean | 'gaussian'
}

/** What users give: any of the settings. */
export type LoraOptions = Partial<LoraConfig>

/** The defaults of `LoraConfig`. PEFT's own differ: r 8, alpha 8, and target modules from a table of models. */
export const DEFAULT_LORA_CONFIG: Readonly<LoraConfig> = {
  r: 16,
  loraAlpha: 32,
  loraDropout: 0,
  targetModules: ALL_LINEAR,
  excludeModules: [],
  layersToTransform: null,
  layersPattern: null,
  rankPattern: {},
  alphaPattern: {},
  bias: 'none',
  useRslora: false,
  modulesToSave: [],
  initLoraWeights: true,
}

type Check = (value: unknown) => boolean

const isBoolean: Check = (value) => typeof value === 'boolean'
const isText: Check = (value) => typeof value === 'string' && value !== ''
const isTextList: Check = (value) => Array.isArray(value) && value.every(isText)
const isNames: Check = (value) => typeof value === 'string' || isTextList(value)
const isTarget: Check = (value) => isText(value) || (isTextList(value) && (value as string[]).length > 0)
/** As wide as the widest layers: a damaged file must not ask for all memory. */
const LARGEST_RANK = 65536
const SMALLEST_ALPHA = 1e-30
const LARGEST_ALPHA = 1e30
const isRank: Check = (value) => Number.isInteger(value) && (value as number) > 0 && (value as number) <= LARGEST_RANK
// Divided by the rank it is still a number above 0 in float32, in which adapters compute.
const isAlpha: Check = (value) => typeof value === 'number' && value >= SMALLEST_ALPHA && value <= LARGEST_ALPHA
const isShare: Check = (value) => typeof value === 'number' && value >= 0 && Math.fround(value) < 1
const isLayer: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isLayers: Check = (value) => isLayer(value) || (Array.isArray(value) && value.every(isLayer))
const isBias: Check = (value) => value === 'none' || value === 'all' || value === 'lora_only'
const isInit: Check = (value) => isBoolean(value) || (typeof value === 'string' && value.toLowerCase() === 'gaussian')

const RANK = `a whole number from 1 to ${LARGEST_RANK}`
const ALPHA = `a number from ${SMALLEST_ALPHA} to 1e30`
const NAMES = 'module names or a regular expression'

/** Is told of something wrong: the settings that it is about, and the message. */
export type OnProblem = (names: readonly string[], message: string) => void

/** Ends at the first problem. */
export const throwFirst: OnProblem = (_, message) => {
  throw new Error(message)
}

/**
 * Settings from values by their snake_case names; what is missing or null has its default.
 * @param where of error messages.
 * @param spell how messages name a setting.
 * @param onProblem is told of everything that is wrong; the settings returned have their defaults there.
 * @throws on a value of the wrong kind, and on settings that PEFT does not take together.
 */
export function parseSettings(
  where: string,
  given: JsonObject,
  spell: (name: string) => string,
  onProblem: OnProblem = throwFirst,
): LoraConfig {
  const wrong = new Set<string>()
  const expect = (name: string, shown: string, value: unknown, check: Check, what: string): boolean => {
    if (check(value)) return true
    wrong.add(name)
    onProblem([name], `[${where}] expected ${what} for ${shown}, got ${describeValue(value)}`)
    return false
  }
  const read = <Value>(name: string, fallback: Value, check: Check, what: string): Value => {
    const value = given[name] ?? fallback
    return value === fallback || expect(name, spell(name), value, check, what) ? (value as Value) : fallback
  }
  const readPattern = (name: string, check: Check, what: string): Record<string, number> => {
    const values = read<Record<string, number>>(name, {}, isJsonObject, `an object with ${what} by module`)
    for (const [key, value] of Object.entries(values)) {
      expect(name, `the keys of ${spell(name)}`, key, isText, 'names or regular expressions')
      expect(name, `${spell(name)}[${describeValue(key)}]`, value, check, what)
    }
    return { ...values }
  }
  const {
    r,
    loraAlpha,
    loraDropout,
    targetModules,
    excludeModules,
    layersToTransform,
    layersPattern,
    bias,
    useRslora,
    modulesToSave,
    initLoraWeights,
  } = DEFAULT_LORA_CONFIG
  const layers = 'a whole number of at least 0 or a list of them'
  const config: LoraConfig = {
    r: read('r', r, isRank, RANK),
    loraAlpha: read('lora_alpha', loraAlpha, isAlpha, ALPHA),
    loraDropout: read('lora_dropout', loraDropout, isShare, 'a number in [0, 1)'),
    targetModules: spellAllLinear(
      unique(read('target_modules', targetModules, isTarget, 'module names, a regular expression or "all-linear"')),
    ),
    // As in PEFT, an empty text means none.
    excludeModules: unique(read('exclude_modules', excludeModules, isNames, NAMES) || excludeModules),
    layersToTransform: read('layers_to_transform', layersToTransform, isLayers, layers),
    layersPattern: nullIfEmpty(read('layers_pattern', layersPattern, isNames, 'a name or a list of names')),
    rankPattern: readPattern('rank_pattern', isRank, RANK),
    alphaPattern: readPattern('alpha_pattern', isAlpha, ALPHA),
    bias: read('bias', bias, isBias, "'none', 'all' or 'lora_only'"),
    useRslora: read('use_rslora', useRslora, isBoolean, 'true or false'),
    modulesToSave: unique(read('modules_to_save', modulesToSave, isTextList, 'a list of module names')),
    initLoraWeights: spellGaussian(read('init_lora_weights', initLoraWeights, isInit, "true, false or 'gaussian'")),
  }
  // What is wrong in itself is not judged together with others.
  const isJudged = ['target_modules', 'layers_to_transform', 'layers_pattern'].every((name) => !wrong.has(name))
  if (isJudged) checkLayers(where, config, spell, onProblem)
  return config
}

/** The combinations that PEFT refuses. */
function checkLayers(
  where: string,
  { targetModules, layersToTransform, layersPattern }: LoraConfig,
  spell: (name: string) => string,
  onProblem: OnProblem,
): void {
  const present = layersToTransform !== null ? 'layers_to_transform' : layersPattern !== null ? 'layers_pattern' : ''
  if (present !== '' && typeof targetModules === 'string') {
    onProblem(
      ['target_modules', present],
      `[${where}] expected a list of names for ${spell('target_modules')} with ${spell(present)}, got ${describeValue(targetModules)}; ` +
        'list the modules, or choose the layers in a regular expression alone',
    )
  }
  if (layersPattern !== null && layersToTransform === null) {
    onProblem(
      ['layers_pattern'],
      `[${where}] expected ${spell('layers_to_transform')} with ${spell('layers_pattern')}, got none; add it, or remove ${spell('layers_pattern')}`,
    )
  }
}

function unique<Names extends string | string[]>(names: Names): Names | string[] {
  return typeof names === 'string' ? names : [...new Set(names)]
}

function nullIfEmpty(names: string | string[] | null): string | string[] | null {
  return names === null || names.length === 0 ? null : names
}

/** PEFT takes 'All-Linear' as well. */
function spellAllLinear(target: string | string[]): string | string[] {
  return typeof target === 'string' && target.toLowerCase() === ALL_LINEAR ? ALL_LINEAR : target
}

function spellGaussian(init: boolean | string): boolean | 'gaussian' {
  return typeof init === 'string' ? 'gaussian' : init
}

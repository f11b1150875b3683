/**
 * @file The settings of a LoRA adapter: types, defaults, and the one place where their values are checked. Spelling is
 * peft-config's.
 */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import {
  boolean,
  either,
  exactly,
  float32,
  integer,
  listOf,
  mismatch,
  number,
  objectOf,
  oneOf,
  type Rule,
  text,
} from '../options/rules.js'
import { snakeCase } from '../options/spelling.js'
import { defaultsOf, type OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import type { JsonObject } from '../weights/strict-json.js'
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

/** As wide as the widest layers: a damaged file must not ask for all memory. */
const LARGEST_RANK = 65536
const RANK: Rule = {
  ...integer({ min: 1, max: LARGEST_RANK }),
  expected: `a whole number from 1 to ${LARGEST_RANK}`,
}
const SMALLEST_ALPHA = 1e-30
const LARGEST_ALPHA = 1e30
// Divided by the rank it is still a number above 0 in float32, in which adapters compute.
const ALPHA: Rule = {
  ...number({ min: SMALLEST_ALPHA, max: LARGEST_ALPHA }),
  expected: `a number from ${SMALLEST_ALPHA} to 1e30`,
}
/** A name of a module or an adapter. */
export const NAME: Rule = { ...text, expected: 'a name', accepts: (value) => typeof value === 'string' && value !== '' }
const LAYER = integer({ min: 0 })
const PATTERN: Rule = { ...NAME, expected: 'names or regular expressions' }

/** Module names, or one text. */
function names(expected: string, range: { minItems?: number } = {}): Rule {
  return { ...either(NAME, listOf(NAME, '', range)), expected }
}

const ALL = exactly(null, 'all')
/** As in PEFT, an empty text means none. */
const NAMES_OR_NOTHING = either(
  { ...text, accepts: (value) => typeof value === 'string', schema: { type: 'string' } },
  listOf(NAME, ''),
)

/** The settings of an adapter. PEFT's own defaults differ: r 8, alpha 8, and target modules from a table of models. */
export const LORA_OPTIONS = {
  r: {
    rule: RANK,
    default: 16,
    help: 'rank: how much the adapter can learn',
    flag: { name: '--rank', argument: 'count', group: 'Adapter' },
  },
  loraAlpha: {
    rule: ALPHA,
    default: 32,
    help: 'scale of the adapter times its rank',
    flag: { name: '--alpha', argument: 'number' },
  },
  loraDropout: {
    rule: { ...float32({ min: 0, below: 1 }), expected: 'a number in [0, 1)' },
    default: 0,
    help: 'share of the inputs of an adapter that is dropped while training',
    flag: { name: '--dropout', argument: 'share' },
  },
  targetModules: {
    rule: names('module names, a regular expression or "all-linear"', { minItems: 1 }),
    default: ALL_LINEAR as string | string[],
    help: 'all-linear, names such as [q_proj, v_proj], or a regular expression for whole module paths',
    flag: {
      name: '--target-modules',
      argument: 'names',
      help: 'all-linear, names such as q_proj,v_proj, or a regular expression for whole module paths',
    },
  },
  excludeModules: {
    rule: { ...NAMES_OR_NOTHING, expected: 'module names or a regular expression' },
    default: [] as string | string[],
    help: 'modules that targetModules leaves out: names, or a regular expression',
  },
  layersToTransform: {
    rule: {
      ...either(ALL, either(LAYER, listOf(LAYER, ''))),
      expected: 'a whole number of at least 0 or a list of them',
    },
    default: null,
    help: '3 or [0, 1]: only these layers; needs a list of targetModules',
  },
  layersPattern: {
    rule: { ...either(ALL, NAMES_OR_NOTHING), expected: 'a name or a list of names' },
    default: null,
    help: "what stands before a layer's number in paths, where more than one name does: layers, h",
  },
  rankPattern: {
    rule: objectOf(RANK, `an object with ${RANK.expected} by module`),
    default: {},
    help: 'other ranks by name, or by a regular expression for the end of a path: { down_proj: 8 }',
  },
  alphaPattern: {
    rule: objectOf(ALPHA, `an object with ${ALPHA.expected} by module`),
    default: {},
    help: 'the same for loraAlpha',
  },
  bias: {
    rule: { ...oneOf(['none', 'all', 'lora_only']), expected: "'none', 'all' or 'lora_only'" },
    default: 'none',
    help: 'biases of the base model that are trained too: none, all or lora_only',
  },
  useRslora: { rule: boolean, default: false, help: 'rank-stabilised scaling' },
  modulesToSave: {
    rule: listOf(NAME, 'a list of module names'),
    default: [],
    help: 'modules that are trained and saved in full beside the adapter',
  },
  initLoraWeights: {
    rule: {
      ...either(boolean, oneOf(['gaussian'])),
      expected: "true, false or 'gaussian'",
      accepts: (value) =>
        typeof value === 'boolean' || (typeof value === 'string' && value.toLowerCase() === 'gaussian'),
    },
    default: true,
    help: 'how A and B begin: true, gaussian, or false: B is not zero either, for tests',
  },
} as const satisfies OptionTable<LoraConfig>

/** The defaults of `LoraConfig`. */
export const DEFAULT_LORA_CONFIG: Readonly<LoraConfig> = {
  ...defaultsOf(LORA_OPTIONS),
  excludeModules: [],
  modulesToSave: [],
}

/** Is told of something wrong: the settings that it is about, and the message. */
export type OnProblem = (names: readonly string[], message: string) => void

/** Ends at the first problem. */
export const throwFirst: OnProblem = (names, message) => {
  throw new OptionError(message, { problems: [{ message, options: names.map((name) => [name]) }] })
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
  const expect = (name: string, shown: string, value: unknown, rule: Rule): boolean => {
    if (rule.accepts(value)) return true
    wrong.add(name)
    onProblem([name], mismatch(where, shown, value, rule))
    return false
  }
  const read = <Name extends keyof LoraConfig>(option: Name): LoraConfig[Name] => {
    const name = snakeCase(option)
    const fallback = DEFAULT_LORA_CONFIG[option]
    const value = given[name] ?? fallback
    return value === fallback || expect(name, spell(name), value, LORA_OPTIONS[option].rule)
      ? (value as LoraConfig[Name])
      : fallback
  }
  const readPattern = (option: 'rankPattern' | 'alphaPattern', item: Rule): Record<string, number> => {
    const name = snakeCase(option)
    const patterns = given[name] ?? {}
    if (!isPlainObject(patterns)) return read(option)
    for (const [key, value] of Object.entries(patterns)) {
      expect(name, `the keys of ${spell(name)}`, key, PATTERN)
      expect(name, `${spell(name)}[${describeValue(key)}]`, value, item)
    }
    return { ...(patterns as Record<string, number>) }
  }
  const config: LoraConfig = {
    r: read('r'),
    loraAlpha: read('loraAlpha'),
    loraDropout: read('loraDropout'),
    targetModules: spellAllLinear(unique(read('targetModules'))),
    excludeModules: unique(read('excludeModules') || []),
    layersToTransform: read('layersToTransform'),
    layersPattern: nullIfEmpty(read('layersPattern')),
    rankPattern: readPattern('rankPattern', RANK),
    alphaPattern: readPattern('alphaPattern', ALPHA),
    bias: read('bias'),
    useRslora: read('useRslora'),
    modulesToSave: unique(read('modulesToSave')),
    initLoraWeights: spellGaussian(read('initLoraWeights')),
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

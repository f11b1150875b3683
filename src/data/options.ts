/** @file The options of data preparation, their defaults and their checks. */

import { describeValue, unknownOption } from '../errors.js'
import { isPlainObject } from '../values.js'

/** How rows become batches. Names are those of TRL and transformers where these have the option. */
export interface DataOptions {
  /**
   * Longest row in tokens; longer rows lose their end. With packing also the capacity of a pack.
   * @default 2048
   */
  maxLength?: number
  /**
   * Put several whole rows into one sequence slot of `maxLength` tokens; attention never crosses rows.
   * @default false
   */
  packing?: boolean
  /**
   * 'bfd' (best fit decreasing) leaves the fewest gaps; 'sequential' keeps the shuffled order and starts a new pack
   * whenever a row does not fit.
   * @default 'bfd'
   */
  packingStrategy?: PackingStrategy
  /**
   * 'max_length' pads every row to `maxLength` tokens, for programs that want one shape: padding is computed, is never
   * learnt and changes no loss (with dropout other elements are dropped). Not with `packing`. False: no padding
   * anywhere.
   * @default false
   */
  padding?: false | 'max_length'
  /**
   * prompt/completion and Alpaca rows: learn the completion only.
   * @default true
   */
  completionOnlyLoss?: boolean
  /**
   * messages rows: learn the assistant's turns only.
   * @default true
   */
  assistantOnlyLoss?: boolean
  /**
   * A new order in each epoch, from seed and epoch.
   * @default true
   */
  shuffle?: boolean
  /**
   * Of shuffling, the split, and in training the weights of the adapter and dropout; a whole number of at least 0.
   * @default 42
   */
  seed?: number
  /**
   * Held-out part: a fraction below 1 or a number of rows. Rows with one prompt stay on one side. 0: none.
   * @default 0
   */
  evalSplit?: number
  /**
   * Jinja text used instead of the tokenizer's own chat template.
   * @default the tokenizer's
   */
  chatTemplate?: string
  /**
   * Further variables for the chat template, for example `{ enable_thinking: false }`.
   * @default {}
   */
  chatTemplateKwargs?: Record<string, unknown>
  /**
   * Roles of the rows that the chat template knows by another name, for example `{ human: 'user', gpt: 'assistant' }`.
   * A role that the template does not know is an error; the roles of ShareGPT's `from` are known.
   * @default {}
   */
  roles?: Readonly<Record<string, string>>
  /**
   * What a row does of which the chat template leaves something out, such as tools, tool calls or a system message: 'warn'
   * trains on the rest and counts it, 'error' ends the run.
   * @default 'warn'
   */
  onDroppedContent?: 'warn' | 'error'
}

export type PackingStrategy = (typeof PACKING_STRATEGIES)[number]

const PACKING_STRATEGIES = ['bfd', 'sequential'] as const

/** `DataOptions` with every default filled in. */
export type ResolvedDataOptions = Required<Omit<DataOptions, 'chatTemplate'>> & Pick<DataOptions, 'chatTemplate'>

const DEFAULTS: ResolvedDataOptions = {
  maxLength: 2048,
  packing: false,
  packingStrategy: 'bfd',
  padding: false,
  completionOnlyLoss: true,
  assistantOnlyLoss: true,
  shuffle: true,
  seed: 42,
  evalSplit: 0,
  chatTemplate: undefined,
  chatTemplateKwargs: {},
  roles: {},
  onDroppedContent: 'warn',
}

/** The data options of a larger object. */
export function dataOptionsOf(options: ResolvedDataOptions): DataOptions {
  return Object.fromEntries(DATA_OPTION_NAMES.map((name) => [name, options[name]]))
}

/** The valid names, for those who pick data options out of a larger object. */
export const DATA_OPTION_NAMES = Object.keys(DEFAULTS) as readonly (keyof DataOptions)[]

/**
 * Fills in defaults and checks every value.
 *
 * @param where What the error names, for example `training`.
 * @throws Error for an unknown option (naming the nearest) or a value outside its range.
 */
export function resolveDataOptions(options: DataOptions = {}, where = 'data'): ResolvedDataOptions {
  const given: DataOptions = {}
  for (const [name, value] of Object.entries(options)) {
    if (!(name in DEFAULTS)) throw unknownOption(where, name, DATA_OPTION_NAMES)
    if (value !== undefined) Object.assign(given, { [name]: value })
  }
  const resolved = { ...DEFAULTS, ...given }
  const check = (name: keyof DataOptions, valid: boolean, expected: string): void => {
    if (!valid) throw new Error(`[${where}] expected ${expected} for ${name}, got ${describeValue(resolved[name])}`)
  }
  for (const name of ['packing', 'completionOnlyLoss', 'assistantOnlyLoss', 'shuffle'] as const) {
    check(name, typeof resolved[name] === 'boolean', 'true or false')
  }
  check('maxLength', Number.isInteger(resolved.maxLength) && resolved.maxLength >= 2, 'a whole number of at least 2')
  check('seed', Number.isSafeInteger(resolved.seed) && resolved.seed >= 0, 'a whole number of at least 0')
  const { evalSplit } = resolved
  const splitValid = typeof evalSplit === 'number' && evalSplit >= 0 && (evalSplit < 1 || Number.isInteger(evalSplit))
  check('evalSplit', splitValid, 'a fraction below 1 or a whole number of rows')
  const { chatTemplate } = resolved
  check('chatTemplate', ['string', 'undefined'].includes(typeof chatTemplate), 'Jinja text')
  // As text, the path of a file would be what each conversation becomes.
  const isTemplate = chatTemplate === undefined || /\{[{%]/.test(chatTemplate)
  check('chatTemplate', isTemplate, 'Jinja text with {{ or {% in it (the text of the file, where it is in one)')
  const kwargs: unknown = resolved.chatTemplateKwargs
  check('chatTemplateKwargs', isPlainObject(kwargs), 'an object')
  const roles: unknown = resolved.roles
  const areRoles = isPlainObject(roles) && Object.values(roles).every((role) => typeof role === 'string' && role !== '')
  check('roles', areRoles, "an object from roles of the rows to roles of the template, as { human: 'user' },")
  check('onDroppedContent', ['warn', 'error'].includes(resolved.onDroppedContent), "'warn' or 'error'")
  check('padding', [false, 'max_length'].includes(resolved.padding), "false or 'max_length'")
  if (resolved.padding && resolved.packing)
    throw new Error(`[${where}] expected packing or padding, got both; remove one`)
  const strategies: readonly unknown[] = PACKING_STRATEGIES
  check('packingStrategy', strategies.includes(resolved.packingStrategy), "'bfd' or 'sequential' (rows are never cut)")
  return resolved
}

/** @file The options of data preparation, their defaults and their checks. */

import { nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import {
  anything,
  boolean,
  either,
  exactly,
  integer,
  number,
  objectOf,
  oneOf,
  type Rule,
  text,
} from '../options/rules.js'
import { SEED } from '../options/shared.js'
import { aliasesOf, type OptionTable, readOptions } from '../options/table.js'
import { NAMED_TEMPLATES } from '../tokenizer/named-templates.js'
import { isPlainObject } from '../values.js'
import { ROW_FORM_NAMES, type RowFormName } from './forms/row-form.js'
import { FORM_COLUMNS } from './row-forms.js'

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
   * Which turns of the assistant are learnt: 'last' learns the last one of each conversation, as mlx-lm does with
   * `mask_prompt`.
   * @default 'all'
   */
  trainOnTurns?: 'all' | 'last'
  /**
   * Learn the reasoning within the assistant's turns too. False leaves out what stands before the answer: the reasoning
   * and the marks round it, also where the template prints them empty.
   * @default true
   */
  trainOnReasoning?: boolean
  /**
   * A new order in each epoch, from seed and epoch.
   * @default true
   */
  shuffle?: boolean
  /**
   * Seed of shuffling, the split and, in training, the adapter's weights and dropout; a whole number of at least 0.
   * @default 42
   */
  seed?: number
  /**
   * Held-out part: a fraction below 1 or a number of rows. Rows with one prompt stay on one side. 0: none.
   * @default 0
   */
  evalSplit?: number
  /**
   * Jinja text used instead of the tokenizer's own chat template, or the name of a format: chatml, llama2, llama3,
   * llama4, mistral, mistral-v7, gemma, phi3, phi4, qwen2.5, qwen3, alpaca, vicuna, zephyr or role-tags.
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
  roleMapping?: Readonly<Record<string, string>>
  /**
   * The form that all rows have, where their columns do not tell the one that is meant.
   * @default whichever the columns of a row tell
   */
  rowForm?: RowFormName
  /**
   * Names of columns where the rows have others than lowrank knows: by the name that is known here the name in the
   * rows, for example `{ prompt: 'question', completion: 'answer.text' }`. Dots lead into objects.
   * @default {}
   */
  columns?: Readonly<Record<string, string>>
  /**
   * Threads that encode rows beside the main one, each with a tokenizer of its own in memory; 0: none. They start with
   * row 2,048, change no token, and take only tokenizers that `loadTokenizer` read: others, those of other libraries
   * and the rows of other objectives than supervised fine-tuning stay with the main thread.
   * @default one less than the machine has cores, at most 4; 0 where it has fewer than 3
   */
  datasetNumProc?: number
  /**
   * What a row does of which the chat template leaves something out, such as tools, tool calls or a system message:
   * 'warn' trains on the rest and counts it, 'error' ends the run.
   * @default 'warn'
   */
  onDroppedContent?: 'warn' | 'error'
  /**
   * What a row does that has a defect, in its file, its columns or its messages: 'error' ends the run and names the
   * row, 'skip' leaves it out, counts it, and names the first ones in a warning. A file that is damaged as a whole is
   * an error in any case.
   * @default 'error'
   */
  onError?: 'error' | 'skip'
}

export type PackingStrategy = (typeof PACKING_STRATEGIES)[number]

const PACKING_STRATEGIES = ['bfd', 'sequential'] as const

/** `DataOptions` with every default filled in. */
export type ResolvedDataOptions = Required<Omit<DataOptions, OptionsWithoutDefault>> &
  Pick<DataOptions, OptionsWithoutDefault>

type OptionsWithoutDefault = 'chatTemplate' | 'rowForm' | 'datasetNumProc'

const TEMPLATE = /\{[{%]/
const NAMES: readonly string[] = Object.keys(NAMED_TEMPLATES)

/** From names that the forms of rows know to columns of the rows. */
const columnNames: Rule = {
  expected: "an object from columns that lowrank knows to columns of the rows, as { prompt: 'question' },",
  accepts: (value) =>
    isPlainObject(value) &&
    Object.entries(value).every(([name, column]) => FORM_COLUMNS.includes(name) && text.accepts(column)),
  hint: (value) => {
    const unknown = isPlainObject(value) ? Object.keys(value).find((name) => !FORM_COLUMNS.includes(name)) : undefined
    const nearest = unknown && nearestName(unknown, FORM_COLUMNS)
    return nearest ? `; did you mean ${nearest}?` : ''
  },
  schema: {
    type: 'object',
    properties: Object.fromEntries(FORM_COLUMNS.map((name) => [name, { type: 'string', minLength: 1 }])),
    additionalProperties: false,
  },
}

/** The options of data preparation. */
export const DATA_OPTIONS = {
  maxLength: {
    heading: 'Data',
    rule: integer({ min: 2 }),
    default: 2048,
    help: 'longest row in tokens; longer ones lose their end; with packing the size of a pack',
    changesRun: true,
    aliases: ['maxSeqLength'],
    flag: { name: '--max-length', argument: 'tokens' },
  },
  packing: {
    rule: boolean,
    default: false,
    help: 'put several rows into one sequence of maxLength tokens; attention never crosses rows',
    changesRun: true,
    flag: {
      name: '--packing',
      help: 'put several rows into one sequence of --max-length tokens; attention never crosses rows',
    },
  },
  packingStrategy: {
    rule: { ...oneOf(PACKING_STRATEGIES), expected: "'bfd' or 'sequential' (rows are never cut)" },
    default: 'bfd',
    help: 'bfd leaves the fewest gaps, sequential keeps the shuffled order',
    changesRun: true,
  },
  padding: {
    rule: { ...either(exactly(false, 'none'), oneOf(['max_length'])), expected: "false or 'max_length'" },
    default: false,
    help: 'max_length pads every row to maxLength tokens, which changes no loss; not with packing',
  },
  completionOnlyLoss: {
    rule: boolean,
    default: true,
    help: 'prompt and completion, and Alpaca rows: learn the completion only',
  },
  assistantOnlyLoss: {
    rule: boolean,
    default: true,
    help: "rows of messages: learn the assistant's turns only",
  },
  trainOnTurns: {
    rule: oneOf(['all', 'last']),
    default: 'all',
    help: "which of the assistant's turns are learnt: all, or the last of each conversation",
  },
  trainOnReasoning: {
    rule: boolean,
    default: true,
    help: "learn the reasoning within the assistant's turns; false leaves it out, with the marks round it",
  },
  shuffle: { rule: boolean, default: true, help: 'a new order in each epoch, from seed and epoch', changesRun: true },
  seed: {
    ...SEED,
    help: 'seed of order and split, and in training of initial weights and dropout',
    changesRun: true,
    flag: { name: '--seed', argument: 'number' },
  },
  evalSplit: {
    rule: {
      ...number({ min: 0 }),
      expected: 'a fraction below 1 or a whole number of rows',
      accepts: (value) => typeof value === 'number' && value >= 0 && (value < 1 || Number.isInteger(value)),
      schema: {
        anyOf: [
          { type: 'number', minimum: 0, exclusiveMaximum: 1 },
          { type: 'integer', minimum: 1 },
        ],
      },
    },
    default: 0,
    help: 'share or number of the rows that are held out and evaluated on; rows with one prompt stay on one side',
    flag: { name: '--eval-split', argument: 'share' },
  },
  chatTemplate: {
    rule: {
      ...text,
      expected: `Jinja text with {{ or {% in it (the text of the file, where it is in one), or one of ${NAMES.join(', ')},`,
      // As text, the path of a file would be what each conversation becomes.
      accepts: (value) => typeof value === 'string' && (TEMPLATE.test(value) || NAMES.includes(value)),
      hint: (value) => {
        const nearest = typeof value === 'string' ? nearestName(value, NAMES) : undefined
        return nearest ? `; did you mean ${nearest}?` : ''
      },
      schema: { anyOf: [{ enum: NAMES }, { type: 'string', pattern: TEMPLATE.source }] },
    },
    example: '{% for message in messages %}{{ message.content }}{% endfor %}',
    otherwise: "the tokenizer's",
    help: 'Jinja text in place of the chat template of the tokenizer, or the name of a format, as chatml',
  },
  chatTemplateKwargs: {
    rule: objectOf(anything, 'an object'),
    default: {},
    help: 'further variables of the chat template: { enable_thinking: false }',
  },
  roleMapping: {
    rule: objectOf(
      { ...text, accepts: (value) => typeof value === 'string' && value !== '' },
      "an object from roles of the rows to roles of the template, as { human: 'user' },",
    ),
    default: {},
    help: 'roles of the rows that the chat template knows by another name: { human: user, gpt: assistant }',
    aliases: ['roles'],
  },
  rowForm: {
    rule: oneOf(ROW_FORM_NAMES),
    example: 'questionAnswer',
    otherwise: 'what the columns of a row tell',
    help: 'form that all rows have, where their columns do not tell the one that is meant',
  },
  columns: {
    rule: columnNames,
    default: {},
    help: 'columns of the rows that have another name than is known here: { prompt: question, completion: answer.text }',
  },
  datasetNumProc: {
    rule: integer({ min: 0, max: 256 }),
    example: 2,
    otherwise: 'one less than the machine has cores, at most 4; 0 where it has fewer than 3',
    help: 'threads that encode rows beside the main one, from row 2,048 on; 0: none',
  },
  onDroppedContent: {
    rule: { ...oneOf(['warn', 'error']), expected: "'warn' or 'error'" },
    default: 'warn',
    help: 'where the chat template leaves out something of a row: warn and train on the rest, or error',
  },
  onError: {
    rule: { ...oneOf(['error', 'skip']), expected: "'error' or 'skip'" },
    default: 'error',
    help: 'what a row with a defect does: end the run with an error, or be skipped and counted',
  },
} as const satisfies OptionTable<DataOptions>

/**
 * Fills in defaults and checks every value.
 *
 * @param where What the error names, for example `training`.
 * @throws OptionError for an unknown option (naming the nearest) or a value outside its range.
 */
export function resolveDataOptions(options: DataOptions = {}, where = 'data'): ResolvedDataOptions {
  const resolved: ResolvedDataOptions = readOptions(where, withPresentNames(where, options), DATA_OPTIONS)
  expectConsistent(where, resolved)
  return resolved
}

const OLD_NAMES = aliasesOf(DATA_OPTIONS)

/** The options by the names that they have now. @throws where one is given by both its names */
export function withPresentNames<Options extends object>(where: string, options: Options): Options {
  if (!isPlainObject(options)) return options
  const named: Record<string, unknown> = {}
  for (const [given, value] of Object.entries(options)) {
    const name = OLD_NAMES.get(given) ?? given
    if (named[name] !== undefined && value !== undefined)
      throw new OptionError(`[${where}] expected ${name} once, got it by two names; remove one`)
    named[name] ??= value
  }
  return named as Options
}

/** @throws on options that exclude each other */
export function expectConsistent(
  where: string,
  { padding, packing }: Pick<ResolvedDataOptions, 'padding' | 'packing'>,
): void {
  if (padding && packing) throw new OptionError(`[${where}] expected packing or padding, got both; remove one`)
}

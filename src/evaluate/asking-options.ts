/** @file What tasks take whose rows are questions: prompts, what is right, and examples before the questions. */

import { type DataSource, isDataSource } from '../data/sources/open-source.js'
import { boolean, instance, integer, oneOf, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

/** What a task takes whose rows are questions. */
export interface AskingOptions {
  /**
   * The prompt: a column, or a Jinja template over the columns of the row, as in lm-evaluation-harness.
   * @default what the form of the row says
   */
  docToText?: string
  /**
   * What is right: a column or a Jinja template. A column that holds a list gives several references.
   * @default what the form of the row says: the last turn of the assistant, the completion, the label
   */
  docToTarget?: string
  /**
   * Ask prompts that are plain text as a message of the user, in the chat template.
   * @default false
   */
  applyChatTemplate?: boolean
  /**
   * A system message before every prompt that is a conversation and has none.
   * @default none
   */
  systemInstruction?: string
  /**
   * Rows with their answers before each question.
   * @default 0
   */
  numFewshot?: number
  /**
   * Split of `dataset` that examples come from.
   * @default none: the rows that are asked, but never the row itself
   */
  fewshotSplit?: string
  /**
   * Rows that examples come from: all that `dataset` takes, in the columns of `dataset`.
   * @default the split, or the rows that are asked
   */
  fewshotSamples?: DataSource
  /**
   * 'default' draws examples for each row, 'first_n' takes the first rows, in their order.
   * @default 'default'
   */
  fewshotSampler?: 'default' | 'first_n'
  /**
   * Seed of the draw, which is that of Python's `random.Random(seed).sample`, as in lm-evaluation-harness.
   * @default 1234
   */
  fewshotSeed?: number
  /**
   * In conversations: examples are turns of their own; else they stand as text in the last message of the user.
   * @default true
   */
  fewshotAsMultiturn?: boolean
  /**
   * Stands before all examples, as it is; in conversations it ends the system message.
   * @default none
   */
  description?: string
  /**
   * Stands behind each example, and between system message and description.
   * @default '\n\n'
   */
  fewshotDelimiter?: string
  /**
   * Stands between a prompt that is text and its answer, label or choice.
   * @default ' '
   */
  targetDelimiter?: string
}

/** Text that may be empty. */
export const ANY_TEXT = {
  expected: 'text',
  accepts: (value: unknown) => typeof value === 'string',
  schema: { type: 'string' },
}

/** The options of tasks whose rows are questions. */
export const ASKING = {
  docToText: {
    heading: 'Prompts',
    rule: text,
    otherwise: 'what the form of the row says',
    help: 'the prompt: a column, or a Jinja template over the columns',
    example: 'Question: {{ question }}\nAnswer:',
  },
  docToTarget: {
    rule: text,
    otherwise: 'what the form of the row says',
    help: 'what is right: a column or a Jinja template; a list gives several references',
    example: '{{ answer }}',
  },
  applyChatTemplate: {
    rule: boolean,
    default: false,
    help: 'ask prompts that are plain text as a message of the user, in the chat template',
  },
  systemInstruction: {
    rule: text,
    otherwise: 'none',
    help: 'a system message before every prompt that is a conversation and has none',
  },
  numFewshot: {
    heading: 'Examples',
    rule: integer({ min: 0 }),
    default: 0,
    help: 'rows with their answers before each question',
  },
  fewshotSplit: {
    rule: text,
    otherwise: 'none: the rows that are asked, but never the row itself',
    help: 'split of dataset that examples come from',
    example: 'train',
  },
  fewshotSamples: {
    rule: { ...instance('a path, a glob, an id, an entry or an iterable of rows', isDataSource), schema: {} },
    otherwise: 'the split, or the rows that are asked',
    help: 'rows that examples come from: all that dataset takes, in the columns of dataset',
  },
  fewshotSampler: {
    rule: oneOf(['default', 'first_n']),
    default: 'default',
    help: 'default draws examples for each row, first_n takes the first rows, in their order',
  },
  fewshotSeed: {
    rule: integer({ min: 0, max: 2 ** 32 - 1 }),
    default: 1234,
    help: 'seed of the draw, which is that of lm-evaluation-harness',
  },
  fewshotAsMultiturn: {
    rule: boolean,
    default: true,
    help: 'in conversations examples are turns; false: text in the last message of the user',
  },
  description: {
    rule: text,
    otherwise: 'none',
    help: 'stands before all examples, as it is; in conversations it ends the system message',
  },
  fewshotDelimiter: {
    rule: ANY_TEXT,
    default: '\n\n',
    help: 'stands behind each example, and between system message and description',
  },
  targetDelimiter: {
    rule: ANY_TEXT,
    default: ' ',
    help: 'stands between a prompt that is text and its answer, label or choice',
  },
} as const satisfies OptionTable<AskingOptions>

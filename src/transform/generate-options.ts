/** @file The options of `generateDataset`, with their rules and defaults. */

import type { DataSource } from '../data/sources/open-source.js'
import { ENDPOINT_OPTIONS, type EndpointOptions } from '../openai/endpoint-options.js'
import { boolean, callback, instance, integer, listOf, number, oneOf, text, textOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import type { PromptFile } from './generate-prompts.js'
import { DATASET, OUTPUT, TRANSFORM_OPTIONS, type TransformOptions } from './options.js'

/** How far `generateDataset` is. */
export interface GenerateProgress {
  /** Rows that are done, of those that were read. */
  readonly rows: number
  /** Their share, where it is known. */
  readonly fraction: number | undefined
  /** Pairs that were made. */
  readonly pairs: number
  /** Requests that were sent in this run. */
  readonly requests: number
  /** What all replies cost, those of earlier runs included. */
  readonly cost: number
}

/** What `generateDataset` takes. */
export interface GenerateDatasetOptions extends EndpointOptions, Omit<TransformOptions, 'onProgress'> {
  /** Rows with texts, such as the chunks of `splitDocuments`: a path, a glob, or anything that training takes. */
  dataset: DataSource
  /** Name of the model, as the endpoint has it. */
  model: string
  /**
   * Path of the file of pairs, whose ending names its format; with a `/` at its end, a Delta table. The replies are
   * kept beside it, in `OUTPUT.replies`.
   */
  output: string
  /**
   * Model that judges.
   * @default model
   */
  judgeModel?: string
  /**
   * Columns that make the text of a row; several become lines of `name: value`.
   * @default ['text']
   */
  columns?: readonly string[]
  /**
   * Columns that pairs keep, beside `document`, `sha256`, `chunk`, `page`, `last_page` and `headings`.
   * @default []
   */
  keep?: readonly string[]
  /**
   * Questions that are asked for about each row.
   * @default 1
   */
  pairsPerRow?: number
  /**
   * Score from 1 to 10 that a question, and then its answer, must have; 0: nothing is judged.
   * @default 7
   */
  threshold?: number
  /**
   * Times that a question or an answer below the threshold is made better and judged again, before it is dropped.
   * @default 2
   */
  maxRounds?: number
  /**
   * Replies that are asked for where they are not the JSON that was asked for.
   * @default 3
   */
  maxAttempts?: number
  /**
   * Prompts in place of ours: path of a YAML file, or what it holds.
   * @default ours
   */
  prompts?: string | PromptFile
  /**
   * What a pair is written as: columns `question` and `answer`, or `messages`.
   * @default 'question-answer'
   */
  form?: 'question-answer' | 'messages'
  /**
   * System message of each row, where `form` is 'messages'.
   * @default none
   */
  systemPrompt?: string
  /**
   * Column that has what the model thought before it answered. It never stands in the answer.
   * @default none
   */
  reasoningColumn?: string
  /**
   * Tokens that a reply has at most, reasoning included.
   * @default 1024
   */
  maxTokens?: number
  /**
   * Sampling temperature. A judge is asked at 0 first.
   * @default 0.7
   */
  temperature?: number
  /**
   * Seed that is sent along, one more for each further attempt.
   * @default none
   */
  seed?: number
  /**
   * Fields of the requests that only some endpoints know, such as `{ reasoning_effort: 'low' }`.
   * @default none
   */
  extraBody?: Readonly<Record<string, unknown>>
  /**
   * What becomes of a row about which the endpoint refuses a request (HTTP 400, 413, 422): the work ends with an error,
   * or the row is left out and counted.
   * @default 'error'
   */
  onError?: 'error' | 'skip'
  /**
   * Pay for all replies again, and forget those that an earlier run kept.
   * @default false
   */
  fresh?: boolean
  /**
   * Called at most ten times a second, and at the end.
   * @default none
   */
  onProgress?: (progress: GenerateProgress) => void
}

const COLUMN_NAMES = listOf(text, 'names of columns')

/** The options of `generateDataset`. */
export const GENERATE_DATASET_OPTIONS = {
  dataset: DATASET,
  model: {
    rule: textOf('the name of a model'),
    isRequired: true,
    help: 'name of the model, as the endpoint has it',
    flag: { name: '--model', argument: 'name', group: 'Model' },
  },
  output: OUTPUT,
  judgeModel: {
    rule: textOf('the name of a model'),
    otherwise: 'model',
    help: 'model that judges',
    flag: { name: '--judge-model', argument: 'name' },
  },
  columns: {
    rule: listOf(text, 'names of columns', { minItems: 1 }),
    default: ['text'] as readonly string[],
    help: 'columns that make the text of a row; several become lines of name: value',
  },
  keep: {
    rule: COLUMN_NAMES,
    default: [] as readonly string[],
    help: 'columns that pairs keep, beside document, sha256, chunk, page, last_page and headings',
  },
  pairsPerRow: {
    rule: integer({ min: 1, max: 100 }),
    default: 1 as number,
    help: 'questions that are asked for about each row',
    flag: { name: '--pairs', argument: 'number', group: 'Pairs' },
  },
  threshold: {
    rule: integer({ min: 0, max: 10 }),
    default: 7 as number,
    help: 'score from 1 to 10 that a question, and then its answer, must have; 0: nothing is judged',
    flag: { name: '--threshold', argument: 'score' },
  },
  maxRounds: {
    rule: integer({ min: 0, max: 20 }),
    default: 2 as number,
    help: 'times that what is below the threshold is made better, before it is dropped',
    flag: { name: '--max-rounds', argument: 'number' },
  },
  maxAttempts: {
    rule: integer({ min: 1, max: 20 }),
    default: 3 as number,
    help: 'replies that are asked for where they are not the JSON that was asked for',
    flag: { name: '--max-attempts', argument: 'number' },
  },
  prompts: {
    rule: instance('the path of a file of prompts', (value) => typeof value === 'string' || isPlainObject(value)),
    otherwise: 'those of lowrank',
    help: 'YAML file of prompts',
  },
  form: {
    rule: oneOf(['question-answer', 'messages']),
    default: 'question-answer' as NonNullable<GenerateDatasetOptions['form']>,
    help: 'what a pair is written as: columns question and answer, or messages',
    flag: { name: '--form', argument: 'form' },
  },
  systemPrompt: {
    rule: text,
    otherwise: 'none',
    help: 'system message of each row of messages',
    flag: { name: '--system', argument: 'text' },
  },
  reasoningColumn: {
    rule: textOf('the name of a column'),
    otherwise: 'none: it is left out',
    help: 'column for what the model thought before it answered',
    flag: { name: '--reasoning-column', argument: 'name' },
  },
  maxTokens: {
    rule: integer({ min: 1 }),
    default: 1024 as number,
    help: 'tokens that a reply has at most, reasoning included',
    flag: { name: '--max-tokens', argument: 'number', group: 'Replies' },
  },
  temperature: {
    rule: number({ min: 0, max: 2 }),
    default: 0.7 as number,
    help: 'sampling temperature; a judge is asked at 0 first',
    flag: { name: '--temperature', argument: 'number' },
  },
  seed: {
    rule: integer({ min: 0 }),
    otherwise: 'none is sent',
    help: 'seed that is sent along, one more for each further attempt',
    flag: { name: '--seed', argument: 'number' },
  },
  extraBody: {
    rule: instance('an object of fields', isPlainObject),
    otherwise: 'none',
    help: 'fields of the requests that only some endpoints know',
  },
  onError: {
    rule: oneOf(['error', 'skip']),
    default: 'error' as NonNullable<GenerateDatasetOptions['onError']>,
    help: 'what a row does about which the endpoint refuses a request: end the work, or be left out and counted',
    flag: { name: '--on-error', argument: 'what' },
  },
  fresh: {
    rule: boolean,
    default: false as boolean,
    help: 'pay for all replies again, and forget those that an earlier run kept',
    flag: { name: '--fresh' },
  },
  ...ENDPOINT_OPTIONS,
  signal: TRANSFORM_OPTIONS.signal,
  onProgress: { rule: callback, otherwise: 'none', help: 'told rows, pairs, requests and cost so far' },
} as const satisfies OptionTable<GenerateDatasetOptions>

/** @file The options of `judgeAnswers` and `compareAnswers`, with their rules and defaults. */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { ENDPOINT_OPTIONS, type EndpointOptions } from '../openai/endpoint-options.js'
import { boolean, callback, instance, integer, number, oneOf, path, textOf } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { isPlainObject } from '../values.js'
import type { JudgeRubric } from './judge-rubric.js'

/** How far a judge is. */
export interface JudgeProgress {
  /** Rows that are done, of `totalRows`. */
  readonly rows: number
  readonly totalRows: number
  /** Requests that were sent in this run. */
  readonly requests: number
  /** What all replies cost, those of earlier runs included. */
  readonly cost: number
}

/** What `judgeAnswers` and `compareAnswers` take. */
export interface JudgeOptions extends EndpointOptions {
  /** Name of the model that judges, as the endpoint has it. */
  model: string
  /**
   * What is judged by which criteria: path of a YAML file, or what it holds.
   * @default ours: correctness, helpfulness and clarity, from 1 to 10
   */
  rubric?: string | JudgeRubric
  /**
   * File that keeps every reply before it is used: the same call with the same file goes on after a kill, and pays for
   * no reply twice.
   * @default none: replies are kept until the call ends
   */
  replies?: string
  /**
   * Tokens that a reply has at most, reasoning included.
   * @default 1024
   */
  maxTokens?: number
  /**
   * Sampling temperature of the first reply. Where that is not what was asked for, the next are asked for at 0.7 or
   * more: at 0 they would be the same.
   * @default 0
   */
  temperature?: number
  /**
   * Seed that is sent along, one more for each further attempt.
   * @default none
   */
  seed?: number
  /**
   * Replies that are asked for where they are not the JSON that was asked for.
   * @default 3
   */
  maxAttempts?: number
  /**
   * Fields of the requests that only some endpoints know, such as `{ reasoning_effort: 'low' }`.
   * @default none
   */
  extraBody?: Readonly<Record<string, unknown>>
  /**
   * What becomes of a row about which the endpoint refuses a request (HTTP 400, 413, 422): the work ends with an error,
   * or the row has no score and is counted.
   * @default 'error'
   */
  onError?: 'error' | 'skip'
  /**
   * Pay for all replies again, and forget those that `replies` has.
   * @default false
   */
  fresh?: boolean
  /**
   * Ends the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Called after each row.
   * @default none
   */
  onProgress?: (progress: JudgeProgress) => void
}

/** The options of `judgeAnswers` and `compareAnswers`. */
export const JUDGE_OPTIONS = {
  model: {
    rule: textOf('the name of a model'),
    isRequired: true,
    help: 'name of the model that judges, as the endpoint has it',
    example: 'gpt-4.1-mini',
  },
  rubric: {
    rule: instance('the path of a rubric', (value) => typeof value === 'string' || isPlainObject(value)),
    otherwise: 'correctness, helpfulness and clarity, from 1 to 10',
    help: 'YAML file of criteria, scale and prompts',
  },
  replies: {
    rule: path,
    otherwise: 'none: replies are kept until the call ends',
    help: 'file that keeps every reply, so that none is paid for twice',
  },
  maxTokens: {
    rule: integer({ min: 1 }),
    default: 1024 as number,
    help: 'tokens that a reply has at most, reasoning included',
  },
  temperature: {
    rule: number({ min: 0, max: 2 }),
    default: 0 as number,
    help: 'sampling temperature of the first reply; further attempts take 0.7 or more',
  },
  seed: {
    rule: integer({ min: 0 }),
    otherwise: 'none is sent',
    help: 'seed that is sent along, one more for each further attempt',
  },
  maxAttempts: {
    rule: integer({ min: 1, max: 20 }),
    default: 3 as number,
    help: 'replies that are asked for where they are not the JSON that was asked for',
  },
  extraBody: {
    rule: instance('an object of fields', isPlainObject),
    otherwise: 'none',
    help: 'fields of the requests that only some endpoints know',
  },
  onError: {
    rule: oneOf(['error', 'skip']),
    default: 'error' as NonNullable<JudgeOptions['onError']>,
    help: 'what a row does about which the endpoint refuses a request: end the work, or have no score and be counted',
  },
  fresh: {
    rule: boolean,
    default: false as boolean,
    help: 'pay for all replies again, and forget those that replies has',
  },
  ...ENDPOINT_OPTIONS,
  signal: SIGNAL,
  onProgress: { rule: callback, otherwise: 'none', help: 'told rows, requests and cost so far' },
} as const satisfies OptionTable<JudgeOptions>

export type ResolvedJudge = Resolved<JudgeOptions, typeof JUDGE_OPTIONS>

/** @throws OptionError for options that are wrong, or do not fit together */
export function readJudgeOptions(options: JudgeOptions): ResolvedJudge {
  const settled = readOptions('judge', options, JUDGE_OPTIONS)
  const { maxCost, inputPrice, outputPrice, fresh, replies } = settled
  // Without a price every request is free, and no cap is ever reached.
  if (maxCost !== undefined && inputPrice === 0 && outputPrice === 0)
    throw new OptionError(
      `[judge] expected inputPrice or outputPrice above 0 where maxCost is given, got maxCost ${maxCost} and no price; give the prices ` +
        'of a million tokens, or leave maxCost out',
    )
  if (fresh && replies === undefined)
    throw new OptionError(
      `[judge] expected replies where fresh is ${describeValue(fresh)}, got nothing; leave fresh out`,
    )
  return settled
}

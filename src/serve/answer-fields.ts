/** @file Fields that the routes for answers share, and what they say about how tokens are drawn. */

import { GENERATE_OPTIONS, SAMPLING_OPTIONS, type SamplingOptions } from '../decoding/sampling-options.js'
import type { InferenceRequest } from '../inference/inference-request.js'
import { MOST_BIASES } from '../inference/logit-additions.js'
import type { SamplingParameters } from '../ops/sample.js'
import { boolean, either, integer, listOf, number, objectOf, type Rule, text } from '../options/rules.js'
import { isObject } from '../values.js'
import { badRequest } from './api-error.js'
import { type FieldTable, IGNORED } from './fields.js'

/** The fields of a request that add to logits. */
export type LogitAdditionFields = Pick<InferenceRequest, 'presencePenalty' | 'frequencyPenalty' | 'logitBias'>

/** As many stop texts as OpenAI takes. */
const MOST_STOPS = 4
/** Longer stop texts would be looked for at every token. */
const LONGEST_STOP = 1024

const STOP_TEXT: Rule = {
  expected: `a text of 1 to ${LONGEST_STOP} characters`,
  accepts: (value) => typeof value === 'string' && value !== '' && value.length <= LONGEST_STOP,
  schema: { type: 'string', minLength: 1, maxLength: LONGEST_STOP },
}

const STOP_TEXTS: Rule = {
  ...listOf(STOP_TEXT, `at most ${MOST_STOPS} texts`),
  accepts: (value) =>
    Array.isArray(value) && value.length <= MOST_STOPS && value.every((stop) => STOP_TEXT.accepts(stop)),
  schema: { type: 'array', items: STOP_TEXT.schema, maxItems: MOST_STOPS },
}

const PENALTY = number({ min: -2, max: 2 })
const BIAS = number({ min: -100, max: 100 })
const ID = /^(?:0|[1-9]\d{0,9})$/

const BIASES: Rule = {
  expected: `an object of at most ${MOST_BIASES} token ids with numbers from -100 to 100`,
  accepts: (value) =>
    isObject(value) &&
    Object.keys(value).length <= MOST_BIASES &&
    Object.entries(value).every(([id, bias]) => ID.test(id) && BIAS.accepts(bias)),
  schema: {
    type: 'object',
    propertyNames: { pattern: ID.source },
    additionalProperties: BIAS.schema,
    maxProperties: MOST_BIASES,
  },
}

/** A bit less than what the engine's seeds go to, so that the choices of one request have seeds of their own. */
const LARGEST_SEED = 2 ** 48

/** Fields of every route that answers. */
export const SHARED_FIELDS = {
  model: { rule: text, help: 'a name that /v1/models lists', isRequired: true },
  stream: { rule: boolean, help: 'send the answer piece by piece as server-sent events' },
  temperature: {
    rule: number({ min: 0, max: 2 }),
    help: 'logits are divided by it before a token is drawn; 0 takes the most likely token',
  },
  top_p: {
    rule: number({ above: 0, max: 1 }),
    help: 'draw from the most likely tokens that make up this share of the probability',
  },
  top_k: { rule: SAMPLING_OPTIONS.topK.rule, help: 'draw from so many of the most likely tokens; 0: from all' },
  min_p: { rule: SAMPLING_OPTIONS.minP.rule, help: SAMPLING_OPTIONS.minP.help },
  repetition_penalty: {
    rule: number({ min: 0.01, max: 100 }),
    help: SAMPLING_OPTIONS.repetitionPenalty.help,
  },
  user: IGNORED('who asks, for the books of the sender', { type: 'string' }),
  safety_identifier: IGNORED('who asks, for the books of the sender', { type: 'string' }),
  prompt_cache_key: IGNORED('prompts that begin alike always share what was computed', { type: 'string' }),
  prompt_cache_retention: IGNORED('how long that is kept is for the server to say', { type: 'string' }),
  service_tier: IGNORED('there is one tier', { type: 'string' }),
} as const satisfies FieldTable

/** Fields of chat and text completions alone. */
export const COMPLETION_FIELDS = {
  n: { rule: integer({ min: 1, max: 128 }), help: 'how many answers to give' },
  seed: {
    rule: integer({ min: -LARGEST_SEED, max: LARGEST_SEED }),
    help: 'the same seed, request and model give the same answer',
  },
  stop: { rule: either(STOP_TEXT, STOP_TEXTS), help: 'texts that end the answer, and are not part of it' },
  stream_options: {
    rule: objectOf(boolean, 'an object of include_usage and include_obfuscation'),
    help: '{ include_usage: true }: a last piece says how many tokens there were',
  },
  max_tokens: { rule: integer({ min: 1 }), help: GENERATE_OPTIONS.maxNewTokens.help },
  presence_penalty: { rule: PENALTY, help: 'taken from the logits of tokens that the answer has already' },
  frequency_penalty: {
    rule: PENALTY,
    help: 'taken from the logit of a token for each time that the answer has it already',
  },
  logit_bias: { rule: BIASES, help: 'added to the logits of tokens, by their ids, as { "1234": -100 }' },
} as const satisfies FieldTable

/** The stop texts that a request names. */
export function stopsOf(stop: unknown): readonly string[] {
  if (stop === undefined) return []
  return typeof stop === 'string' ? [stop] : (stop as string[])
}

/** Whether the last piece of a stream says how many tokens there were. @throws on other options */
export function includesUsage(where: string, options: unknown, isStream: boolean): boolean {
  if (options === undefined) return false
  if (!isStream)
    throw badRequest(`[${where}] expected stream_options with stream: true alone; remove it`, 'stream_options')
  const given = options as Record<string, boolean>
  for (const [name, value] of Object.entries(given)) {
    const isKnown = name === 'include_usage' || (name === 'include_obfuscation' && value === false)
    if (isKnown) continue
    const what = name === 'include_obfuscation' ? 'false' : 'include_usage alone'
    throw badRequest(
      `[${where}] expected ${what} for stream_options.${name.slice(0, 80)}, got ${value}`,
      'stream_options',
    )
  }
  return given.include_usage === true
}

/**
 * How tokens are drawn: as the request says, else as the makers of the model say, else as OpenAI does, which draws from
 * all tokens. Undefined: the most likely token.
 */
export function samplingOf(
  given: Readonly<Record<string, unknown>>,
  defaults: SamplingOptions,
  seed: number,
): SamplingParameters | undefined {
  const pick = (name: string, otherwise: number | undefined, last: number): number =>
    (given[name] as number | undefined) ?? otherwise ?? last
  const temperature = pick('temperature', defaults.temperature, 1)
  const repetitionPenalty = pick('repetition_penalty', defaults.repetitionPenalty, 1)
  if (temperature === 0 && repetitionPenalty === 1) return undefined
  return {
    // A divisor below this is none in float32: it would take the most likely token as well.
    temperature: temperature < 1e-5 ? 0 : temperature,
    topK: temperature === 0 ? 0 : pick('top_k', defaults.topK, 0),
    topP: pick('top_p', defaults.topP, 1),
    minP: pick('min_p', defaults.minP, 0),
    repetitionPenalty,
    seed,
  }
}

/**
 * What is added to logits.
 * @throws ApiError for a bias of an id that the model does not have
 */
export function additionsOf(
  where: string,
  given: Readonly<Record<string, unknown>>,
  vocabSize: number,
): LogitAdditionFields {
  const {
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    logit_bias: biases,
  } = given as {
    presence_penalty?: number
    frequency_penalty?: number
    logit_bias?: Record<string, number>
  }
  const logitBias = new Map(Object.entries(biases ?? {}).map(([id, bias]) => [Number(id), bias]))
  const wrong = [...logitBias.keys()].find((id) => id >= vocabSize)
  if (wrong !== undefined)
    throw badRequest(`[${where}] expected token ids below ${vocabSize} for logit_bias, got ${wrong}`, 'logit_bias')
  return {
    ...(presencePenalty && { presencePenalty }),
    ...(frequencyPenalty && { frequencyPenalty }),
    ...(logitBias.size > 0 && { logitBias }),
  }
}

/** The seed of the first choice; those behind it count on. */
export function seedOf(seed: unknown): number {
  if (typeof seed !== 'number') return Math.floor(Math.random() * 2 ** 31)
  return seed >= 0 ? seed : 2 ** 49 + seed
}

/** Whether a value is a list of objects. */
export function isObjectList(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every(isObject)
}

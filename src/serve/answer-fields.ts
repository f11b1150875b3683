/** @file Fields that the routes for answers share, and what they say about how tokens are drawn. */

import { GENERATE_OPTIONS, SAMPLING_OPTIONS, type SamplingOptions } from '../decoding/sampling-options.js'
import type { SamplingParameters } from '../ops/sample.js'
import { boolean, either, integer, listOf, number, objectOf, type Rule, text } from '../options/rules.js'
import { isObject } from '../values.js'
import { badRequest } from './api-error.js'
import { type FieldTable, IGNORED, onlyNeutral } from './fields.js'

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
  presence_penalty: {
    rule: onlyNeutral([0], 'lowrank has no such penalty: leave it out, or use repetition_penalty'),
    help: 'not done: only 0',
  },
  frequency_penalty: {
    rule: onlyNeutral([0], 'lowrank has no such penalty: leave it out, or use repetition_penalty'),
    help: 'not done: only 0',
  },
  logit_bias: { rule: onlyNeutral([{}], 'lowrank has no biases of tokens: leave it out'), help: 'not done: only {}' },
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

/** The seed of the first choice; those behind it count on. */
export function seedOf(seed: unknown): number {
  if (typeof seed !== 'number') return Math.floor(Math.random() * 2 ** 31)
  return seed >= 0 ? seed : 2 ** 49 + seed
}

/** Whether a value is a list of objects. */
export function isObjectList(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every(isObject)
}

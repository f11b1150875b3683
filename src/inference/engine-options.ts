/** @file The options of createInferenceEngine and of its requests. Loads nothing of the native engine. */

import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { anything, boolean, instance, integer, number, objectOf, type Rule, text } from '../options/rules.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import type { InferenceRequest } from './inference-request.js'
import { MOST_BIASES } from './logit-additions.js'

export interface InferenceOptions {
  /**
   * Requests that are answered at a time.
   * @default 16
   */
  maxSequences?: number
  /**
   * Requests that may wait for their turn; one more is refused with the code BUSY.
   * @default 256
   */
  maxWaiting?: number
  /**
   * Tokens of a prompt and its answer together, at most.
   * @default the positions that the model was made for
   */
  maxModelLen?: number
  /**
   * Bytes for the pages of keys and values.
   * @default what all sequences need at 4096 tokens each, and half of the memory that is free at most
   */
  kvCacheMemory?: number
  /**
   * Tokens in a page of keys and values: a power of two.
   * @default 64
   */
  pageSize?: number
  /**
   * Tokens of prompts that are computed between one token and the next of the answers that grow.
   * @default 512
   */
  prefillTokens?: number
  /**
   * Keep the pages of prompts for prompts that begin alike.
   * @default true
   */
  prefixCaching?: boolean
  /**
   * Adapters that may be loaded at a time.
   * @default 16
   */
  maxLoras?: number
  /**
   * Largest rank of an adapter.
   * @default 256
   */
  maxLoraRank?: number
}

const LARGEST = 2 ** 31 - 1

const powerOfTwo: Rule = {
  expected: 'a power of two from 64 to 1024',
  accepts: (value) => [64, 128, 256, 512, 1024].includes(value as number),
  schema: { enum: [64, 128, 256, 512, 1024] },
}

/** The options of `createInferenceEngine`. */
export const INFERENCE_OPTIONS = {
  maxSequences: { rule: integer({ min: 1, max: 1024 }), default: 16, help: 'requests that are answered at a time' },
  maxWaiting: {
    rule: integer({ min: 0, max: LARGEST }),
    default: 256,
    help: 'requests that may wait for their turn; one more is refused',
  },
  maxModelLen: {
    rule: integer({ min: 2, max: LARGEST }),
    example: 4096,
    otherwise: 'the positions that the model was made for',
    help: 'tokens of a prompt and its answer together, at most',
  },
  kvCacheMemory: {
    rule: integer({ min: 1 }),
    example: 2_000_000_000,
    otherwise: 'what all sequences need at 4096 tokens each, and half of the memory that is free at most',
    help: 'bytes for the pages of keys and values',
  },
  pageSize: { rule: powerOfTwo, default: 64, help: 'tokens in a page of keys and values' },
  prefillTokens: {
    rule: integer({ min: 64, max: LARGEST }),
    default: 512,
    help: 'tokens of prompts that are computed between one token and the next of the answers that grow',
  },
  prefixCaching: {
    rule: boolean,
    default: true,
    help: 'keep the pages of prompts for prompts that begin alike',
  },
  maxLoras: { rule: integer({ min: 0, max: 1024 }), default: 16, help: 'adapters that may be loaded at a time' },
  maxLoraRank: { rule: integer({ min: 1, max: LARGEST }), default: 256, help: 'largest rank of an adapter' },
} as const satisfies OptionTable<InferenceOptions>

/** A prompt: checked apart, since no rule knows the vocabulary. */
const ids = instance('an Int32Array with at least one id', (value) => value instanceof Int32Array && value.length > 0)

/** How tokens are drawn; see SamplingParameters. */
const SAMPLING_PARAMETERS = {
  temperature: {
    rule: number({ min: 0 }),
    isRequired: true,
    help: 'what logits are divided by; 0: the most likely id',
  },
  topK: { rule: integer({ min: 0, max: LARGEST }), isRequired: true, help: 'how many of the most likely ids stay' },
  topP: { rule: number({ min: 0, max: 1 }), isRequired: true, help: 'the share of the probability that stays' },
  minP: { rule: number({ min: 0, max: 1 }), isRequired: true, help: 'the share of the largest probability that stays' },
  repetitionPenalty: { rule: number({ above: 0 }), isRequired: true, help: 'what logits of seen ids are divided by' },
  seed: { rule: integer({ min: 0 }), isRequired: true, help: 'seed of the draws' },
} as const satisfies OptionTable<NonNullable<InferenceRequest['sampling']>>

function isBias(value: unknown): boolean {
  return value instanceof Map && value.size <= MOST_BIASES && [...value.values()].every(Number.isFinite)
}

/** What `submit` takes. */
const INFERENCE_REQUEST = {
  promptIds: { rule: ids, isRequired: true, help: "the prompt's tokens" },
  adapter: { rule: text, otherwise: 'none: the base model answers', help: 'the name of a loaded adapter' },
  maxNewTokens: { rule: integer({ min: 1, max: LARGEST }), isRequired: true, help: 'tokens of the longest answer' },
  eosTokenIds: {
    rule: instance('a Set of ids', (value) => value instanceof Set),
    isRequired: true,
    help: 'ids that end the answer',
  },
  sampling: {
    rule: objectOf(anything, 'SamplingParameters'),
    otherwise: 'none: the most likely token',
    help: 'how tokens are drawn',
  },
  logitBias: {
    rule: instance(`a Map of at most ${MOST_BIASES} ids to numbers`, isBias),
    otherwise: 'none',
    help: 'what is added to the logits of ids',
  },
  presencePenalty: { rule: number({}), default: 0, help: 'what is taken from logits of ids that the answer has' },
  frequencyPenalty: {
    rule: number({}),
    default: 0,
    help: 'what is taken from the logit of an id for each time that the answer has it',
  },
  logprobs: {
    rule: integer({ min: 0, max: 20 }),
    otherwise: 'none: no log probabilities',
    help: 'how many of the most likely ids come with each token',
  },
  mask: {
    rule: instance('a TokenMask', (value) => typeof (value as { allowed?: unknown } | null)?.allowed === 'function'),
    otherwise: 'none: every id',
    help: 'which ids may come',
  },
} as const satisfies OptionTable<InferenceRequest>

/**
 * Checks what a request says by itself.
 * @throws OptionError on what no model could answer
 */
export function expectRequest(request: InferenceRequest, vocabSize: number): void {
  expectOptions('inference', request, INFERENCE_REQUEST)
  if (request.sampling) expectOptions('inference', request.sampling, SAMPLING_PARAMETERS)
  const isWrong = (id: number): boolean => !Number.isInteger(id) || id < 0 || id >= vocabSize
  const { promptIds, logitBias } = request
  for (const [name, wrong] of [
    ['promptIds', promptIds.find(isWrong)],
    ['logitBias', [...(logitBias?.keys() ?? [])].find(isWrong)],
  ] as const)
    if (wrong !== undefined)
      throw new OptionError(`[inference] expected ids in [0, ${vocabSize}) for ${name}, got ${describeValue(wrong)}`)
}

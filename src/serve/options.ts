/** @file The options of `createServeHandler` and of `serve`: types, defaults, and what each may be. */

import type { InferenceEngine } from '../inference/inference-request.js'
import { boolean, callback, instance, integer, listOf, number, type Rule, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import type { RequestLogEntry } from './request-log.js'

export interface ServeHandlerOptions {
  /**
   * What answers: what `createInferenceEngine()` gives, or anything with its methods.
   */
  engine: InferenceEngine
  /**
   * The name by which requests ask for the base model.
   * @default the Hub id of the model, else the name of its directory or file
   */
  modelName?: string
  /**
   * Keys of which a request must have one, as `Authorization: Bearer KEY`. /health, /ready, /openapi.json and the chat
   * page are open.
   * @default none: everybody who reaches the server may ask
   */
  apiKeys?: readonly string[]
  /**
   * Origins of other sites whose pages may ask from browsers, as `https://example.com`; `*`: all.
   * @default none
   */
  allowedOrigins?: readonly string[]
  /**
   * Adds routes that load and unload adapters: /v1/load_lora_adapter and /v1/unload_lora_adapter.
   * @default false
   */
  admin?: boolean
  /**
   * Shows a page for trying at `/`.
   * @default true
   */
  page?: boolean
  /**
   * Bytes of the largest body of a request.
   * @default 4194304
   */
  maxBodyBytes?: number
  /**
   * Requests that are read or answered at a time; further ones get 429.
   * @default 512
   */
  maxRequests?: number
  /**
   * Answers that one request may ask for, by `n` and by several prompts.
   * @default 16
   */
  maxChoices?: number
  /**
   * Tokens of the longest answer that a request may ask for.
   * @default what the model's context has room for
   */
  maxNewTokens?: number
  /**
   * Tokens of the longest answer where a chat request does not say it, as far as the context has room: an answer has
   * its place in memory from the beginning.
   * @default 2048
   */
  defaultMaxNewTokens?: number
  /**
   * Seconds in which the body of a request must be there.
   * @default 30
   */
  bodyTimeout?: number
  /**
   * Seconds that a whole answer may take, its place in the queue included.
   * @default 600
   */
  answerTimeout?: number
  /**
   * Seconds after which a reader who takes nothing of a stream loses it.
   * @default 60
   */
  stallTimeout?: number
  /**
   * Called with a line for each request that is over: never with prompts, answers or keys.
   * @default none
   */
  onLog?: (entry: RequestLogEntry) => void
}

/** Shorter ones can be tried out. */
const SHORTEST_KEY = 8

const API_KEY: Rule = {
  expected: `a text of at least ${SHORTEST_KEY} characters without blanks`,
  accepts: (value) => typeof value === 'string' && value.length >= SHORTEST_KEY && /^[\x21-\x7e]+$/.test(value),
  isSecret: true,
}

const ORIGIN: Rule = {
  expected: 'an origin, as https://example.com, or *',
  accepts: (value) => value === '*' || (typeof value === 'string' && /^https?:\/\/[^/\s?#]+$/.test(value)),
}

const METHODS = ['submit', 'loadAdapter', 'removeAdapter', 'figures', 'close']

/** A timer of Node holds no longer time. */
const SECONDS = number({ above: 0, max: 2_000_000 })

export const SERVE_HANDLER_OPTIONS = {
  engine: {
    rule: instance('an engine of createInferenceEngine()', (value) => {
      return METHODS.every((name) => typeof (value as Record<string, unknown> | null)?.[name] === 'function')
    }),
    isRequired: true,
    help: 'what answers',
  },
  modelName: {
    rule: text,
    otherwise: 'the Hub id of the model, else the name of its directory or file',
    help: 'the name by which requests ask for the base model',
    flag: { name: '--model-name', argument: 'name', group: 'Models' },
  },
  apiKeys: {
    rule: {
      ...listOf(API_KEY, `a list of texts of at least ${SHORTEST_KEY} characters without blanks`),
      isSecret: true,
    },
    otherwise: 'none: everybody who reaches the server may ask',
    help: 'keys of which a request must have one',
  },
  allowedOrigins: {
    rule: listOf(ORIGIN, 'origins, as https://example.com'),
    otherwise: 'none',
    help: 'an origin whose pages may ask from browsers, as https://example.com; *: all',
    flag: { name: '--allowed-origin', argument: 'origin', isRepeatable: true },
  },
  admin: {
    rule: boolean,
    default: false,
    help: 'add routes that load and unload adapters',
    flag: { name: '--admin' },
  },
  page: { rule: boolean, default: true, help: 'show a page for trying at /' },
  maxBodyBytes: {
    rule: integer({ min: 1 }),
    default: 4 * 1024 * 1024,
    help: 'bytes of the largest body of a request',
    flag: { name: '--max-body-bytes', argument: 'bytes', group: 'Limits' },
  },
  maxRequests: {
    rule: integer({ min: 1 }),
    default: 512,
    help: 'requests that are read or answered at a time; further ones get 429',
    flag: { name: '--max-requests', argument: 'count' },
  },
  maxChoices: {
    rule: integer({ min: 1 }),
    default: 16,
    help: 'answers that one request may ask for',
    flag: { name: '--max-choices', argument: 'count' },
  },
  maxNewTokens: {
    rule: integer({ min: 1 }),
    otherwise: "what the model's context has room for",
    help: 'tokens of the longest answer that a request may ask for',
    flag: { name: '--max-new-tokens', argument: 'count' },
  },
  defaultMaxNewTokens: {
    rule: integer({ min: 1 }),
    default: 2048,
    help: 'tokens of the longest answer where a chat request does not say it',
    flag: { name: '--default-max-new-tokens', argument: 'count' },
  },
  bodyTimeout: {
    rule: SECONDS,
    default: 30,
    help: 'seconds in which the body of a request must be there',
    flag: { name: '--body-timeout', argument: 'seconds' },
  },
  answerTimeout: {
    rule: SECONDS,
    default: 600,
    help: 'seconds that a whole answer may take',
    flag: { name: '--answer-timeout', argument: 'seconds' },
  },
  stallTimeout: {
    rule: SECONDS,
    default: 60,
    help: 'seconds after which a reader who takes nothing of a stream loses it',
    flag: { name: '--stall-timeout', argument: 'seconds' },
  },
  onLog: { rule: callback, otherwise: 'none', help: 'called with a line for each request that is over' },
} as const satisfies OptionTable<ServeHandlerOptions>

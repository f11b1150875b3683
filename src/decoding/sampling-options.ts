/**
 * @file The options of generate(): types, defaults, and what each may be. Loads nothing of the engine, so that help
 * texts can show them.
 */

import { boolean, callback, either, integer, listOf, number, type Rule } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'

/** As transformers' GenerationConfig has them. */
export interface SamplingOptions {
  /**
   * Draw tokens instead of taking the most likely one. The defaults of the others are those of the model's
   * generation_config.json where tokens are drawn, else as said here.
   * @default true when `temperature`, `topK`, `topP` or `minP` is given, else false
   */
  doSample?: boolean
  /**
   * Logits are divided by it before drawing: below 1 likely tokens become likelier. Above 0.
   * @default 1
   */
  temperature?: number
  /**
   * Draw from so many of the most likely tokens; 0: from all.
   * @default 50
   */
  topK?: number
  /**
   * Draw from the most likely tokens that make up this share of the probability, in (0, 1].
   * @default 1
   */
  topP?: number
  /**
   * Draw from tokens at least this share as probable as the most likely one, in [0, 1].
   * @default 0
   */
  minP?: number
  /**
   * Above 0; above 1 it discourages tokens of the prompt and of the answer so far.
   * @default 1
   */
  repetitionPenalty?: number
  /**
   * A whole number >= 0: the same seed, prompt and options give the same answer.
   * @default 0
   */
  seed?: number
}

export interface GenerateOptions extends SamplingOptions {
  /**
   * Tokens of the longest answer.
   * @default 128
   */
  maxNewTokens?: number
  /**
   * Ids that end an answer (the ending id is the last of the result); `[]` never stops.
   * @default the model's
   */
  eosTokenId?: number | readonly number[]
  /**
   * Called with each new id as soon as it is known, and with the sequence that it belongs to.
   * @default none
   */
  onToken?: (id: number, sequence: number) => void
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

/** Logits divided by a number beyond these bounds are no float32 numbers any more. */
const SMALLEST_DIVISOR = 1e-20
const DIVISOR = number({ min: SMALLEST_DIVISOR, max: 1 / SMALLEST_DIVISOR })

/** A divisor of logits; `meaning` says what one writes in place of those that it cannot be. */
function divisor(meaning: string): Rule {
  return { ...DIVISOR, expected: `a number from 1e-20 to 1e20 (${meaning})` }
}

const ID = integer({ min: 0 })

/** How tokens are chosen. Where tokens are drawn, a model's generation_config.json comes before these defaults. */
export const SAMPLING_OPTIONS = {
  doSample: {
    heading: 'Sampling',
    rule: boolean,
    otherwise: 'true when temperature, topK, topP or minP is given, else false',
    help: 'draw tokens in place of taking the most likely one',
  },
  temperature: {
    rule: divisor('doSample: false takes the most likely token'),
    default: 1,
    help: 'logits are divided by it before drawing: below 1 likely tokens become likelier',
  },
  topK: {
    rule: { ...integer({ min: 0, max: 2 ** 31 - 1 }), expected: 'a whole number of at least 0' },
    default: 50,
    help: 'draw from so many of the most likely tokens; 0: from all',
  },
  topP: {
    rule: { ...number({ above: 0, max: 1 }), expected: 'a number above 0 and at most 1 (1 draws from all)' },
    default: 1,
    help: 'draw from the most likely tokens that make up this share of the probability',
  },
  minP: {
    rule: { ...number({ min: 0, max: 1 }), expected: 'a number from 0 to 1' },
    default: 0,
    help: 'draw from tokens at least this share as probable as the most likely one',
  },
  repetitionPenalty: {
    rule: divisor('1 is no penalty'),
    default: 1,
    help: 'above 1: discourage tokens of the prompt and of the answer so far',
  },
  seed: {
    rule: integer({ min: 0 }),
    default: 0,
    help: 'seed of the draws: the same seed, prompt and options give the same answer',
  },
} as const satisfies OptionTable<SamplingOptions>

/** The options of `model.generate()` and `model.stream()`. */
export const GENERATE_OPTIONS = {
  maxNewTokens: { rule: integer({ min: 0 }), default: 128, help: 'tokens of the longest answer' },
  eosTokenId: {
    rule: { ...either(ID, listOf(ID, '')), expected: 'a token id, or several,' },
    otherwise: "the model's",
    help: 'ids that end an answer; [] never stops',
  },
  onToken: {
    rule: callback,
    otherwise: 'none',
    help: 'called with each new id as soon as it is known, and with the sequence that it belongs to',
  },
  signal: SIGNAL,
  ...SAMPLING_OPTIONS,
} as const satisfies OptionTable<GenerateOptions>

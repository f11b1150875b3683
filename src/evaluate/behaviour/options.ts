/** @file The options of `compareBehaviour`, and its report. */

import type { DataSource } from '../../data/sources/open-source.js'
import { anything, callback, integer } from '../../options/rules.js'
import { SIGNAL } from '../../options/shared.js'
import type { OptionTable } from '../../options/table.js'

export interface BehaviourOptions {
  /**
   * Rows that the adapter was trained on, to find those that it recites.
   * @default none: recitation is not looked for
   */
  dataset?: DataSource
  /**
   * Tokens of an answer at most.
   * @default 32
   */
  maxNewTokens?: number
  /**
   * Prompts of each category.
   * @default 20, all of them
   */
  probesPerCategory?: number
  /**
   * Tokens of a row that are given to see whether the rest follows; of shorter rows half.
   * @default 32
   */
  prefixTokens?: number
  /**
   * Tokens in a row that have to be those of the training row, as Carlini et al. 2023 (arXiv:2202.07646) count; of
   * shorter rows all that are left, at least 8.
   * @default 50
   */
  recitedTokens?: number
  /**
   * Rows that are tried at most: the first ones.
   * @default 500
   */
  maxRows?: number
  /**
   * Told how much of the work is done, from 0 to 1.
   * @default none
   */
  onFraction?: (fraction: number) => void
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
}

/** The options of `compareBehaviour`. */
export const BEHAVIOUR_OPTIONS = {
  dataset: {
    rule: anything,
    otherwise: 'none: recitation is not looked for',
    help: 'rows that the adapter was trained on, to find those that it recites',
  },
  maxNewTokens: { rule: integer({ min: 1 }), default: 32, help: 'tokens of an answer at most' },
  probesPerCategory: { rule: integer({ min: 1 }), default: 20, help: 'prompts of each category' },
  prefixTokens: {
    rule: integer({ min: 1 }),
    default: 32,
    help: 'tokens of a row that are given to see whether the rest follows; of shorter rows half',
  },
  recitedTokens: {
    rule: integer({ min: 8 }),
    default: 50,
    help: 'tokens in a row that have to be those of the training row; of shorter rows all that are left, at least 8',
  },
  maxRows: { rule: integer({ min: 1 }), default: 500, help: 'rows that are tried at most: the first ones' },
  onFraction: { rule: callback, otherwise: 'none', help: 'told how much of the work is done, from 0 to 1' },
  signal: SIGNAL,
} as const satisfies OptionTable<BehaviourOptions>

/** How the answers of a model are. */
export interface AnswerHabits {
  /** Mean tokens of an answer. */
  readonly tokens: number
  /** Share of answers that came to an end by themselves. */
  readonly stopRate: number
  /** Mean share of runs of four tokens that the answer had before. */
  readonly repetition: number
}

/** How a category, or all of them, changed. */
export interface BehaviourChange {
  readonly prompts: number
  /** Mean over the tokens of the base's answers of KL(base || adapter) in nats, over the whole vocabulary. */
  readonly klPerToken: number
  /** exp of the mean cross-entropy of the base's answers, for the base and for the adapter. */
  readonly perplexity: { readonly base: number; readonly adapter: number }
  readonly base: AnswerHabits
  readonly adapter: AnswerHabits
}

/** A training row that the adapter goes on with by heart, and the base does not. */
export interface RecitedRow {
  /** File and line, or the like. */
  readonly origin: string
  /** Tokens that were given. */
  readonly prefixTokens: number
  /** Longest run of tokens that the continuation of the adapter, or the base, has in common with the row. */
  readonly run: { readonly base: number; readonly adapter: number }
  /** Tokens that had to be equal. */
  readonly needed: number
  /** What the adapter wrote. */
  readonly text: string
}

/** What `compareBehaviour` gives. */
export interface BehaviourReport {
  readonly version: 1
  readonly all: BehaviourChange
  /** By category: chat, code, arithmetic, refusals, json, languages. */
  readonly categories: Readonly<Record<string, BehaviourChange>>
  /** Absent without `dataset`. */
  readonly recitation?: {
    /** Rows that were tried. */
    readonly rows: number
    /** Rows that are too short to tell. */
    readonly tooShort: number
    /** Rows that the base recites too. */
    readonly byBase: number
    readonly recited: readonly RecitedRow[]
  }
  readonly seconds: number
}

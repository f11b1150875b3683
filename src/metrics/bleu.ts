/**
 * @file BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040) as sacrebleu 2.6 computes it
 * (https://github.com/mjpost/sacrebleu, Post 2018).
 */

import { OptionError } from '../lowrank-error.js'
import { boolean, integer, number, oneOf } from '../options/rules.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { BLEU_TOKENIZERS, type BleuTokenizer, TOKENIZE } from './bleu-tokenizers.js'
import { NgramIndex, ngramTotal } from './ngrams.js'
import { trimEnd } from './python-text.js'
import { expectReferences, readRow, readRows, sumOf, type TextMetric, type TextRow } from './text-row.js'

const SMOOTH_METHODS = ['exp', 'floor', 'add-k', 'none'] as const
/** What BLEU does where no n-gram of a length matches. */
export type SmoothMethod = (typeof SMOOTH_METHODS)[number]

/** How BLEU is computed. The names and defaults are those of sacrebleu. */
export interface BleuOptions {
  /**
   * How texts are cut into words: `13a` as WMT does, `intl` by punctuation of all scripts, `zh` for Chinese, `char`
   * into characters, `none` at white space only.
   * @default '13a'
   */
  tokenize?: BleuTokenizer
  /**
   * Whether case does not count.
   * @default false
   */
  lowercase?: boolean
  /**
   * What is done where no n-gram of a length matches: `exp` halves an assumed precision from length to length, `floor`
   * and `add-k` add `smoothValue` to the matches, `none` gives 0.
   * @default 'exp'
   */
  smoothMethod?: SmoothMethod
  /**
   * What `floor` and `add-k` add.
   * @default 0.1 for `floor`, 1 for `add-k`
   */
  smoothValue?: number
  /**
   * The length of the longest n-grams.
   * @default 4
   */
  maxNgramOrder?: number
  /**
   * Whether lengths of which the predictions have no n-gram do not count, which single sentences need.
   * @default false, true for `sentenceBleu`
   */
  effectiveOrder?: boolean
}

/** The options of `bleu`. */
export const BLEU_OPTIONS = {
  tokenize: {
    rule: oneOf(BLEU_TOKENIZERS),
    default: '13a',
    help: 'how texts are cut into words; char and zh for scripts without spaces',
  },
  lowercase: { rule: boolean, default: false, help: 'case does not count' },
  smoothMethod: {
    rule: oneOf(SMOOTH_METHODS),
    default: 'exp',
    help: 'what is done where no n-gram of a length matches',
  },
  smoothValue: {
    rule: number({ min: 0 }),
    otherwise: '0.1 for floor, 1 for add-k',
    help: 'what floor and add-k add to the matches',
    example: 0.1,
  },
  maxNgramOrder: { rule: integer({ min: 1, max: 100 }), default: 4, help: 'length of the longest n-grams' },
  effectiveOrder: {
    rule: boolean,
    default: false,
    otherwise: 'false; true for sentenceBleu',
    help: 'lengths of which the predictions have no n-gram do not count',
  },
} as const satisfies OptionTable<BleuOptions>

type BleuSettings = Resolved<BleuOptions, typeof BLEU_OPTIONS>

/** A BLEU score and what it is made of. Arrays have one number for each length of n-grams, from 1. */
export interface BleuScore {
  /** 0 to 100. */
  readonly score: number
  /** N-grams that match, with what `add-k` adds. */
  readonly counts: readonly number[]
  /** N-grams of the predictions, with what `add-k` adds. */
  readonly totals: readonly number[]
  /** Percent of the n-grams that match, smoothed. */
  readonly precisions: readonly number[]
  /** The brevity penalty: below 1 where the predictions are shorter than the references. */
  readonly bp: number
  /** Words of the predictions. */
  readonly sysLen: number
  /** Words of the references: for each prediction, of the one whose length is nearest. */
  readonly refLen: number
}

/**
 * BLEU of a set of predictions, as `corpus_score` of sacrebleu's BLEU. The score is NaN without predictions.
 *
 * @param references for each prediction one reference, or a list of several; lists may differ in length. An empty
 * reference counts as one without words.
 * @throws OptionError on a wrong option
 * @throws LowrankError where references do not fit the predictions
 */
export function bleu(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  options: BleuOptions = {},
): BleuScore {
  const settings = readSettings(options)
  const sums = sumOf(metricOf(settings), readRows('BLEU', predictions, references))
  return computeBleu(sums ?? new Float64Array(widthOf(settings)), settings)
}

/**
 * BLEU of one prediction, as `sentence_bleu` of sacrebleu: `effectiveOrder` is true unless given.
 *
 * @throws OptionError on a wrong option
 * @throws LowrankError where there is no reference
 */
export function sentenceBleu(
  prediction: string,
  references: string | readonly string[],
  options: BleuOptions = {},
): BleuScore {
  const settings = readSettings(options)
  const row = readRow('BLEU', prediction, references)
  return computeBleu(statisticsOf(row, settings), { ...settings, effectiveOrder: options.effectiveOrder ?? true })
}

/**
 * BLEU as a metric, 0 to 100. A row by itself is scored as `sentenceBleu` does.
 * @throws OptionError on a wrong option
 */
export function bleuMetric(options: BleuOptions = {}): TextMetric {
  const settings = readSettings(options)
  return {
    ...metricOf(settings),
    scoreRow: (statistics) =>
      computeBleu(statistics, { ...settings, effectiveOrder: options.effectiveOrder ?? true }).score,
  }
}

function readSettings(options: BleuOptions): BleuSettings {
  const settings = readOptions('BLEU', options, BLEU_OPTIONS)
  const { smoothMethod, smoothValue } = settings
  if (smoothValue !== undefined && (smoothMethod === 'exp' || smoothMethod === 'none'))
    throw new OptionError(
      `[BLEU] expected smoothMethod 'floor' or 'add-k' where smoothValue is given, got '${smoothMethod}'; leave out smoothValue`,
    )
  return settings
}

function metricOf(settings: BleuSettings): Omit<TextMetric, 'scoreRow'> {
  return {
    name: 'bleu',
    higherIsBetter: true,
    statistics: (row) => statisticsOf(row, settings),
    score: (sums) => computeBleu(sums, settings).score,
  }
}

function widthOf({ maxNgramOrder }: BleuSettings): number {
  return 3 + 2 * maxNgramOrder
}

/** Words of the prediction and of the nearest reference, matches, n-grams of the prediction, and 1 for the row. */
function statisticsOf({ prediction, references }: TextRow, settings: BleuSettings): Float64Array {
  expectReferences('BLEU', references)
  const { maxNgramOrder: order } = settings
  const words = wordsOf(prediction, settings)
  const index = new NgramIndex(words, order)
  const most = new Int32Array(index.counts.length)
  const lengths: number[] = []
  for (const reference of references) {
    const referenceWords = wordsOf(reference, settings)
    lengths.push(referenceWords.length)
    const counts = index.countIn(referenceWords)
    for (let ngram = 0; ngram < most.length; ngram++) most[ngram] = Math.max(most[ngram]!, counts[ngram]!)
  }
  const totals = Array.from({ length: order }, (_, n) => ngramTotal(words.length, n + 1))
  return Float64Array.of(words.length, nearestLength(words.length, lengths), ...index.matches(most), ...totals, 1)
}

function wordsOf(text: string, { lowercase, tokenize }: BleuSettings): string[] {
  return TOKENIZE[tokenize](trimEnd(lowercase ? text.toLowerCase() : text))
}

/** The length that is nearest to `length`; of two, the shorter. */
function nearestLength(length: number, lengths: readonly number[]): number {
  const distance = (other: number) => Math.abs(other - length)
  return lengths.reduce((best, other) =>
    distance(other) < distance(best) || (distance(other) === distance(best) && other < best) ? other : best,
  )
}

/** sacrebleu's logarithm of 0. */
const LOG_OF_ZERO = -9_999_999_999

function computeBleu(sums: Float64Array, settings: BleuSettings): BleuScore {
  const { maxNgramOrder, smoothMethod, effectiveOrder } = settings
  const smoothValue = settings.smoothValue ?? (smoothMethod === 'floor' ? 0.1 : 1)
  const sysLen = sums[0]!
  const refLen = sums[1]!
  const counts = Array.from(sums.subarray(2, 2 + maxNgramOrder))
  const totals = Array.from(sums.subarray(2 + maxNgramOrder, 2 + 2 * maxNgramOrder))
  const precisions = new Array<number>(maxNgramOrder).fill(0)
  const brevity = sysLen > 0 ? Math.exp(1 - refLen / sysLen) : 0
  const bp = sysLen < refLen ? brevity : 1
  const result = { counts, totals, precisions, bp, sysLen, refLen }
  const rows = sums.at(-1)!
  if (rows === 0) return { ...result, score: Number.NaN }
  if (counts.every((count) => count === 0)) return { ...result, score: 0 }

  let halves = 1
  let order = maxNgramOrder
  for (let n = 0; n < maxNgramOrder; n++) {
    if (smoothMethod === 'add-k' && n > 0) {
      counts[n]! += smoothValue
      totals[n]! += smoothValue
    }
    const count = counts[n]!
    const total = totals[n]!
    if (total === 0) break
    if (effectiveOrder) order = n + 1
    if (count > 0) precisions[n] = (100 * count) / total
    else if (smoothMethod === 'exp') {
      halves *= 2
      precisions[n] = 100 / (halves * total)
    } else if (smoothMethod === 'floor') precisions[n] = (100 * smoothValue) / total
  }
  let logs = 0
  for (const precision of precisions.slice(0, order)) logs += precision === 0 ? LOG_OF_ZERO : Math.log(precision)
  return { ...result, score: bp * Math.exp(logs / order) }
}

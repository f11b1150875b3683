/**
 * @file chrF (Popović 2015, https://aclanthology.org/W15-3049) and chrF++ (Popović 2017,
 * https://aclanthology.org/W17-4770) as sacrebleu 2.6 computes them (https://github.com/mjpost/sacrebleu).
 */

import { boolean, integer, number } from '../options/rules.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { NgramIndex, ngramTotal } from './ngrams.js'
import { PUNCTUATION, splitWords, withoutSpaces } from './python-text.js'
import { expectReferences, readRow, readRows, sumOf, type TextMetric, type TextRow } from './text-row.js'

/** How chrF is computed. The names and defaults are those of sacrebleu. */
export interface ChrfOptions {
  /**
   * The length of the longest runs of characters.
   * @default 6
   */
  charOrder?: number
  /**
   * The length of the longest runs of words: 0 for chrF, 2 for chrF++.
   * @default 0
   */
  wordOrder?: number
  /**
   * How many times as much recall counts as precision.
   * @default 2
   */
  beta?: number
  /**
   * Whether case does not count.
   * @default false
   */
  lowercase?: boolean
  /**
   * Whether white space is part of the runs of characters.
   * @default false
   */
  whitespace?: boolean
  /**
   * Whether lengths for which the texts are too short count, too, with a tiny score, as in chrF++.py, NLTK and Moses.
   * @default false
   */
  epsSmoothing?: boolean
}

/** The options of `chrf`. */
export const CHRF_OPTIONS = {
  charOrder: { rule: integer({ min: 1, max: 100 }), default: 6, help: 'length of the longest runs of characters' },
  wordOrder: {
    rule: integer({ min: 0, max: 100 }),
    default: 0,
    help: 'length of the longest runs of words: 0 for chrF, 2 for chrF++',
  },
  beta: { rule: number({ above: 0 }), default: 2, help: 'how many times as much recall counts as precision' },
  lowercase: { rule: boolean, default: false, help: 'case does not count' },
  whitespace: { rule: boolean, default: false, help: 'white space is part of the runs of characters' },
  epsSmoothing: {
    rule: boolean,
    default: false,
    help: 'lengths that are too long for some texts count, with a tiny score',
  },
} as const satisfies OptionTable<ChrfOptions>

type ChrfSettings = Resolved<ChrfOptions, typeof CHRF_OPTIONS>

/** A chrF score, 0 to 100, and what it was computed with. */
export interface ChrfScore {
  readonly score: number
  readonly charOrder: number
  readonly wordOrder: number
  readonly beta: number
}

/**
 * chrF of a set of predictions, as `corpus_score` of sacrebleu's CHRF; chrF++ with `wordOrder: 2`. The score is NaN
 * without predictions.
 *
 * @param references for each prediction one reference, or a list of several of which the best counts
 * @throws OptionError on a wrong option
 * @throws LowrankError where references do not fit the predictions
 */
export function chrf(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  options: ChrfOptions = {},
): ChrfScore {
  const settings = readOptions('chrF', options, CHRF_OPTIONS)
  const sums = sumOf(metricOf('chrf', settings), readRows('chrF', predictions, references))
  return resultOf(sums === undefined ? Number.NaN : scoreOf(sums, settings), settings)
}

/**
 * chrF of one prediction, as `sentence_chrf` of sacrebleu.
 *
 * @throws OptionError on a wrong option
 * @throws LowrankError where there is no reference
 */
export function sentenceChrf(
  prediction: string,
  references: string | readonly string[],
  options: ChrfOptions = {},
): ChrfScore {
  const settings = readOptions('chrF', options, CHRF_OPTIONS)
  const row = readRow('chrF', prediction, references)
  return resultOf(scoreOf(statisticsOf(row, settings), settings), settings)
}

/**
 * chrF as a metric, 0 to 100.
 * @throws OptionError on a wrong option
 */
export function chrfMetric(options: ChrfOptions = {}): TextMetric {
  return metricOf('chrf', readOptions('chrF', options, CHRF_OPTIONS))
}

/**
 * chrF++ as a metric, 0 to 100: chrF whose `wordOrder` is 2 unless given.
 * @throws OptionError on a wrong option
 */
export function chrfPlusPlusMetric(options: ChrfOptions = {}): TextMetric {
  const settings = readOptions('chrF++', options, CHRF_OPTIONS)
  return metricOf('chrf_plus_plus', { ...settings, wordOrder: options.wordOrder ?? 2 })
}

function resultOf(score: number, { charOrder, wordOrder, beta }: ChrfSettings): ChrfScore {
  return { score, charOrder, wordOrder, beta }
}

function metricOf(name: string, settings: ChrfSettings): TextMetric {
  const score = (sums: Float64Array) => scoreOf(sums, settings)
  return {
    name,
    higherIsBetter: true,
    statistics: (row) => statisticsOf(row, settings),
    score,
    scoreRow: score,
  }
}

/**
 * For each length of runs the runs of the prediction, of the reference, and those that match, for the reference with
 * the best score; then 1 for the row.
 */
function statisticsOf({ prediction, references }: TextRow, settings: ChrfSettings): Float64Array {
  expectReferences('chrF', references)
  const answer = partsOf(prediction, settings)
  const characters = new NgramIndex(answer.characters, settings.charOrder)
  const words = new NgramIndex(answer.words, settings.wordOrder)
  let best: Float64Array | undefined
  let bestScore = -1
  for (const text of references) {
    const reference = partsOf(text, settings)
    const statistics = Float64Array.from([
      ...countsOf(characters, answer.characters, reference.characters, settings.charOrder),
      ...countsOf(words, answer.words, reference.words, settings.wordOrder),
      1,
    ])
    const score = scoreOf(statistics, settings)
    if (best !== undefined && score <= bestScore) continue
    best = statistics
    bestScore = score
  }
  return best!
}

function countsOf<Token>(
  index: NgramIndex<Token>,
  answer: readonly Token[],
  reference: readonly Token[],
  order: number,
): number[] {
  const matches = index.matches(index.countIn(reference))
  return Array.from({ length: order }, (_, n) => {
    const inReference = ngramTotal(reference.length, n + 1)
    // Runs that the reference is too short for are no mistakes of the answer.
    return [inReference > 0 ? ngramTotal(answer.length, n + 1) : 0, inReference, matches[n]!]
  }).flat()
}

function partsOf(
  text: string,
  { lowercase, whitespace, wordOrder }: ChrfSettings,
): { characters: readonly string[]; words: readonly string[] } {
  const cased = lowercase ? text.toLowerCase() : text
  return {
    characters: Array.from(whitespace ? cased : withoutSpaces(cased)),
    words: wordOrder > 0 ? splitWords(cased).flatMap(splitPunctuation) : [],
  }
}

const IS_PUNCTUATION = new RegExp(`[${PUNCTUATION}]`)

/** A word, and one sign of punctuation at its end, or else at its beginning: '(hi)' becomes '(hi' and ')'. */
function splitPunctuation(word: string): string[] {
  if (word.length === 1) return [word]
  if (IS_PUNCTUATION.test(word.at(-1)!)) return [word.slice(0, -1), word.at(-1)!]
  if (IS_PUNCTUATION.test(word[0]!)) return [word[0]!, word.slice(1)]
  return [word]
}

const EPSILON = 1e-16

/** Rounds where sacrebleu does: which of two references with equal scores counts may hang on the last bit. */
function scoreOf(sums: Float64Array, { charOrder, wordOrder, beta, epsSmoothing }: ChrfSettings): number {
  const rows = sums.at(-1)!
  if (rows === 0) return Number.NaN
  const order = charOrder + wordOrder
  const factor = beta ** 2
  let total = 0
  let precisions = 0
  let recalls = 0
  let effectiveOrder = 0
  for (let n = 0; n < order; n++) {
    const [inAnswer, inReference, matches] = sums.subarray(3 * n, 3 * n + 3) as unknown as [number, number, number]
    const precision = inAnswer > 0 ? matches / inAnswer : EPSILON
    const recall = inReference > 0 ? matches / inReference : EPSILON
    const denominator = factor * precision + recall
    total += denominator > 0 ? ((1 + factor) * precision * recall) / denominator : EPSILON
    if (inAnswer > 0 && inReference > 0) {
      precisions += precision
      recalls += recall
      effectiveOrder++
    }
  }
  if (epsSmoothing) return (100 * total) / order
  if (precisions + recalls === 0) return 0
  const precision = precisions / effectiveOrder
  const recall = recalls / effectiveOrder
  return 100 * (((1 + factor) * precision * recall) / (factor * precision + recall))
}

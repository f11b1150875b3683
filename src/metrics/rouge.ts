/**
 * @file ROUGE (Lin 2004, https://aclanthology.org/W04-1013) as rouge_score 0.1.2 computes it
 * (https://github.com/google-research/google-research/tree/master/rouge).
 */

import { boolean, listOf, oneOf, type Rule } from '../options/rules.js'
import { type OptionTable, type Resolved, readOptions } from '../options/table.js'
import { commonLength, commonPlaces } from './common-subsequence.js'
import { NgramIndex, ngramTotal } from './ngrams.js'
import { ROUGE_TOKENIZERS, type RougeTokenizer, rougeWords } from './rouge-tokenizers.js'
import { expectReferences, readRow, readRows, type TextMetric, type TextRow } from './text-row.js'

const ROUGE_NS = ['rouge1', 'rouge2', 'rouge3', 'rouge4', 'rouge5', 'rouge6', 'rouge7', 'rouge8', 'rouge9'] as const
const ROUGE_TYPES = [...ROUGE_NS, 'rougeL', 'rougeLsum'] as const
/**
 * What is counted: `rouge1` words, `rouge2` pairs of words, and so on; `rougeL` the longest common subsequence;
 * `rougeLsum` the same of each line.
 */
export type RougeType = (typeof ROUGE_TYPES)[number]

/** How words are found. */
export interface RougeWordOptions {
  /**
   * Whether words of more than three letters count by their English stems (Porter stemmer).
   * @default false
   */
  useStemmer?: boolean
  /**
   * How texts are cut into words. `ascii`, that of rouge_score, knows a to z and 0 to 9 alone: text in another script
   * has no words and scores 0. `unicode` knows the letters of all scripts; its scores are comparable with none of
   * rouge_score.
   * @default 'ascii'
   */
  tokenizer?: RougeTokenizer
}

/** Which kinds of ROUGE are computed, and how. */
export interface RougeOptions extends RougeWordOptions {
  /**
   * The kinds of ROUGE.
   * @default ['rouge1', 'rouge2', 'rougeL', 'rougeLsum']
   */
  rougeTypes?: readonly RougeType[]
}

/** The options of a metric of one kind of ROUGE. */
export const ROUGE_WORD_OPTIONS = {
  useStemmer: { rule: boolean, default: false, help: 'words count by their English stems' },
  tokenizer: {
    rule: oneOf(ROUGE_TOKENIZERS),
    default: 'ascii',
    help: 'how texts are cut into words: ascii as rouge_score does, unicode for other scripts',
  },
} as const satisfies OptionTable<RougeWordOptions>

const ROUGE_TYPE: Rule = oneOf(ROUGE_TYPES)

/** The options of `rouge`. */
export const ROUGE_OPTIONS = {
  rougeTypes: {
    rule: listOf(ROUGE_TYPE, `a list of ${ROUGE_TYPE.expected}`, { minItems: 1 }),
    default: ['rouge1', 'rouge2', 'rougeL', 'rougeLsum'],
    help: 'the kinds of ROUGE that are computed',
  },
  ...ROUGE_WORD_OPTIONS,
} as const satisfies OptionTable<RougeOptions>

type WordSettings = Resolved<RougeWordOptions, typeof ROUGE_WORD_OPTIONS>

/** A ROUGE score, each part 0 to 1. */
export interface RougeScore {
  /** The share of the prediction that the reference has. */
  readonly precision: number
  /** The share of the reference that the prediction has. */
  readonly recall: number
  /** The harmonic mean of both. */
  readonly fmeasure: number
}

/** A score for each kind of ROUGE that was asked for. */
export type RougeScores = Partial<Record<RougeType, RougeScore>>

/**
 * ROUGE of a set of predictions: for each kind the means of the scores of `sentenceRouge`; NaN without predictions.
 *
 * @param references for each prediction one reference, or a list of several of which the best counts
 * @throws OptionError on a wrong option
 * @throws LowrankError where references do not fit the predictions
 */
export function rouge(
  predictions: readonly string[],
  references: readonly (string | readonly string[])[],
  options: RougeOptions = {},
): RougeScores {
  const { rougeTypes, ...settings } = readOptions('ROUGE', options, ROUGE_OPTIONS)
  const rows = readRows('ROUGE', predictions, references)
  const scores = rows.map((row) => scoresOf(row, rougeTypes, settings))
  return fromTypes(rougeTypes, (type) => {
    const mean = (part: keyof RougeScore) => scores.reduce((sum, score) => sum + score[type]![part], 0) / scores.length
    return { precision: mean('precision'), recall: mean('recall'), fmeasure: mean('fmeasure') }
  })
}

/**
 * ROUGE of one prediction, as `score_multi` of rouge_score's RougeScorer: for each kind the score of the reference with
 * the highest F-measure, the first of several.
 *
 * @throws OptionError on a wrong option
 * @throws LowrankError where there is no reference
 */
export function sentenceRouge(
  prediction: string,
  references: string | readonly string[],
  options: RougeOptions = {},
): RougeScores {
  const { rougeTypes, ...settings } = readOptions('ROUGE', options, ROUGE_OPTIONS)
  return scoresOf(readRow('ROUGE', prediction, references), rougeTypes, settings)
}

/**
 * The F-measure of a kind of ROUGE as a metric, 0 to 1.
 * @throws OptionError on a wrong option
 */
export function rougeMetric(type: RougeType, options: RougeWordOptions = {}): TextMetric {
  const settings = readOptions(type, options, ROUGE_WORD_OPTIONS)
  const score = (sums: Float64Array) => sums[0]! / sums[1]!
  return {
    name: type,
    higherIsBetter: true,
    statistics: (row) => Float64Array.of(scoresOf(row, [type], settings)[type]!.fmeasure, 1),
    score,
    scoreRow: score,
  }
}

function fromTypes(types: readonly RougeType[], score: (type: RougeType) => RougeScore): RougeScores {
  return Object.fromEntries(types.map((type) => [type, score(type)]))
}

function scoresOf(
  { prediction, references }: TextRow,
  types: readonly RougeType[],
  settings: WordSettings,
): RougeScores {
  expectReferences('ROUGE', references)
  const answer = new RougeText(prediction, settings)
  const texts = references.map((reference) => new RougeText(reference, settings))
  return fromTypes(types, (type) =>
    texts
      .map((text) => scoreOf(type, answer, text))
      .reduce((best, other) => (other.fmeasure > best.fmeasure ? other : best)),
  )
}

/** A text whose words are looked for once, and only where they are needed. */
class RougeText {
  readonly #text: string
  readonly #settings: WordSettings
  #words: readonly string[] | undefined

  constructor(text: string, settings: WordSettings) {
    this.#text = text
    this.#settings = settings
  }

  get words(): readonly string[] {
    this.#words ??= this.#wordsOf(this.#text)
    return this.#words
  }

  /** The words of each line. */
  get lines(): (readonly string[])[] {
    return this.#text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => this.#wordsOf(line))
  }

  #wordsOf(text: string): readonly string[] {
    return rougeWords(text, this.#settings.tokenizer, this.#settings.useStemmer)
  }
}

function scoreOf(type: RougeType, prediction: RougeText, reference: RougeText): RougeScore {
  if (type === 'rougeLsum') return scoreLines(prediction.lines, reference.lines)
  const { words } = prediction
  const referenceWords = reference.words
  if (type === 'rougeL') return scoreFrom(commonLength(referenceWords, words), words.length, referenceWords.length)
  const length = ROUGE_NS.indexOf(type) + 1
  const index = new NgramIndex(words, length)
  const matches = index.matches(index.countIn(referenceWords)).at(-1)!
  return scoreFrom(matches, ngramTotal(words.length, length), ngramTotal(referenceWords.length, length))
}

/**
 * ROUGE-L of summaries (section 3.2 of the paper): for each line of the reference the words that it has in common with
 * any line of the prediction. As in ROUGE-1.5.5, no word counts more often than each text has it.
 */
function scoreLines(prediction: readonly (readonly string[])[], reference: readonly (readonly string[])[]): RougeScore {
  const inPrediction = countWords(prediction)
  const inReference = countWords(reference)
  let hits = 0
  for (const line of reference) {
    const places = new Set(prediction.flatMap((other) => commonPlaces(line, other)))
    for (const place of [...places].sort((a, b) => a - b)) {
      const word = line[place]!
      const left = inPrediction.get(word)!
      const leftInReference = inReference.get(word)!
      if (left === 0 || leftInReference === 0) continue
      hits++
      inPrediction.set(word, left - 1)
      inReference.set(word, leftInReference - 1)
    }
  }
  const words = (lines: readonly (readonly string[])[]) => lines.reduce((sum, line) => sum + line.length, 0)
  return scoreFrom(hits, words(prediction), words(reference))
}

function countWords(lines: readonly (readonly string[])[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const word of lines.flat()) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

function scoreFrom(matches: number, inPrediction: number, inReference: number): RougeScore {
  const precision = matches / Math.max(inPrediction, 1)
  const recall = matches / Math.max(inReference, 1)
  const fmeasure = precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0
  return { precision, recall, fmeasure }
}

/** @file generateTexts: answers to many prompts, many at a time. The steps themselves are in growing-batch.ts. */

import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { readGenerateOptions, readPrompts } from '../decoding/generate-options.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { callback, either, exactly, integer } from '../options/rules.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { fittingBatchSize } from './batch-size.js'
import {
  endsOfAnswers,
  type GeneratedText,
  GrowingAnswer,
  TEXT_GENERATION_OPTIONS,
  type TextGenerationOptions,
} from './generate-text.js'
import { GrowingBatch, type GrowingRow as Row } from './growing-batch.js'
import { encodePrompt, type Prompt } from './prompt-ids.js'
import { sharedPrefix } from './shared-prefix.js'

/** The options of `generateTexts`. */
export interface TextsGenerationOptions extends TextGenerationOptions {
  /**
   * How many answers grow together. 'auto': as many as the device is fast with and its memory has room for.
   * @default 'auto'
   */
  batchSize?: number | 'auto'
  /**
   * Called with each answer as soon as it is whole, and with the place of its prompt in the list.
   * @default none
   */
  onText?: (index: number, answer: GeneratedText) => void
}

export const TEXTS_GENERATION_OPTIONS = {
  ...TEXT_GENERATION_OPTIONS,
  batchSize: {
    rule: either(exactly('auto', 'as many as there is room for'), integer({ min: 1 })),
    default: 'auto',
    help: 'how many answers grow together',
  },
  onText: {
    rule: callback,
    otherwise: 'none',
    help: 'called with each answer as soon as it is whole, and with the place of its prompt',
  },
} as const satisfies OptionTable<TextsGenerationOptions>

/**
 * Answers many prompts: what `generateText` gives for each alone with the same seed, but faster. Prompts of like length
 * share a batch, a beginning that all share is computed once, and an answer that ends makes place for the next prompt.
 * @param prompts texts or conversations, as `generateText` takes them, or ids.
 * @returns the answers in the order of the prompts.
 * @throws what `generateText` throws, before anything is computed where it is about the prompts.
 */
export async function generateTexts(
  model: CausalLM,
  givenTokenizer: Tokenizer | ForeignTokenizer,
  prompts: readonly Prompt[],
  options: TextsGenerationOptions = {},
): Promise<GeneratedText[]> {
  expectModel('generateTexts', model)
  expectOptions('generateTexts', options, TEXTS_GENERATION_OPTIONS)
  if (!Array.isArray(prompts))
    throw new OptionError(`[generateTexts] expected a list for prompts, got ${describeValue(prompts)}`)
  const { batchSize = TEXTS_GENERATION_OPTIONS.batchSize.default, onText, stopStrings: _, ...rest } = options
  const tokenizer = asTokenizer(givenTokenizer)
  const { stops, ends } = endsOfAnswers(model, tokenizer, options)
  const settings = readGenerateOptions({ ...rest, eosTokenId: ends }, model.config, model.generationDefaults)
  const turns = new Turns(settings.signal)
  const rows: Row[] = []
  for (const [index, prompt] of prompts.entries()) {
    const [ids] = readPrompts(encodePrompt(tokenizer, prompt), model.config.vocabSize)
    rows.push({ index, ids: ids as Int32Array })
    if (turns.isOver) await turns.next()
  }
  // The longest first: what does not fit is known at once.
  rows.sort((a, b) => b.ids.length - a.ids.length || a.index - b.index)
  const answers: GeneratedText[] = []
  const finish = ({ index, ids }: Row, answer: GrowingAnswer): void => {
    const { whole } = answer.end(ids.length)
    answers[index] = whole
    onText?.(index, whole)
  }
  const prefix = sharedPrefix(
    model,
    rows.map(({ ids }) => ids),
  )
  const start = (): GrowingAnswer => new GrowingAnswer(tokenizer, stops, ends)
  for (const group of settings.maxNewTokens === 0 ? [] : groupsOfLikeLength(rows, settings.maxNewTokens)) {
    const mostTokens = (group[0] as Row).ids.length + settings.maxNewTokens
    const size = Math.min(group.length, batchSize === 'auto' ? fittingBatchSize(model, mostTokens) : batchSize)
    const batch = new GrowingBatch(model, settings, { mostTokens, size, prefix })
    try {
      await batch.run(group, start, finish, turns)
    } finally {
      batch.dispose()
    }
  }
  if (settings.maxNewTokens === 0) for (const row of rows) finish(row, start())
  return answers
}

/** All sequences of a batch have room for its longest: prompts of less than half the length are in the next group. */
function groupsOfLikeLength(rows: readonly Row[], maxNewTokens: number): Row[][] {
  const groups: Row[][] = []
  let most = 0
  for (const row of rows) {
    const tokens = row.ids.length + maxNewTokens
    if (groups.length === 0 || (tokens < most / 2 && most > FEW_TOKENS)) {
      groups.push([])
      most = tokens
    }
    groups.at(-1)?.push(row)
  }
  return groups
}

/** Sequences of so few tokens are one group, whatever their lengths. */
const FEW_TOKENS = 256

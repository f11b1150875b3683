/** @file generateTexts: answers to many prompts at once, in batches of like length. */

import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { createChooser, type GenerateSettings, readGenerateOptions, readPrompts } from '../decoding/generate-options.js'
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
import { encodePrompt, type Prompt } from './prompt-ids.js'

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

interface Row {
  readonly index: number
  readonly ids: Int32Array
}

/**
 * Answers many prompts: what `generateText` gives for each alone, but faster.
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
  const { batchSize = 'auto', onText, stopStrings: _, ...rest } = options
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
  for (let first = 0; first < rows.length; ) {
    const mostTokens = (rows[first] as Row).ids.length + settings.maxNewTokens
    const size = batchSize === 'auto' ? fittingBatchSize(model, mostTokens) : batchSize
    const batch = rows.slice(first, first + size)
    first += size
    const growing = batch.map(() => new GrowingAnswer(tokenizer, stops, ends))
    await growTogether(model, settings, batch, growing, turns, (row) => {
      const { index, ids } = batch[row] as Row
      const { whole } = (growing[row] as GrowingAnswer).end(ids.length)
      answers[index] = whole
      onText?.(index, whole)
    })
  }
  return answers
}

/** Steps that are queued at a time. */
const STEPS_AHEAD = 2

async function growTogether(
  model: CausalLM,
  { maxNewTokens, eosTokenIds, sampling, signal }: GenerateSettings,
  batch: readonly Row[],
  answers: readonly GrowingAnswer[],
  turns: Turns,
  onEnd: (row: number) => void,
): Promise<void> {
  const prompts = batch.map(({ ids }) => ids)
  const chooser = createChooser(sampling, prompts, model.config.vocabSize, model.device)
  const decoding = model.decoding(prompts, (prompts[0] as Int32Array).length + maxNewTokens, chooser.choose)
  const ended = prompts.map(() => false)
  try {
    const queued: Promise<Int32Array>[] = []
    for (let step = 0; step < maxNewTokens && ended.includes(false); step++) {
      signal?.throwIfAborted()
      while (queued.length < STEPS_AHEAD && step + queued.length < maxNewTokens) {
        const ids = decoding.next()
        ids.catch(() => model.device.sync()).catch(() => undefined)
        queued.push(ids)
      }
      const ids = (await queued.shift()) as Int32Array
      for (const [row, answer] of answers.entries()) {
        if (ended[row]) continue
        const id = ids[row] as number
        answer.push(id)
        if (turns.isOver) await turns.next()
        if (!eosTokenIds.has(id) && !answer.stopped && answer.length < maxNewTokens) continue
        ended[row] = true
        decoding.end(row)
        onEnd(row)
      }
    }
  } finally {
    decoding.dispose()
    chooser.dispose()
  }
  if (maxNewTokens === 0) for (const row of batch.keys()) onEnd(row)
}

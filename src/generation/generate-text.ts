/**
 * @file Text in, text out: prompts and conversations to ids, ids to text as they come, and the end by a stop string.
 */

import { type CausalLM, expectModel } from '../causal-lm/causal-lm.js'
import { endingIds } from '../decoding/generate-options.js'
import { GENERATE_OPTIONS, type GenerateOptions } from '../decoding/sampling-options.js'
import { either, listOf, type Rule, text } from '../options/rules.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { IncrementalText } from './incremental-text.js'
import { encodePrompt } from './prompt-ids.js'

/** `eosTokenId` is by default what the model or the tokenizer names. */
export interface TextGenerationOptions extends Omit<GenerateOptions, 'onToken'> {
  /**
   * Texts that end the answer, and are not part of it. They may name special tokens, which answers leave out.
   * @default the `stop_strings` of the model's generation_config.json, mostly none
   */
  stopStrings?: string | readonly string[]
}

// A blank ends answers as well as any other text.
const TEXT: Rule = { ...text, accepts: (value) => typeof value === 'string' && value !== '' }
const { onToken: _, ...PASSED_ON } = GENERATE_OPTIONS

/** The options of `generateText`, `streamText` and `Conversation.send`. */
export const TEXT_GENERATION_OPTIONS = {
  ...PASSED_ON,
  eosTokenId: { ...GENERATE_OPTIONS.eosTokenId, otherwise: 'what the model or the tokenizer names' },
  stopStrings: {
    rule: { ...either(TEXT, listOf(TEXT, '')), expected: 'strings that are not empty' },
    otherwise: "the stop_strings of the model's generation_config.json, mostly none",
    help: 'texts that end the answer, and are not part of it',
  },
} as const satisfies OptionTable<TextGenerationOptions>

/** An answer. */
export interface GeneratedText {
  readonly text: string
  /** The new ids, the ending one and those of a stop string included. */
  readonly ids: readonly number[]
  readonly promptTokens: number
  /** 'length' when there was no end within maxNewTokens. */
  readonly finishReason: 'stop' | 'length'
}

/**
 * Continues a text, or answers the last message of a conversation, piece by piece. Leaving the loop ends the work.
 * @param givenTokenizer of `loadTokenizer`, or of transformers.js
 * @param prompt a text, begun as the tokenizer begins one (usually with BOS, unless the text spells it out), nothing
 * put behind it; or messages, for the tokenizer's chat template.
 * @returns the whole answer, as the value of the generator's end.
 * @throws what `model.generate` throws, on an empty prompt, and where the chat template refuses the messages.
 */
export async function* streamText(
  model: CausalLM,
  givenTokenizer: Tokenizer | ForeignTokenizer,
  prompt: string | readonly ChatMessage[],
  options: TextGenerationOptions = {},
): AsyncGenerator<string, GeneratedText, undefined> {
  expectModel('generate', model)
  expectOptions('generate', options, TEXT_GENERATION_OPTIONS)
  const tokenizer = asTokenizer(givenTokenizer)
  const promptIds = encodePrompt(tokenizer, prompt)
  const { stopStrings: _, ...rest } = options
  const { stops, ends } = endsOfAnswers(model, tokenizer, options)

  const answer = new GrowingAnswer(tokenizer, stops, ends)
  for await (const id of model.stream(promptIds, { ...rest, eosTokenId: ends })) {
    const piece = answer.push(id)
    if (piece !== '') yield piece
    if (answer.stopped) break
  }
  const { last, whole } = answer.end(promptIds.length)
  if (last !== '') yield last
  return whole
}

/** What ends the answers of a call: strings, and ids of the model. */
export function endsOfAnswers(
  model: CausalLM,
  tokenizer: Tokenizer,
  options: TextGenerationOptions,
): { stops: readonly string[]; ends: readonly number[] } {
  const { stopStrings = model.generationDefaults?.stopStrings ?? [] } = options
  const ending = [...endingIds(model.config, model.generationDefaults), ...tokenizer.eosTokenIds]
  // A tokenizer may have tokens that the model does not have.
  const { eosTokenId = [...new Set(ending)].filter((id) => id < model.config.vocabSize) } = options
  return {
    stops: typeof stopStrings === 'string' ? [stopStrings] : stopStrings,
    ends: typeof eosTokenId === 'number' ? [eosTokenId] : eosTokenId,
  }
}

/** An answer while its ids come. */
export class GrowingAnswer {
  readonly #tokenizer: Tokenizer
  readonly #incremental: IncrementalText
  readonly #ends: readonly number[]
  readonly #ids: number[] = []
  #text = ''

  constructor(tokenizer: Tokenizer, stops: readonly string[], ends: readonly number[]) {
    this.#tokenizer = tokenizer
    this.#incremental = new IncrementalText(tokenizer, stops)
    this.#ends = ends
  }

  /** Whether a stop string came. */
  get stopped(): boolean {
    return this.#incremental.stopped
  }

  /** How many ids came. */
  get length(): number {
    return this.#ids.length
  }

  /** Takes the next id; returns the text that is certain now. */
  push(id: number): string {
    this.#ids.push(id)
    const piece = this.#incremental.push(id)
    this.#text += piece
    return piece
  }

  /** The text that was held back, and the whole answer. */
  end(promptTokens: number): { last: string; whole: GeneratedText } {
    const [ids, last] = [this.#ids, this.#incremental.end()]
    const finishReason = this.stopped || this.#ends.includes(ids.at(-1) ?? -1) ? 'stop' : 'length'
    // Where a decoder changes earlier text by what follows, pieces are as they were when they were told, and the answer
    // is what all ids say.
    const text = this.stopped ? this.#text + last : this.#tokenizer.decode(ids, { skipSpecialTokens: true })
    return { last, whole: { text, ids, promptTokens, finishReason } }
  }
}

/** `streamText` when only the whole answer is of interest. */
export async function generateText(
  model: CausalLM,
  tokenizer: Tokenizer | ForeignTokenizer,
  prompt: string | readonly ChatMessage[],
  options: TextGenerationOptions = {},
): Promise<GeneratedText> {
  const pieces = streamText(model, tokenizer, prompt, options)
  for (;;) {
    const next = await pieces.next()
    if (next.done) return next.value
  }
}

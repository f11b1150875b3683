/** @file /v1/completions: texts continued, and the answer in OpenAI's older form. */

import { describeValue } from '../errors.js'
import type { InferenceToken } from '../inference/inference-request.js'
import { boolean, either, integer, listOf, type Rule } from '../options/rules.js'
import { COMPLETION_FIELDS, includesUsage, SHARED_FIELDS } from './answer-fields.js'
import { type AnswerWriter, newId, secondsNow, usageOf, type WholeAnswer } from './answer-writer.js'
import type { AnswerEnd, AnswerPiece, Usage } from './answers.js'
import { badRequest } from './api-error.js'
import type { ServerEvent } from './event-stream.js'
import { type FieldTable, onlyNeutral, readFields } from './fields.js'
import { type AskedRequest, readAsked, textPrompt } from './read-asked.js'
import type { ServedModel } from './served-model.js'
import { TextOffsets, tokenText } from './token-logprobs.js'

const WHERE = 'completions'

const TEXT: Rule = { expected: 'a text', accepts: (value) => typeof value === 'string', schema: { type: 'string' } }
const ID = integer({ min: 0, max: 2 ** 31 - 1 })
const IDS = listOf(ID, 'a list of token ids', { minItems: 1 })

const PROMPT: Rule = {
  ...either(
    either(TEXT, listOf(TEXT, 'a list of texts', { minItems: 1 })),
    either(IDS, listOf(IDS, '', { minItems: 1 })),
  ),
  expected: 'a text, a list of token ids, or a list of either',
}

/** Tokens of an answer where the request does not say it, as OpenAI has it. */
const DEFAULT_MAX_TOKENS = 16
const MOST_LOGPROBS = 20

export const COMPLETION_TABLE = {
  ...SHARED_FIELDS,
  prompt: { rule: PROMPT, help: 'what is continued: a text, token ids, or several of either', isRequired: true },
  ...COMPLETION_FIELDS,
  max_tokens: {
    ...COMPLETION_FIELDS.max_tokens,
    help: `tokens of the longest answer; ${DEFAULT_MAX_TOKENS} where it is not given`,
  },
  logprobs: {
    rule: integer({ min: 0, max: MOST_LOGPROBS }),
    help: 'tell so many of the most likely tokens with each token, and its own log probability',
  },
  echo: { rule: boolean, help: 'put the prompt before its answer; not together with logprobs' },
  best_of: { rule: onlyNeutral([1], 'write n'), help: 'not done: only 1' },
  suffix: { rule: onlyNeutral([''], 'lowrank does not fill in between texts: leave it out'), help: 'not done' },
} as const satisfies FieldTable

/** Reads a request's body. @throws ApiError */
export async function askCompletion(body: unknown, served: ServedModel, signal: AbortSignal): Promise<AskedRequest> {
  const given = readFields(WHERE, body, COMPLETION_TABLE)
  const model = served.find(given.model as string)
  const isStream = given.stream === true
  const withUsage = includesUsage(WHERE, given.stream_options, isStream)
  const { logprobs, echo } = given as { logprobs?: number; echo?: boolean }
  if (echo && logprobs !== undefined)
    throw badRequest(
      `[${WHERE}] expected echo without logprobs, got both; tokens of prompts have no log probabilities here`,
      'echo',
    )
  const texts = promptsOf(given.prompt)
  if (texts.length > served.maxChoices)
    throw badRequest(
      `[${WHERE}] expected at most ${served.maxChoices} answers to a request, got ${texts.length} prompts`,
      'prompt',
    )
  const prompts: Int32Array[] = []
  for (const text of texts)
    prompts.push(typeof text === 'string' ? await textPrompt(WHERE, served, text, signal) : idsOf(text, served))
  const maxTokens = given.max_tokens ?? Math.min(DEFAULT_MAX_TOKENS, served.maxNewTokens)
  const asked = readAsked(WHERE, given, served, prompts, { maxTokens, maxTokensField: 'max_tokens', logprobs })
  const echoed = texts.map((text) => {
    if (!echo) return ''
    return typeof text === 'string' ? text : served.tokenizer.decode(text, { skipSpecialTokens: true })
  })
  return { asked, isStream, writer: new CompletionWriter(served, model.id, asked.n, withUsage, logprobs, echoed) }
}

function promptsOf(prompt: unknown): readonly (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt]
  const list = prompt as string[] | number[] | number[][]
  return typeof list[0] === 'number' ? [list as number[]] : (list as (string | number[])[])
}

function idsOf(ids: readonly number[], { vocabSize }: ServedModel): Int32Array {
  const wrong = ids.find((id) => id >= vocabSize)
  if (wrong === undefined) return Int32Array.from(ids)
  throw badRequest(`[${WHERE}] expected token ids below ${vocabSize} for prompt, got ${describeValue(wrong)}`, 'prompt')
}

class CompletionWriter implements AnswerWriter {
  readonly #served: ServedModel
  readonly #n: number
  readonly #withUsage: boolean
  readonly #logprobs: number | undefined
  readonly #head: {
    readonly id: string
    readonly object: 'text_completion'
    readonly created: number
    readonly model: string
  }
  /** What stands before the answers to each prompt. */
  readonly #echoed: readonly string[]
  /** How far each choice is told. */
  readonly #offsets: TextOffsets[] = []

  constructor(
    served: ServedModel,
    model: string,
    n: number,
    withUsage: boolean,
    logprobs: number | undefined,
    echoed: readonly string[],
  ) {
    this.#served = served
    this.#n = n
    this.#withUsage = withUsage
    this.#logprobs = logprobs
    this.#echoed = echoed
    this.#head = { id: newId('cmpl-'), object: 'text_completion', created: secondsNow(), model }
  }

  #chunk(choices: readonly object[], usage?: object): ServerEvent {
    return { data: { ...this.#head, choices, ...(this.#withUsage && { usage: usage ?? null }) } }
  }

  begin(): readonly ServerEvent[] {
    return this.#echoed.flatMap((text, prompt) => {
      if (text === '') return []
      const indices = Array.from({ length: this.#n }, (_, i) => prompt * this.#n + i)
      return indices.map((index) => this.#chunk([{ index, text, logprobs: null, finish_reason: null }]))
    })
  }

  piece(index: number, { text, tokens }: AnswerPiece): readonly ServerEvent[] {
    const logprobs = this.#tokens(index, tokens)
    return [this.#chunk([{ index, text, logprobs, finish_reason: null }])]
  }

  end(index: number, { finishReason }: AnswerEnd): readonly ServerEvent[] {
    return [this.#chunk([{ index, text: '', logprobs: null, finish_reason: finishReason }])]
  }

  finish(usage: Usage): readonly ServerEvent[] {
    return [...(this.#withUsage ? [this.#chunk([], usageOf(usage))] : []), { data: '[DONE]' }]
  }

  failure(body: object): readonly ServerEvent[] {
    return [{ data: body }]
  }

  whole(answers: readonly WholeAnswer[], usage: Usage): object {
    const choices = answers.map(({ text, tokens, finishReason }, index) => ({
      index,
      text: `${this.#echoed[Math.floor(index / this.#n)] ?? ''}${text}`,
      logprobs: this.#tokens(index, tokens),
      finish_reason: finishReason,
    }))
    return { ...this.#head, choices, usage: usageOf(usage) }
  }

  #tokens(index: number, tokens: readonly InferenceToken[]): object | null {
    if (this.#logprobs === undefined) return null
    const { tokenizer } = this.#served
    const texts = tokens.map(({ id }) => tokenText(tokenizer, id))
    this.#offsets[index] ??= new TextOffsets(tokenizer)
    const offsets = this.#offsets[index]
    return {
      tokens: texts,
      token_logprobs: tokens.map(({ logprob = 0 }) => Math.max(-9999, logprob)),
      top_logprobs:
        this.#logprobs === 0
          ? null
          : tokens.map(({ topLogprobs = [] }) =>
              Object.fromEntries(
                topLogprobs.map(({ id, logprob }) => [tokenText(tokenizer, id), Math.max(-9999, logprob)]),
              ),
            ),
      text_offset: tokens.map(({ id }) => offsets?.next(id)),
    }
  }
}

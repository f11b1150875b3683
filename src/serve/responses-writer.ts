/** @file The answers of /v1/responses: one object with items, or typed events that build it. */

import { SAMPLING_OPTIONS } from '../decoding/sampling-options.js'
import type { InferenceToken } from '../inference/inference-request.js'
import { type AnswerWriter, newId, secondsNow, type WholeAnswer } from './answer-writer.js'
import type { AnswerEnd, AnswerPiece, Usage } from './answers.js'
import type { ServerEvent } from './event-stream.js'
import type { ServedModel } from './served-model.js'
import { logprobEntry } from './token-logprobs.js'

/** There is one answer, and one part in its message. */
const CONTENT_INDEX = 0

interface GrowingMessage {
  readonly id: string
  text: string
  readonly logprobs: object[]
}

export class ResponseWriter implements AnswerWriter {
  readonly #served: ServedModel
  readonly #about: Readonly<Record<string, unknown>>
  readonly #createdAt = secondsNow()
  /** Items that are whole. */
  readonly #output: object[] = []
  #sequence = 0
  /** The message that grows; its item is added with its first text. */
  #message: GrowingMessage | undefined
  #finishReason: AnswerEnd['finishReason'] = 'stop'

  constructor(
    served: ServedModel,
    model: string,
    given: Readonly<Record<string, unknown>>,
    metadata: Readonly<Record<string, unknown>>,
  ) {
    this.#served = served
    this.#about = {
      id: newId('resp_'),
      object: 'response',
      created_at: this.#createdAt,
      model,
      background: false,
      error: null,
      instructions: given.instructions ?? null,
      max_output_tokens: given.max_output_tokens ?? null,
      max_tool_calls: null,
      metadata,
      parallel_tool_calls: given.parallel_tool_calls ?? true,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: 'default',
      store: false,
      temperature: given.temperature ?? served.sampling.temperature ?? SAMPLING_OPTIONS.temperature.default,
      text: given.text ?? { format: { type: 'text' } },
      tool_choice: given.tool_choice ?? 'auto',
      tools: given.tools ?? [],
      top_logprobs: given.top_logprobs ?? 0,
      top_p: given.top_p ?? served.sampling.topP ?? SAMPLING_OPTIONS.topP.default,
      truncation: 'disabled',
      user: null,
    }
  }

  #response(status: string, more: object = {}): object {
    return {
      ...this.#about,
      status,
      completed_at: null,
      incomplete_details: null,
      output: [...this.#output],
      usage: null,
      ...more,
    }
  }

  #event(type: string, more: object): ServerEvent {
    return { event: type, data: { type, sequence_number: this.#sequence++, ...more } }
  }

  begin(): readonly ServerEvent[] {
    return ['response.created', 'response.in_progress'].map((type) => {
      return this.#event(type, { response: this.#response('in_progress') })
    })
  }

  piece(_choice: number, { text, tokens }: AnswerPiece): readonly ServerEvent[] {
    const events = this.#message === undefined ? this.#beginMessage() : []
    const message = this.#message as GrowingMessage
    const logprobs = this.#logprobs(tokens)
    message.text += text
    message.logprobs.push(...logprobs)
    const delta = { ...this.#place(message.id), delta: text, logprobs }
    return [...events, this.#event('response.output_text.delta', delta)]
  }

  #beginMessage(): ServerEvent[] {
    const id = newId('msg_')
    this.#message = { id, text: '', logprobs: [] }
    const item = { id, type: 'message', status: 'in_progress', role: 'assistant', content: [] }
    return [
      this.#event('response.output_item.added', { output_index: this.#output.length, item }),
      this.#event('response.content_part.added', { ...this.#place(id), part: textPart('', []) }),
    ]
  }

  #place(id: string): object {
    return { item_id: id, output_index: this.#output.length, content_index: CONTENT_INDEX }
  }

  end(_choice: number, { finishReason }: AnswerEnd): readonly ServerEvent[] {
    this.#finishReason = finishReason
    // An answer without a text is a message without one.
    const begun = this.#message === undefined ? this.#beginMessage() : []
    const { id, text, logprobs } = this.#message as GrowingMessage
    const place = this.#place(id)
    const item = this.#messageItem(id, text, logprobs)
    const events = [
      ...begun,
      this.#event('response.output_text.done', { ...place, text, logprobs }),
      this.#event('response.content_part.done', { ...place, part: textPart(text, logprobs) }),
      this.#event('response.output_item.done', { output_index: this.#output.length, item }),
    ]
    this.#output.push(item)
    this.#message = undefined
    return events
  }

  finish(usage: Usage): readonly ServerEvent[] {
    const response = this.#ended(usage)
    const type = this.#finishReason === 'length' ? 'response.incomplete' : 'response.completed'
    return [this.#event(type, { response })]
  }

  failure(body: object): readonly ServerEvent[] {
    const { error } = body as { error: { code: string | null; message: string; type: string } }
    const failed = { code: error.code ?? error.type, message: error.message }
    return [this.#event('response.failed', { response: this.#response('failed', { error: failed }) })]
  }

  whole([answer]: readonly WholeAnswer[], usage: Usage): object {
    const { text, tokens, finishReason } = answer as WholeAnswer
    this.#finishReason = finishReason
    this.#output.push(this.#messageItem(newId('msg_'), text, this.#logprobs(tokens)))
    return this.#ended(usage)
  }

  #ended({ promptTokens, cachedTokens, completionTokens }: Usage): object {
    const isCut = this.#finishReason === 'length'
    return this.#response(isCut ? 'incomplete' : 'completed', {
      completed_at: isCut ? null : secondsNow(),
      incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
      usage: {
        input_tokens: promptTokens,
        input_tokens_details: { cached_tokens: cachedTokens },
        output_tokens: completionTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: promptTokens + completionTokens,
      },
    })
  }

  #messageItem(id: string, text: string, logprobs: readonly object[]): object {
    const status = this.#finishReason === 'length' ? 'incomplete' : 'completed'
    return { id, type: 'message', status, role: 'assistant', content: [textPart(text, logprobs)] }
  }

  #logprobs(tokens: readonly InferenceToken[]): object[] {
    return tokens.map((token) => logprobEntry(this.#served.tokenizer, token))
  }
}

function textPart(text: string, logprobs: readonly object[]): object {
  return { type: 'output_text', text, annotations: [], logprobs }
}

/** @file The answers of /v1/responses: one object with items, or typed events that build it. */

import { SAMPLING_OPTIONS } from '../decoding/sampling-options.js'
import type { InferenceToken } from '../inference/inference-request.js'
import { type AnswerWriter, newId, secondsNow, type WholeAnswer } from './answer-writer.js'
import type { AnswerEnd, AnswerPiece, Usage } from './answers.js'
import type { CallPiece } from './call-pieces.js'
import type { ServerEvent } from './event-stream.js'
import type { ServedModel } from './served-model.js'
import { logprobEntry } from './token-logprobs.js'

/** There is one answer, and one part in its message. */
const CONTENT_INDEX = 0

interface GrowingMessage {
  readonly kind: 'message'
  readonly id: string
  text: string
  readonly logprobs: object[]
}

interface GrowingCall {
  readonly kind: 'call'
  readonly id: string
  /** By which the result of the call names it. */
  readonly callId: string
  readonly name: string
  arguments: string
}

export class ResponseWriter implements AnswerWriter {
  readonly #served: ServedModel
  readonly #about: Readonly<Record<string, unknown>>
  readonly #createdAt = secondsNow()
  /** Items that are whole. */
  readonly #output: object[] = []
  #sequence = 0
  /** The item that grows. */
  #open: GrowingMessage | GrowingCall | undefined
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

  piece(_choice: number, { text, tokens, calls }: AnswerPiece): readonly ServerEvent[] {
    const events: ServerEvent[] = []
    if (text !== '' || (tokens.length > 0 && this.#open?.kind !== 'call' && calls.length === 0)) {
      if (this.#open?.kind !== 'message') events.push(...this.#close('completed'), ...this.#beginMessage())
      const message = this.#open as GrowingMessage
      const logprobs = this.#logprobs(tokens)
      message.text += text
      message.logprobs.push(...logprobs)
      events.push(this.#event('response.output_text.delta', { ...this.#place(message), delta: text, logprobs }))
    }
    for (const piece of calls) {
      if (piece.id !== undefined) events.push(...this.#close('completed'), ...this.#beginCall(piece))
      const call = this.#open as GrowingCall
      call.arguments += piece.arguments
      if (piece.arguments === '') continue
      const place = { item_id: call.id, output_index: this.#output.length }
      events.push(this.#event('response.function_call_arguments.delta', { ...place, delta: piece.arguments }))
    }
    return events
  }

  #beginMessage(): ServerEvent[] {
    const open: GrowingMessage = { kind: 'message', id: newId('msg_'), text: '', logprobs: [] }
    this.#open = open
    const item = { id: open.id, type: 'message', status: 'in_progress', role: 'assistant', content: [] }
    return [
      this.#event('response.output_item.added', { output_index: this.#output.length, item }),
      this.#event('response.content_part.added', { ...this.#place(open), part: textPart('', []) }),
    ]
  }

  #beginCall({ id = '', name = '' }: CallPiece): ServerEvent[] {
    const open: GrowingCall = { kind: 'call', id: newId('fc_'), callId: id, name, arguments: '' }
    this.#open = open
    const item = callItem(open, 'in_progress')
    return [this.#event('response.output_item.added', { output_index: this.#output.length, item })]
  }

  #place({ id }: GrowingMessage): object {
    return { item_id: id, output_index: this.#output.length, content_index: CONTENT_INDEX }
  }

  /** The item that grows is whole, or cut. */
  #close(status: 'completed' | 'incomplete'): ServerEvent[] {
    const open = this.#open
    this.#open = undefined
    if (open === undefined) return []
    const output_index = this.#output.length
    const events: ServerEvent[] = []
    let item: object
    if (open.kind === 'message') {
      const { text, logprobs } = open
      const place = this.#place(open)
      item = messageItem(open, status)
      events.push(
        this.#event('response.output_text.done', { ...place, text, logprobs }),
        this.#event('response.content_part.done', { ...place, part: textPart(text, logprobs) }),
      )
    } else {
      const { id, name, arguments: text } = open
      item = callItem(open, status)
      const done = { item_id: id, output_index, name, arguments: text }
      events.push(this.#event('response.function_call_arguments.done', done))
    }
    events.push(this.#event('response.output_item.done', { output_index, item }))
    this.#output.push(item)
    return events
  }

  end(_choice: number, { finishReason }: AnswerEnd): readonly ServerEvent[] {
    this.#finishReason = finishReason
    // An answer without text and calls is a message without text.
    const begun = this.#open === undefined && this.#output.length === 0 ? this.#beginMessage() : []
    return [...begun, ...this.#close(finishReason === 'length' ? 'incomplete' : 'completed')]
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
    const { text, tokens, calls, finishReason } = answer as WholeAnswer
    this.#finishReason = finishReason
    const status = finishReason === 'length' ? 'incomplete' : 'completed'
    if (text !== '' || calls.length === 0) {
      const message = { id: newId('msg_'), text, logprobs: this.#logprobs(tokens) }
      this.#output.push(messageItem(message, calls.length > 0 ? 'completed' : status))
    }
    for (const [index, { id: callId, ...call }] of calls.entries())
      this.#output.push(
        callItem({ id: newId('fc_'), callId, ...call }, index < calls.length - 1 ? 'completed' : status),
      )
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

  #logprobs(tokens: readonly InferenceToken[]): object[] {
    return tokens.map((token) => logprobEntry(this.#served.tokenizer, token))
  }
}

function textPart(text: string, logprobs: readonly object[]): object {
  return { type: 'output_text', text, annotations: [], logprobs }
}

function messageItem({ id, text, logprobs }: Omit<GrowingMessage, 'kind'>, status: string): object {
  return { id, type: 'message', status, role: 'assistant', content: [textPart(text, logprobs)] }
}

function callItem({ id, callId, name, arguments: text }: Omit<GrowingCall, 'kind'>, status: string): object {
  return { id, type: 'function_call', status, call_id: callId, name, arguments: status === 'in_progress' ? '' : text }
}

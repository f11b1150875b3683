/** @file /v1/chat/completions: what is asked, and the answer in its form. */

import type { InferenceToken } from '../inference/inference-request.js'
import { boolean, instance, integer, objectOf } from '../options/rules.js'
import { isObject } from '../values.js'
import { COMPLETION_FIELDS, includesUsage, isObjectList, SHARED_FIELDS } from './answer-fields.js'
import { formatSchema, readFormat } from './answer-format.js'
import { type AnswerWriter, newId, secondsNow, usageOf, type WholeAnswer } from './answer-writer.js'
import type { AnswerEnd, AnswerPiece, Usage } from './answers.js'
import { badRequest } from './api-error.js'
import type { CallPiece } from './call-pieces.js'
import { readMessages } from './chat-messages.js'
import type { ServerEvent } from './event-stream.js'
import { type FieldTable, IGNORED, onlyNeutral, readFields } from './fields.js'
import { type AskedRequest, conversationPrompt, readAsked } from './read-asked.js'
import type { ServedModel } from './served-model.js'
import { logprobEntry } from './token-logprobs.js'
import { readTools, toolFields, toolsForTemplate } from './tools.js'

const WHERE = 'chat/completions'

/** As many as the engine tells. */
const MOST_LOGPROBS = 20

export const CHAT_FIELDS = {
  ...SHARED_FIELDS,
  messages: {
    rule: {
      ...instance('a list of messages', isObjectList),
      schema: {
        type: 'array',
        minItems: 1,
        items: { $ref: '#/components/schemas/ChatMessage' },
      },
    },
    help: 'the conversation so far',
    isRequired: true,
  },
  ...COMPLETION_FIELDS,
  max_completion_tokens: { rule: integer({ min: 1 }), help: 'the same as max_tokens, which it goes before' },
  logprobs: { rule: boolean, help: 'tell the log probability of each token' },
  top_logprobs: {
    rule: integer({ min: 0, max: MOST_LOGPROBS }),
    help: 'tell so many of the most likely tokens with each; needs logprobs: true',
  },
  chat_template_kwargs: {
    rule: objectOf({ expected: 'a value', accepts: () => true, schema: {} }, 'an object'),
    help: 'variables of the chat template, as { enable_thinking: false }',
  },
  store: IGNORED('nothing is stored', { type: 'boolean' }),
  metadata: IGNORED('notes of the sender', { type: 'object' }),
  verbosity: {
    rule: onlyNeutral(['medium'], 'say in a message how long the answer is to be'),
    help: 'not done: only medium',
  },
  reasoning_effort: {
    rule: onlyNeutral([], 'where the chat template has a variable for it, write chat_template_kwargs'),
    help: 'not done',
  },
  modalities: { rule: onlyNeutral([['text']], 'models write text alone'), help: 'only ["text"]' },
  audio: { rule: onlyNeutral([], 'models write text alone'), help: 'not done' },
  prediction: { rule: onlyNeutral([], 'leave it out: the answer is the same'), help: 'not done' },
  web_search_options: { rule: onlyNeutral([], 'describe a search in tools, and do it yourself'), help: 'not done' },
  functions: { rule: onlyNeutral([[]], 'write tools'), help: 'not done: write tools' },
  function_call: { rule: onlyNeutral(['none', 'auto'], 'write tool_choice'), help: 'not done: write tool_choice' },
  response_format: {
    rule: { ...instance('{ type }', isObject), schema: formatSchema('nested') },
    help: 'the form of the answer: text, json_object or json_schema, to which a grammar holds it',
  },
  ...toolFields('nested'),
} as const satisfies FieldTable

/** Reads a request's body. @throws ApiError */
export async function askChat(body: unknown, served: ServedModel, signal: AbortSignal): Promise<AskedRequest> {
  const given = readFields(WHERE, body, CHAT_FIELDS)
  const messages = readMessages(WHERE, given.messages as unknown[])
  const isStream = given.stream === true
  const withUsage = includesUsage(WHERE, given.stream_options, isStream)
  if (given.top_logprobs !== undefined && given.logprobs !== true)
    throw badRequest(`[${WHERE}] expected logprobs: true with top_logprobs; add it`, 'top_logprobs')
  const variables = given.chat_template_kwargs as Record<string, unknown> | undefined
  served.find(given.model as string)
  const askedTools = readTools(WHERE, given, 'nested')
  const schema = readFormat(WHERE, given.response_format, 'response_format', 'nested')
  const tools = askedTools.tools.length > 0 ? toolsForTemplate(askedTools.tools) : undefined
  const options = { ...(tools && { tools }), ...(variables && { variables }) }
  const prompt = await conversationPrompt(WHERE, served, messages, options, signal)
  const asked = readAsked(WHERE, given, served, [prompt], {
    maxTokens: given.max_completion_tokens ?? given.max_tokens,
    maxTokensField: given.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
    logprobs: given.logprobs === true ? ((given.top_logprobs as number | undefined) ?? 0) : undefined,
    format: await served.formats.of(WHERE, schema, 'response_format', askedTools, signal),
  })
  return { asked, isStream, writer: new ChatWriter(served, asked.model.id, asked.n, withUsage) }
}

class ChatWriter implements AnswerWriter {
  readonly #served: ServedModel
  readonly #choices: number
  readonly #withUsage: boolean
  readonly #head: { readonly id: string; readonly created: number; readonly model: string }

  constructor(served: ServedModel, model: string, choices: number, withUsage: boolean) {
    this.#served = served
    this.#choices = choices
    this.#withUsage = withUsage
    this.#head = { id: newId('chatcmpl-'), created: secondsNow(), model }
  }

  #chunk(choices: readonly object[], usage?: object): ServerEvent {
    const { id, created, model } = this.#head
    const about = { id, object: 'chat.completion.chunk', created, model, system_fingerprint: null, choices }
    return { data: this.#withUsage ? { ...about, usage: usage ?? null } : about }
  }

  begin(): readonly ServerEvent[] {
    return Array.from({ length: this.#choices }, (_, index) =>
      this.#chunk([{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]),
    )
  }

  piece(index: number, { text, tokens, calls }: AnswerPiece): readonly ServerEvent[] {
    const delta = { ...((text !== '' || calls.length === 0) && { content: text }), ...toolCallsDelta(calls) }
    return [this.#chunk([{ index, delta, logprobs: this.#logprobs(tokens), finish_reason: null }])]
  }

  end(index: number, { finishReason }: AnswerEnd): readonly ServerEvent[] {
    return [this.#chunk([{ index, delta: {}, logprobs: null, finish_reason: finishReason }])]
  }

  finish(usage: Usage): readonly ServerEvent[] {
    return [...(this.#withUsage ? [this.#chunk([], usageOf(usage))] : []), { data: '[DONE]' }]
  }

  failure(body: object): readonly ServerEvent[] {
    return [{ data: body }]
  }

  whole(answers: readonly WholeAnswer[], usage: Usage): object {
    const { id, created, model } = this.#head
    const choices = answers.map(({ text, tokens, calls, finishReason }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length > 0 && {
          tool_calls: calls.map(({ id, ...called }) => ({ id, type: 'function', function: called })),
        }),
      },
      logprobs: this.#logprobs(tokens),
      finish_reason: finishReason,
    }))
    return { id, object: 'chat.completion', created, model, system_fingerprint: null, choices, usage: usageOf(usage) }
  }

  #logprobs(tokens: readonly InferenceToken[]): object | null {
    if (tokens.length === 0) return null
    return { content: tokens.map((token) => logprobEntry(this.#served.tokenizer, token)), refusal: null }
  }
}

/** Calls as the delta of a chunk has them. */
function toolCallsDelta(calls: readonly CallPiece[]): { tool_calls?: readonly object[] } {
  if (calls.length === 0) return {}
  const deltas = calls.map(({ index, id, name, arguments: text }) => {
    return id === undefined
      ? { index, function: { arguments: text } }
      : { index, id, type: 'function', function: { name, arguments: text } }
  })
  return { tool_calls: deltas }
}

/**
 * @file The client of endpoints with OpenAI's interface: chat completions, with the limits, the retries and the cost of
 * all of them together. Knows no prompts.
 */

import { describeValue } from '../errors.js'
import type { Clock } from '../http/retry.js'
import { isObject } from '../values.js'
import { Allowance, type EndpointUsage, type TokenCounts } from './allowance.js'
import { EndpointError } from './endpoint-error.js'
import { type ResolvedEndpoint, readAddress } from './endpoint-options.js'
import { noSuchReply, type Sender, sendJson } from './send.js'

/** A conversation that the model is to answer. */
export interface ChatRequest {
  readonly model: string
  readonly messages: readonly { readonly role: 'system' | 'user' | 'assistant'; readonly content: string }[]
  /** Tokens that the reply has at most, reasoning included. */
  readonly maxTokens: number
  readonly temperature?: number | undefined
  readonly seed?: number | undefined
  /** What the reply is to be, for endpoints that can hold a model to it. */
  readonly schema?: { readonly name: string; readonly schema: object }
  /** Fields of the body that only some endpoints know. */
  readonly extraBody?: Readonly<Record<string, unknown>> | undefined
}

/** What the model answered. */
export interface ChatReply {
  /** The model as the endpoint names it. */
  readonly model: string
  readonly content: string
  /** What a reasoning model thought, where the endpoint keeps it apart. */
  readonly reasoning: string
  /** Why the model did not answer; undefined: it did. */
  readonly refusal: string | undefined
  /** `stop`, `length`, `content_filter` or what else the endpoint has. */
  readonly finishReason: string
  /** Its tokens; where the endpoint does not say them, the most that there can be. */
  readonly tokens: TokenCounts
}

/** Ways to ask for JSON, the strictest first. Not every endpoint takes each. */
const FORMATS = ['json_schema', 'json_object', 'none'] as const
/** Tokens of a chat template, and of the system message that it may add. */
const TEMPLATE_TOKENS = 256

const NO_TOKENS: TokenCounts = { promptTokens: 0, completionTokens: 0 }

export class OpenAIClient {
  readonly #sender: Sender
  /** What this endpoint takes, as far as it is known: a place in FORMATS, fields and their names. */
  #format = 0
  #takesTemperature = true
  #maxTokensField: 'max_tokens' | 'max_completion_tokens' = 'max_tokens'

  /** @param before Tokens of earlier runs of the same work: what they cost counts into the cap. */
  constructor(options: ResolvedEndpoint, before: TokenCounts = NO_TOKENS, clock?: Clock) {
    const { timeout, maxRetries } = options
    const allowance = new Allowance(options, before, clock)
    this.#sender = { address: readAddress(options), allowance, timeout, maxRetries }
  }

  /** What all requests used so far. */
  get usage(): EndpointUsage {
    return this.#sender.allowance.usage
  }

  /**
   * Asks the model.
   * @param keep Keeps a reply; until it has, the request counts as open.
   * @throws EndpointError when there is no reply; the signal's reason when it is aborted
   */
  async chat(
    request: ChatRequest,
    signal?: AbortSignal,
    keep?: (reply: ChatReply) => Promise<void>,
  ): Promise<ChatReply> {
    for (;;) {
      const format = this.#format
      const field = this.#maxTokensField
      const { temperature, ...others } = request
      const asked = this.#takesTemperature ? request : others
      const body = bodyOf(asked, FORMATS[format] ?? 'none', field)
      const bytes = Buffer.byteLength(JSON.stringify(body))
      // No tokenizer has more tokens than a text has bytes.
      const most = { promptTokens: bytes + TEMPLATE_TOKENS, completionTokens: request.maxTokens }
      try {
        return await sendJson(
          this.#sender,
          {
            path: '/chat/completions',
            body,
            most,
            likely: Math.ceil(bytes / 4) + request.maxTokens,
            read: (json) => readReply(json, most),
            keep,
          },
          signal,
        )
      } catch (error) {
        if (!this.#canAskOtherwise(error, asked, format, field)) throw error
      }
    }
  }

  /** Whether the endpoint does not take a field that can be left out or named otherwise. */
  #canAskOtherwise(error: unknown, { schema, temperature }: ChatRequest, format: number, field: string): boolean {
    if (!(error instanceof EndpointError) || (error.status !== 400 && error.status !== 422)) return false
    const { message } = error
    if (field === 'max_tokens' && message.includes('max_completion_tokens')) {
      this.#maxTokensField = 'max_completion_tokens'
      return true
    }
    if (temperature !== undefined && /temperature/i.test(message)) {
      this.#takesTemperature = false
      return true
    }
    const isAboutFormat = /response_format|json_schema|json_object|structured|grammar|schema/i.test(message)
    if (schema === undefined || !isAboutFormat || format + 1 >= FORMATS.length) return false
    this.#format = Math.max(this.#format, format + 1)
    return true
  }
}

function bodyOf(
  { model, messages, maxTokens, temperature, seed, schema, extraBody }: ChatRequest,
  format: (typeof FORMATS)[number],
  maxTokensField: string,
): object {
  const responseFormat =
    format === 'json_schema'
      ? { type: format, json_schema: { ...schema, strict: true } }
      : format === 'json_object'
        ? { type: format }
        : undefined
  return {
    model,
    messages,
    [maxTokensField]: maxTokens,
    ...(temperature !== undefined && { temperature }),
    ...(seed !== undefined && { seed }),
    ...(schema && responseFormat && { response_format: responseFormat }),
    ...extraBody,
  }
}

function readReply(json: unknown, most: TokenCounts): { reply: ChatReply; took: TokenCounts | undefined } {
  const choices = isObject(json) && Array.isArray(json.choices) ? json.choices : []
  const choice: unknown = choices[0]
  const message = isObject(choice) ? choice.message : undefined
  if (!isObject(json) || !isObject(choice) || !isObject(message))
    throw noSuchReply('choices with a message', describeValue(json))
  const { content, refusal, reasoning_content: reasoningContent, reasoning } = message
  const took = readTokens(json.usage)
  const reply: ChatReply = {
    model: textOr(json.model, ''),
    content: textOf(content),
    reasoning: textOr(reasoningContent, textOr(reasoning, '')),
    refusal: typeof refusal === 'string' && refusal !== '' ? refusal : undefined,
    finishReason: textOr(choice.finish_reason, 'stop'),
    tokens: took ?? most,
  }
  return { reply, took }
}

/** Content is text, parts of text, or nothing. */
function textOf(content: unknown): string {
  if (Array.isArray(content)) return content.map((part) => (isObject(part) ? textOr(part.text, '') : '')).join('')
  return textOr(content, '')
}

function readTokens(usage: unknown): TokenCounts | undefined {
  if (!isObject(usage)) return undefined
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = usage
  return isCount(promptTokens) && isCount(completionTokens) ? { promptTokens, completionTokens } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise
}

/** @file What the routes for answers read alike: the model, the prompt as ids, lengths and how tokens are drawn. */

import { type ConversationOptions, encodePromptInSteps, type Prompt } from '../generation/prompt-ids.js'
import { LowrankError, ModelError } from '../lowrank-error.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { DroppedPart } from '../tokenizer/dropped-parts.js'
import { Turns } from '../turns.js'
import { toError } from '../values.js'
import { additionsOf, samplingOf, seedOf, stopsOf } from './answer-fields.js'
import type { AnswerFormat } from './answer-format.js'
import type { AnswerWriter } from './answer-writer.js'
import type { Asked } from './answers.js'
import { badRequest } from './api-error.js'
import type { ServedModel } from './served-model.js'

/** A request that has been read: what is asked, and the form of the answer. */
export interface AskedRequest {
  readonly asked: Asked
  readonly isStream: boolean
  readonly writer: AnswerWriter
}

const TEXT_FORMAT: AnswerFormat = { grammar: undefined, calls: undefined }

/** What the routes call differently. */
interface AskedLimits {
  /** The most new tokens that the request names. */
  readonly maxTokens: unknown
  readonly maxTokensField: string
  readonly logprobs: number | undefined
  readonly format?: AnswerFormat
}

/** A request's body without its prompt. @throws ApiError */
export function readAsked(
  where: string,
  given: Readonly<Record<string, unknown>>,
  served: ServedModel,
  prompts: readonly Int32Array[],
  { maxTokens, maxTokensField, logprobs, format = TEXT_FORMAT }: AskedLimits,
): Asked {
  const model = served.find(given.model as string)
  const n = (given.n as number | undefined) ?? 1
  const count = n * prompts.length
  if (count > served.maxChoices)
    throw badRequest(`[${where}] expected at most ${served.maxChoices} answers to a request, got ${count}`, 'n')
  const longest = Math.max(...prompts.map(({ length }) => length))
  return {
    model,
    prompts,
    n,
    maxNewTokens: newTokens(where, served, longest, maxTokens as number | undefined, maxTokensField),
    samplingOf: (seed) => samplingOf(given, served.sampling, seed),
    additions: additionsOf(where, given, served.vocabSize),
    seed: seedOf(given.seed),
    stops: [...stopsOf(given.stop), ...served.stopStrings],
    logprobs,
    format,
  }
}

function newTokens(
  where: string,
  { contextLength, maxNewTokens, defaultMaxNewTokens }: ServedModel,
  promptTokens: number,
  asked: number | undefined,
  field: string,
): number {
  const room = contextLength - promptTokens
  if (room < 1) {
    throw badRequest(
      `[${where}] expected a prompt of fewer than ${contextLength} tokens, which is the model's context, got ${promptTokens}; shorten it`,
      'messages',
      'context_length_exceeded',
    )
  }
  if (asked === undefined) return Math.min(room, maxNewTokens, defaultMaxNewTokens)
  if (asked > room) {
    throw badRequest(
      `[${where}] expected at most ${room} for ${field}, got ${asked}: the prompt has ${promptTokens} tokens, and the context of the model ${contextLength}`,
      field,
      'context_length_exceeded',
    )
  }
  if (asked > maxNewTokens)
    throw badRequest(
      `[${where}] expected at most ${maxNewTokens} for ${field}, got ${asked}; this server allows no more`,
      field,
    )
  return asked
}

/** Parts of a conversation that a template may leave out, and how a request calls them. */
const DROPPED: Readonly<Record<DroppedPart['kind'], string | undefined>> = {
  tools: 'tools',
  tool_calls: 'the tool_calls',
  system: 'the system message',
  message: 'the message',
  // Templates leave the reasoning of earlier turns out on purpose.
  reasoning: undefined,
}

/** The ids of a conversation. @throws ApiError where the template has no place for a part of it */
export async function conversationPrompt(
  where: string,
  served: ServedModel,
  messages: readonly ChatMessage[],
  options: ConversationOptions,
  signal: AbortSignal,
): Promise<Int32Array> {
  const onDropped = (parts: readonly DroppedPart[]): void => {
    for (const { kind, message } of parts) {
      const what = DROPPED[kind]
      if (what === undefined) continue
      const param = message === undefined ? kind : `messages[${message}]`
      const place = message === undefined ? '' : ` ${param}`
      throw badRequest(
        `[${where}] expected a chat template that prints ${what}${place}, but this model's leaves it out`,
        param,
      )
    }
  }
  return await encode(where, served, messages, { ...options, onDropped }, signal, 'messages')
}

/** The ids of a text. @throws ApiError for an empty one */
export async function textPrompt(
  where: string,
  served: ServedModel,
  text: string,
  signal: AbortSignal,
): Promise<Int32Array> {
  return await encode(where, served, text, {}, signal, 'prompt')
}

async function encode(
  where: string,
  { tokenizer, vocabSize }: ServedModel,
  prompt: Prompt,
  options: ConversationOptions,
  signal: AbortSignal,
  param: string,
): Promise<Int32Array> {
  const ids = await new Turns(signal).run(encodePromptInSteps(tokenizer, prompt, options)).catch((error: unknown) => {
    // A template refuses messages by an error of the model; what is wrong is the request.
    if (error instanceof ModelError || (error instanceof LowrankError && error.code === 'INVALID_CALL'))
      throw badRequest(`[${where}] ${toError(error).message.replace(/^\[[^\]]*\] /, '')}`, param)
    throw error
  })
  const unknown = ids.find((id) => id >= vocabSize)
  if (unknown !== undefined)
    throw badRequest(`[${where}] expected tokens of the model, got ${unknown}, which it does not have`, param)
  return Int32Array.from(ids)
}

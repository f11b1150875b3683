/**
 * @file What a row asks, as tokens, and what is right: of every form of rows that training takes. Prompts are encoded
 * as in training, up to where the answer begins.
 */

import { alpacaPrompt } from '../data/alpaca.js'
import { prepareConversation } from '../data/conversation.js'
import { type EncodeRowOptions, encodeRowSteps } from '../data/examples.js'
import type { Conversation, SequenceContent } from '../data/forms/row-form.js'
import type { DataRow } from '../data/row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { encodePrompt } from '../generation/prompt-ids.js'
import { type ChatMessage, type ChatRenderer, renderSteps } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { isObject, toError } from '../values.js'

/** What a model is asked. */
export interface RowPrompt {
  /** The ids that the answer follows. */
  readonly ids: readonly number[]
  /** The same for people. */
  readonly shown: string
  /** What is right; absent where the row does not say. */
  readonly reference?: string
  /** What stands between the prompt and a label or choice that is put behind it: a blank, or nothing. */
  readonly delimiter: string
  /** The ids of a text behind the prompt, encoded together with it as training encodes them. */
  continuation(text: string): readonly number[]
}

/** How prompts are made. */
export interface PromptContext {
  readonly tokenizer: Tokenizer
  readonly renderer: ChatRenderer
  readonly roleMapping: Readonly<Record<string, string>>
  readonly chatTemplateKwargs: Readonly<Record<string, unknown>>
  readonly applyChatTemplate: boolean
  readonly systemInstruction: string | undefined
}

/** The result of `steps`. @throws what they throw, naming the row */
export function* namingRow<T>(origin: RowOrigin, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps
  } catch (error) {
    throw rowError(origin, `${toError(error).message} (in ${describeOrigin(origin)})`, { cause: error })
  }
}

/** What a recognised row asks. The last turn of the assistant is what is right, or the completion. */
export function* promptOfRow(row: DataRow, context: PromptContext): Steps<RowPrompt | undefined> {
  const { origin } = row
  switch (row.form) {
    case 'text':
    case 'stepwise':
      return undefined
    case 'completion':
      return yield* promptOfText(row.prompt, row.completion, context)
    case 'alpaca':
      return yield* promptOfText(alpacaPrompt(row.instruction, row.input), row.output, context)
    case 'messages':
    case 'conversation':
      return yield* promptOfConversation(row, context)
    case 'preference':
      return yield* promptOfRow({ origin, ...row.chosen }, context)
    case 'labelled':
      // An answer that is labelled as bad is not what is right.
      return row.label ? yield* promptOfRow({ origin, ...row.answer }, context) : undefined
    case 'classification':
      return yield* promptOfText(row.text, String(row.label), context)
    case 'prompt':
      return typeof row.prompt === 'string'
        ? yield* promptOfText(row.prompt, undefined, context)
        : yield* promptOfConversation(row.prompt, context)
    case 'segments':
    case 'tokens':
      return yield* promptOfTokens(row, origin, context)
    default:
      return row satisfies never
  }
}

/**
 * A prompt that is text. Blanks at its end belong to the answer: they are part of the answer's first token, which
 * training sees so.
 */
export function* promptOfText(prompt: string, reference: string | undefined, context: PromptContext): Steps<RowPrompt> {
  const answer = reference === undefined ? {} : { reference }
  if (context.applyChatTemplate)
    return { ...(yield* promptOfConversation({ messages: [{ role: 'user', content: prompt }] }, context)), ...answer }
  const shown = prompt.replace(/ +$/, '')
  const ids = encodePrompt(context.tokenizer, shown)
  const continuation = (text: string): readonly number[] =>
    encodePrompt(context.tokenizer, shown + text).slice(ids.length)
  return { ids, shown, ...answer, delimiter: ' ', continuation }
}

/** The messages before the last turn of the assistant, which is what is right. */
function* promptOfConversation(
  conversation: Conversation,
  { tokenizer, renderer, roleMapping, chatTemplateKwargs, systemInstruction }: PromptContext,
): Steps<RowPrompt> {
  // What turns count in the loss matters to training alone.
  const { weights: _, parts: __, ...bare } = conversation
  const system = bare.messages[0]?.role === 'system' || systemInstruction === undefined ? [] : [systemInstruction]
  const given = [...system.map((content) => ({ role: 'system', content })), ...bare.messages]
  const prepared = yield* prepareConversation({ ...bare, messages: given }, renderer, roleMapping, {
    learnAll: false,
    lastTurnOnly: false,
  })
  const { messages } = prepared
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  const asked = last < 0 ? messages : messages.slice(0, last)
  const variables = { ...chatTemplateKwargs, ...conversation.variables }
  const text = yield* renderSteps(renderer, asked, { tools: conversation.tools, variables, addGenerationPrompt: true })
  yield
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  const reference = last < 0 ? undefined : contentText(messages[last] as ChatMessage)
  const continuation = (more: string): readonly number[] =>
    tokenizer.encode(text + more, { addSpecialTokens: false }).slice(ids.length)
  const shown = shownMessages(asked)
  return { ids, shown, ...(reference !== undefined && { reference }), delimiter: '', continuation }
}

/** Tokens before the first answer, and the answer in words. */
function* promptOfTokens(
  row: Extract<SequenceContent, { form: 'segments' | 'tokens' }>,
  origin: RowOrigin,
  { tokenizer, renderer }: PromptContext,
): Steps<RowPrompt | undefined> {
  const { example } = yield* encodeRowSteps({ origin, ...row }, tokenizer, renderer, WHOLE_ROWS)
  const { inputIds, promptLength } = example
  if (promptLength === 0 || promptLength === inputIds.length) return undefined
  const ids = Array.from(inputIds.subarray(0, promptLength))
  const answer = Array.from(inputIds.subarray(promptLength))
  const shown = tokenizer.decode(ids, { skipSpecialTokens: true })
  const continuation = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false })
  const reference = tokenizer.decode(answer, { skipSpecialTokens: true })
  return { ids, shown, reference, delimiter: '', continuation }
}

const WHOLE_ROWS: EncodeRowOptions = {
  maxLength: Number.MAX_SAFE_INTEGER,
  completionOnlyLoss: true,
  assistantOnlyLoss: true,
}

/** The words of a message; undefined where it has none, as a call of a tool. */
function contentText({ content }: ChatMessage): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const texts = content.flatMap((part: unknown) => (isObject(part) && typeof part.text === 'string' ? [part.text] : []))
  return texts.length > 0 ? texts.join('') : undefined
}

/** Messages one behind the other, as a reader wants to see them. */
function shownMessages(messages: readonly ChatMessage[]): string {
  return messages.map((message) => `${message.role}: ${contentText(message) ?? ''}`).join('\n')
}

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
import { DataError } from '../lowrank-error.js'
import { type ChatMessage, type ChatRenderer, renderSteps } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { isObject, toError } from '../values.js'

/** What a model is asked. */
export interface RowPrompt {
  /** The ids that the answer follows. */
  readonly ids: readonly number[]
  /** The whole text before the answer. */
  readonly text: string
  /** What stands between the prompt and a label or choice that is put behind it: a blank, or nothing. */
  readonly delimiter: string
  /** The ids of a text behind the prompt, encoded together with it as training encodes them. */
  continuation(text: string): readonly number[]
}

/** What a row asks, before examples are put before it and it is encoded. */
export type Question = { /** The question for people. */ readonly shown: string; readonly reference?: string } & (
  | { readonly form: 'text' }
  | {
      readonly form: 'conversation'
      readonly conversation: Conversation
      /** The messages before the last turn of the assistant. */
      readonly asked: readonly ChatMessage[]
      /** That turn. */
      readonly answer?: ChatMessage
    }
  | { readonly form: 'tokens'; readonly ids: readonly number[] }
)

/** A question with its answer, as it stands before another one. */
export interface FewshotExample {
  readonly question: Question
  readonly answer: string
}

/** What stands before a question. */
export interface Context {
  readonly description: string
  readonly examples: readonly FewshotExample[]
}

/** Nothing stands before the question. */
export const NO_CONTEXT: Context = { description: '', examples: [] }

/** How prompts are made. */
export interface PromptContext {
  readonly tokenizer: Tokenizer
  readonly renderer: ChatRenderer
  readonly roleMapping: Readonly<Record<string, string>>
  readonly chatTemplateKwargs: Readonly<Record<string, unknown>>
  readonly applyChatTemplate: boolean
  readonly systemInstruction: string | undefined
  readonly targetDelimiter: string
  readonly fewshotDelimiter: string
  readonly fewshotAsMultiturn: boolean
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
export function* questionOfRow(row: DataRow, context: PromptContext): Steps<Question | undefined> {
  const { origin } = row
  switch (row.form) {
    case 'text':
    case 'stepwise':
      return undefined
    case 'completion':
      return yield* questionOfText(row.prompt, row.completion, context)
    case 'alpaca':
      return yield* questionOfText(alpacaPrompt(row.instruction, row.input), row.output, context)
    case 'messages':
    case 'conversation':
      return yield* questionOfConversation(row, context)
    case 'preference':
      return yield* questionOfRow({ origin, ...row.chosen }, context)
    case 'labelled':
      // An answer that is labelled as bad is not what is right.
      return row.label ? yield* questionOfRow({ origin, ...row.answer }, context) : undefined
    case 'classification':
      return yield* questionOfText(row.text, String(row.label), context)
    case 'prompt':
      return typeof row.prompt === 'string'
        ? yield* questionOfText(row.prompt, undefined, context)
        : yield* questionOfConversation(row.prompt, context)
    case 'segments':
    case 'tokens':
      return yield* questionOfTokens(row, origin, context)
    default:
      return row satisfies never
  }
}

/**
 * A question that is text. Blanks at its end belong to the answer: they are part of the answer's first token, which
 * training sees so.
 */
export function* questionOfText(
  prompt: string,
  reference: string | undefined,
  context: PromptContext,
): Steps<Question | undefined> {
  const answer = reference === undefined ? {} : { reference }
  if (!context.applyChatTemplate) return { form: 'text', shown: prompt.replace(/ +$/, ''), ...answer }
  return {
    ...(yield* questionOfConversation({ messages: [{ role: 'user', content: prompt }] }, context)),
    ...answer,
  }
}

/** The messages before the last turn of the assistant, which is what is right. */
function* questionOfConversation(
  given: Conversation,
  { renderer, roleMapping, systemInstruction }: PromptContext,
): Steps<Question> {
  // What turns count in the loss matters to training alone.
  const { weights: _, parts: __, ...bare } = given
  const system = bare.messages[0]?.role === 'system' || systemInstruction === undefined ? [] : [systemInstruction]
  const conversation = {
    ...bare,
    messages: [...system.map((content) => ({ role: 'system', content })), ...bare.messages],
  }
  const { messages } = yield* prepareConversation(conversation, renderer, roleMapping, NOT_LEARNT)
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  const asked = last < 0 ? messages : messages.slice(0, last)
  const answer = messages[last]
  const reference = answer && contentText(answer)
  return {
    form: 'conversation',
    shown: shownMessages(asked),
    ...(reference !== undefined && { reference }),
    conversation,
    asked,
    ...(answer && { answer }),
  }
}

/** Tokens before the first answer, and the answer in words. */
function* questionOfTokens(
  row: Extract<SequenceContent, { form: 'segments' | 'tokens' }>,
  origin: RowOrigin,
  { tokenizer, renderer }: PromptContext,
): Steps<Question | undefined> {
  const { example } = yield* encodeRowSteps({ origin, ...row }, tokenizer, renderer, WHOLE_ROWS)
  const { inputIds, promptLength } = example
  if (promptLength === 0 || promptLength === inputIds.length) return undefined
  const ids = Array.from(inputIds.subarray(0, promptLength))
  const answer = Array.from(inputIds.subarray(promptLength))
  const shown = tokenizer.decode(ids, { skipSpecialTokens: true })
  return { form: 'tokens', shown, reference: tokenizer.decode(answer, { skipSpecialTokens: true }), ids }
}

/**
 * The question as tokens, behind a description and examples.
 * @throws DataError for examples that cannot stand before a question of its form
 */
export function* encodeQuestion(question: Question, before: Context, context: PromptContext): Steps<RowPrompt> {
  const { tokenizer, fewshotDelimiter, targetDelimiter } = context
  switch (question.form) {
    case 'text': {
      const text = before.description + textOfExamples(before.examples, context) + question.shown
      const ids = encodePrompt(tokenizer, text)
      const continuation = (more: string): readonly number[] => encodePrompt(tokenizer, text + more).slice(ids.length)
      return { ids, text, delimiter: targetDelimiter, continuation }
    }
    case 'conversation': {
      const text = yield* renderQuestion(question, before, context, fewshotDelimiter)
      yield
      const ids = tokenizer.encode(text, { addSpecialTokens: false })
      const continuation = (more: string): readonly number[] =>
        tokenizer.encode(text + more, { addSpecialTokens: false }).slice(ids.length)
      return { ids, text, delimiter: '', continuation }
    }
    case 'tokens': {
      if (before.examples.length > 0 || before.description !== '')
        throw new DataError(
          'expected rows of text or messages with numFewshot or description, got tokens; name the columns with docToText and docToTarget',
        )
      const { ids, shown } = question
      const continuation = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false })
      return { ids, text: shown, delimiter: '', continuation }
    }
    default:
      return question satisfies never
  }
}

type ConversationQuestion = Extract<Question, { form: 'conversation' }>

function* renderQuestion(
  { conversation, asked }: ConversationQuestion,
  before: Context,
  context: PromptContext,
  delimiter: string,
): Steps<string> {
  const { renderer, roleMapping, chatTemplateKwargs } = context
  let messages = asked
  if (before.description !== '' || before.examples.length > 0) {
    const [first] = asked
    const own = first?.role === 'system' ? [first] : []
    const turns = asked.slice(own.length)
    const system = before.description === '' ? own : [describedSystem(own[0], before.description, delimiter)]
    const given = context.fewshotAsMultiturn
      ? [...system, ...before.examples.flatMap(turnsOfExample), ...turns]
      : [...system, ...behindText(turns, textOfExamples(before.examples, context))]
    const all = { ...conversation, messages: given }
    messages = (yield* prepareConversation(all, renderer, roleMapping, NOT_LEARNT)).messages
  }
  const variables = { ...chatTemplateKwargs, ...conversation.variables }
  return yield* renderSteps(renderer, messages, { tools: conversation.tools, variables, addGenerationPrompt: true })
}

/** The system message with the description of the task behind it. */
function describedSystem(system: ChatMessage | undefined, description: string, delimiter: string): ChatMessage {
  const content = system === undefined ? undefined : contentText(system)
  return { ...system, role: 'system', content: content ? content + delimiter + description : description }
}

/** An example as turns. The system message is that of the question. */
function turnsOfExample({ question, answer }: FewshotExample): readonly ChatMessage[] {
  const { form } = question
  if (form === 'tokens') throw noExample(form)
  if (form === 'text')
    return [
      { role: 'user', content: question.shown },
      { role: 'assistant', content: answer },
    ]
  const turns = question.asked.filter(({ role }, place) => place > 0 || role !== 'system')
  // The turn itself says more than its words where it calls a tool or thinks.
  const own = question.answer !== undefined && question.reference === answer ? question.answer : undefined
  return [...turns, own ?? { role: 'assistant', content: answer }]
}

/** Examples one behind the other, each with its answer, as lm-evaluation-harness writes them. */
function textOfExamples(
  examples: readonly FewshotExample[],
  { targetDelimiter, fewshotDelimiter }: PromptContext,
): string {
  return examples
    .map(({ question, answer }) => {
      const isSpaced = /^\s/.test(answer) && /^\s+$/.test(targetDelimiter)
      return `${textOfQuestion(question)}${isSpaced ? '' : targetDelimiter}${answer}${fewshotDelimiter}`
    })
    .join('')
}

function textOfQuestion(question: Question): string {
  if (question.form === 'text') return question.shown
  if (question.form === 'tokens') throw noExample(question.form)
  const turns = question.asked.filter(({ role }, place) => place > 0 || role !== 'system')
  const [turn] = turns
  const content = turn && contentText(turn)
  if (turns.length === 1 && turn?.role === 'user' && content !== undefined) return content
  throw new DataError(
    `expected examples of one question each where they are text, got one of ${turns.length} turns; set fewshotAsMultiturn to true`,
  )
}

/** The last turn of the user, behind the text of examples. */
function behindText(turns: readonly ChatMessage[], text: string): readonly ChatMessage[] {
  const place = turns.findLastIndex(({ role }) => role === 'user')
  const turn = turns[place]
  const content = turn && contentText(turn)
  if (turn !== undefined && content !== undefined) return turns.with(place, { ...turn, content: text + content })
  throw new DataError('expected a message of the user to put examples before, got none; set fewshotAsMultiturn to true')
}

function noExample(form: string): DataError {
  return new DataError(`expected examples of text or messages, got ${form}; give other rows as fewshotSamples`)
}

const NOT_LEARNT = { learnAll: false, lastTurnOnly: false } as const

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

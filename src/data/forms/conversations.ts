/** @file Rows that are conversations: messages, ShareGPT, prompts and completions of messages, Vertex. */

import { describeValue } from '../../errors.js'
import type { Steps } from '../../turns.js'
import { isObject } from '../../values.js'
import { type Messages, messagesOf, parseList, parseObject, withoutNulls } from '../messages.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { isPresent, wrongType } from '../row-values.js'
import {
  type Columns,
  type Conversation,
  has,
  isFilled,
  type RowForm,
  type SequenceContent,
  textOf,
} from './row-form.js'

/** Columns that reach the chat template beside messages, or say how its tools were called. */
export const TEMPLATE_COLUMNS = ['tools', 'functions', 'parallel_tool_calls', 'chat_template_kwargs'] as const

/** Columns beside a list of messages. */
export const BESIDE_MESSAGES = ['system', ...TEMPLATE_COLUMNS] as const

export const CONVERSATIONS: readonly RowForm[] = [
  {
    name: 'messages',
    columns: ['messages'],
    optional: BESIDE_MESSAGES,
    read: (row, origin) => readMessages(row, 'messages', origin),
  },
  {
    name: 'sharegpt',
    columns: ['conversations'],
    optional: BESIDE_MESSAGES,
    read: (row, origin) => readMessages(row, 'conversations', origin),
  },
  {
    name: 'promptCompletion',
    columns: ['prompt', 'completion'],
    optional: TEMPLATE_COLUMNS,
    matches: ({ prompt, completion }) => Array.isArray(prompt) && Array.isArray(completion),
    read: (row, origin) => readPrompted(row, 'prompt', 'completion', origin),
  },
]

export const VERTEX: RowForm = {
  name: 'vertex',
  columns: ['contents'],
  optional: ['systemInstruction', 'tools'],
  read: readVertex,
}

export function* readMessages(
  row: Columns,
  name: 'messages' | 'conversations',
  origin: RowOrigin,
): Steps<{ form: 'messages' } & Conversation> {
  return { form: 'messages', ...(yield* conversationOf(row, name, origin)) }
}

/** The messages of one column with what their row has beside them. */
export function* conversationOf(row: Columns, name: string, origin: RowOrigin): Steps<Conversation> {
  const messages = withSystem(yield* messagesOf(row[name], name, origin), row, origin)
  return { ...messages, ...(yield* besides(row, origin, messages)) }
}

/** Two lists of messages, of which the second is learnt. */
export function* readPrompted(
  row: Columns,
  promptName: string,
  answerName: string,
  origin: RowOrigin,
): Steps<SequenceContent> {
  const prompt = withSystem(yield* messagesOf(row[promptName], promptName, origin), row, origin)
  const given = row[answerName]
  // LLaMA-Factory has one message for an answer.
  const answer = yield* messagesOf(isObject(given) ? [given] : given, answerName, origin)
  const both = joined(prompt, answer)
  const promptMessages = prompt.messages.length
  return { form: 'conversation', promptMessages, ...both, ...(yield* besides(row, origin, both)) }
}

const VERTEX_ROLES: ReadonlyMap<unknown, string> = new Map([
  ['user', 'user'],
  ['model', 'assistant'],
])

function* readVertex(row: Columns, origin: RowOrigin): Steps<SequenceContent> {
  const { contents, systemInstruction, ...rest } = row
  if (!Array.isArray(contents)) throw wrongType('a list of { role, parts }', 'contents', origin, contents)
  const turns: object[] = []
  for (const [index, entry] of contents.entries()) {
    yield
    const where = `contents[${index}]`
    if (!isObject(entry)) throw wrongType('{ role, parts }', where, origin, entry)
    const role = VERTEX_ROLES.get(entry.role)
    if (role === undefined) throw wrongType("'user' or 'model'", `${where}.role`, origin, entry.role)
    turns.push({ role, content: partsOf(entry.parts, `${where}.parts`, origin) })
  }
  if (isPresent(systemInstruction)) {
    const isText = typeof systemInstruction === 'string'
    const { parts } = isObject(systemInstruction) ? systemInstruction : { parts: systemInstruction }
    const content = isText ? systemInstruction : partsOf(parts, 'systemInstruction.parts', origin)
    turns.unshift({ role: 'system', content })
  }
  return yield* readMessages({ ...rest, messages: turns }, 'messages', origin)
}

function partsOf(parts: unknown, where: string, origin: RowOrigin): object[] {
  const list = Array.isArray(parts) ? parts : [parts]
  return list.map((part: unknown, index) => {
    if (isObject(part) && typeof part.text === 'string') {
      const other = Object.keys(part).find((key) => key !== 'text' && isPresent(part[key]))
      if (other === undefined) return { type: 'text', text: part.text }
    }
    throw wrongType('{ text } alone', `${where}[${index}]`, origin, part)
  })
}

/** One list of messages behind another. */
function joined(a: Messages, b: Messages): Messages {
  const none = (messages: readonly unknown[]): undefined[] => messages.map(() => undefined)
  const nullArguments = (a.nullArguments ?? 0) + (b.nullArguments ?? 0)
  return {
    messages: [...a.messages, ...b.messages],
    ...((a.weights ?? b.weights) && {
      weights: [...(a.weights ?? none(a.messages)), ...(b.weights ?? none(b.messages))],
    }),
    ...((a.parts ?? b.parts) && { parts: [...(a.parts ?? none(a.messages)), ...(b.parts ?? none(b.messages))] }),
    ...(nullArguments > 0 && { nullArguments }),
  }
}

/** The column `system` of ShareGPT sets is the first message. */
function withSystem(given: Messages, row: Columns, origin: RowOrigin): Messages {
  if (!isFilled(row.system)) return given
  const content = textOf(row, 'system', origin)
  const [first] = given.messages
  if (first?.role !== 'system') return joined({ messages: [{ role: 'system', content }] }, given)
  if (first.content === content) return given
  throw rowError(
    origin,
    `[data] expected one system message in ${describeOrigin(origin)}, got ${describeValue(content)} in the column system and another in ` +
      'the messages; remove one',
  )
}

// What the renderer sets itself: as variables of a row they would be overwritten, or overwrite the row.
const RESERVED_VARIABLES = [
  'messages',
  'conversation',
  'tools',
  'add_generation_prompt',
  'continue_final_message',
  'chat_template',
]

/** Columns that reach the chat template beside the messages. */
export function* besides(
  row: Columns,
  origin: RowOrigin,
  { nullArguments = 0 }: Pick<Messages, 'nullArguments'> = {},
): Steps<Partial<Conversation>> {
  const nulls = { count: nullArguments }
  const found: Partial<Conversation> = {}
  const tools = (yield* toolsOf(row.tools, 'tools', origin, nulls)) ?? (yield* functionsOf(row, origin, nulls))
  if (tools !== undefined) found.tools = tools
  const { chat_template_kwargs: given, parallel_tool_calls: parallel } = row
  if (isPresent(parallel) && typeof parallel !== 'boolean')
    throw wrongType('true or false', 'parallel_tool_calls', origin, parallel)
  if (isPresent(given)) {
    const variables: unknown =
      typeof given === 'string' ? yield* parseObject(given, 'chat_template_kwargs', origin) : given
    if (typeof variables !== 'object' || variables === null || Array.isArray(variables))
      throw wrongType('an object', 'chat_template_kwargs', origin, given)
    const named = Object.fromEntries(
      [...(variables instanceof Map ? variables : Object.entries(variables))].filter(([, value]) => isPresent(value)),
    ) as Record<string, unknown>
    const reserved = RESERVED_VARIABLES.find((name) => Object.hasOwn(named, name))
    if (reserved !== undefined) {
      throw rowError(
        origin,
        `[data] expected variables of the template for chat_template_kwargs in ${describeOrigin(origin)}, got ${reserved}; give it as a ` +
          'column or option of its own',
      )
    }
    found.variables = named
  }
  if (nulls.count > 0) found.nullArguments = nulls.count
  return found
}

/** OpenAI's older column: the functions of what are tools now. */
function* functionsOf(row: Columns, origin: RowOrigin, nulls: { count: number }): Steps<unknown[] | undefined> {
  const functions = yield* toolsOf(row.functions, 'functions', origin, nulls)
  return functions?.map((described) => ({ type: 'function', function: described }))
}

/** Tools as a list, or as the JSON text of one, as the Hub's sets have them; undefined for none. */
function* toolsOf(
  given: unknown,
  name: string,
  origin: RowOrigin,
  nulls: { count: number },
): Steps<unknown[] | undefined> {
  if (!isPresent(given)) return undefined
  if (typeof given === 'string' && ['', 'null'].includes(given.trim())) return undefined
  const isText = typeof given === 'string'
  const list = isText ? yield* parseList(given, name, origin) : given
  if (!Array.isArray(list)) throw wrongType('a list', name, origin, given)
  const tools: unknown[] = []
  for (const [index, entry] of list.entries()) {
    yield
    const where = `${name}[${index}]`
    const tool =
      typeof entry === 'string'
        ? yield* parseObject(entry, where, origin)
        : isText
          ? (entry as unknown)
          : yield* withoutNulls(entry, where, origin, nulls)
    if (typeof tool !== 'object' || tool === null || Array.isArray(tool))
      throw wrongType('an object', where, origin, entry)
    tools.push(tool)
  }
  return tools.length > 0 ? tools : undefined
}

/** Messages that a row spells in columns of its own: a system message, a history, a question and its answer. */
export function* spelledConversation(
  turns: readonly (readonly [role: string, content: string])[],
  row: Columns,
  origin: RowOrigin,
): Steps<{ form: 'messages' } & Conversation> {
  const messages = turns.map(([role, content]) => ({ role, content }))
  return { form: 'messages', messages, ...(yield* besides(has(row, 'tools') ? { tools: row.tools } : {}, origin)) }
}

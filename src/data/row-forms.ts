/**
 * @file Recognising what a row is by its columns, and checking these. What a row becomes in tokens is in `examples.ts`; how
 * rows are read is in `rows.ts`.
 */

import { describeValue, listNames } from '../errors.js'
import { runAtOnce, type Steps } from '../turns.js'
import { isObject } from '../values.js'
import { isPresent, type Messages, messagesOf, parseList, parseObject, withoutNulls, wrongType } from './messages.js'
import { rowError } from './row-error.js'

/** A row whose form is known and whose columns have been checked. */
export type DataRow = { origin: string; ignoredColumns?: readonly string[] } & RowContent

/** A conversation, and what reaches the chat template beside it. */
export interface Conversation extends Messages {
  tools?: readonly unknown[]
  variables?: Record<string, unknown>
}

type RowContent =
  | ({ form: 'messages' } & Conversation)
  // Messages from `promptMessages` on are the completion.
  | ({ form: 'conversation'; promptMessages: number } & Conversation)
  | { form: 'completion'; prompt: string; completion: string }
  | { form: 'alpaca'; instruction: string; input: string; output: string }
  | { form: 'text'; text: string }

type Columns = Record<string, unknown>

const FORMS = 'messages, conversations, prompt and completion, instruction and output (with or without input), or text'
const USED = {
  messages: ['messages', 'system', 'tools', 'chat_template_kwargs'],
  conversations: ['conversations', 'system', 'tools', 'chat_template_kwargs'],
  completion: ['prompt', 'completion'],
  conversation: ['prompt', 'completion', 'tools', 'chat_template_kwargs'],
  alpaca: ['instruction', 'input', 'output'],
  text: ['text'],
} as const

const MEDIA_COLUMNS = ['image', 'images', 'audio', 'audios', 'video', 'videos'] as const

/**
 * The form of one row. Of several that fit, the first of: messages, conversations, prompt/completion, Alpaca, text.
 *
 * @param origin What errors call the row, for example `train.jsonl:17`.
 * @throws DataError naming the row for one that is not an object, lacks the columns of every form, has one of the wrong type, or
 * has something that would be lost.
 */
export function recognizeRow(value: unknown, origin: string): DataRow {
  return runAtOnce(recognizeSteps(value, origin))
}

/** `recognizeRow` for rows of any size. */
export function* recognizeSteps(value: unknown, origin: string): Steps<DataRow> {
  const row = columnsOf(value, origin)
  for (const name of MEDIA_COLUMNS) {
    if (!isFilled(row[name])) continue
    throw rowError(
      origin,
      `[data] expected rows of text, got ${name} in ${origin}: ${describeValue(row[name])}; leave the row out, or the column`,
    )
  }
  const lists = Object.values(row).filter(
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'),
  )
  if (lists.length > 1 && lists.length === Object.keys(row).length) {
    throw rowError(
      origin,
      `[data] expected a row in ${origin}, got lists of texts under ${listNames(Object.keys(row))}, as tables by columns have ` +
        'them; write one object per row',
    )
  }
  if (has(row, 'messages')) return yield* messagesRow(row, 'messages', origin)
  if (has(row, 'conversations')) return yield* messagesRow(row, 'conversations', origin)
  if (has(row, 'prompt') && has(row, 'completion')) return yield* promptCompletion(row, origin)
  if (has(row, 'instruction') && has(row, 'output')) {
    refuse(row, 'system', origin, 'the Alpaca prompt has no place for it: use messages')
    refuse(row, 'history', origin, 'the Alpaca prompt has no place for it: use messages')
    const input = has(row, 'input') ? textOf(row, 'input', origin) : ''
    const instruction = textOf(row, 'instruction', origin)
    const output = textOf(row, 'output', origin)
    return { origin, form: 'alpaca', instruction, input, output, ...ignored(row, USED.alpaca) }
  }
  if (has(row, 'text')) return { origin, form: 'text', text: textOf(row, 'text', origin), ...ignored(row, USED.text) }
  const empty = Object.keys(row).filter((name) => row[name] === null)
  throw rowError(
    origin,
    `[data] expected the columns ${FORMS} in ${origin}, got ${listNames(Object.keys(row)) || 'no columns'}` +
      `${empty.length > 0 ? ` (null: ${listNames(empty)})` : ''}; ${remedyFor(row)}`,
  )
}

/** What to do with a row of no form: some files hold their rows within one object. */
function remedyFor(row: Columns): string {
  const entries = Object.entries(row)
  const list = entries.find(([, value]) => Array.isArray(value) && value.length > 0 && value.every(isObject))
  if (list !== undefined && entries.length < MOST_BESIDE_ROWS && !CONVERSATION_COLUMNS.has(list[0]))
    return `where ${describeValue(list[0])} holds the rows, write that list alone into the file`
  if (entries.length > 1 && entries.every(([, value]) => isObject(value)))
    return 'where its values are the rows, write them as a JSON array, or each on a line of its own'
  if (has(row, 'chosen') && has(row, 'rejected'))
    return 'rows of preferences are not trained on: write what was chosen as messages, or as prompt and completion'
  return 'rename or convert the columns'
}

// Names under which a list of objects is a conversation that is called by another name.
const CONVERSATION_COLUMNS: ReadonlySet<string> = new Set([
  'conversation',
  'dialog',
  'dialogue',
  'chat',
  'turns',
  'history',
])
// A file that wraps its rows says little beside them: a version, a name.
const MOST_BESIDE_ROWS = 8

function has(row: Columns, name: string): boolean {
  return isPresent(row[name])
}

function columnsOf(value: unknown, origin: string): Columns {
  // Of a row only the columns count, not their order.
  if (value instanceof Map)
    return Object.assign(Object.create(null) as Columns, Object.fromEntries(value as Map<string, unknown>))
  if (isObject(value)) return value
  throw rowError(origin, `[data] expected an object for each row, got ${describeValue(value)} in ${origin}`)
}

function* messagesRow(row: Columns, name: 'messages' | 'conversations', origin: string): Steps<DataRow> {
  refuse(
    row,
    'functions',
    origin,
    "write them as tools: [{ type: 'function', function: { name, description, parameters } }]",
  )
  // Rows of preferences, as LLaMA-Factory has them: an answer that is labelled as bad is not one to learn.
  if (typeof row.kto_tag === 'boolean') {
    throw rowError(
      origin,
      `[data] expected ${name} without a label in ${origin}, got kto_tag: ${row.kto_tag}, as for KTO; keep the rows whose tag is ` +
        'true and remove the column',
    )
  }
  const messages = withSystem(yield* messagesOf(row[name], name, origin), row, origin)
  return {
    origin,
    form: 'messages',
    ...messages,
    ...(yield* besides(row, origin, messages)),
    ...ignored(row, USED[name]),
  }
}

function* promptCompletion(row: Columns, origin: string): Steps<DataRow> {
  // Rows of preferences: a completion that is labelled as bad is not one to learn.
  if (typeof row.label === 'boolean') {
    throw rowError(
      origin,
      `[data] expected prompt and completion without a label in ${origin}, got label: ${row.label}, as for KTO; keep the ` +
        'rows whose label is true and remove the column',
    )
  }
  if (typeof row.prompt === 'string' && typeof row.completion === 'string') {
    const { prompt, completion } = row
    return { origin, form: 'completion', prompt, completion, ...ignored(row, USED.completion) }
  }
  if (Array.isArray(row.prompt) && Array.isArray(row.completion)) {
    const prompt = yield* messagesOf(row.prompt, 'prompt', origin)
    const completion = yield* messagesOf(row.completion, 'completion', origin)
    const both = joined(prompt, completion)
    const promptMessages = prompt.messages.length
    return {
      origin,
      form: 'conversation',
      promptMessages,
      ...both,
      ...(yield* besides(row, origin, both)),
      ...ignored(row, USED.conversation),
    }
  }
  throw rowError(
    origin,
    `[data] expected two texts or two lists of messages for prompt and completion in ${origin}, got ` +
      `${describeValue(row.prompt)} and ${describeValue(row.completion)}`,
  )
}

function joined(a: Messages, b: Messages): Messages {
  const learnOf = ({ messages, learn }: Messages) => learn ?? messages.map(() => undefined)
  const nullArguments = (a.nullArguments ?? 0) + (b.nullArguments ?? 0)
  return {
    messages: [...a.messages, ...b.messages],
    ...((a.learn ?? b.learn) && { learn: [...learnOf(a), ...learnOf(b)] }),
    ...(nullArguments > 0 && { nullArguments }),
  }
}

/** The column `system` of ShareGPT sets is the first message. */
function withSystem(given: Messages, row: Columns, origin: string): Messages {
  if (!isPresent(row.system) || row.system === '') return given
  const content = textOf(row, 'system', origin)
  const [first] = given.messages
  if (first?.role !== 'system') return joined({ messages: [{ role: 'system', content }] }, given)
  if (first.content === content) return given
  throw rowError(
    origin,
    `[data] expected one system message in ${origin}, got ${describeValue(content)} in the column system and another in ` +
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
function* besides(row: Columns, origin: string, { nullArguments = 0 }: Messages): Steps<Partial<Conversation>> {
  const nulls = { count: nullArguments }
  const found: Partial<Conversation> = {}
  const tools = yield* toolsOf(row.tools, origin, nulls)
  if (tools !== undefined) found.tools = tools
  const { chat_template_kwargs: given } = row
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
        `[data] expected variables of the template for chat_template_kwargs in ${origin}, got ${reserved}; give it as a ` +
          'column or option of its own',
      )
    }
    found.variables = named
  }
  if (nulls.count > 0) found.nullArguments = nulls.count
  return found
}

/** Tools as a list, or as the JSON text of one, as the Hub's sets have them; undefined for none. */
function* toolsOf(given: unknown, origin: string, nulls: { count: number }): Steps<unknown[] | undefined> {
  if (!isPresent(given)) return undefined
  if (typeof given === 'string' && ['', 'null'].includes(given.trim())) return undefined
  const isText = typeof given === 'string'
  const list = isText ? yield* parseList(given, 'tools', origin) : given
  if (!Array.isArray(list)) throw wrongType('a list', 'tools', origin, given)
  const tools: unknown[] = []
  for (const [index, entry] of list.entries()) {
    yield
    const where = `tools[${index}]`
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

function textOf(row: Columns, name: string, origin: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw wrongType('a text', name, origin, value)
  return value
}

function refuse(row: Columns, name: string, origin: string, remedy: string): void {
  if (!isFilled(row[name])) return
  throw rowError(origin, `[data] expected no column ${name} in ${origin}, got ${describeValue(row[name])}; ${remedy}`)
}

function isFilled(value: unknown): boolean {
  return isPresent(value) && value !== '' && !(Array.isArray(value) && value.length === 0)
}

function ignored(row: Columns, used: readonly string[]): { ignoredColumns?: string[] } {
  const names = Object.keys(row).filter((name) => !used.includes(name) && isPresent(row[name]))
  return names.length > 0 ? { ignoredColumns: names } : {}
}

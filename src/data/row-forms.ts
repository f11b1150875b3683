/**
 * @file Recognising what a row is by its columns, and checking these. What a row becomes in tokens is in `examples.ts`;
 * how rows are read is in `rows.ts`.
 */

import { describeValue, listNames } from '../errors.js'
import { runAtOnce, type Steps } from '../turns.js'
import { isObject } from '../values.js'
import { isPresent, type Messages, messagesOf, parseList, parseObject, withoutNulls, wrongType } from './messages.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'

/** A row whose form is known and whose columns have been checked. */
export type DataRow = { origin: RowOrigin; ignoredColumns?: readonly string[] } & RowContent

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

/** One form that rows may have. */
interface RowForm {
  /** Columns that a row of this form has. */
  readonly columns: readonly string[]
  /** Columns that it may have beside them. */
  readonly optional: readonly string[]
  /** Whether a row that has `columns` is of this form. Default: it is. */
  readonly matches?: (row: Columns) => boolean
  /**
   * Checks the columns and takes what they hold.
   * @throws naming the row for what is of the wrong type or would be lost
   */
  readonly read: (row: Columns, origin: RowOrigin) => Steps<RowContent>
}

const TEMPLATE_COLUMNS = ['tools', 'chat_template_kwargs']

/**
 * The forms of rows. A row that fits several has the first of them. Messages, the names that the option `columns`
 * knows, and what counts as an ignored column come from here.
 */
const ROW_FORMS: readonly RowForm[] = [
  {
    columns: ['messages'],
    optional: ['system', ...TEMPLATE_COLUMNS],
    read: (row, origin) => readMessages(row, 'messages', origin),
  },
  {
    columns: ['conversations'],
    optional: ['system', ...TEMPLATE_COLUMNS],
    read: (row, origin) => readMessages(row, 'conversations', origin),
  },
  {
    columns: ['prompt', 'completion'],
    optional: TEMPLATE_COLUMNS,
    matches: ({ prompt, completion }) => Array.isArray(prompt) && Array.isArray(completion),
    read: readPromptedConversation,
  },
  { columns: ['prompt', 'completion'], optional: [], read: (row, origin) => atOnce(readCompletion(row, origin)) },
  { columns: ['instruction', 'output'], optional: ['input'], read: (row, origin) => atOnce(readAlpaca(row, origin)) },
  { columns: ['text'], optional: [], read: (row, origin) => atOnce(readText(row, origin)) },
]

/** `messages, conversations, prompt and completion, instruction and output, or text` */
const FORMS = new Intl.ListFormat('en', { type: 'disjunction' }).format(
  new Set(ROW_FORMS.map(({ columns }) => columns.join(' and '))),
)

/** Every column that some form knows. */
export const FORM_COLUMNS: readonly string[] = [
  ...new Set(ROW_FORMS.flatMap(({ columns, optional }) => [...columns, ...optional])),
]

const MEDIA_COLUMNS = ['image', 'images', 'audio', 'audios', 'video', 'videos'] as const

/**
 * The form of one row: the first of the list that fits.
 *
 * @param origin What errors call the row, for example `train.jsonl:17`.
 * @throws DataError naming the row for one that is not an object, lacks the columns of every form, has one of the wrong
 * type, or has something that would be lost.
 */
export function recognizeRow(value: unknown, origin: RowOrigin): DataRow {
  return runAtOnce(recognizeSteps(value, origin))
}

/** `recognizeRow` for rows of any size. */
export function* recognizeSteps(value: unknown, origin: RowOrigin): Steps<DataRow> {
  const row = columnsOf(value, origin)
  for (const name of MEDIA_COLUMNS) {
    if (!isFilled(row[name])) continue
    throw rowError(
      origin,
      `[data] expected rows of text, got ${name} in ${describeOrigin(origin)}: ${describeValue(row[name])}; leave the row out, or the column`,
    )
  }
  const lists = Object.values(row).filter(
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'),
  )
  if (lists.length > 1 && lists.length === Object.keys(row).length) {
    throw rowError(
      origin,
      `[data] expected a row in ${describeOrigin(origin)}, got lists of texts under ${listNames(Object.keys(row))}, as tables by columns have ` +
        'them; write one object per row',
    )
  }
  const form = formOf(row)
  if (form !== undefined) {
    const isUsed = (name: string): boolean => form.columns.includes(name) || form.optional.includes(name)
    const ignored = Object.keys(row).filter((name) => !isUsed(name) && isPresent(row[name]))
    return { origin, ...(yield* form.read(row, origin)), ...(ignored.length > 0 && { ignoredColumns: ignored }) }
  }
  const empty = Object.keys(row).filter((name) => row[name] === null)
  throw rowError(
    origin,
    `[data] expected the columns ${FORMS} in ${describeOrigin(origin)}, got ${listNames(Object.keys(row)) || 'no columns'}` +
      `${empty.length > 0 ? ` (null: ${listNames(empty)})` : ''}; ${remedyFor(row)}`,
  )
}

/** The first form that a row has. */
function formOf(row: Columns): RowForm | undefined {
  return ROW_FORMS.find(({ columns, matches }) => columns.every((name) => has(row, name)) && matches?.(row) !== false)
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
  return "rename the columns, or map them, as with columns: { prompt: 'question', completion: 'answer' }"
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

function columnsOf(value: unknown, origin: RowOrigin): Columns {
  // Only the columns of a row count, not their order.
  if (value instanceof Map)
    return Object.assign(Object.create(null) as Columns, Object.fromEntries(value as Map<string, unknown>))
  if (isObject(value)) return value
  throw rowError(
    origin,
    `[data] expected an object for each row, got ${describeValue(value)} in ${describeOrigin(origin)}`,
  )
}

function* readMessages(row: Columns, name: 'messages' | 'conversations', origin: RowOrigin): Steps<RowContent> {
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
      `[data] expected ${name} without a label in ${describeOrigin(origin)}, got kto_tag: ${row.kto_tag}, as for KTO; keep the rows whose tag is ` +
        'true and remove the column',
    )
  }
  const messages = withSystem(yield* messagesOf(row[name], name, origin), row, origin)
  return { form: 'messages', ...messages, ...(yield* besides(row, origin, messages)) }
}

function* readPromptedConversation(row: Columns, origin: RowOrigin): Steps<RowContent> {
  refuseLabel(row, origin)
  const prompt = yield* messagesOf(row.prompt, 'prompt', origin)
  const completion = yield* messagesOf(row.completion, 'completion', origin)
  const both = joined(prompt, completion)
  const promptMessages = prompt.messages.length
  return { form: 'conversation', promptMessages, ...both, ...(yield* besides(row, origin, both)) }
}

function readCompletion(row: Columns, origin: RowOrigin): RowContent {
  refuseLabel(row, origin)
  const { prompt, completion } = row
  if (typeof prompt === 'string' && typeof completion === 'string') return { form: 'completion', prompt, completion }
  throw rowError(
    origin,
    `[data] expected two texts or two lists of messages for prompt and completion in ${describeOrigin(origin)}, got ` +
      `${describeValue(prompt)} and ${describeValue(completion)}`,
  )
}

/** Rows of preferences: a completion that is labelled as bad is not one to learn. */
function refuseLabel(row: Columns, origin: RowOrigin): void {
  if (typeof row.label !== 'boolean') return
  throw rowError(
    origin,
    `[data] expected prompt and completion without a label in ${describeOrigin(origin)}, got label: ${row.label}, as for KTO; keep the ` +
      'rows whose label is true and remove the column',
  )
}

function readAlpaca(row: Columns, origin: RowOrigin): RowContent {
  refuse(row, 'system', origin, 'the Alpaca prompt has no place for it: use messages')
  refuse(row, 'history', origin, 'the Alpaca prompt has no place for it: use messages')
  const input = has(row, 'input') ? textOf(row, 'input', origin) : ''
  return {
    form: 'alpaca',
    instruction: textOf(row, 'instruction', origin),
    input,
    output: textOf(row, 'output', origin),
  }
}

function readText(row: Columns, origin: RowOrigin): RowContent {
  return { form: 'text', text: textOf(row, 'text', origin) }
}

// biome-ignore lint/correctness/useYield: it stands where others read rows of any size.
function* atOnce(content: RowContent): Steps<RowContent> {
  return content
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
function withSystem(given: Messages, row: Columns, origin: RowOrigin): Messages {
  if (!isPresent(row.system) || row.system === '') return given
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
function* besides(row: Columns, origin: RowOrigin, { nullArguments = 0 }: Messages): Steps<Partial<Conversation>> {
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
        `[data] expected variables of the template for chat_template_kwargs in ${describeOrigin(origin)}, got ${reserved}; give it as a ` +
          'column or option of its own',
      )
    }
    found.variables = named
  }
  if (nulls.count > 0) found.nullArguments = nulls.count
  return found
}

/** Tools as a list, or as the JSON text of one, as the Hub's sets have them; undefined for none. */
function* toolsOf(given: unknown, origin: RowOrigin, nulls: { count: number }): Steps<unknown[] | undefined> {
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

function textOf(row: Columns, name: string, origin: RowOrigin): string {
  const value = row[name]
  if (typeof value !== 'string') throw wrongType('a text', name, origin, value)
  return value
}

function refuse(row: Columns, name: string, origin: RowOrigin, remedy: string): void {
  if (!isFilled(row[name])) return
  throw rowError(
    origin,
    `[data] expected no column ${name} in ${describeOrigin(origin)}, got ${describeValue(row[name])}; ${remedy}`,
  )
}

function isFilled(value: unknown): boolean {
  return isPresent(value) && value !== '' && !(Array.isArray(value) && value.length === 0)
}

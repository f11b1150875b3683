/**
 * @file Rows of a data set: reading them from files or iterables and recognising their form by their columns. What a row
 * becomes in tokens is in `examples.ts`.
 */

import { stat } from 'node:fs/promises'
import { describeValue, listNames } from '../errors.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import { findFiles, readRecords } from './files.js'

/**
 * Where rows come from: a path or glob, several of them, or an iterable of objects. A list may mix neither.
 */
export type DataSource = string | readonly string[] | Iterable<object> | AsyncIterable<object>

/** How much of a source has been read; filled in while rows come. */
export interface ReadProgress {
  /** From 0 to 1, by bytes of files or rows of an array; absent where the size is not known. */
  fraction?: number
}

/** A row whose form is known and whose columns have been checked. */
export type DataRow = { origin: string } & RowContent

type RowContent =
  | {
      form: 'messages'
      messages: readonly ChatMessage[]
      tools?: readonly unknown[]
      variables?: Record<string, unknown>
    }
  | {
      form: 'conversation'
      prompt: readonly ChatMessage[]
      completion: readonly ChatMessage[]
      tools?: readonly unknown[]
      variables?: Record<string, unknown>
    }
  | { form: 'completion'; prompt: string; completion: string }
  | { form: 'alpaca'; instruction: string; input: string; output: string }
  | { form: 'text'; text: string }

type Columns = Record<string, unknown>

const FORMS = 'messages, prompt and completion, instruction and output (with or without input), or text'

/**
 * Reads rows one after the other.
 *
 * @throws Error naming file and line (or row) for a row that is not an object, lacks the columns of every form, has one of
 * the wrong type, or has another form than the rows before it in its file.
 */
export async function* readRows(
  source: DataSource,
  signal?: AbortSignal,
  progress: ReadProgress = {},
): AsyncGenerator<DataRow> {
  if (typeof source === 'string') {
    yield* readFiles(await findFiles(expectPath(source)), signal, progress)
    return
  }
  if (!isIterable(source)) {
    throw new Error(`[data] expected a path, a glob or an iterable of rows for dataset, got ${describeValue(source)}`)
  }
  if (Array.isArray(source) && source.length > 0 && source.every((entry) => typeof entry === 'string')) {
    const paths: string[] = []
    for (const path of source as string[]) paths.push(...(await findFiles(expectPath(path))))
    yield* readFiles(paths, signal, progress)
    return
  }
  yield* sameForm(numbered(source as Iterable<object> | AsyncIterable<object>, signal, progress))
}

function expectPath(source: string): string {
  if (!/^[a-z]+:\/\//.test(source)) return source
  throw new Error(
    `[data] expected a file, a glob or rows, got ${describeValue(source)}; such addresses are not read yet`,
  )
}

async function* readFiles(
  paths: readonly string[],
  signal: AbortSignal | undefined,
  progress: ReadProgress,
): AsyncGenerator<DataRow> {
  const sizes: number[] = []
  for (const path of paths) sizes.push((await stat(path)).size)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let before = 0
  for (const [index, path] of paths.entries()) {
    const onBytes = (bytes: number): void => {
      progress.fraction = total === 0 ? 1 : Math.min(1, (before + bytes) / total)
    }
    yield* sameForm(readRecords(path, signal, onBytes))
    before += sizes[index] as number
  }
}

async function* numbered(
  source: Iterable<object> | AsyncIterable<object>,
  signal: AbortSignal | undefined,
  progress: ReadProgress,
) {
  const total = Array.isArray(source) ? source.length : undefined
  let row = 0
  for await (const value of source) {
    signal?.throwIfAborted()
    if (total !== undefined) progress.fraction = Math.min(1, (row + 1) / total)
    yield { value: value as unknown, origin: `row ${++row}` }
  }
}

async function* sameForm(records: AsyncIterable<{ value: unknown; origin: string }>): AsyncGenerator<DataRow> {
  let first: DataRow | undefined
  for await (const { value, origin } of records) {
    const row = recognizeRow(value, origin)
    first ??= row
    if (row.form !== first.form) {
      throw new Error(
        `[data] expected one form of rows in a file, got ${row.form} in ${origin} after ${first.form} in ` +
          `${first.origin}; put each form into a file of its own`,
      )
    }
    yield row
  }
}

/**
 * The form of one row. Of several that fit, the first of: messages, prompt/completion, Alpaca, text. Columns beyond those
 * of the form are ignored.
 *
 * @param origin What errors call the row, for example `train.jsonl:17`.
 */
export function recognizeRow(value: unknown, origin: string): DataRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`[data] expected an object for each row, got ${describeValue(value)} in ${origin}`)
  }
  const row = value as Columns
  const has = (name: string): boolean => row[name] !== undefined && row[name] !== null
  if (has('messages'))
    return { origin, form: 'messages', messages: messagesOf(row, 'messages', origin), ...extras(row, origin) }
  if (has('prompt') && has('completion')) return promptCompletion(row, origin)
  if (has('instruction') && has('output')) {
    const input = has('input') ? textOf(row, 'input', origin) : ''
    const instruction = textOf(row, 'instruction', origin)
    return { origin, form: 'alpaca', instruction, input, output: textOf(row, 'output', origin) }
  }
  if (has('text')) return { origin, form: 'text', text: textOf(row, 'text', origin) }
  const empty = Object.keys(row).filter((name) => row[name] === null)
  throw new Error(
    `[data] expected the columns ${FORMS} in ${origin}, got ${listNames(Object.keys(row)) || 'no columns'}` +
      `${empty.length > 0 ? ` (null: ${listNames(empty)})` : ''}; rename or convert the columns`,
  )
}

function promptCompletion(row: Columns, origin: string): DataRow {
  if (typeof row.prompt === 'string' && typeof row.completion === 'string') {
    return { origin, form: 'completion', prompt: row.prompt, completion: row.completion }
  }
  if (Array.isArray(row.prompt) && Array.isArray(row.completion)) {
    const prompt = messagesOf(row, 'prompt', origin)
    const completion = messagesOf(row, 'completion', origin)
    return { origin, form: 'conversation', prompt, completion, ...extras(row, origin) }
  }
  throw new Error(
    `[data] expected two texts or two lists of messages for prompt and completion in ${origin}, got ` +
      `${describeValue(row.prompt)} and ${describeValue(row.completion)}`,
  )
}

/** Columns that reach the chat template beside the messages. */
function extras(row: Columns, origin: string): { tools?: readonly unknown[]; variables?: Record<string, unknown> } {
  const { tools, chat_template_kwargs: variables } = row
  const known: { tools?: readonly unknown[]; variables?: Record<string, unknown> } = {}
  if (tools !== undefined && tools !== null) {
    if (!Array.isArray(tools)) throw wrongType('a list', 'tools', origin, tools)
    known.tools = tools
  }
  if (variables !== undefined && variables !== null) {
    if (typeof variables !== 'object' || Array.isArray(variables))
      throw wrongType('an object', 'chat_template_kwargs', origin, variables)
    known.variables = variables as Record<string, unknown>
  }
  return known
}

function messagesOf(row: Columns, name: string, origin: string): readonly ChatMessage[] {
  const messages = row[name]
  if (!Array.isArray(messages) || messages.length === 0) throw wrongType('a list of messages', name, origin, messages)
  messages.forEach((message: unknown, index) => {
    const { role, content } = (typeof message === 'object' ? (message ?? {}) : {}) as Columns
    if (typeof role !== 'string') {
      throw wrongType('{ role, content } with a text for role', `${name}[${index}]`, origin, message)
    }
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content)) {
      throw wrongType('a text or a list of parts', `${name}[${index}].content`, origin, content)
    }
  })
  return messages as ChatMessage[]
}

function textOf(row: Columns, name: string, origin: string): string {
  const value = row[name]
  if (typeof value !== 'string') throw wrongType('a text', name, origin, value)
  return value
}

function wrongType(expected: string, name: string, origin: string, got: unknown): Error {
  return new Error(`[data] expected ${expected} for ${name} in ${origin}, got ${describeValue(got)}`)
}

function isIterable(source: unknown): boolean {
  return typeof source === 'object' && source !== null && (Symbol.iterator in source || Symbol.asyncIterator in source)
}

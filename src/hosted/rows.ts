/**
 * @file Rows of any form that holds a conversation become the JSON Lines of a service, checked against what it takes
 * before anything is sent.
 */

import { createHash } from 'node:crypto'
import { writeFileAtomic } from '../atomic-write.js'
import type { DataRow } from '../data/row-forms.js'
import { recognizeSteps } from '../data/row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { type DataSource, openSource } from '../data/sources/open-source.js'
import { batchesOf } from '../data/sources/row-batches.js'
import { jsonText } from '../lossless-json.js'
import { DataError } from '../lowrank-error.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { Turns } from '../turns.js'
import { isObject } from '../values.js'
import type { HostedProvider } from './connect-options.js'

/** Rows on this machine, as a service takes them. */
export interface RowsSummary {
  readonly rows: number
  /** Tokens of the texts, without those of a chat template. */
  readonly tokens: number
  /** `counted` by the tokenizer that was given; `estimated`: a token for each four bytes of text. */
  readonly tokensAre: 'counted' | 'estimated'
  readonly bytes: number
  /** SHA-256 of the file, in hex. */
  readonly digest: string
}

/** A message of a conversation, and whether it is learnt. */
export interface HostedRowMessage {
  readonly role: string
  readonly content: string
  readonly weight: 0 | 1
  readonly toolCalls: readonly unknown[] | undefined
  readonly others: Readonly<Record<string, unknown>>
}

/** A conversation of a row. */
export interface HostedRow {
  readonly origin: RowOrigin
  readonly messages: readonly HostedRowMessage[]
  readonly tools: readonly unknown[] | undefined
}

const MEGABYTE = 1e6
/** Bytes of UTF-8 that a token of most languages has; said wherever it is used. */
const BYTES_PER_TOKEN = 4
const FEWEST_ROWS = 10
const LARGEST_FILE = 512 * MEGABYTE
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function']
const BOM = '\ufeff'

/** The conversations of a data set. @throws DataError naming a row that is none */
export async function* conversationsOf(
  source: DataSource,
  name: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<HostedRow> {
  const turns = new Turns(signal)
  const context = { signal, turns, onFraction: () => {}, onLineage: () => {}, needsHash: false }
  for await (const batch of batchesOf(openSource(source, name), context)) {
    for (const [index, value] of batch.values.entries()) {
      turns.throwIfAborted()
      yield conversationOf(await turns.run(recognizeSteps(value, batch.origin(index))))
    }
  }
}

/**
 * Writes the file of a service.
 * @param tokenizer Directory of a tokenizer that counts; undefined: tokens are estimated.
 * @throws DataError for rows that the service would refuse
 */
export async function writeRowsFile(
  source: DataSource,
  path: string,
  options: {
    readonly provider: HostedProvider
    readonly name: string
    readonly tokenizer: string | undefined
    readonly signal: AbortSignal | undefined
    readonly onRows?: (rows: number) => void
  },
): Promise<RowsSummary> {
  const { provider, name, signal } = options
  const tokenizer = options.tokenizer === undefined ? undefined : await loadTokenizer(options.tokenizer)
  const hash = createHash('sha256')
  let rows = 0
  let tokens = 0
  let bytes = 0
  async function* lines(): AsyncGenerator<Uint8Array> {
    for await (const row of conversationsOf(source, name, signal)) {
      const text = `${provider === 'azure' && rows === 0 ? BOM : ''}${jsonText(provider === 'vertex' ? vertexRow(row) : openaiRow(row))}\n`
      const line = Buffer.from(text)
      const spoken = row.messages.map(({ content, toolCalls }) => content + (toolCalls ? jsonText(toolCalls) : ''))
      for (const part of spoken)
        tokens += tokenizer ? tokenizer.encode(part).length : Math.ceil(Buffer.byteLength(part) / BYTES_PER_TOKEN)
      rows++
      bytes += line.length
      if (provider !== 'vertex' && bytes >= LARGEST_FILE)
        throw new DataError(
          `[hosted] expected a file below 512 MB for ${name}, got more by row ${rows}; take fewer rows`,
        )
      hash.update(line)
      options.onRows?.(rows)
      yield line
    }
    const fewest = provider === 'vertex' || name !== 'dataset' ? 1 : FEWEST_ROWS
    if (rows < fewest)
      throw new DataError(`[hosted] expected at least ${fewest} rows for ${name}, got ${rows}; add rows`)
  }
  await writeFileAtomic(path, lines())
  return { rows, tokens, tokensAre: tokenizer ? 'counted' : 'estimated', bytes, digest: hash.digest('hex') }
}

function conversationOf(row: DataRow): HostedRow {
  const { origin } = row
  const refuse = (what: string): never => {
    throw rowError(origin, `[hosted] expected a conversation in ${describeOrigin(origin)}, got ${what}`)
  }
  if (row.weight !== undefined && row.weight !== 1)
    refuse(`row_weight ${row.weight}, which no service knows; leave it out`)
  if (row.form === 'completion') return { origin, tools: undefined, messages: pair(row.prompt, row.completion) }
  if (row.form === 'alpaca') {
    const prompt = row.input === '' ? row.instruction : `${row.instruction}\n\n${row.input}`
    return { origin, tools: undefined, messages: pair(prompt, row.output) }
  }
  if (row.form !== 'messages' && row.form !== 'conversation')
    return refuse(
      `a row of the form ${row.form}; services learn from messages, prompt and completion, or instruction and output`,
    )
  if (row.parts?.some((parts) => parts !== undefined))
    refuse('weights of parts of messages, which no service knows; leave them out')
  if (row.variables !== undefined && Object.keys(row.variables).length > 0)
    refuse('variables of a chat template, which no service knows; leave them out')
  const learnt = row.form === 'conversation' ? row.promptMessages : 0
  const messages = row.messages.map((message, index): HostedRowMessage => {
    const { role, content, tool_calls: toolCalls, ...others } = message
    if (!ROLES.includes(role)) refuse(`the role ${JSON.stringify(role)}; services know ${ROLES.join(', ')}`)
    const weight = row.weights?.[index] ?? (index < learnt ? 0 : 1)
    if (weight !== 0 && weight !== 1) refuse(`weight ${weight} of message ${index + 1}; services take 0 or 1`)
    const calls = Array.isArray(toolCalls) && toolCalls.length > 0 ? toolCalls : undefined
    if (others.thinking !== undefined || others.reasoning_content !== undefined)
      refuse('reasoning beside the content, which services do not learn; leave it out, or write it into the content')
    return { role, content: textOf(content), weight: weight as 0 | 1, toolCalls: calls, others }
  })
  return { origin, messages, tools: row.tools }
}

function pair(prompt: string, completion: string): HostedRowMessage[] {
  const message = { weight: 1, toolCalls: undefined, others: {} } as const
  return [
    { role: 'user', content: prompt, ...message },
    { role: 'assistant', content: completion, ...message },
  ]
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return Array.isArray(content)
    ? content.map((part: unknown) => (isObject(part) ? String(part.text ?? '') : '')).join('')
    : ''
}

function openaiRow(row: HostedRow): object {
  expectLearnt(row)
  const isWeighted = row.messages.some(({ role, weight }) => role === 'assistant' && weight === 0)
  const messages = row.messages.map(({ role, content, weight, toolCalls, others }) => ({
    role,
    ...((content !== '' || toolCalls === undefined) && { content }),
    ...(toolCalls && { tool_calls: toolCalls.map((call, index) => callOf(call, index, row)) }),
    ...others,
    ...(isWeighted && role === 'assistant' && { weight }),
  }))
  return { messages, ...(row.tools && row.tools.length > 0 && { tools: row.tools }) }
}

function vertexRow(row: HostedRow): object {
  expectLearnt(row)
  const refuse = (what: string): never => {
    throw rowError(
      row.origin,
      `[hosted] expected a row that Vertex AI learns in ${describeOrigin(row.origin)}, got ${what}`,
    )
  }
  if (row.tools && row.tools.length > 0) refuse('tools, which lowrank does not write for Vertex AI; leave the row out')
  const system = row.messages.filter(({ role }) => role === 'system' || role === 'developer')
  const contents = row.messages.flatMap((message) => {
    const { role, content, weight, toolCalls } = message
    if (system.includes(message)) return []
    if (toolCalls || (role !== 'user' && role !== 'assistant'))
      refuse('calls of tools, which lowrank does not write for Vertex AI; leave the row out')
    if (role === 'assistant' && weight === 0)
      refuse('an answer that is not to be learnt; Vertex AI learns all of them: leave the row out')
    return [{ role: role === 'assistant' ? 'model' : 'user', parts: [{ text: content }] }]
  })
  const instruction = system.map(({ content }) => ({ text: content }))
  return { ...(system.length > 0 && { systemInstruction: { role: 'system', parts: instruction } }), contents }
}

/** The last message is the model's, and it is learnt. */
function expectLearnt({ origin, messages }: HostedRow): void {
  const last = messages.at(-1)
  if (last?.role !== 'assistant')
    throw rowError(
      origin,
      `[hosted] expected an answer as the last message in ${describeOrigin(origin)}, got role ${last?.role ?? 'none'}; add one`,
    )
  if (!messages.some(({ role, weight }) => role === 'assistant' && weight === 1))
    throw rowError(
      origin,
      `[hosted] expected an answer that is learnt in ${describeOrigin(origin)}, got weight 0 for all; leave the row out`,
    )
}

/** Calls have an id, and their arguments are text. */
function callOf(call: unknown, index: number, { origin }: HostedRow): object {
  const { id, function: called } = (isObject(call) ? call : {}) as {
    readonly id?: unknown
    readonly function?: unknown
  }
  if (!isObject(called) || typeof called.name !== 'string')
    throw rowError(
      origin,
      `[hosted] expected a function in each of tool_calls in ${describeOrigin(origin)}, got a call without one; name it`,
    )
  const given = called.arguments ?? {}
  return {
    id: typeof id === 'string' ? id : `call_${index}`,
    type: 'function',
    function: { name: called.name, arguments: typeof given === 'string' ? given : jsonText(given) },
  }
}

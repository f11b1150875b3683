/** @file Messages of chat completions, checked one by one, as chat templates read them. */

import { describeValue } from '../errors.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import { isObject } from '../values.js'
import { type ApiError, badRequest } from './api-error.js'
import { unknownField } from './fields.js'

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const

/** Fields of a message by its role, besides `role` and `content`. */
const FIELDS: Readonly<Record<(typeof ROLES)[number], readonly string[]>> = {
  system: ['name'],
  developer: ['name'],
  user: ['name'],
  assistant: ['name', 'tool_calls', 'refusal', 'reasoning_content', 'audio', 'function_call', 'annotations'],
  tool: ['tool_call_id', 'name'],
}

/** Fields of a message that mean nothing where they are empty, and that lowrank does not do otherwise. */
const EMPTY_ALONE = ['audio', 'function_call', 'refusal', 'annotations']

const TEXT_PART = {
  type: 'object',
  properties: { type: { const: 'text' }, text: { type: 'string' } },
  required: ['type', 'text'],
}

const CONTENT = { anyOf: [{ type: 'string' }, { type: 'array', items: TEXT_PART, minItems: 1 }] }

const CALLS = {
  type: 'array',
  minItems: 1,
  items: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      type: { const: 'function' },
      function: {
        type: 'object',
        properties: { name: { type: 'string' }, arguments: { type: 'string', description: 'a JSON object' } },
        required: ['name', 'arguments'],
      },
    },
    required: ['id', 'type', 'function'],
  },
}

function messageSchema(roles: readonly string[], properties: object, required: readonly string[]): object {
  const all = { role: { enum: roles }, name: { type: 'string' }, ...properties }
  return { type: 'object', properties: all, required: ['role', ...required], additionalProperties: false }
}

/** JSON Schema of a message, for the published description. */
export const MESSAGE_SCHEMA = {
  anyOf: [
    messageSchema(['system', 'developer', 'user'], { content: CONTENT }, ['content']),
    messageSchema(['assistant'], { content: CONTENT, reasoning_content: { type: 'string' } }, ['content']),
    messageSchema(['assistant'], { content: { anyOf: [CONTENT, { type: 'null' }] }, tool_calls: CALLS }, [
      'tool_calls',
    ]),
    messageSchema(['tool'], { content: CONTENT, tool_call_id: { type: 'string' } }, ['content', 'tool_call_id']),
  ],
}

/** @throws ApiError that names the message and its field */
export function readMessages(where: string, messages: readonly unknown[]): ChatMessage[] {
  if (messages.length === 0) throw badRequest(`[${where}] expected at least one message, got none`, 'messages')
  return messages.map((message, index) => readMessage(where, message, `messages[${index}]`))
}

function readMessage(where: string, message: unknown, at: string): ChatMessage {
  const wrong = (name: string, expected: string, got: unknown, hint = ''): ApiError =>
    badRequest(`[${where}] expected ${expected} for ${at}${name}, got ${describeValue(got)}${hint}`, `${at}${name}`)
  if (!isObject(message)) throw wrong('', '{ role, content }', message)
  const role = ROLES.find((known) => known === message.role)
  if (role === undefined) throw wrong('.role', `one of ${ROLES.join(', ')}`, message.role)
  const known = ['role', 'content', ...FIELDS[role]]
  for (const [name, value] of Object.entries(message)) {
    if (!known.includes(name)) throw unknownField(where, name, known, `${at}.`)
    const isEmpty = value === null || (Array.isArray(value) && value.length === 0)
    if (EMPTY_ALONE.includes(name) && !isEmpty)
      throw wrong(`.${name}`, 'nothing', value, name === 'function_call' ? '; write tool_calls' : '; remove it')
  }
  const content = readContent(where, message.content, `${at}.content`)
  const toolCalls = readToolCalls(where, message.tool_calls, `${at}.tool_calls`)
  if (content === undefined && toolCalls === undefined) throw wrong('.content', 'a text', message.content)
  for (const name of ['name', 'reasoning_content', 'tool_call_id']) {
    const value = message[name]
    if (value !== undefined && value !== null && typeof value !== 'string') throw wrong(`.${name}`, 'a text', value)
  }
  if (role === 'tool' && typeof message.tool_call_id !== 'string')
    throw wrong('.tool_call_id', 'the id of the call that it answers', message.tool_call_id)
  const { name, reasoning_content, tool_call_id } = message
  return {
    // Templates know the developer by the older name.
    role: role === 'developer' ? 'system' : role,
    // OpenAI's clients write null beside calls; templates such as Qwen3's read a text there.
    content: content ?? '',
    ...(typeof name === 'string' && { name }),
    ...(typeof reasoning_content === 'string' && { reasoning_content }),
    ...(typeof tool_call_id === 'string' && { tool_call_id }),
    ...(toolCalls && { tool_calls: toolCalls }),
  }
}

/** A text, or text parts; undefined for null. */
function readContent(where: string, content: unknown, at: string): ChatMessage['content'] | undefined {
  if (content === undefined || content === null) return undefined
  if (typeof content === 'string') return content
  if (!Array.isArray(content) || content.length === 0)
    throw badRequest(`[${where}] expected a text or a list of text parts for ${at}, got ${describeValue(content)}`, at)
  return content.map((part: unknown, index) => {
    const { type, text } = isObject(part) ? part : ({} as Record<string, unknown>)
    if (type === 'text' && typeof text === 'string') return { type, text }
    const what = typeof type === 'string' && type !== 'text' ? describeValue(type) : describeValue(part)
    throw badRequest(
      `[${where}] expected { type: 'text', text } for ${at}[${index}], got ${what}; models read text alone`,
      `${at}[${index}]`,
    )
  })
}

/** Calls with their arguments as objects, which is how templates print them. */
function readToolCalls(where: string, calls: unknown, at: string): Record<string, unknown>[] | undefined {
  if (calls === undefined || calls === null) return undefined
  if (!Array.isArray(calls)) throw badRequest(`[${where}] expected a list for ${at}, got ${describeValue(calls)}`, at)
  if (calls.length === 0) return undefined
  return calls.map((call: unknown, index) => {
    const path = `${at}[${index}]`
    const wrong = (name: string, expected: string, got: unknown): ApiError =>
      badRequest(`[${where}] expected ${expected} for ${path}${name}, got ${describeValue(got)}`, `${path}${name}`)
    if (!isObject(call)) throw wrong('', '{ id, type, function }', call)
    const { id, type, function: called } = call
    if (typeof id !== 'string') throw wrong('.id', 'a text', id)
    if (type !== 'function') throw wrong('.type', "'function'", type)
    if (!isObject(called) || typeof called.name !== 'string') throw wrong('.function', '{ name, arguments }', called)
    return { id, type, function: { name: called.name, arguments: argumentsOf(called.arguments, wrong) } }
  })
}

function argumentsOf(given: unknown, wrong: (name: string, expected: string, got: unknown) => ApiError): unknown {
  const expected = 'a JSON object as text'
  if (typeof given !== 'string') throw wrong('.function.arguments', expected, given)
  let parsed: unknown
  try {
    parsed = given.trim() === '' ? {} : JSON.parse(given)
  } catch {
    throw wrong('.function.arguments', expected, given)
  }
  if (!isObject(parsed)) throw wrong('.function.arguments', expected, given)
  return parsed
}

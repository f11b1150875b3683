/** @file /v1/responses: what is asked, in OpenAI's newer form. The answers are written by responses-writer.ts. */

import { describeValue } from '../errors.js'
import { either, instance, integer, listOf, type Rule } from '../options/rules.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import { isObject } from '../values.js'
import { isObjectList, SHARED_FIELDS } from './answer-fields.js'
import { formatSchema, readFormat } from './answer-format.js'
import { type ApiError, badRequest } from './api-error.js'
import { readMessages } from './chat-messages.js'
import { type FieldTable, IGNORED, onlyNeutral, readFields, unknownField } from './fields.js'
import { type AskedRequest, conversationPrompt, readAsked } from './read-asked.js'
import { ResponseWriter } from './responses-writer.js'
import type { ServedModel } from './served-model.js'
import { readTools, toolFields, toolsForTemplate } from './tools.js'

const WHERE = 'responses'
const MOST_LOGPROBS = 20
const INCLUDED = 'message.output_text.logprobs'

const TEXT_PARTS = ['format', 'verbosity']

const TEXT: Rule = { expected: 'a text', accepts: (value) => typeof value === 'string', schema: { type: 'string' } }

const ITEMS: Rule = {
  ...instance('a list of items', isObjectList),
  schema: { type: 'array', minItems: 1, items: { $ref: '#/components/schemas/InputItem' } },
}

export const RESPONSE_FIELDS = {
  ...SHARED_FIELDS,
  input: { rule: either(TEXT, ITEMS), help: 'a text of the user, or the items of a conversation', isRequired: true },
  instructions: { rule: TEXT, help: 'a system message before all others' },
  max_output_tokens: { rule: integer({ min: 1 }), help: 'tokens of the longest answer' },
  top_logprobs: {
    rule: integer({ min: 0, max: MOST_LOGPROBS }),
    help: `tell so many of the most likely tokens with each; needs include: ["${INCLUDED}"]`,
  },
  include: {
    rule: {
      ...listOf(
        { expected: '', accepts: (value) => value === INCLUDED, schema: { const: INCLUDED } },
        `["${INCLUDED}"]`,
      ),
      hint: () => '; nothing else can be included',
    },
    help: 'what the answer says besides: the log probability of each token',
  },
  text: {
    rule: {
      ...instance(
        '{ format }',
        (value) => isObject(value) && Object.keys(value).every((name) => TEXT_PARTS.includes(name)),
      ),
      schema: {
        type: 'object',
        properties: { format: formatSchema('flat'), verbosity: { enum: ['medium', null] } },
        additionalProperties: false,
      },
    },
    help: 'the form of the answer: { format: { type } } of text, json_object or json_schema',
  },
  ...toolFields('flat'),
  store: IGNORED('nothing is stored', { type: 'boolean' }),
  metadata: IGNORED('notes of the sender', { type: 'object' }),
  previous_response_id: {
    rule: onlyNeutral([], 'nothing is stored: send the items of the conversation in input'),
    help: 'not done: nothing is stored',
  },
  conversation: {
    rule: onlyNeutral([], 'nothing is stored: send the items of the conversation in input'),
    help: 'not done: nothing is stored',
  },
  background: { rule: onlyNeutral([false], 'nothing is stored: wait for the answer'), help: 'not done: only false' },
  truncation: { rule: onlyNeutral(['disabled'], 'shorten the conversation yourself'), help: 'only disabled' },
  reasoning: { rule: onlyNeutral([{}], 'leave it out'), help: 'not done: only {}' },
  prompt: { rule: onlyNeutral([], 'send the text of the prompt in input'), help: 'not done' },
  max_tool_calls: { rule: onlyNeutral([], 'the tools are yours to call'), help: 'not done' },
  stream_options: {
    rule: onlyNeutral([{}, { include_obfuscation: false }], 'the last event always says the usage'),
    help: 'only { include_obfuscation: false }',
  },
} as const satisfies FieldTable

/** JSON Schema of an item of the input, for the published description. */
export const INPUT_ITEM_SCHEMA = {
  anyOf: [
    {
      type: 'object',
      properties: {
        type: { const: 'message' },
        role: { enum: ['user', 'assistant', 'system', 'developer'] },
        content: {
          anyOf: [
            { type: 'string' },
            {
              type: 'array',
              minItems: 1,
              items: {
                type: 'object',
                properties: { type: { enum: ['input_text', 'output_text'] }, text: { type: 'string' } },
                required: ['type', 'text'],
              },
            },
          ],
        },
      },
      required: ['role', 'content'],
    },
    {
      type: 'object',
      properties: {
        type: { const: 'function_call' },
        call_id: { type: 'string' },
        name: { type: 'string' },
        arguments: { type: 'string' },
      },
      required: ['type', 'call_id', 'name', 'arguments'],
    },
    {
      type: 'object',
      properties: { type: { const: 'function_call_output' }, call_id: { type: 'string' }, output: { type: 'string' } },
      required: ['type', 'call_id', 'output'],
    },
  ],
} as const

/** Reads a request's body. @throws ApiError */
export async function askResponse(body: unknown, served: ServedModel, signal: AbortSignal): Promise<AskedRequest> {
  const given = readFields(WHERE, body, RESPONSE_FIELDS)
  served.find(given.model as string)
  const hasLogprobs = (given.include as string[] | undefined)?.includes(INCLUDED) ?? false
  if (given.top_logprobs !== undefined && !hasLogprobs)
    throw badRequest(`[${WHERE}] expected include: ["${INCLUDED}"] with top_logprobs; add it`, 'top_logprobs')
  const { instructions } = given
  const system: ChatMessage[] = typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : []
  const messages = [...system, ...readInput(given.input)]
  const { format, verbosity } = (given.text ?? {}) as { format?: unknown; verbosity?: unknown }
  if ((verbosity ?? 'medium') !== 'medium') throw wrong('text.verbosity', "'medium'", verbosity)
  const schema = readFormat(WHERE, format, 'text.format', 'flat')
  const askedTools = readTools(WHERE, given, 'flat')
  const tools = askedTools.tools.length > 0 ? { tools: toolsForTemplate(askedTools.tools) } : {}
  const prompt = await conversationPrompt(WHERE, served, messages, tools, signal)
  const asked = readAsked(WHERE, given, served, [prompt], {
    maxTokens: given.max_output_tokens,
    maxTokensField: 'max_output_tokens',
    logprobs: hasLogprobs ? ((given.top_logprobs as number | undefined) ?? 0) : undefined,
    format: await served.formats.of(WHERE, schema, 'text.format', askedTools, signal),
  })
  const metadata = (body as { metadata?: unknown }).metadata
  return {
    asked,
    isStream: given.stream === true,
    writer: new ResponseWriter(served, asked.model.id, given, isObject(metadata) ? metadata : {}),
  }
}

/** Items as messages: those of a message as they are, calls and their results as templates have them. */
function readInput(input: unknown): ChatMessage[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }]
  const items = input as Record<string, unknown>[]
  if (items.length === 0) throw badRequest(`[${WHERE}] expected at least one item for input, got none`, 'input')
  const messages: Record<string, unknown>[] = []
  for (const [index, item] of items.entries()) {
    const at = `input[${index}]`
    switch (item.type ?? 'message') {
      case 'message':
        messages.push(messageOf(item, at))
        break
      case 'function_call': {
        const call = callOf(item, at)
        const last = messages.at(-1)
        // Calls that were made together are one message.
        if (last?.role === 'assistant' && Array.isArray(last.tool_calls)) last.tool_calls.push(call)
        else if (last?.role === 'assistant' && items[index - 1]?.type !== 'function_call_output')
          last.tool_calls = [call]
        else messages.push({ role: 'assistant', content: null, tool_calls: [call] })
        break
      }
      case 'function_call_output':
        messages.push({ role: 'tool', tool_call_id: item.call_id, content: outputOf(item.output, `${at}.output`) })
        break
      case 'reasoning':
        // Templates leave the reasoning of earlier turns out, and a reasoning item has but a summary of it.
        break
      default:
        throw wrong(`${at}.type`, 'message, function_call or function_call_output', item.type)
    }
  }
  if (messages.length === 0) throw badRequest(`[${WHERE}] expected at least one message for input, got none`, 'input')
  return readMessages(WHERE, messages)
}

const MESSAGE_FIELDS = ['type', 'role', 'content', 'id', 'status', 'phase']

function messageOf(item: Record<string, unknown>, at: string): Record<string, unknown> {
  for (const name of Object.keys(item))
    if (!MESSAGE_FIELDS.includes(name)) throw unknownField(WHERE, name, MESSAGE_FIELDS, `${at}.`)
  const { role, content } = item
  if (!['user', 'assistant', 'system', 'developer'].includes(role as string))
    throw wrong(`${at}.role`, 'user, assistant, system or developer', role)
  return { role, content: typeof content === 'string' ? content : partsOf(content, `${at}.content`) }
}

/** Text parts by the names that this route has for them. */
function partsOf(content: unknown, at: string): readonly object[] {
  if (!Array.isArray(content) || content.length === 0) throw wrong(at, 'a text or a list of text parts', content)
  return content.map((part: unknown, index) => {
    const { type, text } = isObject(part) ? part : ({} as Record<string, unknown>)
    if (['input_text', 'output_text', 'text'].includes(type as string) && typeof text === 'string')
      return { type: 'text', text }
    throw wrong(`${at}[${index}]`, "{ type: 'input_text', text }", type ?? part, '; models read text alone')
  })
}

function outputOf(output: unknown, at: string): string | readonly object[] {
  return typeof output === 'string' ? output : partsOf(output, at)
}

function callOf({ call_id: id, name, arguments: text }: Record<string, unknown>, at: string): object {
  if (typeof id !== 'string') throw wrong(`${at}.call_id`, 'a text', id)
  if (typeof name !== 'string') throw wrong(`${at}.name`, 'a text', name)
  return { id, type: 'function', function: { name, arguments: text } }
}

function wrong(param: string, expected: string, got: unknown, hint = ''): ApiError {
  return badRequest(`[${WHERE}] expected ${expected} for ${param}, got ${describeValue(got)}${hint}`, param)
}

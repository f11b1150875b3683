/** @file The tools of a request and which of them are to be called, checked, in the one form that the rest knows. */

import { describeValue } from '../errors.js'
import { boolean, instance, type JsonSchema } from '../options/rules.js'
import { isObject } from '../values.js'
import { isObjectList } from './answer-fields.js'
import { type ApiError, badRequest } from './api-error.js'
import { type FieldTable, unknownField } from './fields.js'

/** A function that the model may call. */
interface ServedTool {
  readonly name: string
  readonly description: string | undefined
  /** JSON schema of its arguments. */
  readonly parameters: Readonly<Record<string, unknown>> | undefined
  readonly strict: boolean
}

/** Which tools are to be called: a name means that one. */
type ToolChoice = 'none' | 'auto' | 'required' | { readonly name: string }

export interface AskedTools {
  readonly tools: readonly ServedTool[]
  readonly choice: ToolChoice
  readonly parallel: boolean
}

const MOST_TOOLS = 128
const FIELDS = ['name', 'description', 'parameters', 'strict']

/** How the two routes write a tool and a choice. */
type ToolForm = 'nested' | 'flat'

/** JSON Schema of a tool, for the published description. */
function toolSchema(form: ToolForm): JsonSchema {
  const fields = {
    name: { type: 'string', pattern: '^[A-Za-z0-9_.-]{1,64}$' },
    description: { type: ['string', 'null'] },
    parameters: { type: ['object', 'null'] },
    strict: { type: ['boolean', 'null'] },
  }
  const inner = { type: 'object', properties: fields, required: ['name'], additionalProperties: false }
  const type = { const: 'function' }
  if (form === 'flat') return { ...inner, properties: { type, ...fields }, required: ['type', 'name'] }
  const properties = { type, function: inner }
  return { type: 'object', properties, required: ['type', 'function'], additionalProperties: false }
}

/** JSON Schema of a choice, for the published description. */
const CHOICE_SCHEMAS: Readonly<Record<ToolForm, JsonSchema>> = {
  nested: {
    anyOf: [
      { enum: ['none', 'auto', 'required'] },
      {
        type: 'object',
        properties: {
          type: { const: 'function' },
          function: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
        },
        required: ['type', 'function'],
      },
    ],
  },
  flat: {
    anyOf: [
      { enum: ['none', 'auto', 'required'] },
      {
        type: 'object',
        properties: { type: { const: 'function' }, name: { type: 'string' } },
        required: ['type', 'name'],
      },
    ],
  },
}

/** The fields of a request that are about tools. */
export function toolFields(form: ToolForm) {
  return {
    tools: {
      rule: {
        ...instance('a list of tools', isObjectList),
        schema: { type: 'array', items: toolSchema(form), maxItems: MOST_TOOLS },
      },
      help: 'functions that the model may call',
    },
    tool_choice: {
      rule: {
        ...instance('none, auto, required or a function', (value) => typeof value === 'string' || isObject(value)),
        schema: CHOICE_SCHEMAS[form],
      },
      help: 'none, auto, required, or the function that is to be called',
    },
    parallel_tool_calls: { rule: boolean, help: 'whether there may be several calls; true where it is not given' },
  } as const satisfies FieldTable
}

/** @throws ApiError that names the tool and its field */
export function readTools(where: string, given: Readonly<Record<string, unknown>>, form: ToolForm): AskedTools {
  const list = (given.tools ?? []) as unknown[]
  if (list.length > MOST_TOOLS)
    throw badRequest(`[${where}] expected at most ${MOST_TOOLS} tools, got ${list.length}`, 'tools')
  const tools = list.map((tool, index) => readTool(where, tool, form, `tools[${index}]`))
  const names = tools.map(({ name }) => name)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw badRequest(`[${where}] expected each tool once, got ${twice} twice`, 'tools')
  const choice = readChoice(where, given.tool_choice, form, names)
  return { tools: choice === 'none' ? [] : tools, choice, parallel: given.parallel_tool_calls !== false }
}

function readTool(where: string, tool: unknown, form: ToolForm, at: string): ServedTool {
  const wrong = (name: string, expected: string, got: unknown, hint = ''): ApiError =>
    badRequest(`[${where}] expected ${expected} for ${at}${name}, got ${describeValue(got)}${hint}`, `${at}${name}`)
  if (!isObject(tool)) throw wrong('', 'an object', tool)
  if (tool.type !== 'function') throw wrong('.type', "'function'", tool.type, '; other tools are not done')
  const { type: _, ...flat } = tool
  const described: unknown = form === 'flat' ? flat : tool.function
  const path = form === 'flat' ? '' : '.function'
  if (!isObject(described)) throw wrong(path, '{ name, description, parameters }', described)
  const outer = form === 'flat' ? [] : Object.keys(tool).filter((name) => name !== 'type' && name !== 'function')
  for (const name of outer) throw unknownField(where, name, ['type', 'function'], `${at}.`)
  for (const name of Object.keys(described))
    if (!FIELDS.includes(name)) throw unknownField(where, name, FIELDS, `${at}${path}.`)
  const { name, description, parameters, strict } = described
  if (typeof name !== 'string' || !/^[\w.-]{1,64}$/.test(name))
    throw wrong(`${path}.name`, 'at most 64 letters, digits, _, - and .', name)
  if ((description ?? undefined) !== undefined && typeof description !== 'string')
    throw wrong(`${path}.description`, 'a text', description)
  if ((parameters ?? undefined) !== undefined && !isObject(parameters))
    throw wrong(`${path}.parameters`, 'a JSON schema', parameters)
  if ((strict ?? undefined) !== undefined && typeof strict !== 'boolean')
    throw wrong(`${path}.strict`, 'true or false', strict)
  return {
    name,
    description: typeof description === 'string' ? description : undefined,
    parameters: isObject(parameters) ? parameters : undefined,
    strict: strict === true,
  }
}

function readChoice(where: string, choice: unknown, form: ToolForm, names: readonly string[]): ToolChoice {
  const expected = 'none, auto, required, or one of the tools'
  if (choice === undefined) return names.length === 0 ? 'none' : 'auto'
  if (choice === 'none') return choice
  if (choice === 'auto') return names.length === 0 ? 'none' : 'auto'
  const given =
    isObject(choice) && choice.type === 'function' ? (form === 'flat' ? choice : choice.function) : undefined
  const name = isObject(given) ? given.name : undefined
  if (choice !== 'required' && typeof name !== 'string')
    throw badRequest(`[${where}] expected ${expected} for tool_choice, got ${describeValue(choice)}`, 'tool_choice')
  if (names.length === 0) throw badRequest(`[${where}] expected tools for this tool_choice, got none`, 'tool_choice')
  if (choice === 'required') return choice
  if (names.includes(name as string)) return { name: name as string }
  throw badRequest(
    `[${where}] expected the name of one of the tools for tool_choice, got ${describeValue(name)}`,
    'tool_choice',
  )
}

/** Tools as chat templates print them. */
export function toolsForTemplate(tools: readonly ServedTool[]): readonly object[] {
  return tools.map(({ name, description, parameters }) => ({
    type: 'function',
    function: { name, ...(description !== undefined && { description }), ...(parameters && { parameters }) },
  }))
}

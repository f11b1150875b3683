/**
 * @file What goes into a model and comes out of it, in MLflow's words: text, or a conversation in the form that MLflow
 * and Databricks call `llm/v1/chat`, whose signature is given.
 */

/** What a model is asked. */
export type PackTask = 'text-generation' | 'llm/v1/chat'

/** A type of MLflow's schemas. */
type Type = Readonly<Record<string, unknown>>

const STRING: Type = { type: 'string' }
const LONG: Type = { type: 'long' }
const DOUBLE: Type = { type: 'double' }
const BOOLEAN: Type = { type: 'boolean' }

const listOf = (items: Type): Type => ({ type: 'array', items })
const required = (type: Type): Type => ({ ...type, required: true })
const optional = (type: Type): Type => ({ ...type, required: false })
/** An object by its properties, each of which says whether it is required. */
const object = (properties: Readonly<Record<string, Type>>): Type => ({ type: 'object', properties })
const ANY_MAP: Type = { type: 'map', values: { type: 'any' } }

const TOOL_CALL = object({
  function: required(object({ arguments: required(STRING), name: required(STRING) })),
  id: required(STRING),
  type: required(STRING),
})
const MESSAGE = object({
  content: optional(STRING),
  name: optional(STRING),
  refusal: optional(STRING),
  role: required(STRING),
  tool_call_id: optional(STRING),
  tool_calls: optional(listOf(TOOL_CALL)),
})
const PROPERTY = object({
  description: optional(STRING),
  enum: optional(listOf(STRING)),
  items: optional(object({ type: required(STRING) })),
  type: required(STRING),
})
const PARAMETERS = object({
  additionalProperties: optional(BOOLEAN),
  properties: required({ type: 'map', values: PROPERTY }),
  required: optional(listOf(STRING)),
  type: optional(STRING),
})
const TOOL = object({
  function: optional(
    object({
      description: optional(STRING),
      name: required(STRING),
      parameters: required(PARAMETERS),
      strict: optional(BOOLEAN),
    }),
  ),
  type: required(STRING),
})

const CHAT_INPUTS = {
  messages: required(listOf(MESSAGE)),
  temperature: optional(DOUBLE),
  max_tokens: optional(LONG),
  stop: optional(listOf(STRING)),
  n: optional(LONG),
  stream: optional(BOOLEAN),
  top_p: optional(DOUBLE),
  top_k: optional(LONG),
  frequency_penalty: optional(DOUBLE),
  presence_penalty: optional(DOUBLE),
  tools: optional(listOf(TOOL)),
  custom_inputs: optional(ANY_MAP),
}
const CHAT_OUTPUTS = {
  id: required(STRING),
  object: required(STRING),
  created: required(LONG),
  model: required(STRING),
  choices: required(
    listOf(object({ finish_reason: required(STRING), index: required(LONG), message: required(MESSAGE) })),
  ),
  usage: optional(
    object({ completion_tokens: required(LONG), prompt_tokens: required(LONG), total_tokens: required(LONG) }),
  ),
  custom_outputs: optional(ANY_MAP),
}

const columns = (types: Readonly<Record<string, Type>>): string =>
  JSON.stringify(Object.entries(types).map(([name, type]) => ({ ...type, name })))

const TEXT = JSON.stringify([required(STRING)])
const TEXT_PARAMS = JSON.stringify([{ name: 'max_new_tokens', default: 256, shape: null, type: 'long' }])

/** `signature` of MLmodel. */
export function signatureOf(task: PackTask): Readonly<Record<string, string | null>> {
  if (task === 'llm/v1/chat') return { inputs: columns(CHAT_INPUTS), outputs: columns(CHAT_OUTPUTS), params: null }
  return { inputs: TEXT, outputs: TEXT, params: TEXT_PARAMS }
}

/** The example of an input: for `predict`, and as a request to a server. */
export function exampleOf(task: PackTask, text: string): { readonly input: unknown; readonly served: unknown } {
  if (task === 'llm/v1/chat') {
    const chat = { messages: [{ role: 'user', content: text }] }
    return { input: chat, served: chat }
  }
  return { input: [text], served: { inputs: [text] } }
}

/** @file The published description of the routes, made of the tables that requests are checked by. */

import type { JsonSchema } from '../options/rules.js'
import { packageVersion } from '../version.js'
import { LOAD_FIELDS, UNLOAD_FIELDS } from './admin.js'
import { CHAT_FIELDS } from './chat-completions.js'
import { MESSAGE_SCHEMA } from './chat-messages.js'
import { COMPLETION_TABLE } from './completions.js'
import type { FieldTable } from './fields.js'
import { INPUT_ITEM_SCHEMA, RESPONSE_FIELDS } from './responses.js'

const ERROR = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
      required: ['message', 'type', 'param', 'code'],
    },
  },
  required: ['error'],
}

const MODEL = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    object: { const: 'model' },
    created: { type: 'integer' },
    owned_by: { type: 'string' },
    root: { type: 'string' },
    parent: { type: ['string', 'null'] },
    max_model_len: { type: 'integer' },
  },
  required: ['id', 'object', 'created', 'owned_by'],
}

/** An object whose form the client library of OpenAI describes. */
const answerOf = (object: string, list: string): JsonSchema => ({
  type: 'object',
  properties: {
    id: { type: 'string' },
    object: { const: object },
    model: { type: 'string' },
    [list]: { type: 'array', items: { type: 'object' } },
    usage: { type: 'object' },
  },
  required: ['id', 'object', 'model', list, 'usage'],
})

/** Fields as they may be given: null stands for what is not given. */
function bodyOf(table: FieldTable): JsonSchema {
  const properties = Object.entries(table).map(([name, { rule, help, isRequired }]) => {
    const schema = { description: help, ...rule.schema }
    return [name, isRequired || rule.schema?.type === 'null' ? schema : { anyOf: [schema, { type: 'null' }] }] as const
  })
  const required = Object.keys(table).filter((name) => table[name]?.isRequired)
  return { type: 'object', properties: Object.fromEntries(properties), required, additionalProperties: false }
}

const json = (schema: JsonSchema): object => ({ 'application/json': { schema } })
const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` })

/** Answers that every route may give, by status. */
const ERRORS: Readonly<Record<string, string>> = {
  400: 'the request says something wrong; param names the field',
  401: 'no key, or a wrong one',
  403: 'the server is not known by this host name',
  404: 'no such route or model',
  405: 'the route takes another method',
  408: 'the body did not come in time',
  413: 'the body is too large',
  415: 'the body is no JSON',
  429: 'the server is full; Retry-After says when to ask again',
  500: 'the server failed',
  503: 'the server ends, or has no memory at present',
  504: 'the answer took too long',
}

function responses(description: string, content: object): object {
  const errors = Object.entries(ERRORS).map(([status, says]) => [
    status,
    { description: says, content: json(ref('Error')) },
  ])
  return { 200: { description, content }, ...Object.fromEntries(errors) }
}

interface Post {
  readonly id: string
  readonly summary: string
  readonly table: FieldTable
  readonly answer: JsonSchema
  readonly streams?: true
}

function post({ id, summary, table, answer, streams }: Post): object {
  const content = { ...json(answer), ...(streams && { 'text/event-stream': { schema: { type: 'string' } } }) }
  return {
    post: {
      operationId: id,
      summary,
      requestBody: { required: true, content: json(bodyOf(table)) },
      responses: responses(streams ? 'the answer, or its pieces where stream is true' : 'done', content),
    },
  }
}

function get(id: string, summary: string, content: object, more: object = {}): object {
  return { get: { operationId: id, summary, responses: responses('done', content), ...more } }
}

/** What a server has. */
interface Described {
  /** Whether adapters can be loaded. */
  readonly admin: boolean
  readonly hasKeys: boolean
  readonly page: boolean
  /** Names of models, of which a request names one. */
  readonly models: readonly string[]
}

/** OpenAPI 3.1. */
export function openApi({ admin, hasKeys, page, models }: Described): object {
  const model = { ...CHAT_FIELDS.model, rule: { ...CHAT_FIELDS.model.rule, schema: { enum: models } } }
  const open = { security: [] }
  const text = (type: string): object => ({ [type]: { schema: { type: 'string' } } })
  const status: JsonSchema = { type: 'object', properties: { status: { type: 'string' } }, required: ['status'] }
  const id = { name: 'id', in: 'path', required: true, schema: { type: 'string', minLength: 1 } }
  const list = {
    type: 'object',
    properties: { object: { const: 'list' }, data: { type: 'array', items: ref('Model') } },
    required: ['object', 'data'],
  }
  const deleted = {
    type: 'object',
    properties: { id: { type: 'string' }, deleted: { const: true } },
    required: ['id', 'deleted'],
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'lowrank',
      version: packageVersion() ?? '0',
      description: "A model and its adapters behind OpenAI's interface.",
    },
    ...(hasKeys && { security: [{ key: [] }] }),
    paths: {
      '/v1/chat/completions': post({
        id: 'createChatCompletion',
        summary: 'Answers the last message of a conversation',
        table: { ...CHAT_FIELDS, model },
        answer: answerOf('chat.completion', 'choices'),
        streams: true,
      }),
      '/v1/completions': post({
        id: 'createCompletion',
        summary: 'Continues a text',
        table: { ...COMPLETION_TABLE, model },
        answer: answerOf('text_completion', 'choices'),
        streams: true,
      }),
      '/v1/responses': post({
        id: 'createResponse',
        summary: 'Answers a text or a conversation',
        table: { ...RESPONSE_FIELDS, model },
        answer: answerOf('response', 'output'),
        streams: true,
      }),
      '/v1/models': get('listModels', 'Lists the base model and its adapters', json(list)),
      '/v1/models/{id}': get('retrieveModel', 'Describes a model', json(ref('Model')), { parameters: [id] }),
      ...(admin && {
        '/v1/load_lora_adapter': post({
          id: 'loadLoraAdapter',
          summary: 'Loads an adapter',
          table: LOAD_FIELDS,
          answer: ref('Model'),
        }),
        '/v1/unload_lora_adapter': post({
          id: 'unloadLoraAdapter',
          summary: 'Unloads an adapter',
          table: UNLOAD_FIELDS,
          answer: deleted,
        }),
      }),
      '/health': get('health', 'Whether the server lives', json(status), open),
      '/ready': get('ready', 'Whether the server takes requests', json(status), open),
      '/metrics': get('metrics', 'Figures in the format of Prometheus', text('text/plain')),
      '/openapi.json': get('openApi', 'This description', json({ type: 'object' }), open),
      ...(page && { '/': get('page', 'A page for trying', text('text/html'), open) }),
    },
    components: {
      schemas: { Error: ERROR, Model: MODEL, ChatMessage: MESSAGE_SCHEMA, InputItem: INPUT_ITEM_SCHEMA },
      ...(hasKeys && { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } }),
    },
  }
}

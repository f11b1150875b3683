/**
 * @file What form an answer must have: text, JSON that meets a schema, or calls of tools. It becomes a grammar where it
 * binds, and a syntax by which calls are told from text.
 */

import { describeValue } from '../errors.js'
import type { CompiledGrammar } from '../grammar/grammar-mask.js'
import { compileJsonSchema, JSON_OBJECT } from '../grammar/json-schema.js'
import { createTokenVocabulary, type TokenVocabulary } from '../grammar/vocabulary.js'
import { LowrankError, ModelError, OptionError } from '../lowrank-error.js'
import type { JsonSchema } from '../options/rules.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { compileToolGrammar, type ToolDefinition } from '../tool-calls/tool-grammar.js'
import { type ToolSyntax, toolSyntaxOf } from '../tool-calls/tool-syntax.js'
import { isObject, toError } from '../values.js'
import { badRequest } from './api-error.js'
import type { AskedTools } from './tools.js'

/** How the calls of an answer are read. */
export interface CallFormat {
  readonly syntax: ToolSyntax
  readonly names: readonly string[]
  /** Whether a grammar holds the answer: a call that begins is one. */
  readonly isBound: boolean
  /** What an answer is that begins with no call. */
  readonly otherwise: 'text' | 'value'
}

/** The form of an answer; both absent: text. */
export interface AnswerFormat {
  readonly grammar: CompiledGrammar | undefined
  readonly calls: CallFormat | undefined
}

/** Grammars of the latest schemas. */
const MOST_GRAMMARS = 32

/** The grammars of one model. */
export class AnswerFormats {
  readonly #tokenizer: Tokenizer
  readonly #eosTokenIds: ReadonlySet<number>
  readonly #syntax: ToolSyntax | undefined
  #vocabulary: Promise<TokenVocabulary> | undefined
  readonly #grammars = new Map<string, CompiledGrammar>()

  constructor(tokenizer: Tokenizer, eosTokenIds: ReadonlySet<number>) {
    this.#tokenizer = tokenizer
    this.#eosTokenIds = eosTokenIds
    this.#syntax = toolSyntaxOf(tokenizer)
  }

  /**
   * A schema binds answers that call no tool; where a tool must be called there are none.
   *
   * @param schema what `response_format` or `text.format` says; undefined: text
   * @param param the field that says it
   * @throws ApiError where the model or the grammars cannot do it
   */
  async of(
    where: string,
    schema: unknown,
    param: string,
    asked: AskedTools,
    signal: AbortSignal,
  ): Promise<AnswerFormat> {
    const { tools, choice } = asked
    if (tools.length === 0) {
      const grammar = schema === undefined ? undefined : await this.#jsonGrammar(where, schema, param, signal)
      return { grammar, calls: undefined }
    }
    const syntax = this.#syntax
    if (syntax === undefined) {
      const says = `[${where}] expected a model whose chat template teaches calls of tools in a known syntax (Hermes, Qwen, Llama 3, Mistral), got another; remove tools`
      throw badRequest(says, 'tools')
    }
    const names = tools.map(({ name }) => name)
    // What is wrong with the schema is said of its own field, also where a tool must be called.
    if (schema !== undefined) await this.#jsonGrammar(where, schema, param, signal)
    if (choice === 'auto' && schema !== undefined) {
      const grammar = await this.#toolGrammar(where, syntax, asked, signal, schema)
      // JSON with the name of a tool may turn out to be none of Llama's calls, which have no marker.
      return { grammar, calls: { syntax, names, isBound: syntax.name !== 'llama', otherwise: 'value' } }
    }
    const isBound = choice !== 'auto' || tools.some(({ strict }) => strict)
    const grammar = isBound ? await this.#toolGrammar(where, syntax, asked, signal) : undefined
    return { grammar, calls: { syntax, names, isBound, otherwise: 'text' } }
  }

  async #jsonGrammar(where: string, schema: unknown, param: string, signal: AbortSignal): Promise<CompiledGrammar> {
    return await this.#cached(`json ${JSON.stringify(schema)}`, async (vocabulary) => {
      return await named(where, param, compileJsonSchema(schema, vocabulary, { signal }))
    })
  }

  async #toolGrammar(
    where: string,
    syntax: ToolSyntax,
    { tools, choice, parallel }: AskedTools,
    signal: AbortSignal,
    answer?: unknown,
  ): Promise<CompiledGrammar> {
    const wanted = typeof choice === 'object' ? tools.filter(({ name }) => name === choice.name) : tools
    const isOne = typeof choice === 'object'
    const options = {
      syntax,
      choice: choice === 'auto' ? 'auto' : 'required',
      parallel: parallel && !isOne,
      ...(answer !== undefined && { answer }),
    } as const
    const compile = async (vocabulary: TokenVocabulary): Promise<CompiledGrammar> => {
      const definitions: ToolDefinition[] = []
      for (const { name, parameters, strict } of wanted) {
        // Without strict a schema is a wish: one that no grammar can hold lets any object come.
        const holds =
          strict || parameters === undefined || (choice !== 'auto' && (await isHeld(parameters, vocabulary, signal)))
        definitions.push({ name, ...(parameters && { parameters }), strict: holds })
      }
      return await named(where, 'tools', compileToolGrammar({ ...options, tools: definitions, signal }, vocabulary))
    }
    return await this.#cached(`tools ${JSON.stringify([options, wanted])}`, compile)
  }

  async #cached(
    key: string,
    compile: (vocabulary: TokenVocabulary) => Promise<CompiledGrammar>,
  ): Promise<CompiledGrammar> {
    const known = this.#grammars.get(key)
    if (known !== undefined) {
      this.#grammars.delete(key)
      this.#grammars.set(key, known)
      return known
    }
    const grammar = await compile(await this.#readVocabulary())
    this.#grammars.set(key, grammar)
    const [oldest] = this.#grammars.keys()
    if (this.#grammars.size > MOST_GRAMMARS && oldest !== undefined) this.#grammars.delete(oldest)
    return grammar
  }

  /** Read once, for all requests: the signal of none ends it. */
  async #readVocabulary(): Promise<TokenVocabulary> {
    this.#vocabulary ??= createTokenVocabulary(this.#tokenizer, { eosTokenIds: this.#eosTokenIds })
    try {
      return await this.#vocabulary
    } catch (error) {
      if (error instanceof ModelError) throw badRequest(error.message, undefined, 'unsupported_by_model')
      throw error
    }
  }
}

async function isHeld(parameters: object, vocabulary: TokenVocabulary, signal: AbortSignal): Promise<boolean> {
  try {
    await compileJsonSchema({ type: 'object', ...parameters }, vocabulary, { signal })
    return true
  } catch (error) {
    if (error instanceof OptionError) return false
    throw error
  }
}

/** What is wrong with a schema, as an error about the field that has it. */
async function named<T>(where: string, param: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof LowrankError) || error.code !== 'INVALID_OPTION') throw error
    throw badRequest(`[${where}] ${toError(error).message.replace(/^\[[^\]]*\] /, '')}`, param, 'invalid_schema')
  }
}

const FORMAT_FIELDS = ['type', 'json_schema']
const SCHEMA_FIELDS = ['name', 'description', 'schema', 'strict']

/**
 * The schema that `response_format` (`nested`) or `text.format` (`flat`) asks for; undefined: text.
 * @throws ApiError
 */
export function readFormat(where: string, format: unknown, param: string, form: 'nested' | 'flat'): unknown {
  if (format === undefined || format === null) return undefined
  const wrong = (name: string, expected: string, got: unknown): Error =>
    badRequest(`[${where}] expected ${expected} for ${param}${name}, got ${describeValue(got)}`, `${param}${name}`)
  if (!isObject(format)) throw wrong('', 'an object', format)
  const known = form === 'flat' ? ['type', ...SCHEMA_FIELDS] : FORMAT_FIELDS
  for (const name of Object.keys(format)) if (!known.includes(name)) throw wrong(`.${name}`, 'nothing', format[name])
  switch (format.type) {
    case 'text':
      return undefined
    case 'json_object':
      return JSON_OBJECT
    case 'json_schema': {
      const given: unknown = form === 'flat' ? format : format.json_schema
      const path = form === 'flat' ? '' : '.json_schema'
      if (!isObject(given)) throw wrong(path, '{ name, schema }', given)
      const unknown = Object.keys(given).find(
        (name) => !SCHEMA_FIELDS.includes(name) && !(form === 'flat' && name === 'type'),
      )
      if (unknown !== undefined) throw wrong(`${path}.${unknown}`, 'nothing', given[unknown])
      if (typeof given.name !== 'string' || !/^[\w-]{1,64}$/.test(given.name))
        throw wrong(`${path}.name`, 'at most 64 letters, digits, _ and -', given.name)
      if (!isObject(given.schema)) throw wrong(`${path}.schema`, 'a JSON schema', given.schema)
      return given.schema
    }
    default:
      throw wrong('.type', 'text, json_object or json_schema', format.type)
  }
}

/** JSON Schema of that field, for the published description. */
export function formatSchema(form: 'nested' | 'flat'): JsonSchema {
  const schema = {
    name: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
    description: { type: ['string', 'null'] },
    schema: { type: 'object' },
    strict: { type: ['boolean', 'null'] },
  }
  const type = { const: 'json_schema' }
  const nested = { type: 'object', properties: schema, required: ['name', 'schema'], additionalProperties: false }
  const byName =
    form === 'flat'
      ? { ...nested, properties: { type, ...schema }, required: ['type', 'name', 'schema'] }
      : {
          type: 'object',
          properties: { type, json_schema: nested },
          required: ['type', 'json_schema'],
          additionalProperties: false,
        }
  const simple = {
    type: 'object',
    properties: { type: { enum: ['text', 'json_object'] } },
    required: ['type'],
    additionalProperties: false,
  }
  return { anyOf: [simple, byName] }
}

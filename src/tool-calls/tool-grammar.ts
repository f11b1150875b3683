/**
 * @file Calls of tools as a grammar: what a model has to write where it must call a tool, and what it may write of
 * calls where it can.
 */

import { freeText, type Terminal, textWithMarker, withoutFirst } from '../grammar/byte-automaton.js'
import { type CompiledGrammar, grammarOf } from '../grammar/grammar-mask.js'
import { valueRule } from '../grammar/json-schema.js'
import { type GrammarRule, Program, type State } from '../grammar/program.js'
import type { TokenVocabulary } from '../grammar/vocabulary.js'
import { OptionError } from '../lowrank-error.js'
import { Turns } from '../turns.js'
import type { ToolSyntax } from './tool-syntax.js'

/** A tool as a request describes it. */
export interface ToolDefinition {
  readonly name: string
  /**
   * JSON schema of the arguments.
   * @default none: any object
   */
  readonly parameters?: unknown
  /**
   * false: arguments are any object, whatever the schema says.
   * @default true
   */
  readonly strict?: boolean
}

export interface ToolGrammarOptions {
  readonly syntax: ToolSyntax
  readonly tools: readonly ToolDefinition[]
  /**
   * - `auto`: text and calls; what begins as a call is one
   * - `required`: one call or more, and no text
   */
  readonly choice: 'auto' | 'required'
  /**
   * JSON schema of answers that call no tool; for `auto` alone. There is no text beside calls then.
   * @default none: text
   */
  readonly answer?: unknown
  /**
   * Whether there may be several calls.
   * @default true
   */
  readonly parallel?: boolean
  /** @default none: the work goes on to its end */
  readonly signal?: AbortSignal | undefined
}

const TURN_MS = 5
/** `{` */
const BRACE = 0x7b

/**
 * A grammar of answers that call tools with arguments that meet their schemas; to have one tool called, give that one
 * alone.
 *
 * In Llama's syntax, which needs no marker, what begins with `{` is a call.
 *
 * @throws OptionError where there are no tools, for names that no JSON can hold as they are, where a schema is wrong or
 * not supported, and for `answer` beside strict tools in a syntax whose calls have no marker
 */
export async function compileToolGrammar(
  { syntax, tools, choice, answer, parallel = true, signal }: ToolGrammarOptions,
  vocabulary: TokenVocabulary,
): Promise<CompiledGrammar> {
  if (tools.length === 0) throw new OptionError('[tool calls] expected at least one tool for tools, got none')
  if (answer !== undefined && syntax.name === 'llama' && tools.some(({ strict = true }) => strict)) {
    throw new OptionError(
      '[tool calls] expected a schema of answers without strict tools, got both: calls of Llama have no marker by which ' +
        'they could be told from JSON; leave out strict, or set tool_choice',
    )
  }
  const program = new Program()
  const turns = new Turns(signal, TURN_MS)
  const called: CalledTool[] = []
  for (const { name, parameters = {}, strict = true } of tools) {
    if (!/^[\w.-]{1,64}$/.test(name)) {
      throw new OptionError(
        `[tool calls] expected a name of at most 64 letters, digits, _, - and . for a tool, got ${JSON.stringify(name.slice(0, 80))}`,
      )
    }
    const schema = strict ? withObject(parameters) : { type: 'object' }
    called.push({ name, rule: await turns.run(valueRule(schema, program, 'single')) })
  }
  const writer = new ToolWriter(program, syntax, called, vocabulary, parallel)
  if (choice === 'required') return grammarOf(writer.calls(program.returning()), vocabulary)
  if (answer === undefined) return grammarOf(writer.textAndCalls(), vocabulary)
  return grammarOf(writer.valueOrCalls(await turns.run(valueRule(answer, program, 'single'))), vocabulary)
}

/** Arguments are an object, also where their schema does not say so. */
function withObject(parameters: unknown): unknown {
  const isOpen = typeof parameters === 'object' && parameters !== null && !('type' in parameters)
  return isOpen ? { type: 'object', ...parameters } : parameters
}

interface CalledTool {
  readonly name: string
  readonly rule: GrammarRule
}

class ToolWriter {
  readonly #program: Program
  readonly #syntax: ToolSyntax
  readonly #tools: readonly CalledTool[]
  readonly #vocabulary: TokenVocabulary
  readonly #parallel: boolean

  constructor(
    program: Program,
    syntax: ToolSyntax,
    tools: readonly CalledTool[],
    vocabulary: TokenVocabulary,
    parallel: boolean,
  ) {
    this.#program = program
    this.#syntax = syntax
    this.#tools = tools
    this.#vocabulary = vocabulary
    this.#parallel = parallel
  }

  /** Calls from their first marker on. */
  calls(then: State): State {
    const { name, begin } = this.#syntax
    return name === 'llama' ? this.#bodies(then) : this.#marker(begin, this.#bodies(then))
  }

  /** A value, or calls. */
  valueOrCalls(rule: GrammarRule): State {
    const program = this.#program
    const done = program.returning()
    const value = program.call(rule, done)
    // Tokens of SentencePiece put a space before a text, which decoding takes away.
    return program.state([value, program.text(' ', value), ...this.#openings(done)])
  }

  /** Calls by all beginnings that they can have. */
  #openings(then: State): State[] {
    const { name, begin } = this.#syntax
    const bodies = this.#bodies(then)
    const marked = this.#marker(begin, bodies)
    return name === 'llama' ? [bodies, marked] : [marked]
  }

  /** Text, calls, text behind them, and so on; in Llama's syntax text and then a call, or a call alone. */
  textAndCalls(): State {
    const program = this.#program
    const { name, begin } = this.#syntax
    if (name === 'llama') return this.#textOrCall()
    const id = this.#vocabulary.addedTokenId(begin)
    const done = program.returning()
    const start = program.state()
    const behind = this.#parallel ? start : program.call(this.#text(begin, id), done)
    const bodies = this.#bodies(behind)
    start.also.push(program.call(this.#text(begin, id), done))
    // A marker that is a token of its own cannot come in pieces; another one is looked for in all that comes.
    if (id !== undefined) start.also.push(program.call(freeText(id), program.token(id, bodies)))
    else start.also.push(program.call(textWithMarker(begin, false), bodies))
    return start
  }

  #textOrCall(): State {
    const program = this.#program
    const { begin } = this.#syntax
    const id = this.#vocabulary.addedTokenId(begin)
    const done = program.returning()
    const bodies = this.#bodies(done)
    const before = id === undefined ? textWithMarker(begin, false) : freeText(id)
    return program.state([
      bodies,
      program.call(withoutFirst(this.#text(begin, id), BRACE), done),
      program.call(withoutFirst(before, BRACE), id === undefined ? bodies : program.token(id, bodies)),
    ])
  }

  #text(begin: string, id: number | undefined): Terminal {
    return id === undefined ? textWithMarker(begin, true) : freeText(id)
  }

  /** What stands behind the first marker, to the end of the last call. */
  #bodies(then: State): State {
    const program = this.#program
    const { name, begin, end } = this.#syntax
    const behind = program.state([then])
    switch (name) {
      case 'hermes': {
        const body = program.text('\n', this.#objects(program.text('\n', this.#marker(end!, behind))))
        if (this.#parallel) behind.also.push(program.text('\n', this.#marker(begin, body)))
        return body
      }
      case 'llama':
        return this.#objects(behind)
      case 'mistral': {
        const next = program.state()
        const item = this.#objects(program.state([program.text(']', behind), next]))
        if (this.#parallel) next.also.push(program.text(',', this.#space(item)))
        return this.#space(program.text('[', item))
      }
      case 'mistral-args': {
        const body = program.state(
          this.#tools.map((tool) => program.text(tool.name, this.#marker('[ARGS]', program.call(tool.rule, behind)))),
        )
        if (this.#parallel) behind.also.push(this.#marker(begin, body))
        return body
      }
      default:
        return name satisfies never
    }
  }

  /** One object with the name and the arguments of one of the tools. */
  #objects(then: State): State {
    const program = this.#program
    const { argumentsKey } = this.#syntax
    const close = program.text('}', then)
    return program.state(
      this.#tools.map(({ name, rule }) =>
        program.text(`{"name": "${name}", "${argumentsKey}": `, program.call(rule, close)),
      ),
    )
  }

  #space(then: State): State {
    return this.#program.state([then, this.#program.text(' ', then)])
  }

  /** A marker as the token that it is, or as text where the vocabulary has none. */
  #marker(text: string, then: State): State {
    const id = this.#vocabulary.addedTokenId(text)
    return id === undefined ? this.#program.text(text, then) : this.#program.token(id, then)
  }
}

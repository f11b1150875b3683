/**
 * @file Chat templates as transformers renders them: what the template is given, which of several is meant, and the
 * character spans that `{% generation %}` marks. Knows text only; tokens live in `token-spans.ts`, the language in
 * `jinja/`.
 */

import { ModelError } from '../lowrank-error.js'
import { runAtOnce, type Steps } from '../turns.js'
import { toError } from '../values.js'
import { TemplateFailure } from './jinja/errors.js'
import { Conversion, entriesOf } from './jinja/from-js.js'
import { partsOf, type Statement } from './jinja/nodes.js'
import { Pause } from './jinja/pause.js'
import type { ItemSpan, Runtime } from './jinja/runtime.js'
import { isStatement } from './jinja/symbols.js'
import { type CompiledTemplate, compileTemplate } from './jinja/template.js'
import { Dict, type Value } from './jinja/values.js'
import { type ContentForm, contentFormatOf, contentFormOfRole } from './template-probes.js'

/**
 * One turn of a conversation. Keys beyond these reach the template as they are; those that are null do not, as in
 * transformers.
 */
export interface ChatMessage {
  role: string
  content?: string | null | readonly Record<string, unknown>[]
  [key: string]: unknown
}

/** What a rendering may be told besides the messages. */
export interface RenderOptions {
  /**
   * End with the header that opens an assistant turn.
   * @default false
   */
  addGenerationPrompt?: boolean
  /**
   * Tool descriptions, as the template expects them. A tokenizer's template `tool_use` is meant where these are given.
   * @default none
   */
  tools?: readonly unknown[]
  /**
   * Further template variables, for example `{ enable_thinking: false }` or `{ date_string: '26 Jul 2024' }`.
   * @default none
   */
  variables?: Readonly<Record<string, unknown>>
}

/** Messages and lists of tools as a template has them: what is rendered several times is copied once. */
export type Copies = Map<object, unknown>

/** Options of one of several renderings, between which nobody changes the messages. */
export interface SharedRenderOptions extends RenderOptions {
  copies?: Copies
}

/** Characters `[start, end)` of a text, counted in UTF-16 units. */
export interface TextSpan {
  start: number
  end: number
}

/** Anything that turns messages into the text that the model sees. */
export interface ChatRenderer {
  /** The Jinja source, where there is one. */
  readonly source?: string
  /** Whether contents given as parts are to be joined to a string, or given as they are. Default 'string'. */
  readonly contentFormat?: 'string' | 'parts'
  /** What is printed of contents in messages of one role. Default: as `contentFormat` says, strings as they are. */
  contentFormOf?(role: string, options?: RenderOptions): ContentForm
  render(messages: readonly ChatMessage[], options?: RenderOptions): string
  /** The text and what its template marks as generated, or undefined where the template marks nothing. */
  renderMarked?(messages: readonly ChatMessage[], options?: RenderOptions): MarkedText | undefined
  /** The text with the places of its messages. */
  renderTraced?(messages: readonly ChatMessage[], options?: RenderOptions): TracedText
  /** `render` and `renderTraced` for conversations of any length. */
  renderInSteps?(messages: readonly ChatMessage[], options?: SharedRenderOptions): Steps<string>
  traceInSteps?(messages: readonly ChatMessage[], options?: SharedRenderOptions): Steps<TracedText>
}

/** The text of a conversation, in steps where its renderer knows how. */
export function* renderSteps(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: SharedRenderOptions = {},
): Steps<string> {
  if (renderer.renderInSteps !== undefined) return yield* renderer.renderInSteps(messages, options)
  const { copies: _, ...own } = options
  return renderer.render(messages, own)
}

/** A rendering with its supervised spans, in order and without overlap. */
export interface MarkedText {
  text: string
  spans: TextSpan[]
}

/** A rendering with what the template did while it wrote it. */
export interface TracedText {
  text: string
  /** What `{% generation %}` marks, or undefined where the template has no such tag. */
  spans: TextSpan[] | undefined
  /**
   * What the template's loop over the messages wrote for each, from the beginning to the end of its turn in the loop;
   * undefined for a message that no loop writes, or that several do.
   */
  messageOffsets: (TextSpan | undefined)[]
}

/** Templates by name: `default` is meant, or `tool_use` where there are tools. */
export type NamedTemplates = Readonly<Record<string, string>>

// Names that reasoning goes by; transformers gives templates the first two of them whichever a message has.
const REASONING = ['reasoning_content', 'thinking', 'reasoning']

/** A compiled chat template, or several by name. */
export class ChatTemplate implements ChatRenderer {
  /** The Jinja source; where there are several templates, all of them one after the other. */
  readonly source: string
  readonly #sources: ReadonlyMap<string, string>
  readonly #compiled = new Map<string, CompiledTemplate>()
  readonly #specialTokens: Readonly<Record<string, unknown>>
  readonly #now: Date
  readonly #contentFormats = new Map<string, 'string' | 'parts'>()
  readonly #contentForms = new Map<string, ContentForm>()

  /**
   * @param source Jinja text, as in `chat_template.jinja` or the `chat_template` of `tokenizer_config.json`, or several
   * by name.
   * @param specialTokens Variables such as `bos_token` and `eos_token`.
   * @param now What `strftime_now` tells, the same for every row. Default: the time of construction.
   * @throws ModelError when a template does not parse.
   */
  constructor(
    source: string | NamedTemplates,
    specialTokens: Readonly<Record<string, unknown>> = {},
    now = new Date(),
  ) {
    this.#sources = new Map(typeof source === 'string' ? [['default', source]] : Object.entries(source))
    this.source = [...this.#sources.values()].join('\n')
    this.#specialTokens = specialTokens
    this.#now = now
    for (const name of this.#sources.keys()) this.#compile(name)
  }

  /** Whether contents reach the template as lists of parts, into which it looks, or as text. */
  get contentFormat(): 'string' | 'parts' {
    return this.#contentFormatOf(this.#firstName)
  }

  contentFormOf(role: string, { tools }: RenderOptions = {}): ContentForm {
    // The template for tools may take other contents than the default one.
    const name = tools !== undefined && this.#sources.has('tool_use') ? 'tool_use' : this.#firstName
    // Nearly every template takes strings alone; no role is asked about then.
    if (this.#contentFormatOf(name) === 'string') return 'string'
    const key = JSON.stringify([name, role])
    const known = this.#contentForms.get(key)
    if (known !== undefined) return known
    const form = contentFormOfRole((messages, options) => this.#probe(name, messages, options), role) ?? 'either'
    this.#contentForms.set(key, form)
    return form
  }

  #contentFormatOf(name: string): 'string' | 'parts' {
    const known = this.#contentFormats.get(name)
    if (known !== undefined) return known
    const { statements } = this.#compile(name)
    const format = contentFormatOf((messages, options) => this.#probe(name, messages, options), statements)
    this.#contentFormats.set(name, format)
    return format
  }

  get #firstName(): string {
    return this.#sources.has('default') ? 'default' : ([...this.#sources.keys()][0] ?? 'default')
  }

  #probe(name: string, messages: readonly ChatMessage[], options: RenderOptions): string {
    return this.render(messages, { ...options, ...(name === 'tool_use' ? { tools: [] } : {}) })
  }

  /**
   * The text of a conversation. It holds its own special tokens: encode it with `addSpecialTokens: false`.
   *
   * @throws ModelError when the template refuses the messages (`raise_exception`), fails, needs what is not supported,
   * or takes too many steps.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    return runAtOnce(this.#trace(messages, options, false)).text
  }

  renderMarked(messages: readonly ChatMessage[], options: RenderOptions = {}): MarkedText | undefined {
    if (!marksGeneration(this.#pick(options).statements)) return undefined
    const { text, spans } = this.renderTraced(messages, options)
    return { text, spans: spans ?? [] }
  }

  renderTraced(messages: readonly ChatMessage[], options: RenderOptions = {}): TracedText {
    return runAtOnce(this.#trace(messages, options, true))
  }

  *renderInSteps(messages: readonly ChatMessage[], options: SharedRenderOptions = {}): Steps<string> {
    return (yield* this.#trace(messages, options, false)).text
  }

  traceInSteps(messages: readonly ChatMessage[], options: SharedRenderOptions = {}): Steps<TracedText> {
    return this.#trace(messages, options, true)
  }

  #compile(name: string): CompiledTemplate {
    const known = this.#compiled.get(name)
    if (known !== undefined) return known
    try {
      const compiled = compileTemplate(this.#sources.get(name) ?? '')
      this.#compiled.set(name, compiled)
      return compiled
    } catch (error) {
      const isSyntax = error instanceof TemplateFailure && error.kind === 'TemplateSyntaxError'
      const said = isSyntax ? `expected a Jinja template, got a syntax error: ${error.message}` : toError(error).message
      throw new ModelError(`[chat template] ${said}${name === 'default' ? '' : `, in the template ${name}`}`, {
        cause: error,
      })
    }
  }

  /** The template that is meant, as transformers chooses it. */
  #pick(options: RenderOptions): CompiledTemplate {
    const name = options.tools !== undefined && this.#sources.has('tool_use') ? 'tool_use' : 'default'
    if (this.#sources.has(name)) return this.#compile(name)
    throw new ModelError(
      `[chat template] expected a template named default, got ${[...this.#sources.keys()].join(', ') || 'none'}; set chatTemplate ` +
        'to the text of the one to use',
    )
  }

  /** One generator does all of it: most conversations are so short that several would show. */
  *#trace(messages: readonly ChatMessage[], options: SharedRenderOptions, places: boolean): Steps<TracedText> {
    const compiled = this.#pick(options)
    const { copies } = options
    const given = new Set<Value>()
    let runtime: Runtime
    try {
      const conversion = new Conversion()
      for (let index = 0; index < messages.length; index++) {
        const message = messages[index] as ChatMessage
        let copy = copies?.get(message) as Dict | undefined
        // A message that is there twice has two places.
        if (copy === undefined || given.has(copy)) {
          copy = messageOfChat(message, `messages[${index}]`, conversion)
          copies?.set(message, copy)
        }
        given.add(copy)
        if (conversion.isDue) yield* conversion.fill()
      }
      const variables = new Map<string, Value>([['documents', null]])
      for (const [name, value] of Object.entries({ ...this.#specialTokens, ...options.variables })) {
        if (value !== undefined) variables.set(name, conversion.value(value, name))
      }
      variables.set('messages', [...given])
      variables.set('tools', toolsOf(options.tools, conversion, copies))
      if (conversion.isDue) yield* conversion.fill()
      variables.set('add_generation_prompt', options.addGenerationPrompt ?? false)
      const run = compiled.run(variables, this.#now, given)
      runtime = run instanceof Pause ? yield* run.rest as Steps<Runtime> : run
    } catch (error) {
      const { message } = toError(error)
      throw new ModelError(`[chat template] ${message}${contentHint(message, messages)}`, { cause: error })
    }
    const text = runtime.root.text()
    if (!places) return { text, spans: undefined, messageOffsets: [] }
    const spans = marksGeneration(compiled.statements) ? yield* generatedSpans(runtime, text) : undefined
    const found = new MessagePlaces(given)
    for (const span of runtime.itemSpans) if (found.add(span) % SPANS_OF_STEP === 0) yield
    return { text, spans, messageOffsets: found.offsets }
  }
}

function toolsOf(tools: readonly unknown[] | undefined, conversion: Conversion, copies?: Copies): Value {
  if (tools === undefined) return null
  const known = copies?.get(tools) as Value[] | undefined
  if (known !== undefined) return known
  const copy = tools.map((tool, index) => {
    const value = conversion.value(tool, `tools[${index}]`)
    if (value instanceof Dict) return value
    throw new TypeError(`expected a JSON schema for tools[${index}], got ${typeof tool}`)
  })
  copies?.set(tools, copy)
  return copy
}

/**
 * A message as transformers gives it to a template: without nulls, its reasoning under the names that templates read.
 */
function messageOfChat(message: unknown, where: string, conversion: Conversion): Dict {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw new TypeError(
      `expected { role, content } for ${where}, got ${Array.isArray(message) ? 'a list' : typeof message}`,
    )
  }
  const given = new Dict()
  for (const [key, value] of entriesOf(message, where)) {
    if (value === undefined || value === null) continue
    given.set(conversion.value(key, where), conversion.value(value, `${where}.${String(key)}`))
  }
  const name = REASONING.find((key) => given.has(key))
  if (name === undefined) return given
  const reasoning = given.get(name) as Value
  const aliased = Dict.of([['thinking', reasoning], ...given.entries()])
  aliased.set('reasoning_content', reasoning)
  return aliased
}

const marking = new WeakMap<readonly Statement[], boolean>()

function marksGeneration(statements: readonly Statement[]): boolean {
  const known = marking.get(statements)
  if (known !== undefined) return known
  const marks = (node: Statement): boolean => {
    if (node.kind === 'generation') return true
    for (const part of partsOf(node)) if (isStatement(part) && marks(part)) return true
    return false
  }
  const result = statements.some(marks)
  marking.set(statements, result)
  return result
}

// Spans of messages that are looked at within a fraction of a millisecond.
const SPANS_OF_STEP = 1024

function* generatedSpans(runtime: Runtime, text: string): Steps<TextSpan[]> {
  const spans: TextSpan[] = []
  let last = 0
  for (const { start, end, text: marked } of runtime.generated) {
    if (spans.length % SPANS_OF_STEP === 0) yield
    if (start === end) continue
    // Within a block that is captured or filtered, transformers' offsets point elsewhere.
    if (start < last || text.slice(start, end) !== marked) {
      throw new ModelError(
        '[chat template] expected {% generation %} tags to mark what is printed in their place, got another text there; ' +
          'keep the tags out of captured or filtered blocks, macros and each other',
      )
    }
    spans.push({ start, end })
    last = end
  }
  return spans
}

/** What loops wrote for each message. */
class MessagePlaces {
  readonly offsets: (TextSpan | undefined)[]
  readonly #indices = new Map<Value, number>()
  readonly #several = new Set<number>()
  #count = 0

  constructor(given: ReadonlySet<Value>) {
    for (const message of given) this.#indices.set(message, this.#indices.size)
    this.offsets = new Array(given.size).fill(undefined)
  }

  /** Gives how many have been added. */
  add({ item, start, end }: ItemSpan): number {
    const index = this.#indices.get(item) as number
    const known = this.offsets[index]
    if (this.#several.has(index)) return ++this.#count
    if (known === undefined || known.start === known.end) this.offsets[index] = { start, end }
    else if (start < end) {
      // Once several loops write it, it has no place.
      this.#several.add(index)
      this.offsets[index] = undefined
    }
    return ++this.#count
  }
}

/** Some templates read the content of a message that only calls tools, which OpenAI's interface writes as null. */
function contentHint(error: string, messages: readonly ChatMessage[]): string {
  if (!error.includes("has no attribute 'content'")) return ''
  const index = messages.findIndex(({ content }) => content === undefined || content === null)
  return index < 0 ? '' : `; messages[${index}] has no content, which this template reads: write "" there`
}

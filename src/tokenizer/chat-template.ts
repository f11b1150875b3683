/**
 * @file Chat templates: compiling and rendering Hugging Face's Jinja templates, and the character spans that
 * `{% generation %}` marks. Knows text only; tokens live in `token-spans.ts`.
 */

import { Environment, Interpreter, Template } from '@huggingface/jinja'

/** One turn of a conversation. Keys beyond these reach the template as they are. */
export interface ChatMessage {
  role: string
  content?: string | null | readonly Record<string, unknown>[]
  [key: string]: unknown
}

/** What a rendering may be told besides the messages. */
export interface RenderOptions {
  /** End with the header that opens an assistant turn. Default false. */
  addGenerationPrompt?: boolean
  /** Tool descriptions, as the template expects them. */
  tools?: readonly unknown[]
  /** Further template variables, for example `{ enable_thinking: false }` or `{ date_string: '26 Jul 2024' }`. */
  variables?: Readonly<Record<string, unknown>>
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
  render(messages: readonly ChatMessage[], options?: RenderOptions): string
  /** The text and what its template marks as generated, or undefined where the template marks nothing. */
  renderMarked?(messages: readonly ChatMessage[], options?: RenderOptions): MarkedText | undefined
}

/** A rendering with its supervised spans, in order and without overlap. */
export interface MarkedText {
  text: string
  spans: TextSpan[]
}

const GENERATION_TAG = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g
// Private-use characters: no text contains them by accident, and a rendering that does is refused.
const OPEN = '\uF6D0\uF6D1'
const CLOSE = '\uF6D1\uF6D0'

/** A compiled chat template. */
export class ChatTemplate implements ChatRenderer {
  /** The Jinja source. */
  readonly source: string
  readonly #program: Template['parsed']
  readonly #marked: Template['parsed'] | undefined
  readonly #specialTokens: Readonly<Record<string, unknown>>
  readonly #now: Date

  /**
   * @param source Jinja text, as in `chat_template.jinja` or the `chat_template` of `tokenizer_config.json`.
   * @param specialTokens Variables such as `bos_token` and `eos_token`.
   * @param now What `strftime_now` tells, the same for every row. Default: the time of construction.
   * @throws Error when the template does not parse.
   */
  constructor(source: string, specialTokens: Readonly<Record<string, unknown>> = {}, now = new Date()) {
    this.source = source
    this.#specialTokens = specialTokens
    this.#now = now
    this.#program = parse(source)
    this.#marked = source.search(GENERATION_TAG) < 0 ? undefined : parse(markGeneration(source))
  }

  /**
   * The text of a conversation. It holds its own special tokens: encode it with `addSpecialTokens: false`.
   *
   * @throws Error when the template refuses the messages (`raise_exception`) or fails.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    return this.#run(this.#program, messages, options)
  }

  renderMarked(messages: readonly ChatMessage[], options: RenderOptions = {}): MarkedText | undefined {
    if (this.#marked === undefined) return undefined
    const marked = this.#run(this.#marked, messages, options)
    const spans: TextSpan[] = []
    let text = ''
    let open = -1
    for (const piece of marked.split(/(\uF6D0\uF6D1|\uF6D1\uF6D0)/)) {
      if (piece === OPEN) open = text.length
      else if (piece === CLOSE) {
        if (text.length > open) spans.push({ start: open, end: text.length })
      } else text += piece
    }
    if (text !== this.render(messages, options)) {
      throw new Error(
        '[chat template] expected {% generation %} tags to leave the text unchanged, got another text; ' +
          'keep the tags out of captured or filtered blocks',
      )
    }
    return { text, spans }
  }

  #run(program: Template['parsed'], messages: readonly ChatMessage[], options: RenderOptions): string {
    const environment = new Environment()
    const variables: Record<string, unknown> = {
      ...globals(this.#now),
      ...this.#specialTokens,
      ...options.variables,
      messages,
      add_generation_prompt: options.addGenerationPrompt ?? false,
      lowrank_open: OPEN,
      lowrank_close: CLOSE,
    }
    // Templates ask `if tools`, so an empty list would do; Hugging Face passes none.
    variables.tools = options.tools !== undefined && options.tools.length > 0 ? options.tools : null
    for (const [name, value] of Object.entries(variables)) environment.set(name, value)
    try {
      return String((new Interpreter(environment).run(program) as { value: unknown }).value)
    } catch (error) {
      throw new Error(`[chat template] ${messageOf(error)}`, { cause: error })
    }
  }
}

function parse(source: string): Template['parsed'] {
  try {
    return new Template(source).parsed
  } catch (error) {
    throw new Error(`[chat template] expected a Jinja template, got a syntax error: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** Replaces each generation tag by output of a marker; the `if` carries the tag's whitespace control on both sides. */
function markGeneration(source: string): string {
  return source.replace(GENERATION_TAG, (_, left: string, end: string | undefined, right: string) => {
    return `{%${left} if true %}{{ lowrank_${end === undefined ? 'open' : 'close'} }}{% endif ${right}%}`
  })
}

function globals(now: Date): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new Error(String(message))
    },
    range,
    strftime_now: (format: string) => strftime(now, format),
  }
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = typeof second === 'number' ? [first, second] : [0, first]
  if (step === 0) throw new Error('range() expected a step other than 0')
  const values: number[] = []
  for (let value = start; step > 0 ? value < stop : value > stop; value += step) values.push(value)
  return values
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** Python's strftime in the C locale, whatever the locale of the machine: a template's text must not depend on it. */
function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const month = MONTHS[date.getMonth()] ?? ''
  const day = DAYS[date.getDay()] ?? ''
  const fields: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    '%': '%',
  }
  return format.replace(/%([a-zA-Z%])/g, (directive, letter: string) => fields[letter] ?? directive)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

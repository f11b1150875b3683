/**
 * @file Messages of Vercel's AI SDK in the form of OpenAI: those that a program sends to a model (`ModelMessage`), and
 * those that a page keeps (`UIMessage`). Calls of tools and their results become messages of their own.
 */

import { describeValue } from '../errors.js'
import { jsonText } from '../lossless-json.js'
import { isObject } from '../values.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { isPresent, wrongType } from './row-values.js'

type Fields = Record<string, unknown>

/** Types of parts that only the AI SDK has. */
const MODEL_PARTS: readonly unknown[] = ['tool-call', 'tool-result', 'reasoning']

/**
 * The messages of OpenAI's form that a message of the AI SDK stands for; any other value alone, as it is.
 * @throws DataError naming a part that is no text, as a file, and a call that had not ended
 */
export function fromAiSdk(entry: unknown, where: string, origin: RowOrigin): readonly unknown[] {
  if (!isObject(entry) || typeof entry.role !== 'string') return [entry]
  const { parts, content } = entry
  if (!isPresent(content) && Array.isArray(parts) && parts.length > 0 && parts.every(hasType))
    return new Reader(`${where}.parts`, origin).uiMessage(entry.role, parts)
  if (Array.isArray(content) && content.some((part) => hasType(part) && MODEL_PARTS.includes(part.type)))
    return new Reader(`${where}.content`, origin).modelMessage(entry, content)
  return [entry]
}

function hasType(part: unknown): part is Fields & { type: string } {
  return isObject(part) && typeof part.type === 'string'
}

class Reader {
  readonly #where: string
  readonly #origin: RowOrigin

  constructor(where: string, origin: RowOrigin) {
    this.#where = where
    this.#origin = origin
  }

  /** A message of a page: each of its steps is a message of the assistant, with results behind it. */
  uiMessage(role: string, parts: readonly Fields[]): readonly Fields[] {
    const out: Fields[] = []
    let step = new Turn(role)
    for (const [index, part] of parts.entries()) {
      const where = `${this.#where}[${index}]`
      const type = part.type as string
      if (type === 'step-start') {
        out.push(...step.messages())
        step = new Turn(role)
      } else if (type === 'text') step.text += this.#text(part.text, `${where}.text`)
      else if (type === 'reasoning') step.reasoning += this.#text(part.text, `${where}.text`)
      else if (type === 'dynamic-tool' || type.startsWith('tool-')) this.#toolPart(step, part, where)
      // Where an answer has its sources, and what a page shows beside it, never reaches the model.
      else if (!/^(?:source-url|source-document|data-.*)$/.test(type)) throw this.#refused(where, type)
    }
    out.push(...step.messages())
    return out.length > 0 ? out : [{ role, content: '' }]
  }

  #toolPart(step: Turn, part: Fields, where: string): void {
    const name = part.type === 'dynamic-tool' ? part.toolName : (part.type as string).slice('tool-'.length)
    step.call(this.#text(name, `${where}.toolName`), part.toolCallId, part.input)
    const result = (content: string): void => step.result(name as string, part.toolCallId, content)
    switch (part.state) {
      case 'output-available':
        result(asText(part.output))
        return
      case 'output-error':
        result(this.#text(part.errorText, `${where}.errorText`))
        return
      case 'output-denied':
        result(denial(isObject(part.approval) ? part.approval.reason : undefined))
        return
      case 'input-available':
        return
      default:
        throw rowError(
          this.#origin,
          `[data] expected a call that had ended for ${where} in ${describeOrigin(this.#origin)}, got one in the state ${describeValue(part.state)}; ` +
            'leave the row out',
        )
    }
  }

  /** A message as a program sends it. */
  modelMessage({ providerOptions: _, ...entry }: Fields, content: readonly unknown[]): readonly Fields[] {
    const turn = new Turn(entry.role as string)
    for (const [index, part] of content.entries()) {
      const where = `${this.#where}[${index}]`
      if (!isObject(part)) throw wrongType('{ type, ... }', where, this.#origin, part)
      switch (part.type) {
        case 'text':
          turn.text += this.#text(part.text, `${where}.text`)
          break
        case 'reasoning':
          turn.reasoning += this.#text(part.text, `${where}.text`)
          break
        case 'tool-call':
          turn.call(this.#text(part.toolName, `${where}.toolName`), part.toolCallId, part.input)
          break
        case 'tool-result':
          turn.result(
            this.#text(part.toolName, `${where}.toolName`),
            part.toolCallId,
            this.#output(part.output, `${where}.output`),
          )
          break
        default:
          throw this.#refused(where, part.type)
      }
    }
    return turn.messages()
  }

  #output(output: unknown, where: string): string {
    if (!isObject(output)) throw wrongType('{ type, value }', where, this.#origin, output)
    switch (output.type) {
      case 'text':
      case 'error-text':
        return this.#text(output.value, `${where}.value`)
      case 'json':
      case 'error-json':
        return jsonText(output.value)
      case 'execution-denied':
        return denial(output.reason)
      case 'content': {
        const parts = Array.isArray(output.value) ? output.value : [output.value]
        return parts
          .map((part: unknown, index) => {
            const at = `${where}.value[${index}]`
            if (!isObject(part) || part.type !== 'text') throw this.#refused(at, isObject(part) ? part.type : part)
            return this.#text(part.text, `${at}.text`)
          })
          .join('\n')
      }
      default:
        throw this.#refused(where, output.type)
    }
  }

  #text(value: unknown, where: string): string {
    if (typeof value !== 'string') throw wrongType('a string', where, this.#origin, value)
    return value
  }

  #refused(where: string, type: unknown): Error {
    return rowError(
      this.#origin,
      `[data] expected parts of text, reasoning, calls and results for ${where} in ${describeOrigin(this.#origin)}, got one of type ` +
        `${describeValue(type)}; only text is trained on: leave the row out or put it into words`,
    )
  }
}

/** What one message of the AI SDK becomes. */
class Turn {
  readonly #role: string
  readonly #calls: Fields[] = []
  readonly #results: Fields[] = []
  text = ''
  reasoning = ''

  constructor(role: string) {
    this.#role = role
  }

  call(name: string, id: unknown, input: unknown): void {
    this.#calls.push({
      ...(typeof id === 'string' && { id }),
      type: 'function',
      function: { name, arguments: isPresent(input) ? input : {} },
    })
  }

  result(name: string, id: unknown, content: string): void {
    this.#results.push({ role: 'tool', ...(typeof id === 'string' && { tool_call_id: id }), name, content })
  }

  messages(): readonly Fields[] {
    const own = {
      role: this.#role,
      content: this.text,
      ...(this.reasoning !== '' && { reasoning_content: this.reasoning }),
      ...(this.#calls.length > 0 && { tool_calls: this.#calls }),
    }
    const isEmpty = this.text === '' && this.reasoning === '' && this.#calls.length === 0
    return isEmpty ? this.#results : [own, ...this.#results]
  }
}

function asText(output: unknown): string {
  return typeof output === 'string' ? output : output === undefined ? '' : jsonText(output)
}

/** What the AI SDK tells a model whose call was not allowed. */
function denial(reason: unknown): string {
  return typeof reason === 'string' ? reason : 'Tool execution denied.'
}

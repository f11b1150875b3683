/**
 * @file Calls of a model as rows to train on: the conversation with its answer, in the form that `trainLora` reads. The
 * calls of any provider can be recorded.
 */

import { appendFile } from 'node:fs/promises'
import type {
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4Message,
  LanguageModelV4Middleware,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolResultOutput,
} from '@ai-sdk/provider'
import { InvalidArgumentError } from '@ai-sdk/provider'
import { expectKnown } from './options.js'

type Fields = Record<string, unknown>

/** A row of training data. */
export interface RecordedRow {
  readonly messages: readonly Readonly<Fields>[]
  /** The tools that the model could call; absent where there were none. */
  readonly tools?: readonly Readonly<Fields>[]
}

export interface RecordOptions {
  /**
   * A file of JSON Lines to which rows are appended.
   * @default none; `onRow` has to be there then
   */
  file?: string
  /**
   * Takes each row, also beside a file.
   * @default none
   */
  onRow?: (row: RecordedRow) => void | Promise<void>
  /**
   * Takes what keeps a call from being recorded; the call itself goes on.
   * @default a warning of the process
   */
  onError?: (error: Error) => void
}

/** The middleware, which knows when all is written. */
export interface RecordMiddleware extends LanguageModelV4Middleware {
  /** Resolves when the rows of all calls that have ended are written. */
  flush(): Promise<void>
}

/**
 * Middleware for `wrapLanguageModel` that makes a row of each call that comes to its end: stopped by itself, or with
 * calls of tools. Answers that were cut off, refused or aborted are no rows.
 *
 * @throws InvalidArgumentError for unknown options, and without `file` and `onRow`
 */
export function record(options: RecordOptions): RecordMiddleware {
  expectKnown('record', options, ['file', 'onRow', 'onError'])
  const { file, onRow, onError = (error) => process.emitWarning(error) } = options
  if (file === undefined && onRow === undefined)
    throw new InvalidArgumentError({ argument: 'file', message: '[record] expected file or onRow, got neither' })
  let written = Promise.resolve()
  const take = (
    params: LanguageModelV4CallOptions,
    content: readonly LanguageModelV4Content[],
    reason: string,
  ): void => {
    if (reason !== 'stop' && reason !== 'tool-calls') return
    // One row behind the other, whichever call ends first.
    written = written
      .then(async () => {
        const row = rowOf(params, content)
        await onRow?.(row)
        if (file !== undefined) await appendFile(file, `${JSON.stringify(row)}\n`)
      })
      .catch((error: unknown) => onError(error instanceof Error ? error : new Error(String(error))))
  }
  return {
    specificationVersion: 'v4',
    flush: () => written,
    async wrapGenerate({ doGenerate, params }) {
      const result = await doGenerate()
      take(params, result.content, result.finishReason.unified)
      return result
    },
    async wrapStream({ doStream, params }) {
      const result = await doStream()
      const answer = new StreamedAnswer()
      const recorded = new TransformStream<LanguageModelV4StreamPart, LanguageModelV4StreamPart>({
        transform(part, controller) {
          answer.take(part)
          if (part.type === 'finish') take(params, answer.content, part.finishReason.unified)
          controller.enqueue(part)
        },
      })
      return { ...result, stream: result.stream.pipeThrough(recorded) }
    },
  }
}

/** The content of a streamed answer: texts and calls of tools, in their order. */
class StreamedAnswer {
  readonly content: LanguageModelV4Content[] = []

  take(part: LanguageModelV4StreamPart): void {
    if (part.type === 'text-delta') this.#append('text', part.delta)
    else if (part.type === 'reasoning-delta') this.#append('reasoning', part.delta)
    else if (part.type === 'tool-call' || part.type === 'file') this.content.push(part)
  }

  #append(type: 'text' | 'reasoning', delta: string): void {
    const last = this.content.at(-1)
    if (last?.type === type) this.content[this.content.length - 1] = { ...last, text: last.text + delta }
    else this.content.push({ type, text: delta })
  }
}

function rowOf({ prompt, tools }: LanguageModelV4CallOptions, content: readonly LanguageModelV4Content[]): RecordedRow {
  const described = (tools ?? []).map((tool) => {
    if (tool.type !== 'function') throw unrecorded(`a tool of the provider, ${tool.name}`)
    const { name, description, inputSchema } = tool
    return { type: 'function', function: { name, ...(description && { description }), parameters: inputSchema } }
  })
  const messages = [...prompt.flatMap(messagesOf), answerOf(content)]
  return { messages, ...(described.length > 0 && { tools: described }) }
}

function messagesOf(message: LanguageModelV4Message): Fields[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }]
    case 'user':
      return [{ role: 'user', content: message.content.map(textOf).join('') }]
    case 'assistant': {
      const content = message.content.map((part): LanguageModelV4Content => {
        if (part.type === 'tool-call') return { ...part, input: JSON.stringify(part.input) } as LanguageModelV4Content
        if (part.type === 'text' || part.type === 'reasoning') return part as LanguageModelV4Content
        throw unrecorded(`a part of type ${part.type}`)
      })
      return [answerOf(content)]
    }
    case 'tool':
      return message.content.map((part) => {
        if (part.type !== 'tool-result') throw unrecorded(`a part of type ${part.type}`)
        return { role: 'tool', tool_call_id: part.toolCallId, name: part.toolName, content: resultOf(part.output) }
      })
    default:
      return message satisfies never
  }
}

function textOf(part: { readonly type: string; readonly text?: string }): string {
  if (part.type === 'text' && part.text !== undefined) return part.text
  throw unrecorded(`a part of type ${part.type}`)
}

function answerOf(content: readonly LanguageModelV4Content[]): Fields {
  let text = ''
  let reasoning = ''
  const calls: Fields[] = []
  for (const part of content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'reasoning') reasoning += part.text
    else if (part.type === 'tool-call') {
      const parsed: unknown = part.input === '' ? {} : JSON.parse(part.input)
      calls.push({ id: part.toolCallId, type: 'function', function: { name: part.toolName, arguments: parsed } })
    } else if (part.type !== 'source') throw unrecorded(`a part of type ${part.type}`)
  }
  return {
    role: 'assistant',
    content: text,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function resultOf(output: LanguageModelV4ToolResultOutput): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value)
    case 'execution-denied':
      return output.reason ?? 'Tool execution denied.'
    case 'content':
      return output.value.map((part) => textOf(part as { type: string; text?: string })).join('\n')
    default:
      return output satisfies never
  }
}

/** Rows are text: what a row cannot hold leaves the whole call out. */
function unrecorded(got: string): Error {
  return new Error(
    `[record] expected a call of texts, calls of tools and their results, got ${got}; it is not recorded`,
  )
}

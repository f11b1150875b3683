/**
 * @file What a rendering left out: tools, tool calls, whole messages or reasoning that the template has no place for.
 * Each part gets a mark of its own, and what is marked in the text of that rendering was printed. A part whose mark is
 * missing counts as left out when the rendering stays the same, letter for letter, with another text in the part's
 * place.
 *
 * Bounds: a template that refuses the marked conversation is asked by a search of the parts in the text instead, where
 * a part of 8 letters or more that also stands elsewhere behind the part before it counts as kept. Where parts that are
 * left out mix with parts that change the text without being printed, 64 renderings are spent, and what is not told by
 * then counts as kept. Of tools and calls their names, descriptions and arguments are marked.
 */

import { runAtOnce, type Steps } from '../turns.js'
import { type ChatMessage, type ChatRenderer, type RenderOptions, renderSteps } from './chat-template.js'

/** A part of a conversation that did not reach the text. */
export interface DroppedPart {
  kind: 'tools' | 'tool_calls' | 'system' | 'message' | 'reasoning'
  /** Index of the message; absent for tools. */
  message?: number
}

const REASONING = ['reasoning_content', 'thinking', 'reasoning'] as const
// Each probe costs a rendering.
const MAX_PROBES = 64

// Shorter texts stand in any rendering by chance.
const MIN_LENGTH = 8

// A text is gone through so many times in search of parts.
const MOST_PASSES = 64

/** A part of a conversation, whether it was left out or not. */
interface Part extends DroppedPart {
  /** Texts that stand in the rendering where it is printed as it is. */
  texts: readonly string[]
  /** The message with a mark in this part; tools are changed all together. */
  change?(message: ChatMessage, mark: Mark): ChatMessage
}

/** Puts a mark to a text, with `by` between them. */
type Mark = (text: string, by?: string) => string

/**
 * What the rendering of a conversation dropped. Costs one further rendering, and more where a part is not printed in
 * it.
 *
 * @param text The rendering of these messages with these options.
 */
export function droppedParts(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
): DroppedPart[] {
  return runAtOnce(droppedPartSteps(renderer, messages, options, text))
}

/** `droppedParts` for conversations of any length. */
export function* droppedPartSteps(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
): Steps<DroppedPart[]> {
  const parts = yield* partsOf(messages, options)
  if (parts.length === 0) return []
  /** The rendering with marks in some parts, or undefined where the template refuses it. */
  function* marked(numbers: readonly number[], markOf: (number: number) => Mark): Steps<string | undefined> {
    const changed = messages.slice()
    let changedOptions = options
    for (const number of numbers) {
      yield
      const { message, change } = parts[number] as Part
      const mark = markOf(number)
      if (message === undefined)
        changedOptions = { ...options, tools: options.tools?.map((tool) => markTool(tool, mark)) }
      else if (change !== undefined) changed[message] = change(changed[message] as ChatMessage, mark)
    }
    try {
      // Copies of changed messages are of no use to later renderings.
      return yield* renderSteps(renderer, changed, { ...changedOptions, copies: undefined })
    } catch {
      return undefined
    }
  }
  const all = parts.map((_, number) => number)
  const probe = yield* marked(all, behind)
  const kept = probe === undefined ? yield* standing(parts, text) : yield* marksIn(probe)
  let probes = MAX_PROBES
  function* unchanging(numbers: readonly number[]): Steps<readonly number[]> {
    if (numbers.length === 0 || probes-- <= 0) return []
    if ((yield* marked(numbers, around)) === text) return numbers
    if (numbers.length === 1) return []
    const half = numbers.length >> 1
    return [...(yield* unchanging(numbers.slice(0, half))), ...(yield* unchanging(numbers.slice(half)))]
  }
  const dropped = yield* unchanging(all.filter((number) => !kept.has(number)))
  return withoutKeptReasoning(
    dropped.map((number) => parts[number] as Part),
    parts,
  ).map(({ kind, message }) => (message === undefined ? { kind } : { kind, message }))
}

/** Plain letters and digits, which no template reacts to: it strips, splits or escapes none of them. */
function nameOf(number: number): string {
  return `other0text0q${number}x`
}

/** A mark that shows what is printed: behind the text, where it changes least of what a template may look at. */
function behind(number: number): Mark {
  return (text, by = ' ') => text + by + nameOf(number)
}

/**
 * A mark that makes another text of it at both ends, so that a template which prints a piece of it prints another one.
 */
function around(number: number): Mark {
  const name = nameOf(number)
  return (text, by = ' ') => name + by + text + by + name
}

function* marksIn(text: string): Steps<Set<number>> {
  const found = new Set<number>()
  // A template may change the case of what it prints.
  for (const [, number] of text.matchAll(/other0text0q([0-9]+)x/gi)) {
    yield
    found.add(Number(number))
  }
  return found
}

/** Many templates print only the last turn's reasoning: it counts as dropped where they print none of it. */
function withoutKeptReasoning(dropped: readonly Part[], parts: readonly Part[]): readonly Part[] {
  const reasoning = ({ kind }: Part): boolean => kind === 'reasoning'
  const isAll = dropped.filter(reasoning).length === parts.filter(reasoning).length
  return isAll ? dropped : dropped.filter((part) => !reasoning(part))
}

function* partsOf(messages: readonly ChatMessage[], { tools }: RenderOptions): Steps<Part[]> {
  const parts: Part[] = []
  if (tools !== undefined && tools.length > 0) parts.push({ kind: 'tools', texts: tools.flatMap(namesOf) })
  for (const [index, message] of messages.entries()) {
    yield
    const reasoning = reasoningOf(message)
    if (reasoning !== undefined) {
      parts.push({ kind: 'reasoning', message: index, texts: [reasoning], change: markReasoning })
    }
    const content = contentText(message.content)
    if (content.trim() !== '') {
      const kind = message.role === 'system' || message.role === 'developer' ? 'system' : 'message'
      parts.push({ kind, message: index, texts: [content], change: markContent })
    }
    const calls = message.tool_calls
    if (Array.isArray(calls) && calls.length > 0) {
      parts.push({ kind: 'tool_calls', message: index, texts: calls.flatMap(namesOf), change: markCalls })
    }
  }
  return parts
}

/** Numbers of the parts whose texts stand in the rendering as they are, one part behind the other. */
function* standing(parts: readonly Part[], text: string): Steps<Set<number>> {
  const found = new Set<number>()
  let left = MOST_PASSES * text.length
  let cursor = 0
  const find = (wanted: string, from: number): number => {
    if (left < 0) return -1
    const at = text.indexOf(wanted, from)
    left -= (at < 0 ? text.length : at + wanted.length) - from
    return at
  }
  for (const [number, { kind, texts }] of parts.entries()) {
    let isMissing = false
    for (const part of texts) {
      yield
      const wanted = part.trim()
      const at = wanted.length < MIN_LENGTH ? -1 : find(wanted, cursor)
      // Tools stand before the messages, in an order of their own.
      const anywhere = kind === 'tools' ? find(part, 0) : at
      if (at >= 0 && kind !== 'tools') cursor = at + wanted.length
      isMissing ||= anywhere < 0
    }
    if (!isMissing) found.add(number)
  }
  return found
}

/**
 * Whether a search in the text tells the same as `known`, the kinds that conversations of this shape lose: no long text
 * of these kinds stands in it, and all of the others do. It costs no rendering.
 */
export function* agreesWith(
  known: ReadonlySet<DroppedPart['kind']>,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
): Steps<boolean> {
  const parts = (yield* partsOf(messages, options)).filter(
    ({ kind, texts }) => kind === 'tools' || texts.every((part) => part.trim().length >= MIN_LENGTH),
  )
  const found = yield* standing(parts, text)
  const printsReasoning = parts.some(({ kind }, number) => kind === 'reasoning' && found.has(number))
  return parts.every(({ kind }, number) => {
    if (kind === 'reasoning' && !known.has(kind)) return printsReasoning
    return found.has(number) !== known.has(kind)
  })
}

function reasoningOf(message: ChatMessage): string | undefined {
  for (const name of REASONING) {
    const value = message[name]
    if (typeof value === 'string' && value.trim() !== '') return value
  }
  return undefined
}

function contentText(content: ChatMessage['content']): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  const part = content.find(({ text }: Record<string, unknown>) => typeof text === 'string')
  return (part?.text as string | undefined) ?? ''
}

/** Names of the function of a tool or of a call. */
function namesOf(tool: unknown): string[] {
  const { function: inner, name } = (tool ?? {}) as { function?: { name?: unknown }; name?: unknown }
  return [inner?.name, name].filter((value) => typeof value === 'string')
}

function markContent(message: ChatMessage, mark: Mark): ChatMessage {
  const { content } = message
  if (typeof content === 'string') return { ...message, content: mark(content) }
  const parts = (content ?? []) as readonly Record<string, unknown>[]
  return {
    ...message,
    content: parts.map((part) => (typeof part.text === 'string' ? { ...part, text: mark(part.text) } : part)),
  }
}

function markReasoning(message: ChatMessage, mark: Mark): ChatMessage {
  const changed = { ...message }
  for (const name of REASONING) {
    const value = changed[name]
    if (typeof value === 'string') changed[name] = mark(value)
  }
  return changed
}

function markCalls(message: ChatMessage, mark: Mark): ChatMessage {
  return { ...message, tool_calls: (message.tool_calls as unknown[]).map((call) => markTool(call, mark)) }
}

/** A tool or call with a mark in the name, the description and the arguments of its function. */
function markTool(tool: unknown, mark: Mark): unknown {
  if (typeof tool !== 'object' || tool === null) return tool
  const changed: Record<string, unknown> = { ...(tool as Record<string, unknown>) }
  if (typeof changed.name === 'string') changed.name = mark(changed.name, '_')
  if (typeof changed.description === 'string') changed.description = mark(changed.description)
  if (changed.arguments !== undefined) changed.arguments = markArguments(changed.arguments, mark)
  if (typeof changed.function === 'object' && changed.function !== null)
    changed.function = markTool(changed.function, mark)
  return changed
}

function markArguments(given: unknown, mark: Mark): unknown {
  if (typeof given === 'string') return mark(given)
  if (given instanceof Map) return new Map([[mark('first'), mark('')], ...given, [mark('last'), mark('')]])
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return given
  return { [mark('first')]: mark(''), ...given, [mark('last')]: mark('') }
}

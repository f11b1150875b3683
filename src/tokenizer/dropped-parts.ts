/**
 * @file What a rendering left out: tools, tool calls, whole messages or reasoning that the template has no place for. A part
 * counts as left out when another text in its place gives the same rendering.
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
// Each probe costs a rendering. What is beyond them counts as kept.
const MAX_PROBES = 16

// Shorter texts stand in any rendering by chance.
const MIN_LENGTH = 8

// A text is gone through so many times; parts that are not found by then take the renderings to tell.
const MOST_PASSES = 64

interface Candidate extends DroppedPart {
  /** The message with another text in the place of this part; tools are changed all together. */
  change?(message: ChatMessage): ChatMessage
}

/**
 * What the rendering of a conversation dropped. Costs a search of each part in the text, and further renderings only
 * where a part is not found as it stands.
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
  const missing = yield* candidates(messages, options, text)
  if (missing.length === 0) return []
  function* isSame(parts: readonly Candidate[]): Steps<boolean> {
    const changed = messages.slice()
    let changedOptions = options
    for (const { message, change } of parts) {
      yield
      if (message === undefined) changedOptions = { ...options, tools: options.tools?.map(otherTool) }
      else if (change !== undefined) changed[message] = change(changed[message] as ChatMessage)
    }
    try {
      return (yield* renderSteps(renderer, changed, changedOptions)) === text
    } catch {
      // The template looked at it, and refused the other text.
      return false
    }
  }
  yield
  // All at once first: where a template has no place for any of them, one rendering says so.
  const all = yield* isSame(missing)
  const dropped: Candidate[] = all ? missing : []
  for (const part of all ? [] : missing.slice(0, MAX_PROBES)) {
    yield
    if (yield* isSame([part])) dropped.push(part)
  }
  return withoutKeptReasoning(dropped, messages).map(({ kind, message }) =>
    message === undefined ? { kind } : { kind, message },
  )
}

/** Many templates print only the last turn's reasoning: it counts as dropped where they print none of it. */
function withoutKeptReasoning(dropped: readonly Candidate[], messages: readonly ChatMessage[]): readonly Candidate[] {
  const without = dropped.filter(({ kind }) => kind === 'reasoning').length
  const having = messages.filter((message) => reasoningOf(message) !== undefined).length
  return without === having ? dropped : dropped.filter(({ kind }) => kind !== 'reasoning')
}

/** Parts whose text does not stand in the rendering as it is. */
function* candidates(messages: readonly ChatMessage[], options: RenderOptions, text: string): Steps<Candidate[]> {
  const found: Candidate[] = []
  let left = MOST_PASSES * text.length
  const find = (part: string, from: number): number => {
    if (left < 0) return -1
    const at = text.indexOf(part, from)
    left -= (at < 0 ? text.length : at + part.length) - from
    return at
  }
  if (yield* lacksTools(options.tools ?? [], find)) found.push({ kind: 'tools' })
  let cursor = 0
  // Messages follow each other in the text: a search goes on where the last one ended, so that all of them are one pass.
  const stands = (part: string): boolean => {
    const wanted = part.trim()
    if (wanted.length < MIN_LENGTH) return false
    const at = find(wanted, cursor)
    if (at >= 0) cursor = at + wanted.length
    return at >= 0
  }
  for (const [index, message] of messages.entries()) {
    yield
    const reasoning = reasoningOf(message)
    if (reasoning !== undefined && !stands(reasoning)) {
      found.push({ kind: 'reasoning', message: index, change: otherReasoning })
    }
    const content = contentText(message.content)
    if (content.trim() !== '' && !stands(content)) {
      const kind = message.role === 'system' || message.role === 'developer' ? 'system' : 'message'
      found.push({ kind, message: index, change: otherContent })
    }
    for (const call of Array.isArray(message.tool_calls) ? (message.tool_calls as unknown[]) : []) {
      yield
      if (namesOf(call).every(stands)) continue
      found.push({ kind: 'tool_calls', message: index, change: otherCalls })
      break
    }
  }
  return found
}

/** Whether the name of a tool does not stand in the text. */
function* lacksTools(tools: readonly unknown[], find: (part: string, from: number) => number): Steps<boolean> {
  // They mostly follow each other too.
  let cursor = 0
  for (const tool of tools) {
    yield
    for (const name of namesOf(tool)) {
      const next = find(name, cursor)
      const at = next < 0 && cursor > 0 ? find(name, 0) : next
      if (at < 0) return true
      cursor = at
    }
  }
  return false
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

// Text that no template reacts to, in the place of another.
const other = (text: string): string => `${text} other0text0q7`

function otherContent(message: ChatMessage): ChatMessage {
  const { content } = message
  if (typeof content === 'string') return { ...message, content: other(content) }
  const parts = (content ?? []) as readonly Record<string, unknown>[]
  return {
    ...message,
    content: parts.map((part) => (typeof part.text === 'string' ? { ...part, text: other(part.text) } : part)),
  }
}

function otherReasoning(message: ChatMessage): ChatMessage {
  const changed = { ...message }
  for (const name of REASONING) {
    const value = changed[name]
    if (typeof value === 'string') changed[name] = other(value)
  }
  return changed
}

function otherCalls(message: ChatMessage): ChatMessage {
  return { ...message, tool_calls: (message.tool_calls as unknown[]).map(otherTool) }
}

/** A tool or call with another name of its function. */
function otherTool(tool: unknown): unknown {
  if (typeof tool !== 'object' || tool === null) return tool
  const { function: inner, name } = tool as { function?: unknown; name?: unknown }
  return {
    ...tool,
    ...(typeof name === 'string' ? { name: `${name}_other` } : {}),
    ...(typeof inner === 'object' && inner !== null ? { function: otherTool(inner) } : {}),
  }
}

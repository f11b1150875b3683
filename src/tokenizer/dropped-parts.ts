/**
 * @file What a rendering left out: tools, tool calls, whole messages or reasoning that the template has no place for. A part
 * counts as left out when another text in its place gives the same rendering.
 */

import { runAtOnce, type Steps } from '../turns.js'
import type { ChatMessage, ChatRenderer, RenderOptions } from './chat-template.js'

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

interface Candidate extends DroppedPart {
  /** The conversation with another text in the place of this part. */
  change(state: State): State
}

interface State {
  messages: readonly ChatMessage[]
  options: RenderOptions
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

/** `droppedParts` for conversations of any length: one step is one rendering. */
export function* droppedPartSteps(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
): Steps<DroppedPart[]> {
  const missing = candidates(messages, options, text)
  if (missing.length === 0) return []
  const state = { messages, options }
  const isSame = (parts: readonly Candidate[]): boolean => {
    const changed = parts.reduce<State>((before, part) => part.change(before), state)
    try {
      return renderer.render(changed.messages, changed.options) === text
    } catch {
      // The template looked at it, and refused the other text.
      return false
    }
  }
  yield
  // All at once first: where a template has no place for any of them, one rendering says so.
  const all = isSame(missing)
  const dropped: Candidate[] = all ? missing : []
  for (const part of all ? [] : missing.slice(0, MAX_PROBES)) {
    yield
    if (isSame([part])) dropped.push(part)
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
function candidates(messages: readonly ChatMessage[], options: RenderOptions, text: string): Candidate[] {
  const found: Candidate[] = []
  let cursor = 0
  // Messages follow each other in the text: a search goes on where the last one ended, so that all of them are one pass.
  const stands = (part: string): boolean => {
    const wanted = part.trim()
    if (wanted.length < MIN_LENGTH) return false
    const at = text.indexOf(wanted, cursor)
    if (at >= 0) cursor = at + wanted.length
    return at >= 0
  }
  const { tools } = options
  if (
    tools !== undefined &&
    tools.length > 0 &&
    !tools.every((tool) => namesOf(tool).every((name) => text.includes(name)))
  ) {
    found.push({
      kind: 'tools',
      change: (state) => ({ ...state, options: { ...state.options, tools: tools.map(otherTool) } }),
    })
  }
  messages.forEach((message, index) => {
    const reasoning = reasoningOf(message)
    if (reasoning !== undefined && !stands(reasoning)) {
      found.push({ kind: 'reasoning', message: index, change: (state) => replace(state, index, otherReasoning) })
    }
    const content = contentText(message.content)
    if (content.trim() !== '' && !stands(content)) {
      const kind = message.role === 'system' || message.role === 'developer' ? 'system' : 'message'
      found.push({ kind, message: index, change: (state) => replace(state, index, otherContent) })
    }
    const calls = message.tool_calls
    if (Array.isArray(calls) && calls.length > 0 && !calls.every((call) => namesOf(call).every(stands))) {
      found.push({ kind: 'tool_calls', message: index, change: (state) => replace(state, index, otherCalls) })
    }
  })
  return found
}

function replace(state: State, index: number, change: (message: ChatMessage) => ChatMessage): State {
  const messages = state.messages.slice()
  messages[index] = change(messages[index] as ChatMessage)
  return { ...state, messages }
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
  const texts = content.flatMap((part: Record<string, unknown>) => (typeof part.text === 'string' ? [part.text] : []))
  return texts[0] ?? ''
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

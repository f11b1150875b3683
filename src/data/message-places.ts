/**
 * @file Where reasoning and content of messages stand in a rendered conversation: the conversation is rendered once
 * more with a mark in the place of each, and what stands between the marks is found again.
 */

import { DataError } from '../lowrank-error.js'
import {
  type ChatMessage,
  type ChatRenderer,
  renderSteps,
  type SharedRenderOptions,
  type TextSpan,
} from '../tokenizer/chat-template.js'
import type { Steps } from '../turns.js'

/** Where the parts of one message are printed; absent for what is not. */
export interface MessagePlaces {
  reasoning?: TextSpan
  content?: TextSpan
  /** Characters before `content` in the message's own content, which the template may have left out. */
  contentStart: number
}

// Private use, so no template reacts to them: one opens the mark of reasoning, one that of content.
const OPEN = { reasoning: '\uF6D2', content: '\uF6D4' } as const
const CLOSE = '\uF6D3'
const MARK = /(\uF6D2|\uF6D4)(\d+)\uF6D3/g

const REASONING_KEYS = ['reasoning_content', 'thinking', 'reasoning'] as const
const IN_CONTENT = /^([\s\S]*?<think>)([\s\S]*?)(<\/think>)/

/**
 * The places of reasoning and content of some messages.
 *
 * @param text The conversation as rendered with `options`.
 * @throws DataError naming the message whose parts cannot be followed through the template
 */
export function* messagePlaces(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: SharedRenderOptions,
  text: string,
  wanted: ReadonlySet<number>,
): Steps<Map<number, MessagePlaces>> {
  const texts = new Map<string, string>()
  const places = new Map<number, MessagePlaces>()
  const marked: ChatMessage[] = []
  for (const [index, message] of messages.entries()) {
    yield
    marked.push(wanted.has(index) ? withMarks(message, index, texts, places) : message)
  }
  const rendered = yield* renderSteps(renderer, marked, { ...options, addGenerationPrompt: false, copies: undefined })
  let at = 0
  let from = 0
  for (const { 0: mark, 1: opening, 2: number, index } of rendered.matchAll(MARK)) {
    yield
    const message = Number(number)
    const literal = rendered.slice(from, index)
    const printed = texts.get(mark) as string
    if (!text.startsWith(literal, at) || !text.startsWith(printed, at + literal.length)) throw notFollowed(message)
    const start = at + literal.length
    at = start + printed.length
    from = index + mark.length
    const place = places.get(message) as MessagePlaces
    place[opening === OPEN.reasoning ? 'reasoning' : 'content'] ??= { start, end: at }
  }
  if (text.slice(at) !== rendered.slice(from)) throw notFollowed(Math.max(...wanted))
  return places
}

/** The message with marks for its reasoning and its content, blanks around them left where they are. */
function withMarks(
  message: ChatMessage,
  index: number,
  texts: Map<string, string>,
  places: Map<number, MessagePlaces>,
): ChatMessage {
  const mark = (kind: keyof typeof OPEN, text: string): string => {
    const [before, core, after] = withoutBlanks(text)
    if (core === '') return text
    const name = OPEN[kind] + index + CLOSE
    texts.set(name, core)
    return before + name + after
  }
  const marked: ChatMessage = { ...message }
  const place: MessagePlaces = { contentStart: 0 }
  places.set(index, place)
  const key = REASONING_KEYS.find((name) => typeof message[name] === 'string')
  if (key !== undefined) marked[key] = mark('reasoning', message[key] as string)
  const content = contentText(message)
  const [opening = '', before = '', thought = '', closing = ''] =
    key === undefined ? (IN_CONTENT.exec(content) ?? []) : []
  const answer = content.slice(opening.length)
  place.contentStart = opening.length + withoutBlanks(answer)[0].length
  const whole = before + mark('reasoning', thought) + closing + mark('content', answer)
  if (Array.isArray(message.content)) marked.content = [{ type: 'text', text: whole }]
  else if (content !== '') marked.content = whole
  return marked
}

function withoutBlanks(text: string): [before: string, core: string, after: string] {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text, start)) start++
  while (end > start && isBlank(text, end - 1)) end--
  return [text.slice(0, start), text.slice(start, end), text.slice(end)]
}

/** What Python's strip() takes for blank, or JavaScript's trim(). */
function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return /\s/.test(text[at] as string) || (code >= 0x1c && code <= 0x1f) || code === 0x85
}

function contentText({ content }: ChatMessage): string {
  if (typeof content === 'string') return content
  return (content ?? []).map((part) => String(part.text)).join('')
}

function notFollowed(index: number): Error {
  return new DataError(
    `[data] expected to find reasoning and content of message ${index + 1} in the rendered conversation, got a template that rewrites ` +
      'them; give weights to whole messages alone, and leave trainOnReasoning at true',
  )
}

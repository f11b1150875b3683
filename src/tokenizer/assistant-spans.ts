/**
 * @file Finding what the assistant wrote in a rendered conversation: every assistant turn of a multi-turn row, from its
 * header to its end token. Characters only; `token-spans.ts` turns them into tokens.
 */

import type { ChatMessage, ChatRenderer, RenderOptions, TextSpan } from './chat-template.js'
import type { Tokenizer } from './tokenizer.js'

// Stands for a message's content while looking for its place; private use, so no template reacts to it.
const PLACEHOLDER = '\uF6D2\uF6D3\uF6D2'

/** What the assistant wrote in a rendered conversation. */
export interface AssistantSpans {
  text: string
  /** In order and without overlap; with the number of the message each belongs to, where that can be told. */
  spans: (TextSpan & { message?: number })[]
}

/**
 * Renders a conversation and finds the span of each assistant turn: from where generation would begin to the end token
 * (inclusive), so that a model learns to stop. Templates with `{% generation %}` say it themselves; for others the
 * conversation up to each turn is rendered and compared with the whole. Of turns that the template rewrites later on
 * (dropping their reasoning, for example) what is left is located.
 *
 * @param tokenizer Knows the special tokens; white space after the last one of a turn is not generated.
 * @param first Turns before this message are not looked for. Default 0.
 * @throws Error naming the message whose tokens cannot be located with certainty.
 */
export function renderAssistantSpans(
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
  first = 0,
): AssistantSpans {
  const whole = { ...options, addGenerationPrompt: false }
  const marked = renderer.renderMarked?.(messages, whole)
  const text = marked?.text ?? renderer.render(messages, whole)
  const context: Context = { renderer, messages, options: whole, text, special: specialPattern(tokenizer) }
  if (tokenizer.eosTokenId !== undefined) context.eosToken = tokenizer.idToToken(tokenizer.eosTokenId)
  if (marked !== undefined) {
    const turns = assistants(messages)
    const owned = marked.spans.map((span, index) => ({
      ...span,
      ...(marked.spans.length === turns.length && { message: turns[index] as number }),
    }))
    return { text, spans: owned.slice(spansBefore(context, marked.spans, first)) }
  }
  const spans: AssistantSpans['spans'] = []
  let previousEnd = 0
  for (const index of assistants(messages)) {
    if (index < first) continue
    const span = findTurn(context, index)
    if (span.start < previousEnd || span.end < span.start) throw notFound(index, 'it overlaps the turn before')
    previousEnd = span.end
    if (span.end > span.start) spans.push({ ...span, message: index })
  }
  return { text, spans }
}

const patterns = new WeakMap<Tokenizer, RegExp>()

/** Matches any special token. */
function specialPattern(tokenizer: Tokenizer): RegExp {
  const known = patterns.get(tokenizer)
  if (known !== undefined) return known
  // Longest first, since one may begin with another; where there is none, a pattern that nothing matches.
  const texts = [...tokenizer.specialTokens.keys()].filter((text) => text !== '').sort((a, b) => b.length - a.length)
  const escaped = texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const pattern = new RegExp(escaped.join('|') || '(?!)', 'g')
  patterns.set(tokenizer, pattern)
  return pattern
}

/** How many of a template's own spans belong to the messages before `first`. */
function spansBefore(context: Context, spans: readonly TextSpan[], first: number): number {
  if (first === 0) return 0
  const earlier = tryRender(context, context.messages.slice(0, first), false)
  if (earlier !== undefined && context.text.startsWith(earlier)) {
    return spans.filter((span) => span.start < earlier.length).length
  }
  if (spans.length === assistants(context.messages).length) return assistants(context.messages.slice(0, first)).length
  throw notFound(first, 'where the completion begins cannot be told')
}

interface Context {
  renderer: ChatRenderer
  messages: readonly ChatMessage[]
  options: RenderOptions
  text: string
  special: RegExp
  eosToken?: string
}

function assistants(messages: readonly ChatMessage[]): number[] {
  return messages.flatMap((message, index) => (message.role === 'assistant' ? [index] : []))
}

function findTurn(context: Context, index: number): TextSpan {
  const { text, messages } = context
  const prompt = tryRender(context, messages.slice(0, index), true)
  if (prompt === undefined || !text.startsWith(prompt)) return findByContent(context, index)
  const start = prompt.length
  const last = index === messages.length - 1
  const rendered = last ? text : tryRender(context, messages.slice(0, index + 1), false)
  if (rendered === undefined) return findByContent(context, index)
  const upTo = withoutHeader(context, index, prompt, rendered)
  if (text.startsWith(upTo) && upTo.length >= start) return { start, end: endOfTurn(context, start, upTo) }
  // As the last turn it began with more (reasoning, for example) than is left of it here, or was rewritten beyond that.
  const ending = upTo.slice(start)
  for (let cut = 1; cut < ending.length; cut++) {
    const left = ending.slice(cut)
    if (text.startsWith(left, start) && hasWords(context, left)) {
      return { start, end: endOfTurn(context, start, text.slice(0, start + left.length)) }
    }
  }
  return findByContent(context, index)
}

/**
 * Some templates open the next assistant turn whether asked or not, even after an assistant turn. What follows the end
 * token is such a header if the prompt ends with it too.
 */
function withoutHeader(context: Context, index: number, prompt: string, rendered: string): string {
  const heedsFlag = (): boolean => tryRender(context, context.messages.slice(0, index), false) !== prompt
  let headerOnly = false
  for (const match of rendered.slice(prompt.length).matchAll(context.special)) {
    const at = prompt.length + match.index
    const after = at + match[0].length
    if (rendered.slice(after).trim() !== '' && prompt.endsWith(rendered.slice(after))) {
      return heedsFlag() ? rendered : rendered.slice(0, after)
    }
    headerOnly ||= prompt.endsWith(rendered.slice(at)) && match[0] !== context.eosToken
  }
  if (headerOnly && !heedsFlag()) {
    throw notFound(index, 'it ends as prompts end, so an end token cannot be told from a header')
  }
  return rendered
}

/** For turns whose beginning is not that of a generated one: the content alone, with the end token. */
function findByContent(context: Context, index: number): TextSpan {
  const content = locateContent(context, index)
  return { start: content.start, end: content.end + turnEnding(context, index, content.end).length }
}

function hasWords(context: Context, text: string): boolean {
  return text.replace(context.special, '').trim() !== ''
}

/** End of `[start, rendered.length)` without white space after its last special token: no model generates it. */
function endOfTurn(context: Context, start: number, rendered: string): number {
  const trimmed = rendered.trimEnd()
  if (trimmed.length <= start) return rendered.length
  const last = [...trimmed.slice(start).matchAll(context.special)].at(-1)
  return last !== undefined && start + last.index + last[0].length === trimmed.length ? trimmed.length : rendered.length
}

/** Where message `index`'s content, or what the template leaves of it, stands in the whole text. */
function locateContent(context: Context, index: number): TextSpan {
  const { text, messages } = context
  const split = renderAround(context, messages, index)
  if (split === undefined) throw notFound(index, 'its content cannot be followed through the template')
  const [before, after] = split
  if (!text.startsWith(before) || !text.endsWith(after) || before.length + after.length > text.length) {
    throw notFound(index, 'the template changes the text around it')
  }
  return { start: before.length, end: text.length - after.length }
}

/** The text that ends message `index`, as written when it is the last one, if it stands in the whole text too. */
function turnEnding(context: Context, index: number, contentEnd: number): string {
  const split = renderAround(context, context.messages.slice(0, index + 1), index)
  if (split === undefined) throw notFound(index, 'it cannot be rendered as the last message')
  const ending = split[1].slice(0, endOfTurn(context, 0, split[1]))
  const trimmed = ending.trim() === '' ? '' : ending
  if (!context.text.startsWith(trimmed, contentEnd)) {
    throw notFound(index, `it does not end with ${JSON.stringify(trimmed)} there`)
  }
  return trimmed
}

/** The text before and after a placeholder put in the place of message `index`'s content. */
function renderAround(context: Context, messages: readonly ChatMessage[], index: number): [string, string] | undefined {
  const replaced = messages.map((message, at) => (at === index ? { ...message, content: PLACEHOLDER } : message))
  const pieces = tryRender(context, replaced, false)?.split(PLACEHOLDER)
  return pieces?.length === 2 ? (pieces as [string, string]) : undefined
}

function tryRender(context: Context, messages: readonly ChatMessage[], prompt: boolean): string | undefined {
  try {
    return context.renderer.render(messages, { ...context.options, addGenerationPrompt: prompt })
  } catch {
    // Templates may refuse a part of a conversation that they accept as a whole.
    return undefined
  }
}

function notFound(index: number, reason: string): Error {
  return new Error(
    `[chat template] expected to find the assistant turn in message ${index + 1}, got a template that rewrites earlier ` +
      `turns: ${reason}; mark the turns in the template with {% generation %} ... {% endgeneration %}, split the row ` +
      'so that each answer is its last message, or set assistantOnlyLoss: false',
  )
}

/**
 * @file Finding what the assistant wrote in a rendered conversation: every assistant turn of a multi-turn row, from its
 * header to its end token. Characters only; `token-spans.ts` turns them into tokens.
 */

import type { ChatMessage, ChatRenderer, MarkedText, RenderOptions, TextSpan } from './chat-template.js'

// Stands for a message's content while looking for its place; private use, so no template reacts to it.
const PLACEHOLDER = '\uF6D2\uF6D3\uF6D2'

/**
 * Renders a conversation and finds the span of each assistant turn: from where generation would begin to the end token
 * (inclusive), so that a model learns to stop. Templates with `{% generation %}` say it themselves; for others the
 * conversation up to each turn is rendered and compared with the whole. A template that rewrites earlier turns
 * (dropping their reasoning, for example) is handled by locating the content that is left of them.
 *
 * @param specialTokens Texts of the tokenizer's special tokens; white space after the last of a turn is not generated.
 * @param first Turns before this message are not looked for. Default 0.
 * @throws Error naming the message whose tokens cannot be located with certainty.
 */
export function renderAssistantSpans(
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  specialTokens: Iterable<string>,
  first = 0,
): MarkedText {
  const whole = { ...options, addGenerationPrompt: false }
  const marked = renderer.renderMarked?.(messages, whole)
  const text = marked?.text ?? renderer.render(messages, whole)
  const context: Context = { renderer, messages, options: whole, text, specialTokens: [...specialTokens] }
  if (marked !== undefined) return { text, spans: marked.spans.slice(spansBefore(context, marked.spans, first)) }
  const spans: TextSpan[] = []
  let previousEnd = 0
  for (const index of assistants(messages)) {
    if (index < first) continue
    const span = findTurn(context, index)
    if (span.start < previousEnd || span.end < span.start) throw notFound(index, 'it overlaps the turn before')
    previousEnd = span.end
    if (span.end > span.start) spans.push(span)
  }
  return { text, spans }
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
  specialTokens: readonly string[]
}

function assistants(messages: readonly ChatMessage[]): number[] {
  return messages.flatMap((message, index) => (message.role === 'assistant' || message.role === 'model' ? [index] : []))
}

function findTurn(context: Context, index: number): TextSpan {
  const { text, messages } = context
  const prompt = tryRender(context, messages.slice(0, index), true)
  const upTo = index === messages.length - 1 ? text : tryRender(context, messages.slice(0, index + 1), false)
  const startKnown = prompt !== undefined && text.startsWith(prompt)
  if (startKnown && upTo !== undefined && text.startsWith(upTo) && upTo.length >= prompt.length) {
    return { start: prompt.length, end: endOfTurn(context, prompt.length, upTo) }
  }
  const content = locateContent(context, index)
  const start = startKnown && prompt.length <= content.start ? prompt.length : content.start
  return { start, end: content.end + turnEnding(context, index, content.end).length }
}

/** End of `[start, rendered.length)` without white space after its last special token: no model generates it. */
function endOfTurn(context: Context, start: number, rendered: string): number {
  const trimmed = rendered.trimEnd()
  const atSpecial = context.specialTokens.some((token) => token !== '' && trimmed.endsWith(token))
  return atSpecial && trimmed.length > start ? trimmed.length : rendered.length
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

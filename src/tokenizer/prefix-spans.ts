/**
 * @file Finding assistant turns by rendering the conversation up to each of them: exact, whatever the template does,
 * and as slow as the conversation is long. `assistant-spans.ts` decides for which turns it is asked.
 */

import { ModelError } from '../lowrank-error.js'
import type { Steps } from '../turns.js'
import { type ChatMessage, type ChatRenderer, type RenderOptions, renderSteps, type TextSpan } from './chat-template.js'
import type { Tokenizer } from './tokenizer.js'
import { commonBorders } from './turn-borders.js'

// Stands for a message's content while looking for its place; private use, so no template reacts to it.
const PLACEHOLDER = '\uF6D2\uF6D3\uF6D2'

/** A rendered conversation and what it takes to render parts of it. */
export interface Rendering {
  renderer: ChatRenderer
  messages: readonly ChatMessage[]
  options: RenderOptions
  text: string
  /** What the template's loop wrote for each message, where that is known. */
  parts: readonly (TextSpan | undefined)[]
  special: RegExp
  eosToken?: string
}

/** @param text The conversation as rendered with `options`, without a generation prompt. */
export function renderingOf(
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions,
  text: string,
  parts: readonly (TextSpan | undefined)[] = [],
): Rendering {
  const rendering: Rendering = { renderer, messages, options, text, parts, special: specialPattern(tokenizer) }
  if (tokenizer.eosTokenId !== undefined) rendering.eosToken = tokenizer.idToToken(tokenizer.eosTokenId)
  return rendering
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

/**
 * The span of the assistant turn in message `index`: from where generation would begin to its end token. Of a turn that
 * the template rewrites later on (dropping its reasoning, for example) what is left is located.
 *
 * @throws ModelError naming the message where it cannot be located with certainty.
 */
export function* findTurn(context: Rendering, index: number): Steps<TextSpan> {
  const { text, messages } = context
  const prompt = yield* tryRender(context, messages.slice(0, index), true)
  if (prompt === undefined || !text.startsWith(prompt)) return yield* findByContent(context, index)
  yield
  const start = prompt.length
  const last = index === messages.length - 1
  const rendered = last ? text : yield* tryRender(context, messages.slice(0, index + 1), false)
  if (rendered === undefined) return yield* findByContent(context, index)
  yield
  const upTo = yield* withoutHeader(context, index, prompt, rendered)
  if (text.startsWith(upTo) && upTo.length >= start) return { start, end: endOfTurn(context, start, upTo) }
  const part = context.parts[index]
  if (upTo === rendered && part !== undefined && endsAlike(context, start, part, rendered)) {
    return { start, end: endOfTurn(context, start, text.slice(0, part.end)) }
  }
  // As the last turn it began with more (reasoning, for example) than is left of it here, or was rewritten beyond that.
  const ending = upTo.slice(start)
  for (const length of commonBorders(ending, text.slice(start, start + ending.length))) {
    if (hasWords(context, ending.slice(ending.length - length))) {
      return { start, end: endOfTurn(context, start, text.slice(0, start + length)) }
    }
  }
  if (upTo === rendered && part !== undefined && answersAlike(context, start, part, rendered)) {
    return { start, end: endOfTurn(context, start, text.slice(0, part.end)) }
  }
  return yield* findByContent(context, index)
}

/**
 * Whether a turn's part of the whole text ends with the words that the rendering up to the turn ends with, special
 * tokens behind them left out: what stands before these was rewritten, and nothing is written behind.
 */
function answersAlike({ text, special }: Rendering, start: number, part: TextSpan, rendered: string): boolean {
  if (start < part.start || start >= part.end) return false
  const words = (turn: string): string[] => turn.split(special).filter((piece) => piece.trim() !== '')
  const [here, there] = [words(text.slice(start, part.end)).at(-1), words(rendered.slice(start)).at(-1)]
  return here !== undefined && here.trimEnd() === there?.trimEnd()
}

/**
 * Whether a turn's part of the whole text is what the rendering up to the turn has there, but for special tokens at the
 * end: some templates end a conversation with a token behind the last turn (Phi 3), or its last turn with another one
 * (gpt-oss).
 */
function endsAlike({ text, special }: Rendering, start: number, part: TextSpan, rendered: string): boolean {
  if (start < part.start || start >= part.end) return false
  let same = start
  while (same < part.end && same < rendered.length && text[same] === rendered[same]) same++
  // Where they differ within a token, they differ in all of it.
  for (const { index, 0: token } of text.slice(start, part.end).matchAll(special)) {
    const at = start + index
    if (at < same && same < at + token.length) same = at
  }
  const isEmpty = (ending: string): boolean => ending.replace(special, '').trim() === ''
  return same > start && isEmpty(text.slice(same, part.end)) && isEmpty(rendered.slice(same))
}

/**
 * Some templates open the next assistant turn whether asked or not, even after an assistant turn. What follows the end
 * token is such a header if the prompt ends with it too.
 */
function* withoutHeader(context: Rendering, index: number, prompt: string, rendered: string): Steps<string> {
  function* heedsFlag(): Steps<boolean> {
    return (yield* tryRender(context, context.messages.slice(0, index), false)) !== prompt
  }
  let headerOnly = false
  for (const match of rendered.slice(prompt.length).matchAll(context.special)) {
    const at = prompt.length + match.index
    const after = at + match[0].length
    if (rendered.slice(after).trim() !== '' && prompt.endsWith(rendered.slice(after))) {
      return (yield* heedsFlag()) ? rendered : rendered.slice(0, after)
    }
    headerOnly ||= prompt.endsWith(rendered.slice(at)) && match[0] !== context.eosToken
  }
  if (headerOnly && !(yield* heedsFlag())) {
    throw notFound(index, 'it ends as prompts end, so an end token cannot be told from a header')
  }
  return rendered
}

/** For turns whose beginning is not that of a generated one: the content alone, with the end token. */
function* findByContent(context: Rendering, index: number): Steps<TextSpan> {
  yield
  const content = yield* locateContent(context, index)
  yield
  return { start: content.start, end: content.end + (yield* turnEnding(context, index, content.end)).length }
}

function hasWords(context: Rendering, text: string): boolean {
  return text.replace(context.special, '').trim() !== ''
}

/** The special token that ends a span, or nothing. */
export function endingToken(context: Rendering, { start, end }: TextSpan): string {
  const last = [...context.text.slice(start, end).matchAll(context.special)].at(-1)
  return last !== undefined && start + last.index + last[0].length === end ? last[0] : ''
}

/** End of `[start, rendered.length)` without white space after its last special token: no model generates it. */
export function endOfTurn(context: Rendering, start: number, rendered: string): number {
  const trimmed = rendered.trimEnd()
  if (trimmed.length <= start) return rendered.length
  const last = [...trimmed.slice(start).matchAll(context.special)].at(-1)
  return last !== undefined && start + last.index + last[0].length === trimmed.length ? trimmed.length : rendered.length
}

/** Where message `index`'s content, or what the template leaves of it, stands in the whole text. */
function* locateContent(context: Rendering, index: number): Steps<TextSpan> {
  const { text, messages } = context
  const split = yield* renderAround(context, messages, index)
  if (split === undefined) throw notFound(index, 'its content cannot be followed through the template')
  const [before, after] = split
  if (!text.startsWith(before) || !text.endsWith(after) || before.length + after.length > text.length) {
    throw notFound(index, 'the template changes the text around it')
  }
  return { start: before.length, end: text.length - after.length }
}

/** The text that ends message `index`, as written when it is the last one, if it stands in the whole text too. */
function* turnEnding(context: Rendering, index: number, contentEnd: number): Steps<string> {
  const split = yield* renderAround(context, context.messages.slice(0, index + 1), index)
  if (split === undefined) throw notFound(index, 'it cannot be rendered as the last message')
  const ending = split[1].slice(0, endOfTurn(context, 0, split[1]))
  const trimmed = ending.trim() === '' ? '' : ending
  if (!context.text.startsWith(trimmed, contentEnd)) {
    throw notFound(index, `it does not end with ${JSON.stringify(trimmed)} there`)
  }
  return trimmed
}

/** The text before and after a placeholder put in the place of message `index`'s content. */
function* renderAround(
  context: Rendering,
  messages: readonly ChatMessage[],
  index: number,
): Steps<[string, string] | undefined> {
  const content = Array.isArray(messages[index]?.content) ? [{ type: 'text', text: PLACEHOLDER }] : PLACEHOLDER
  const replaced = messages.map((message, at) => (at === index ? { ...message, content } : message))
  const pieces = (yield* tryRender(context, replaced, false))?.split(PLACEHOLDER)
  return pieces?.length === 2 ? (pieces as [string, string]) : undefined
}

/** A rendering of some of the messages, or undefined where the template refuses them. */
export function* tryRender(
  context: Rendering,
  messages: readonly ChatMessage[],
  prompt: boolean,
): Steps<string | undefined> {
  try {
    return yield* renderSteps(context.renderer, messages, { ...context.options, addGenerationPrompt: prompt })
  } catch {
    // A part of a conversation that is accepted as a whole.
    return undefined
  }
}

/** The error for a turn that cannot be located. */
export function notFound(index: number, reason: string): Error {
  return new ModelError(
    `[chat template] expected to find the assistant turn in message ${index + 1}, got a template that rewrites earlier ` +
      `turns: ${reason}; mark the turns in the template with {% generation %} ... {% endgeneration %}, split the row ` +
      'so that each answer is its last message, or set assistantOnlyLoss: false',
  )
}

/**
 * @file Finding what the assistant wrote in a rendered conversation: every assistant turn of a multi-turn row, from its
 * header to its end token. Characters only; `token-spans.ts` turns them into tokens.
 */

import { ModelError } from '../lowrank-error.js'
import { runAtOnce, type Steps } from '../turns.js'
import { type ChatMessage, type ChatRenderer, type RenderOptions, renderSteps, type TextSpan } from './chat-template.js'
import { findTurn, notFound, type Rendering, renderingOf, tryRender } from './prefix-spans.js'
import type { Tokenizer } from './tokenizer.js'
import { traceTurns } from './traced-spans.js'

/** What the assistant wrote in a rendered conversation. */
export interface AssistantSpans {
  text: string
  /** In order and without overlap; with the number of the message each belongs to, where that can be told. */
  spans: (TextSpan & { message?: number })[]
}

// Up to so many turns are located one by one, which takes two renderings for each.
const FEW_TURNS = 24
// Turns times messages of what is located by rendering the conversation up to each turn: some seconds.
const MOST_RENDERED = 10_000_000

/**
 * Renders a conversation and finds the span of each assistant turn: from where generation would begin to the end token
 * (inclusive), so that a model learns to stop. Templates with `{% generation %}` say it themselves; for others the
 * conversation up to each turn is rendered and compared with the whole, in long conversations for some turns of each
 * kind.
 *
 * @param tokenizer Knows the special tokens; white space after the last one of a turn is not generated.
 * @param first Turns before this message are not looked for. Default 0.
 * @throws ModelError naming the message whose tokens cannot be located with certainty; for thousands of turns whose
 * places the template hides.
 */
export function renderAssistantSpans(
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
  first = 0,
): AssistantSpans {
  return runAtOnce(assistantSpanSteps(tokenizer, renderer, messages, options, first))
}

/** `renderAssistantSpans` for conversations of any length. */
export function* assistantSpanSteps(
  tokenizer: Tokenizer,
  renderer: ChatRenderer,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
  first = 0,
): Steps<AssistantSpans> {
  const whole = { ...options, addGenerationPrompt: false }
  const traced = renderer.traceInSteps
    ? yield* renderer.traceInSteps(messages, whole)
    : renderer.renderTraced?.(messages, whole)
  const marked = traced ?? renderer.renderMarked?.(messages, whole)
  const text = marked?.text ?? (yield* renderSteps(renderer, messages, whole))
  const rendering = renderingOf(tokenizer, renderer, messages, whole, text, traced?.messageOffsets)
  yield
  if (marked?.spans !== undefined) {
    return { text, spans: yield* markedSpans(rendering, marked.spans, traced?.messageOffsets ?? [], first) }
  }
  const turns = assistants(messages).filter((index) => index >= first)
  const known =
    traced !== undefined && turns.length > FEW_TURNS
      ? yield* traceTurns(rendering, turns, traced.messageOffsets)
      : undefined
  if (known === undefined && turns.length * messages.length > MOST_RENDERED) {
    throw new ModelError(
      `[chat template] expected a loop over messages that writes each turn alike, got a template that hides where it writes ` +
        `the ${turns.length} assistant turns of a conversation of ${messages.length} messages (in a macro, for example), which ` +
        'would take hours to find; mark them with {% generation %} ... {% endgeneration %}, write the loop outside of macros, ' +
        'or split the conversation',
    )
  }
  const spans: AssistantSpans['spans'] = []
  let previousEnd = 0
  for (const message of turns) {
    yield
    const span = known?.get(message) ?? (yield* findTurn(rendering, message))
    if (span.start < previousEnd || span.end < span.start) throw notFound(message, 'it overlaps the turn before')
    previousEnd = span.end
    if (span.end > span.start) spans.push({ ...span, message })
  }
  return { text, spans }
}

function assistants(messages: readonly ChatMessage[]): number[] {
  return messages.flatMap((message, index) => (message.role === 'assistant' ? [index] : []))
}

/** The spans that a template marks itself, those of messages before `first` left out. */
function* markedSpans(
  rendering: Rendering,
  spans: readonly TextSpan[],
  parts: readonly (TextSpan | undefined)[],
  first: number,
): Steps<AssistantSpans['spans']> {
  const owned = ownersOf(rendering.messages, spans, parts)
  yield
  if (first === 0) return owned
  if (owned.every(({ message }) => message !== undefined)) return owned.filter(({ message = 0 }) => message >= first)
  const earlier = yield* tryRender(rendering, rendering.messages.slice(0, first), false)
  if (earlier !== undefined && rendering.text.startsWith(earlier)) {
    return owned.filter((span) => span.start >= earlier.length)
  }
  throw notFound(first, 'where the completion begins cannot be told')
}

/** Each span with its message: that within whose part of the text it stands, or one answer after the other. */
function ownersOf(
  messages: readonly ChatMessage[],
  spans: readonly TextSpan[],
  parts: readonly (TextSpan | undefined)[],
): AssistantSpans['spans'] {
  const turns = assistants(messages)
  const isOneEach = turns.length === spans.length
  // Parts follow one another, so both lists are gone through once.
  const ordered = turns.flatMap((message) => {
    const part = parts[message]
    return part ? [{ message, ...part }] : []
  })
  let at = 0
  return spans.map((span, index) => {
    while (at < ordered.length && (ordered[at]?.end as number) < span.end) at++
    const part = ordered[at]
    const message = part && span.start >= part.start ? part.message : isOneEach ? turns[index] : undefined
    return message === undefined ? { ...span } : { ...span, message }
  })
}

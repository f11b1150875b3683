/**
 * @file What is learnt within the assistant's turns: weights of messages and of parts of them, and whether reasoning
 * is. Characters only; `examples.ts` turns them into tokens.
 */

import { DataError } from '../lowrank-error.js'
import type { AssistantSpans } from '../tokenizer/assistant-spans.js'
import type { ChatMessage, ChatRenderer, SharedRenderOptions, TextSpan } from '../tokenizer/chat-template.js'
import type { Steps } from '../turns.js'
import type { PreparedConversation } from './conversation.js'
import { type MessagePlaces, messagePlaces } from './message-places.js'
import type { WeightedPart } from './message-weights.js'

/** Characters of an answer and what each of their tokens counts. */
export interface LearntPart extends TextSpan {
  weight: number
}

/** A thought that a template prints although there is none, as Qwen 3 does. */
const EMPTY_THOUGHT = /^\s*<think>\s*<\/think>\s*/
/** What ends reasoning where no content follows that would tell. */
const CLOSING = /^\s*(?:<[^<>]{1,40}>|\[[^[\]]{1,40}\])\s*/

/**
 * The spans of the assistant's turns, cut where the weight changes.
 *
 * @param spans of `text`, in order.
 * @param trainOnReasoning Whether reasoning is learnt as the rest of a turn.
 * @throws DataError where a part cannot be found in the text, or a span belongs to no message
 */
export function* learntParts(
  renderer: ChatRenderer,
  { messages, weights, parts }: PreparedConversation,
  options: SharedRenderOptions,
  { text, spans }: AssistantSpans,
  trainOnReasoning: boolean,
): Steps<LearntPart[]> {
  const isWhole = weights.size === 0 && parts.size === 0 && trainOnReasoning
  const isUnowned = spans.some(({ message }) => message === undefined)
  if (!isWhole && isUnowned) {
    throw new DataError(
      '[data] expected to know which message each {% generation %} block of the template belongs to, since messages or parts of ' +
        'them are learnt by themselves, got another number of blocks than of answers; mark each answer once',
    )
  }
  const located = new Set(parts.keys())
  if (!trainOnReasoning) for (const { message = 0 } of spans) if (mayReason(messages[message])) located.add(message)
  const places =
    located.size > 0
      ? yield* messagePlaces(renderer, messages, options, text, located)
      : new Map<number, MessagePlaces>()
  const found: LearntPart[] = []
  const begun = new Set<number>()
  for (const { start, end, message = -1 } of spans) {
    yield
    const place = places.get(message)
    const weight = weights.get(message) ?? 1
    const cuts: LearntPart[] = []
    if (!trainOnReasoning) cuts.push({ ...reasoningOf(text, { start, end }, place, begun.has(message)), weight: 0 })
    begun.add(message)
    for (const part of parts.get(message) ?? []) {
      const cut = printedPart(part, place)
      if (cut !== undefined) cuts.push({ ...cut, weight: weight * part.weight })
    }
    found.push(...cut({ start, end, weight }, cuts))
  }
  return found
}

function mayReason(message: ChatMessage | undefined): boolean {
  if (message === undefined) return false
  const { content, reasoning_content, thinking, reasoning } = message
  const texts = [content, reasoning_content, thinking, reasoning]
  return (
    texts.slice(1).some((text) => typeof text === 'string' && text !== '') ||
    JSON.stringify(content ?? '').includes('</think>')
  )
}

/** From the beginning of a turn to the end of its reasoning and what closes it. */
function reasoningOf(text: string, span: TextSpan, place: MessagePlaces | undefined, isLater: boolean): TextSpan {
  const none = { start: span.start, end: span.start }
  if (place?.reasoning === undefined) {
    const thought = isLater ? null : EMPTY_THOUGHT.exec(text.slice(span.start, span.end))
    return thought ? { start: span.start, end: span.start + thought[0].length } : none
  }
  const { reasoning, content } = place
  if (reasoning.end <= span.start) return none
  if (content !== undefined && content.start >= reasoning.end) return { start: span.start, end: content.start }
  const closing = CLOSING.exec(text.slice(reasoning.end, span.end))
  return { start: Math.min(span.start, reasoning.start), end: reasoning.end + (closing?.[0].length ?? 0) }
}

/** A part of the content in the text; undefined where it is printed nowhere. */
function printedPart({ start, end }: WeightedPart, place: MessagePlaces | undefined): TextSpan | undefined {
  if (place?.content === undefined) return undefined
  const shift = place.content.start - place.contentStart
  const cut = { start: Math.max(start + shift, place.content.start), end: Math.min(end + shift, place.content.end) }
  return cut.start < cut.end ? cut : undefined
}

/** A span in pieces: where several cuts meet, the one that leaves out counts, else the later one. */
function cut(span: LearntPart, cuts: readonly LearntPart[]): LearntPart[] {
  const edges = new Set([span.start, span.end])
  for (const { start, end } of cuts) for (const at of [start, end]) if (at > span.start && at < span.end) edges.add(at)
  const ordered = [...edges].sort((a, b) => a - b)
  const pieces: LearntPart[] = []
  for (const [index, start] of ordered.slice(0, -1).entries()) {
    const over = cuts.filter((one) => one.start <= start && one.end > start)
    const weight = over.some((one) => one.weight === 0) ? 0 : (over.at(-1)?.weight ?? span.weight)
    const last = pieces.at(-1)
    const end = ordered[index + 1] as number
    if (last?.weight === weight) last.end = end
    else pieces.push({ start, end, weight })
  }
  return pieces
}

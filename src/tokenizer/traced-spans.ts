/**
 * @file Finding assistant turns in long conversations, in linear time: by what the template's loop wrote for each
 * message. Where a turn begins and ends within that is learnt from a few turns, which are located exactly
 * (`prefix-spans.ts`).
 */

import type { Steps } from '../turns.js'
import type { ChatMessage, TextSpan } from './chat-template.js'
import { endingToken, endOfTurn, findTurn, type Rendering, tryRender } from './prefix-spans.js'

// As many turns of a kind are located exactly: the first, the last, and those between that are spread evenly.
const SAMPLES = 4
// Conversations are made of fewer kinds of turns; where they are not, little can be learnt from one for another.
const MOST_KINDS = 12

/** What is alike in all turns of a kind. */
interface Pattern {
  /** What stands in the message's part of the text before the turn and after it, and the token that ends the turn. */
  before: string
  after: string
  ending: string
  /** What the generation prompt writes in place of the turn; undefined where it changes the text before. */
  prompt: string | undefined
}

/**
 * The spans of the given turns, or undefined where these cannot be told with certainty: the template writes messages
 * outside of a loop, or turns that should be alike are not.
 *
 * @param turns Numbers of the assistant's messages, ascending.
 * @param parts What the template wrote for each message.
 */
export function* traceTurns(
  rendering: Rendering,
  turns: readonly number[],
  parts: readonly (TextSpan | undefined)[],
): Steps<Map<number, TextSpan> | undefined> {
  const found = new Map<number, TextSpan>()
  const kinds = [...(yield* kindsOf(rendering.messages, turns)).values()]
  if (kinds.length > MOST_KINDS) return undefined
  for (const kind of kinds) {
    const samples = samplesOf(kind)
    const exact = new Map<number, TextSpan>()
    let pattern: Pattern | undefined
    for (const turn of samples) {
      yield
      const part = parts[turn]
      const span = yield* tryFind(rendering, turn)
      if (part === undefined || span === undefined || span.start < part.start) return undefined
      exact.set(turn, span)
      // Where every turn of a kind is located, nothing has to be learnt.
      if (samples.length === kind.length) continue
      yield
      const seen = yield* patternOf(rendering, turn, part, span)
      pattern ??= seen
      if (JSON.stringify(seen) !== JSON.stringify(pattern)) return undefined
    }
    for (const turn of kind) {
      yield
      const part = parts[turn]
      const guess = pattern && part ? match(rendering, part, pattern) : undefined
      const known = exact.get(turn)
      const span = samples.length === kind.length ? known : guess
      if (span === undefined || (known && (known.start !== span.start || known.end !== span.end))) return undefined
      found.set(turn, span)
    }
  }
  return found
}

/** Turns by what a template may look at when it writes them: their neighbours, their fields, what follows them. */
function* kindsOf(messages: readonly ChatMessage[], turns: readonly number[]): Steps<Map<string, number[]>> {
  const lastUser = messages.findLastIndex(({ role }) => role === 'user')
  const kinds = new Map<string, number[]>()
  for (const turn of turns) {
    yield
    const message = messages[turn] as ChatMessage
    const { content } = message
    const text = typeof content === 'string' ? content : (content ?? []).map((part) => String(part.text)).join('')
    const kind = JSON.stringify([
      messages[turn - 1]?.role,
      messages[turn + 1]?.role,
      turn > lastUser,
      Object.keys(message).sort(),
      typeof content,
      text.trim() === '',
      text.includes('<think>'),
      text.includes('</think>'),
    ])
    const others = kinds.get(kind)
    if (others === undefined) kinds.set(kind, [turn])
    else others.push(turn)
  }
  return kinds
}

function samplesOf(kind: readonly number[]): number[] {
  if (kind.length <= SAMPLES) return [...kind]
  return Array.from(
    { length: SAMPLES },
    (_, at) => kind[Math.round((at * (kind.length - 1)) / (SAMPLES - 1))] as number,
  )
}

function* tryFind(rendering: Rendering, turn: number): Steps<TextSpan | undefined> {
  try {
    return yield* findTurn(rendering, turn)
  } catch {
    return undefined
  }
}

function* patternOf(rendering: Rendering, turn: number, part: TextSpan, span: TextSpan): Steps<Pattern> {
  const { text, messages } = rendering
  const prompt = yield* tryRender(rendering, messages.slice(0, turn), true)
  const isBehind = prompt?.startsWith(text.slice(0, part.start))
  return {
    before: text.slice(part.start, span.start),
    after: text.slice(span.end, part.end),
    ending: endingToken(rendering, span),
    prompt: isBehind ? prompt?.slice(part.start) : undefined,
  }
}

/** The turn of a kind in a message's part of the text, or undefined where that is written in another way. */
function match(rendering: Rendering, part: TextSpan, { before, after, ending, prompt }: Pattern): TextSpan | undefined {
  const { text } = rendering
  const opening = prompt !== undefined && text.startsWith(prompt, part.start) ? prompt : before
  const start = part.start + opening.length
  if (!text.startsWith(opening, part.start) || start >= part.end) return undefined
  const end = endOfTurn(rendering, start, text.slice(0, part.end))
  if (end <= start || text.slice(end, part.end) !== after) return undefined
  return endingToken(rendering, { start, end }) === ending ? { start, end } : undefined
}

/**
 * @file Which rows lose something to the chat template. To find that out takes renderings of its own, so of rows that
 * are alike eight are looked at, and every 64th behind them. The others are looked at where a search of their parts in
 * the text tells something else than those eight; it sees no difference where a part that is lost also stands elsewhere
 * in the text.
 */

import type { ChatMessage, ChatRenderer, RenderOptions } from '../tokenizer/chat-template.js'
import { agreesWith, type DroppedPart, droppedPartSteps } from '../tokenizer/dropped-parts.js'
import type { Steps } from '../turns.js'
import type { DroppedKind } from './report.js'

// So many rows of a kind with one result, and every so manyth after them.
const ALIKE_ROWS = 8
const LOOK_AGAIN = 64

interface SeenRows {
  rows: number
  /** Kinds that every row so far lost; undefined once two of them differed. */
  kinds: readonly DroppedPart[] | undefined
}

/** Looks at the rows of one data set. */
export class DroppedContent {
  readonly #seen = new Map<string, SeenRows>();

  /** What the template leaves out of a row, each kind once, with the first message that it concerns. */
  *find(
    renderer: ChatRenderer,
    messages: readonly ChatMessage[],
    options: RenderOptions,
    text: string,
  ): Steps<readonly DroppedPart[]> {
    const kind = yield* kindOf(messages, options)
    const seen = this.#seen.get(kind)
    if (seen !== undefined) {
      seen.rows++
      const { kinds } = seen
      const isKnown = seen.rows > ALIKE_ROWS && seen.rows % LOOK_AGAIN !== 0
      if (isKnown && kinds && (yield* agreesWith(new Set(kinds.map((part) => part.kind)), messages, options, text)))
        return kinds
    }
    yield
    const parts = yield* droppedPartSteps(renderer, messages, options, text)
    const first = new Map<DroppedKind, DroppedPart>()
    for (const part of parts) if (!first.has(part.kind)) first.set(part.kind, part)
    const found = [...first.values()]
    if (seen === undefined) this.#seen.set(kind, { rows: 1, kinds: found })
    else if (seen.kinds && String(seen.kinds.map((part) => part.kind)) !== String([...first.keys()]))
      seen.kinds = undefined
    return found
  }
}

/** What a row has that may be dropped. */
function* kindOf(messages: readonly ChatMessage[], { tools }: RenderOptions): Steps<string> {
  const features = new Set<string>()
  for (const message of messages) {
    yield
    for (const key of Object.keys(message)) features.add(`${message.role} ${key}`)
  }
  return [tools === undefined ? '' : 'tools', messages[0]?.role, ...[...features].sort()].join()
}

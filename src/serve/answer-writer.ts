/** @file What a route makes of answers: events of a stream, or one object. */

import { randomBytes } from 'node:crypto'
import type { InferenceToken } from '../inference/inference-request.js'
import type { AnswerEnd, AnswerEvent, AnswerPiece, Usage } from './answers.js'
import type { ServerEvent } from './event-stream.js'

/** An answer that is whole. */
export interface WholeAnswer extends AnswerEnd {
  readonly tokens: readonly InferenceToken[]
  readonly calls: readonly WholeCall[]
}

/** A call of a tool. */
interface WholeCall {
  readonly id: string
  readonly name: string
  readonly arguments: string
}

/** The form of one route's answers to one request. */
export interface AnswerWriter {
  begin(): readonly ServerEvent[]
  piece(choice: number, piece: AnswerPiece): readonly ServerEvent[]
  end(choice: number, end: AnswerEnd): readonly ServerEvent[]
  /** After the last choice. */
  finish(usage: Usage): readonly ServerEvent[]
  /** In place of all that would come, where an answer fails. */
  failure(body: object): readonly ServerEvent[]
  whole(answers: readonly WholeAnswer[], usage: Usage): object
}

/** A new id, as `chatcmpl-...`. */
export function newId(prefix: string): string {
  return `${prefix}${randomBytes(15).toString('base64url').replace(/[-_]/g, 'x')}`
}

/** Seconds since 1970. */
export function secondsNow(): number {
  return Math.floor(Date.now() / 1000)
}

/** `usage` of chat and text completions. */
export function usageOf({ promptTokens, cachedTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  }
}

/** All answers once they are whole, in the order of the choices. */
export async function collect(events: AsyncIterable<AnswerEvent>, count: number): Promise<WholeAnswer[]> {
  const tokens: InferenceToken[][] = Array.from({ length: count }, () => [])
  const calls: { id: string; name: string; arguments: string }[][] = Array.from({ length: count }, () => [])
  const whole: WholeAnswer[] = []
  for await (const event of events) {
    const { choice } = event
    if ('end' in event) {
      whole[choice] = { ...event.end, tokens: tokens[choice] ?? [], calls: calls[choice] ?? [] }
      continue
    }
    tokens[choice]?.push(...event.piece.tokens)
    for (const { index, id = '', name = '', arguments: text } of event.piece.calls) {
      const call = calls[choice]?.[index]
      if (call) call.arguments += text
      else calls[choice]?.push({ id, name, arguments: text })
    }
  }
  return whole
}

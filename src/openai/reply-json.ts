/** @file The JSON of a reply, without the reasoning and the block of code that models put around it. */

import { isObject } from '../values.js'
import type { ChatReply } from './openai-client.js'

/** Why a reply has no JSON object. */
type WithoutJson = 'empty' | 'cut at maxTokens' | 'no JSON'

/** Why a reply is not what was asked for. */
export type Malformed = WithoutJson | 'other fields'

/** Statuses by which an endpoint refuses what one request holds, and not all requests. */
export const REFUSED_CONTENT: readonly (number | undefined)[] = [400, 413, 422]

/** Whether the model, or a filter behind it, refused to answer. */
export function isRefusal({ refusal, finishReason }: ChatReply): boolean {
  return refusal !== undefined || finishReason === 'content_filter'
}

/**
 * The model as the endpoint names it. Some servers name its file: where that lies on their machine is no one's
 * business.
 */
export function modelOfReply({ model }: ChatReply, asked: string): string {
  return model === '' || model.startsWith('/') || model.includes('\\') ? asked : model
}

/** The object that a reply is, and what the model thought before it; or why there is none. */
export function jsonOfReply(
  reply: ChatReply,
): { readonly json: Readonly<Record<string, unknown>>; readonly reasoning: string } | WithoutJson {
  const { reasoning, rest } = withoutReasoning(reply.content)
  if (reply.finishReason === 'length') return 'cut at maxTokens'
  if (rest === '') return 'empty'
  try {
    const json: unknown = JSON.parse(withoutFence(rest))
    return isObject(json) ? { json, reasoning: joined(reply.reasoning, reasoning) } : 'no JSON'
  } catch {
    return 'no JSON'
  }
}

/**
 * What a reasoning model thought, apart from what it says. Where its template opens the thought, only the end of it
 * stands in the reply; one that has no end was cut, and nothing is left.
 */
export function withoutReasoning(content: string): { reasoning: string; rest: string } {
  const text = content.trim()
  // JSON may speak of such marks.
  if (text.startsWith('{')) return { reasoning: '', rest: text }
  const end = text.lastIndexOf('</think>')
  if (end >= 0) {
    const reasoning = text
      .slice(0, end)
      .replaceAll(/<\/?think>/g, '')
      .trim()
    return { reasoning, rest: text.slice(end + '</think>'.length).trim() }
  }
  if (text.startsWith('<think>')) return { reasoning: text.slice('<think>'.length).trim(), rest: '' }
  return { reasoning: '', rest: text }
}

/** Two thoughts, one behind the other. */
export function joined(first: string, second: string): string {
  return [first.trim(), second.trim()].filter((text) => text !== '').join('\n\n')
}

/** A block of code around all of it is no part of the JSON. */
function withoutFence(text: string): string {
  const [, inner] = /^```(?:json)?\s*\n([\s\S]*?)\n?```$/i.exec(text) ?? []
  return inner ?? text
}

/**
 * @file Contents in the form that a chat template reads: a text, or a list of parts, for each role as the template has
 * it.
 */

import type { Steps } from '../turns.js'
import type { ChatMessage, ChatRenderer, RenderOptions } from './chat-template.js'

type Content = ChatMessage['content']

/**
 * The content as the template reads it in messages of this role: text parts are joined where it takes strings, and a
 * text becomes a part where it would print nothing of a string.
 *
 * @param options What the messages are rendered with: a tokenizer's template for tools may read another form.
 */
export function* fittingContent(
  renderer: ChatRenderer,
  role: string,
  content: Content,
  options: RenderOptions = {},
): Steps<Content> {
  if (typeof content === 'string') {
    const isPart = renderer.contentFormOf?.(role, options) === 'parts'
    return isPart ? [{ type: 'text', text: content }] : content
  }
  if (!Array.isArray(content)) return content
  let joined = ''
  for (const part of content) {
    yield
    if (!isTextPart(part)) return content
    joined += part.text
  }
  const form = renderer.contentFormOf?.(role, options) ?? renderer.contentFormat ?? 'string'
  return form === 'string' ? joined : content
}

export function isTextPart(part: unknown): part is { text: string } {
  const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown }
  return typeof text === 'string' && (type === 'text' || type === undefined)
}

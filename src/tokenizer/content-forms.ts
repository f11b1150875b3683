/** @file Contents in the form that a chat template reads: a text, or a list of parts, for each role as the template has it. */

import type { ChatMessage, ChatRenderer } from './chat-template.js'

type Content = ChatMessage['content']

/**
 * The content as the template reads it in messages of this role: text parts are joined where it takes strings, and a text
 * becomes a part where it would print nothing of a string.
 */
export function fittingContent(renderer: ChatRenderer, role: string, content: Content): Content {
  if (typeof content === 'string') {
    const isPart = renderer.contentFormOf?.(role) === 'parts'
    return isPart ? [{ type: 'text', text: content }] : content
  }
  if (!Array.isArray(content) || !content.every(isTextPart)) return content
  const form = renderer.contentFormOf?.(role) ?? renderer.contentFormat ?? 'string'
  return form === 'string' ? content.map(({ text }) => text).join('') : content
}

export function isTextPart(part: unknown): boolean {
  const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown }
  return typeof text === 'string' && (type === 'text' || type === undefined)
}

/** @file The chat template that the rows of a data set are rendered with. */

import { type ChatRenderer, ChatTemplate } from '../tokenizer/chat-template.js'
import { templateText } from '../tokenizer/named-templates.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/**
 * The template that conversations are rendered with: the given one, the tokenizer's, or whatever the tokenizer does.
 *
 * @param now What templates take as the present. Default: the time of the call.
 */
export function chatRenderer(tokenizer: Tokenizer, chatTemplate?: string, now?: Date): ChatRenderer {
  const source = chatTemplate === undefined ? tokenizer.chatTemplate : templateText(chatTemplate)
  if (source !== undefined) return new ChatTemplate(source, tokenizer.templateVariables, now)
  return { render: (messages, options) => tokenizer.applyChatTemplate(messages, options) }
}

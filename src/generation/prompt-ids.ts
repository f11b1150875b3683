/**
 * @file From a prompt to the ids that a model continues: begun as the tokenizer begins a text, once, and with nothing
 * behind.
 */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { type ChatMessage, ChatTemplate } from '../tokenizer/chat-template.js'
import { fittingContent, isTextPart } from '../tokenizer/content-forms.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { runAtOnce } from '../turns.js'

/** A text, the messages of a conversation, or ids that are encoded already. */
export type Prompt = string | readonly ChatMessage[] | readonly number[]

/**
 * The ids of a prompt. Ids stay as they are.
 * 1. A conversation is what its template writes, special tokens included; the tokenizer adds none. Text parts are
 *    joined where the template takes strings, and strings become parts where it prints parts alone.
 * 2. A text gets what the tokenizer puts before it, usually BOS, unless it spells that out itself.
 * 3. What the tokenizer would put behind a text, EOS or SEP, is left out: the model is to go on, not to begin anew.
 * @throws on a prompt without a token, and on a tokenizer that encodes a text differently when it adds special tokens.
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: Prompt): number[] {
  if (typeof prompt !== 'string' && !Array.isArray(prompt))
    throw new LowrankError(
      'INVALID_CALL',
      `[generate] expected a string or messages for the prompt, got ${describeValue(prompt)}`,
    )
  const ids =
    typeof prompt === 'string'
      ? textIds(tokenizer, prompt)
      : areIds(prompt)
        ? [...prompt]
        : conversationIds(tokenizer, prompt)
  if (ids.length === 0)
    throw new LowrankError('INVALID_CALL', '[generate] expected a prompt of at least one token, got an empty one')
  return ids
}

function areIds(prompt: readonly ChatMessage[] | readonly number[]): prompt is readonly number[] {
  return typeof prompt[0] === 'number'
}

function conversationIds(tokenizer: Tokenizer, messages: readonly ChatMessage[]): number[] {
  const text = tokenizer.applyChatTemplate(fitting(tokenizer, messages), { addGenerationPrompt: true })
  return tokenizer.encode(text, { addSpecialTokens: false })
}

const renderers = new WeakMap<Tokenizer, ChatTemplate>()

/** Messages with contents in the form that the template reads, as in training. */
function fitting(tokenizer: Tokenizer, messages: readonly ChatMessage[]): readonly ChatMessage[] {
  messages.forEach(checkMessage)
  const { chatTemplate, templateVariables } = tokenizer
  if (chatTemplate === undefined) return messages
  const renderer = renderers.get(tokenizer) ?? new ChatTemplate(chatTemplate, templateVariables)
  renderers.set(tokenizer, renderer)
  return messages.map((message) => {
    const content = runAtOnce(fittingContent(renderer, message.role, message.content))
    return content === message.content ? message : { ...message, content }
  })
}

/** Templates print whatever they are given: an image would be asked about as the text of its address. */
function checkMessage(message: ChatMessage, index: number): void {
  const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown }
  if (typeof role !== 'string') {
    throw new LowrankError(
      'INVALID_CALL',
      `[generate] expected { role, content } for message ${index + 1}, got ${describeValue(message)}`,
    )
  }
  if (content === undefined || content === null || typeof content === 'string') return
  if (!Array.isArray(content)) {
    throw new LowrankError(
      'INVALID_CALL',
      `[generate] expected a string or a list of parts for the content of message ${index + 1}, got ${describeValue(content)}`,
    )
  }
  const other: unknown = content.find((part) => !isTextPart(part))
  if (other === undefined) return
  throw new LowrankError(
    'INVALID_CALL',
    `[generate] expected parts { type: 'text', text } in message ${index + 1}, got ${describeValue(other)}; models read text alone`,
  )
}

function textIds(tokenizer: Tokenizer, prompt: string): number[] {
  const bare = tokenizer.encode(prompt, { addSpecialTokens: false })
  const framed = tokenizer.encode(prompt)
  // Whether what is put round nothing stands before or behind cannot be seen; only BOS may begin a text.
  if (bare.length === 0) return framed[0] !== undefined && framed[0] === tokenizer.bosTokenId ? [framed[0]] : []
  const start = indexOfList(framed, bare)
  if (start < 0) {
    throw new LowrankError(
      'INVALID_CALL',
      '[generate] expected a tokenizer that puts special tokens before and behind a text and leaves its ids as they are, got ' +
        `${bare.length} ids without special tokens that are not among the ${framed.length} with them; encode the prompt yourself and call model.generate()`,
    )
  }
  return start > 0 && framed[0] !== bare[0] ? [...framed.slice(0, start), ...bare] : bare
}

/** Where `part` first stands in `list`, or -1. At most as many places are looked at as `list` is longer. */
function indexOfList(list: readonly number[], part: readonly number[]): number {
  for (let start = 0; start + part.length <= list.length; start++) {
    if (part.every((id, i) => list[start + i] === id)) return start
  }
  return -1
}

/**
 * @file From a prompt to the ids that a model continues: begun as the tokenizer begins a text, once, and with nothing
 * behind.
 */

import { describeValue } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { type ChatMessage, ChatTemplate, type RenderOptions } from '../tokenizer/chat-template.js'
import { fittingContent, isTextPart } from '../tokenizer/content-forms.js'
import { type DroppedPart, droppedPartSteps } from '../tokenizer/dropped-parts.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { runAtOnce, type Steps } from '../turns.js'

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
  return runAtOnce(
    promptSteps(tokenizer, prompt, {}, (text, addSpecialTokens) => atOnce(tokenizer, text, addSpecialTokens)),
  )
}

/** The ids of a text, in steps or at once. */
type Encode = (text: string, addSpecialTokens: boolean) => Steps<number[]>

// biome-ignore lint/correctness/useYield: what is done at once has no step
function* atOnce(tokenizer: Tokenizer, text: string, addSpecialTokens: boolean): Steps<number[]> {
  return tokenizer.encode(text, { addSpecialTokens })
}

/** What a conversation is rendered with beside its messages. */
export interface ConversationOptions extends Pick<RenderOptions, 'tools' | 'variables'> {
  /** Is told what the template left out; nobody looks where this is absent. */
  readonly onDropped?: (parts: readonly DroppedPart[]) => void
}

/** `encodePrompt` for prompts of any length. */
export function encodePromptInSteps(
  tokenizer: Tokenizer,
  prompt: Prompt,
  options: ConversationOptions = {},
): Steps<number[]> {
  return promptSteps(tokenizer, prompt, options, (text, addSpecialTokens) => {
    return encodeSteps(tokenizer, text, addSpecialTokens)
  })
}

function* promptSteps(
  tokenizer: Tokenizer,
  prompt: Prompt,
  options: ConversationOptions,
  encode: Encode,
): Steps<number[]> {
  if (typeof prompt !== 'string' && !Array.isArray(prompt))
    throw new LowrankError(
      'INVALID_CALL',
      `[generate] expected a string or messages for the prompt, got ${describeValue(prompt)}`,
    )
  const ids =
    typeof prompt === 'string'
      ? yield* textIds(tokenizer, prompt, encode)
      : areIds(prompt)
        ? [...prompt]
        : yield* conversationIds(tokenizer, prompt, options, encode)
  if (ids.length === 0)
    throw new LowrankError('INVALID_CALL', '[generate] expected a prompt of at least one token, got an empty one')
  return ids
}

function areIds(prompt: readonly ChatMessage[] | readonly number[]): prompt is readonly number[] {
  return typeof prompt[0] === 'number'
}

function* conversationIds(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  { onDropped, ...given }: ConversationOptions,
  encode: Encode,
): Steps<number[]> {
  messages.forEach(checkMessage)
  const options = { ...given, addGenerationPrompt: true }
  const renderer = rendererOf(tokenizer)
  const fitting = renderer === undefined ? messages : yield* fittingMessages(renderer, messages, options)
  // The template of another library's tokenizer is that library's to render.
  const isOurs = renderer !== undefined && tokenizer.encodeInSteps !== undefined && messages.length > 0
  const text = isOurs ? yield* renderer.renderInSteps(fitting, options) : tokenizer.applyChatTemplate(fitting, options)
  if (onDropped && renderer) onDropped(yield* droppedPartSteps(renderer, fitting, options, text))
  return yield* encode(text, false)
}

const renderers = new WeakMap<Tokenizer, { readonly renderer: ChatTemplate; readonly day: string }>()

/** The template of a tokenizer, with the date of today, which some templates print. */
function rendererOf(tokenizer: Tokenizer): ChatTemplate | undefined {
  const { chatTemplate, templateVariables } = tokenizer
  if (chatTemplate === undefined) return undefined
  const day = new Date().toDateString()
  const known = renderers.get(tokenizer)
  if (known?.day === day) return known.renderer
  const renderer = new ChatTemplate(chatTemplate, templateVariables)
  renderers.set(tokenizer, { renderer, day })
  return renderer
}

/** Messages with contents in the form that the template reads, as in training. */
function* fittingMessages(
  renderer: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderOptions,
): Steps<ChatMessage[]> {
  const fitting: ChatMessage[] = []
  for (const message of messages) {
    const content = yield* fittingContent(renderer, message.role, message.content, options)
    fitting.push(content === message.content ? message : { ...message, content })
  }
  return fitting
}

function* encodeSteps(tokenizer: Tokenizer, text: string, addSpecialTokens: boolean): Steps<number[]> {
  if (tokenizer.encodeInSteps === undefined) return yield* atOnce(tokenizer, text, addSpecialTokens)
  return (yield* tokenizer.encodeInSteps(text, { addSpecialTokens })).ids
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

function* textIds(tokenizer: Tokenizer, prompt: string, encode: Encode): Steps<number[]> {
  const bare = yield* encode(prompt, false)
  const framed = yield* encode(prompt, true)
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

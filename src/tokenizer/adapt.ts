/**
 * @file Tokenizers of other libraries: any object with the transformers.js tokenizer interface becomes a `Tokenizer`.
 */

import { ModelError, OptionError } from '../lowrank-error.js'
import { type ChatMessage, ChatTemplate, type RenderOptions } from './chat-template.js'
import { templatesOf } from './template-files.js'
import { noChatTemplate, type Tokenizer } from './tokenizer.js'

/**
 * The part of the transformers.js tokenizer interface that is used. The object may be callable, or have `encode`; ids
 * may come back as an array, as `{ ids }` or as `{ input_ids }`.
 */
export interface ForeignTokenizer {
  encode?(text: string, options: Record<string, unknown>): unknown
  decode(ids: number[], options: Record<string, unknown>): string
  apply_chat_template?(messages: unknown, options: Record<string, unknown>): unknown
  /** Jinja text; preferred to `apply_chat_template`, as it can be rendered in parts. */
  chat_template?: unknown
  /** Texts of the tokens, and, by other names not listed here, their ids and the vocabulary. */
  bos_token?: unknown
  eos_token?: unknown
  special_tokens?: unknown
  model?: unknown
}

type Properties = Record<string, unknown>

/**
 * Accepts a lowrank tokenizer as it is, and wraps anything that looks like one of transformers.js.
 *
 * @throws OptionError when the value has no way to encode or decode.
 */
export function asTokenizer(value: Tokenizer | ForeignTokenizer): Tokenizer {
  if (isTokenizer(value)) return value
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) throw notATokenizer(typeof value)
  const foreign = value as ForeignTokenizer & Properties
  const call =
    typeof value === 'function' ? (value as unknown as (text: string, options: Properties) => unknown) : undefined
  if ((typeof foreign.encode !== 'function' && call === undefined) || typeof foreign.decode !== 'function') {
    throw notATokenizer('an object without them')
  }
  const vocabulary = vocabularyOf(foreign)
  const templateVariables: Properties = {}
  // Version 2 of transformers.js has the first and last token in its tokenizer_config.json alone.
  const settings = foreign._tokenizer_config
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token']) {
    const token = tokenText(foreign[name]) ?? tokenText(isObject(settings) ? settings[name] : undefined)
    if (token !== undefined) templateVariables[name] = token
  }
  const idOf = (name: string): number | undefined => {
    const id = foreign[`${name}_id`]
    if (typeof id === 'number') return id
    const text = templateVariables[name]
    return typeof text === 'string' ? vocabulary.tokenToId(text) : undefined
  }
  const encode = (text: string, addSpecialTokens: boolean): number[] => {
    const options = { add_special_tokens: addSpecialTokens, return_tensor: false }
    // The second argument of `encode` is another text in version 2; a call means the same in all versions.
    const result = call === undefined ? foreign.encode?.(text, options) : call(text, options)
    return idsOf(result)
  }
  const eosTokenId = idOf('eos_token')
  const source = templatesOf(foreign.chat_template)
  const chat = source === undefined ? undefined : new ChatTemplate(source, templateVariables)
  const specialTokens = new Map<string, number>()
  for (const text of [...stringsOf(foreign.special_tokens), ...Object.values(templateVariables)]) {
    const id = typeof text === 'string' ? vocabulary.tokenToId(text) : undefined
    if (id !== undefined) specialTokens.set(text as string, id)
  }
  return {
    vocabSize: vocabulary.size,
    bosTokenId: idOf('bos_token'),
    eosTokenId,
    padTokenId: idOf('pad_token'),
    eosTokenIds: eosTokenId === undefined ? [] : [eosTokenId],
    specialTokens,
    templateVariables,
    chatTemplate: source,
    encode: (text, options = {}) => encode(text, options.addSpecialTokens ?? true),
    decode(ids, options = {}) {
      if (ids.length === 0) return ''
      const skip = options.skipSpecialTokens ?? false
      return foreign.decode(Array.from(ids), { skip_special_tokens: skip, clean_up_tokenization_spaces: false })
    },
    tokenToId: vocabulary.tokenToId,
    idToToken: vocabulary.idToToken,
    applyChatTemplate(messages, options) {
      if (chat !== undefined) return chat.render(messages, options)
      return applyForeign(foreign, messages, options)
    },
  }
}

function applyForeign(
  foreign: ForeignTokenizer,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
): string {
  if (typeof foreign.apply_chat_template !== 'function') throw noChatTemplate()
  const text = foreign.apply_chat_template([...messages], {
    ...options.variables,
    tokenize: false,
    add_generation_prompt: options.addGenerationPrompt ?? false,
    ...(options.tools === undefined ? {} : { tools: [...options.tools] }),
  })
  if (typeof text !== 'string')
    throw new ModelError(`[tokenizer] expected text of apply_chat_template, got ${typeof text}`)
  return text
}

function isTokenizer(value: unknown): value is Tokenizer {
  const candidate = value as Partial<Tokenizer> | null
  return (
    typeof candidate?.encode === 'function' &&
    typeof candidate.applyChatTemplate === 'function' &&
    candidate.specialTokens instanceof Map
  )
}

interface Vocabulary {
  size: number
  tokenToId(token: string): number | undefined
  idToToken(id: number): string | undefined
}

/** transformers.js keeps its vocabulary in `model`, or, since version 4, in a package tokenizer of its own. */
function vocabularyOf(foreign: Properties): Vocabulary {
  const inner = [foreign, foreign._tokenizer, foreign.tokenizer].find(
    (owner): owner is Properties => isObject(owner) && isObject(owner.model) && Array.isArray(owner.model.vocab),
  )
  const model = inner?.model as { vocab: (string | undefined)[]; tokens_to_ids?: unknown } | undefined
  if (model === undefined) {
    return { size: Number.POSITIVE_INFINITY, tokenToId: () => undefined, idToToken: () => undefined }
  }
  const ids = model.tokens_to_ids instanceof Map ? (model.tokens_to_ids as Map<string, number>) : undefined
  const find = (token: string): number | undefined => {
    const at = model.vocab.indexOf(token)
    return at < 0 ? undefined : at
  }
  return {
    size: model.vocab.length,
    tokenToId: (token) => (ids === undefined ? find(token) : ids.get(token)),
    idToToken: (id) => model.vocab[id],
  }
}

/** The text of a token, as it stands in tokenizer_config.json: by itself, or with what is special about it. */
function tokenText(value: unknown): string | undefined {
  const text = isObject(value) ? value.content : value
  return typeof text === 'string' ? text : undefined
}

function idsOf(result: unknown): number[] {
  let ids = result
  if (isObject(ids) && 'input_ids' in ids) ids = ids.input_ids
  if (isObject(ids) && 'ids' in ids) ids = ids.ids
  if (isObject(ids) && 'data' in ids) ids = ids.data
  if (Array.isArray(ids) && Array.isArray(ids[0])) ids = ids[0]
  if (!Array.isArray(ids) && !ArrayBuffer.isView(ids)) {
    throw new ModelError(`[tokenizer] expected token ids of encode, got ${typeof result}`)
  }
  return Array.from(ids as ArrayLike<number | bigint>, Number)
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
}

function isObject(value: unknown): value is Properties {
  return (typeof value === 'object' || typeof value === 'function') && value !== null
}

function notATokenizer(got: string): Error {
  return new OptionError(
    `[tokenizer] expected an object with encode (or callable) and decode, as in transformers.js, got ${got}; pass what ` +
      'AutoTokenizer.from_pretrained or loadTokenizer gives',
  )
}

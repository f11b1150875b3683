/** @file A tokenizer that writes conversations by another chat template than its own. */

import { ChatTemplate } from './chat-template.js'
import { templateText } from './named-templates.js'
import type { Tokenizer } from './tokenizer.js'

/**
 * The same tokenizer with another chat template: the one that a run trains with.
 * @param chatTemplate Jinja text, or the name of a template. Default: the tokenizer as it is
 * @throws ModelError when the template does not parse
 */
export function withChatTemplate(tokenizer: Tokenizer, chatTemplate: string | undefined): Tokenizer {
  if (chatTemplate === undefined) return tokenizer
  const source = templateText(chatTemplate)
  const template = new ChatTemplate(source, tokenizer.templateVariables)
  // Named one by one: members of a class are not among those that a spread copies.
  const { vocabSize, bosTokenId, eosTokenId, padTokenId, eosTokenIds, specialTokens, templateVariables } = tokenizer
  const { encodeWithOffsets, encodeInSteps, tokenBytes } = tokenizer
  return {
    ...{ vocabSize, bosTokenId, eosTokenId, padTokenId, eosTokenIds, specialTokens, templateVariables },
    chatTemplate: source,
    encode: (text, options) => tokenizer.encode(text, options),
    ...(encodeWithOffsets && {
      encodeWithOffsets: (text, options) => encodeWithOffsets.call(tokenizer, text, options),
    }),
    ...(encodeInSteps && { encodeInSteps: (text, options) => encodeInSteps.call(tokenizer, text, options) }),
    ...(tokenBytes && { tokenBytes: (id) => tokenBytes.call(tokenizer, id) }),
    decode: (ids, options) => tokenizer.decode(ids, options),
    tokenToId: (token) => tokenizer.tokenToId(token),
    idToToken: (id) => tokenizer.idToToken(id),
    applyChatTemplate: (messages, options) => template.render(messages, options),
  }
}

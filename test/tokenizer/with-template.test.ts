/** @file A tokenizer with another chat template: conversations change, and nothing else. */

import { expect, it } from 'vitest'
import { NAMED_TEMPLATES } from '../../src/tokenizer/named-templates.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { withChatTemplate } from '../../src/tokenizer/with-template.js'
import { CHATML } from '../support/chat-templates.js'
import { rejection, temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

const MESSAGES = [{ role: 'user', content: 'hello' }]

it('writes conversations by the template that is given, and does all else as before', async () => {
  const directory = temporaryDirectory()
  await writeTinyTokenizer(directory, tinyByteLevelTokenizer({ chatTemplate: CHATML }))
  const own = await loadTokenizer(directory)
  expect(withChatTemplate(own, undefined)).toBe(own)
  const other = withChatTemplate(own, 'zephyr')
  expect(other.chatTemplate).toBe(NAMED_TEMPLATES.zephyr)
  expect(other.applyChatTemplate(MESSAGES, { addGenerationPrompt: true })).toBe('<|user|>\nhello</s>\n<|assistant|>\n')
  expect(own.applyChatTemplate(MESSAGES)).toBe('<|im_start|>user\nhello<|im_end|>\n')
  expect(Object.keys(other).sort()).toEqual(Object.keys(own).sort())
  const ids = own.encode('one two')
  expect(other.encode('one two')).toEqual(ids)
  expect(other.encodeWithOffsets?.('one two')).toEqual(own.encodeWithOffsets?.('one two'))
  expect(other.decode(ids)).toBe(own.decode(ids))
  expect(other.idToToken(ids[0] as number)).toBe(own.idToToken(ids[0] as number))
  expect(other.tokenToId('hello')).toBe(own.tokenToId('hello'))
  for (const name of ['vocabSize', 'eosTokenId', 'eosTokenIds', 'specialTokens', 'templateVariables'] as const)
    expect(other[name], name).toBe(own[name])
  expect(await rejection(Promise.resolve().then(() => withChatTemplate(own, '{% if %}')))).toMatch(/template/)
})

/** @file What is put round a prompt: what begins a text once, and nothing behind it. */

import { describe, expect, test } from 'vitest'
import { generateText } from '../../src/generation/generate-text.js'
import { encodePrompt } from '../../src/generation/prompt-ids.js'
import { asTokenizer } from '../../src/tokenizer/adapt.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const TEMPLATE =
  '{{ bos_token }}{% for m in messages %}{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}'

/** A tokenizer that puts these tokens before and behind a text. */
function framing(before: readonly string[], after: readonly string[]): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer({ chatTemplate: TEMPLATE })
  const plain = createTokenizer(tokenizer, config)
  const place = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })
  const single = [...before.map(place), { Sequence: { id: 'A', type_id: 0 } }, ...after.map(place)]
  const special = [...new Set([...before, ...after])].map((token) => [
    token,
    { id: token, ids: [plain.tokenToId(token)], tokens: [token] },
  ])
  const postProcessor = {
    type: 'TemplateProcessing',
    single,
    pair: [...single, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: Object.fromEntries(special),
  }
  return createTokenizer({ ...tokenizer, post_processor: postProcessor }, { ...config, bos_token: before[0] ?? '<s>' })
}

/** The same behind the interface of transformers.js. */
function foreign(tokenizer: Tokenizer): Tokenizer {
  return asTokenizer({
    encode: (text: string, options: Record<string, unknown>) =>
      tokenizer.encode(text, { addSpecialTokens: options.add_special_tokens as boolean }),
    decode: (ids: number[]) => tokenizer.decode(ids),
    chat_template: tokenizer.chatTemplate,
    bos_token: '<s>',
  })
}

describe.each([
  ['a tokenizer of ours', (tokenizer: Tokenizer) => tokenizer],
  ['a tokenizer of transformers.js', foreign],
])('%s', (_, adapt) => {
  const textOf = (before: readonly string[], after: readonly string[], prompt: string): string => {
    const tokenizer = framing(before, after)
    return tokenizer.decode(encodePrompt(adapt(tokenizer), prompt))
  }

  test('a text gets what begins one, and nothing behind it', () => {
    expect(textOf([], [], 'hello')).toBe('hello')
    expect(textOf(['<s>'], [], 'hello')).toBe('<s>hello')
    expect(textOf(['<s>'], ['</s>'], 'hello')).toBe('<s>hello')
    expect(textOf([], ['</s>'], 'hello')).toBe('hello')
    expect(textOf(['<s>', '<|system|>'], ['<|user|>', '</s>'], 'hello')).toBe('<s><|system|>hello')
  })

  test('a text that spells out what begins one gets no second', () => {
    expect(textOf(['<s>'], [], '<s>hello')).toBe('<s>hello')
    expect(textOf(['<s>'], ['</s>'], '<s>hello')).toBe('<s>hello')
    expect(textOf(['<s>', '<|system|>'], [], '<s><|system|>hello')).toBe('<s><|system|>hello')
    expect(textOf(['<s>', '<|system|>'], [], '<s>hello')).toBe('<s>hello')
    expect(textOf(['<s>'], [], '<s>')).toBe('<s>')
    // Two that the user wrote are the user's.
    expect(textOf(['<s>'], [], '<s><s>hello')).toBe('<s><s>hello')
  })

  test('an end that the text spells out is kept, once', () => {
    expect(textOf([], ['</s>'], 'hello</s>')).toBe('hello</s>')
    expect(textOf(['<s>'], ['</s>'], '</s></s>')).toBe('<s></s></s>')
    expect(textOf(['<s>'], ['<s>'], '<s>')).toBe('<s>')
  })

  test('a template that writes BOS is not given another, nor an end', () => {
    const tokenizer = framing(['<s>'], ['</s>'])
    const ids = encodePrompt(adapt(tokenizer), [{ role: 'user', content: 'hello' }])
    expect(tokenizer.decode(ids)).toBe('<s>hello</s><|assistant|>')
  })

  test('an empty text becomes BOS where BOS begins a text', () => {
    const empty = (before: readonly string[], after: readonly string[]) =>
      encodePrompt(adapt(framing(before, after)), '')
    expect(() => empty([], ['</s>'])).toThrow('[generate] expected a prompt of at least one token, got an empty one')
    expect(() => empty([], [])).toThrow('got an empty one')
  })
})

test('an empty text is BOS where the tokenizer begins texts with it', () => {
  const tokenizer = framing(['<s>'], ['</s>'])
  expect(tokenizer.decode(encodePrompt(tokenizer, ''))).toBe('<s>')
})

test('generateText continues these ids, whatever the tokenizer would put behind', async () => {
  const model = await tinyModel()
  const tokenizer = framing(['<s>'], ['</s>'])
  const options = { maxNewTokens: 4, eosTokenId: [] }
  const ids = tokenizer.encode('<s>one two', { addSpecialTokens: false })
  const expected = await model.generate(ids, options)
  for (const prompt of ['one two', '<s>one two']) {
    const answer = await generateText(model, tokenizer, prompt, options)
    expect(answer.ids).toEqual(expected)
    expect(answer.promptTokens).toBe(ids.length)
  }
  model.device.close()
})

test('a tokenizer that encodes a text otherwise between special tokens is refused', async () => {
  const model = await tinyModel()
  const tokenizer = framing(['<s>'], [])
  const encode: Tokenizer['encode'] = (text, options) =>
    options?.addSpecialTokens === false ? tokenizer.encode(` ${text}`, options) : tokenizer.encode(text, options)
  expect(await rejection(generateText(model, { ...tokenizer, encode }, 'hello'))).toContain(
    '[generate] expected a tokenizer that puts special tokens before and behind a text and leaves its ids as they are',
  )
  model.device.close()
})

test('contents reach the template in the form that it reads', () => {
  const forText = '{% for m in messages %}{{ m.content }}</s>{% endfor %}'
  const forParts = '{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}'
  for (const chatTemplate of [forText, forParts]) {
    const { tokenizer: json, config } = tinyByteLevelTokenizer({ chatTemplate })
    const tokenizer = createTokenizer(json, config)
    const parts = [
      { type: 'text', text: 'he' },
      { type: 'text', text: 'llo' },
    ]
    for (const content of ['hello', parts]) {
      expect(tokenizer.decode(encodePrompt(tokenizer, [{ role: 'user', content }]))).toBe('hello</s>')
    }
  }
})

test('what a template would print without sense is refused by name', () => {
  const { tokenizer: json, config } = tinyByteLevelTokenizer({ chatTemplate: TEMPLATE })
  const tokenizer = createTokenizer(json, config)
  const refused = (message: unknown): string => {
    try {
      encodePrompt(tokenizer, [{ role: 'user', content: 'hello' }, message] as never)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(refused({ role: 'user', content: [{ type: 'image', url: 'a.png' }] })).toBe(
    "[generate] expected parts { type: 'text', text } in message 2, got {type, url}; models read text alone",
  )
  expect(refused({ role: 'user', content: 7 })).toContain('for the content of message 2, got 7')
  expect(refused({ content: 'hello' })).toContain('[generate] expected { role, content } for message 2, got {content}')
  expect(refused('hello')).toContain('[generate] expected { role, content } for message 2, got "hello"')
  expect(refused(null)).toContain('[generate] expected { role, content } for message 2, got null')
  expect(refused({ role: 'assistant', content: null })).toBe('')
})

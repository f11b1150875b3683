/** @file Text as it comes: whole characters, stop strings, conversations. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { generateText, streamText } from '../../src/generation/generate-text.js'
import { IncrementalText } from '../../src/generation/incremental-text.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, tinySentencePieceTokenizer } from '../support/tiny-tokenizer.js'

const CHATML =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
const TEXT = 'The capital of France is Paris. 巴黎 — naïve 🙂👩‍🚀 end'

function tokenizers(): [string, Tokenizer][] {
  const byteLevel = tinyByteLevelTokenizer({ chatTemplate: CHATML })
  const sentencePiece = tinySentencePieceTokenizer()
  return [
    ['byte-level BPE', createTokenizer(byteLevel.tokenizer, byteLevel.config)],
    ['SentencePiece with byte fallback', createTokenizer(sentencePiece.tokenizer, sentencePiece.config)],
  ]
}

describe.each(tokenizers())('%s', (_, tokenizer) => {
  const idsOf = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })

  test('pieces are whole characters, and together the text', () => {
    const incremental = new IncrementalText(tokenizer)
    const pieces = idsOf(TEXT).map((id) => incremental.push(id))
    for (const piece of pieces) expect(Buffer.from(piece).toString()).not.toContain('\ufffd') // nor half of a pair
    expect(pieces.join('') + incremental.end()).toBe(TEXT)
    expect(pieces.filter((piece) => piece !== '').length).toBeGreaterThan(10)
  })

  test('a character that never ends is told at the end, as the decoder writes it', () => {
    const incremental = new IncrementalText(tokenizer)
    const ids = idsOf('a🙂').slice(0, -1)
    const text = ids.map((id) => incremental.push(id)).join('') + incremental.end()
    expect(text).toBe(tokenizer.decode(ids))
    expect(text).toContain('\ufffd')
  })

  test('a stop string ends the text, wherever tokens begin and end, and nothing of it is told', () => {
    for (const stop of ['Paris', ' of Fr', 'is P', '巴', '👩']) {
      const incremental = new IncrementalText(tokenizer, ['never', stop])
      let told = ''
      for (const id of idsOf(TEXT)) {
        told += incremental.push(id)
        expect(TEXT.slice(0, TEXT.indexOf(stop)).startsWith(told)).toBe(true)
        if (incremental.stopped) break
      }
      expect(incremental.stopped).toBe(true)
      expect(told + incremental.end()).toBe(TEXT.slice(0, TEXT.indexOf(stop)))
    }
  })

  test('a stop string may name special tokens, alone or with text round them, and answers leave these out', () => {
    // SentencePiece begins what follows a special token with a space.
    const spelled = (text: string) => tokenizer.decode(idsOf(text))
    const shown = (text: string) => tokenizer.decode(idsOf(text), { skipSpecialTokens: true })
    const cases: [string, string[], string, boolean][] = [
      ['hello<|im_end|>more', ['<|im_end|>'], 'hello', true],
      ['hello<|im_end|>more', ['lo<|im_'], 'hel', true],
      ['hello<|im_end|>\nuser<|im_start|>more', [spelled('<|im_end|>\nuser<|im_start|>')], 'hello', true],
      [
        'hello<|im_end|>\nuser<|im_end|>more',
        [spelled('<|im_end|>\nuser<|im_start|>')],
        shown('hello<|im_end|>\nuser<|im_end|>more'),
        false,
      ],
      ['a<|im_start|>b<|im_end|>c', ['<|im_end|>', 'never'], shown('a<|im_start|>b'), true],
      ['<|im_end|>', ['<|im_end|>'], '', true],
      ['hello<|im_end|>', ['<|im_end|>!'], 'hello', false],
    ]
    for (const [text, stops, expected, stopped] of cases) {
      const incremental = new IncrementalText(tokenizer, stops)
      let told = ''
      for (const id of idsOf(text)) {
        told += incremental.push(id)
        if (incremental.stopped) break
      }
      expect([told + incremental.end(), incremental.stopped]).toEqual([expected, stopped])
    }
  })

  test('what only looked like a stop string comes later', () => {
    const incremental = new IncrementalText(tokenizer, ['Paris!', 'end.'])
    const told = idsOf(TEXT)
      .map((id) => incremental.push(id))
      .join('')
    expect(TEXT.startsWith(told) && told.length < TEXT.length).toBe(true)
    expect(told + incremental.end()).toBe(TEXT)
    expect(incremental.stopped).toBe(false)
  })
})

describe('streamText', () => {
  const [, tokenizer] = tokenizers()[0] as [string, Tokenizer]
  let model: CausalLM
  beforeAll(async () => {
    model = await tinyModel()
  })
  afterAll(() => model.device.close())

  test('gives the text of the ids that generate gives, and says why it ended', async () => {
    const options = { maxNewTokens: 24, eosTokenId: [] }
    const prompt = 'What is the capital'
    const ids = await model.generate(tokenizer.encode(prompt), options)
    const answer = await generateText(model, tokenizer, prompt, options)
    const text = tokenizer.decode(ids, { skipSpecialTokens: true })
    expect(answer).toEqual({ text, ids, promptTokens: tokenizer.encode(prompt).length, finishReason: 'length' })
    let streamed = ''
    for await (const piece of streamText(model, tokenizer, prompt, options)) streamed += piece
    expect(streamed).toBe(text)

    const stopped = await generateText(model, tokenizer, prompt, { ...options, eosTokenId: ids[5] as number })
    expect(stopped.finishReason).toBe('stop')
    expect(stopped.ids).toEqual(ids.slice(0, ids.indexOf(ids[5] as number) + 1))
  })

  test('a stop string ends the work', async () => {
    const options = { maxNewTokens: 24, eosTokenId: [] }
    const { text, ids } = await generateText(model, tokenizer, 'one two', options)
    const stop = text.slice(9, 12)
    const answer = await generateText(model, tokenizer, 'one two', { ...options, stopStrings: stop })
    expect(answer.text).toBe(text.slice(0, text.indexOf(stop)))
    expect(answer.finishReason).toBe('stop')
    expect(answer.ids.length).toBeLessThan(ids.length)
  })

  test('a stop string that is a special token ends the work at its id', async () => {
    const options = { maxNewTokens: 40, eosTokenId: [] }
    const { ids } = await generateText(model, tokenizer, 'one two', options)
    // A tokenizer in which the id that comes at place 6 is a special token, which decoding leaves out.
    const special = ids[6] as number
    const specialTokens = new Map([...tokenizer.specialTokens, ['<|stop|>', special]])
    const decode: Tokenizer['decode'] = (all, how) =>
      tokenizer.decode(how?.skipSpecialTokens ? Array.from(all).filter((id) => id !== special) : all, how)
    const answer = await generateText(model, { ...tokenizer, specialTokens, decode }, 'one two', {
      ...options,
      stopStrings: ['<|stop|>'],
    })
    expect(answer.ids).toEqual(ids.slice(0, ids.indexOf(special) + 1))
    expect(answer.text).toBe(tokenizer.decode(ids.slice(0, ids.indexOf(special)), { skipSpecialTokens: true }))
    expect(answer.finishReason).toBe('stop')
  })

  test('messages go through the chat template', async () => {
    const messages = [{ role: 'user', content: 'hello' }]
    const rendered = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n'
    const promptIds = tokenizer.encode(rendered, { addSpecialTokens: false })
    const options = { maxNewTokens: 5, eosTokenId: [] }
    const answer = await generateText(model, tokenizer, messages, options)
    expect(answer.ids).toEqual(await model.generate(promptIds, options))
    expect(answer.promptTokens).toBe(promptIds.length)
  })

  test('mistakes are named', async () => {
    expect(await rejection(generateText(model, tokenizer, ''))).toBe(
      '[generate] expected a prompt of at least one token, got an empty one',
    )
    expect(await rejection(generateText(model, tokenizer, 'a', { stopStrings: ['b', ''] }))).toContain(
      '[generate] expected strings that are not empty for stopStrings, got',
    )
    expect(await rejection(generateText(model, tokenizer, 'a', { stopString: 'b' } as object))).toContain(
      '[generate] unknown option "stopString"',
    )
  })
})

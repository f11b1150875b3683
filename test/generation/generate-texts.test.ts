/** @file Many answers at once: the same as one by one. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { type GeneratedText, generateText } from '../../src/generation/generate-text.js'
import { generateTexts, type TextsGenerationOptions } from '../../src/generation/generate-texts.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, TINY_CONFIG, TINY_GPT2_CONFIG, tinyAdapter, tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const WORDS = 'one two three four five six seven eight nine'.split(' ')
/** Uneven lengths, in no order. */
const PROMPTS = Array.from({ length: 11 }, (_, i) => WORDS.slice(i % 4, 1 + ((i * 7) % 9) + (i % 4)).join(' ') || 'one')

const files = tinyByteLevelTokenizer()
const tokenizer = createTokenizer(files.tokenizer, files.config)

async function oneByOne(model: CausalLM, options: TextsGenerationOptions): Promise<GeneratedText[]> {
  const { batchSize: _, onText: __, ...rest } = options
  const answers: GeneratedText[] = []
  for (const prompt of PROMPTS) answers.push(await generateText(model, tokenizer, prompt, rest))
  return answers
}

describe('generateTexts', () => {
  let model: CausalLM
  beforeAll(async () => {
    model = await tinyModel()
  })
  afterAll(() => model.device.close())

  test('gives each prompt what it gets alone, in the order of the prompts, for any batch size', async () => {
    const options = { maxNewTokens: 12, eosTokenId: [] }
    const alone = await oneByOne(model, options)
    for (const batchSize of [1, 3, 8, 'auto'] as const)
      expect(await generateTexts(model, tokenizer, PROMPTS, { ...options, batchSize })).toEqual(alone)
  })

  test.each([
    ['draws', { temperature: 0.8, topK: 20, seed: 7 }],
    ['penalties', { repetitionPenalty: 1.5 }],
    ['draws with penalties', { temperature: 1.2, topP: 0.9, repetitionPenalty: 1.2, seed: 3 }],
  ])('%s of a prompt do not depend on the batch it is in', async (_, sampling) => {
    const options = { maxNewTokens: 9, ...sampling }
    const alone = await oneByOne(model, options)
    for (const batchSize of [1, 3, 'auto'] as const)
      expect(await generateTexts(model, tokenizer, PROMPTS, { ...options, batchSize })).toEqual(alone)
  })

  test('a beginning that all prompts share changes nothing but the work', async () => {
    const beginning = Array.from({ length: 80 }, (_, i) => WORDS[(i * 5) % 9]).join(' ')
    const prompts = PROMPTS.map((prompt) => `${beginning} ${prompt}`)
    expect(tokenizer.encode(beginning).length).toBeGreaterThan(64)
    const options = { maxNewTokens: 6, eosTokenId: [] }
    const answers = await generateTexts(model, tokenizer, prompts, { ...options, batchSize: 4 })
    for (const [i, prompt] of prompts.entries())
      expect(answers[i]).toEqual(await generateText(model, tokenizer, prompt, options))
  })

  test('takes no more memory for more prompts, and gives it back', async () => {
    const peakOf = async (prompts: string[]): Promise<number> => {
      model.device.resetPeak()
      await generateTexts(model, tokenizer, prompts, { maxNewTokens: 4, batchSize: 4, eosTokenId: [] })
      await model.device.sync()
      return model.device.memory().peak
    }
    const few = await peakOf(PROMPTS)
    const { live } = model.device.memory()
    // The places are filled by other rows, whose prompts are of other lengths: some activations more or less.
    expect(await peakOf([...PROMPTS, ...PROMPTS, ...PROMPTS])).toBeLessThan(1.2 * few)
    expect(model.device.memory().live).toBe(live)
  })

  test('ends each answer at its own end: an id, a stop string, or the length', async () => {
    const free = await oneByOne(model, { maxNewTokens: 12, eosTokenId: [] })
    const eosTokenId = (free[1] as GeneratedText).ids[4] as number
    const stopStrings = [(free[2] as GeneratedText).text.slice(5, 8)]
    const options = { maxNewTokens: 12, eosTokenId, stopStrings }
    const alone = await oneByOne(model, options)
    expect(new Set(alone.map(({ finishReason }) => finishReason))).toEqual(new Set(['stop', 'length']))
    expect(await generateTexts(model, tokenizer, PROMPTS, { ...options, batchSize: 4 })).toEqual(alone)
  })

  test('tells each answer once, as soon as it is whole', async () => {
    const told = new Map<number, GeneratedText>()
    const answers = await generateTexts(model, tokenizer, PROMPTS, {
      maxNewTokens: 3,
      batchSize: 2,
      onText: (index, answer) => {
        expect(told.has(index)).toBe(false)
        told.set(index, answer)
      },
    })
    expect(PROMPTS.map((_, index) => told.get(index))).toEqual(answers)
  })

  test('takes conversations, adapters as they are active, no prompts, and answers of no tokens', async () => {
    expect(await generateTexts(model, tokenizer, [])).toEqual([])
    const none = await generateTexts(model, tokenizer, PROMPTS, { maxNewTokens: 0 })
    expect(none).toEqual(await oneByOne(model, { maxNewTokens: 0 }))
    const before = await generateTexts(model, tokenizer, PROMPTS, { maxNewTokens: 6 })
    const adapter = tinyAdapter(model)
    const adapted = await generateTexts(model, tokenizer, PROMPTS, { maxNewTokens: 6 })
    expect(adapted).toEqual(await oneByOne(model, { maxNewTokens: 6 }))
    expect(adapted).not.toEqual(before)
    adapter.dispose()
    expect(await generateTexts(model, tokenizer, PROMPTS, { maxNewTokens: 6 })).toEqual(before)
  })

  test('a signal ends the work with its reason, and the model answers again', async () => {
    const controller = new AbortController()
    const onText = () => controller.abort(new Error('enough'))
    const options = { maxNewTokens: 5, eosTokenId: [], batchSize: 2, signal: controller.signal, onText }
    expect(await rejection(generateTexts(model, tokenizer, PROMPTS, options))).toBe('enough')
    expect(await generateTexts(model, tokenizer, PROMPTS.slice(0, 2), { maxNewTokens: 2 })).toHaveLength(2)
  })

  test('refuses what is no list, an empty prompt and unknown options, and says which', async () => {
    expect(await rejection(generateTexts(model, tokenizer, 'one' as never))).toBe(
      '[generateTexts] expected a list for prompts, got "one"',
    )
    expect(await rejection(generateTexts(model, tokenizer, ['one', '']))).toBe(
      '[generate] expected a prompt of at least one token, got an empty one',
    )
    expect(await rejection(generateTexts(model, tokenizer, ['one'], { batchSize: 0 }))).toBe(
      "[generateTexts] expected 'auto' (as many as there is room for) or a whole number of at least 1 for batchSize, got 0",
    )
  })
})

describe.each([
  ['a sliding window', { ...TINY_CONFIG, model_type: 'mistral', sliding_window: 5 }],
  ['learned positions', TINY_GPT2_CONFIG],
])('with %s', (_, config) => {
  test('answers are those of each prompt alone', async () => {
    const model = await tinyModel({ config })
    const options = { maxNewTokens: 9, eosTokenId: [], batchSize: 4 }
    expect(await generateTexts(model, tokenizer, PROMPTS, options)).toEqual(await oneByOne(model, options))
    model.device.close()
  })
})

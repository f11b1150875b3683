/** @file generation_config.json and what becomes of it in generate(). */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readGenerationConfig } from '../../src/checkpoint/generation-config.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { generateText } from '../../src/generation/generate-text.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

describe('generation_config.json', () => {
  const directory = temporaryDirectory()
  const path = join(directory, 'generation_config.json')
  const read = async (config: object) => {
    await writeFile(path, JSON.stringify(config))
    return readGenerationConfig(directory)
  }

  test('says how its makers would draw, and where answers end; other fields pass', async () => {
    const config = {
      do_sample: true,
      temperature: 0.6,
      top_k: 20,
      top_p: 0.95,
      min_p: null,
      repetition_penalty: 1.1,
      eos_token_id: [3, 7],
      transformers_version: '4.51.0',
    }
    const sampling = { temperature: 0.6, topK: 20, topP: 0.95, repetitionPenalty: 1.1 }
    expect(await read(config)).toEqual({ doSample: true, sampling, eosTokenIds: [3, 7] })
    expect((await read({ temperature: 0, top_k: -1, top_p: 1 }))?.sampling).toEqual({ topP: 1 })
    expect(await read({ eos_token_id: 5 })).toEqual({ doSample: false, sampling: {}, eosTokenIds: [5] })
  })

  test('what would choose other tokens and is not done is named, and what says that it is off is not', async () => {
    const off = {
      num_beams: 1,
      no_repeat_ngram_size: 0,
      typical_p: 1,
      suppress_tokens: [],
      bad_words_ids: null,
      token_healing: false,
    }
    expect(await read({ ...off, max_new_tokens: 2048, use_cache: true })).toEqual({
      doSample: false,
      sampling: {},
      eosTokenIds: [],
    })
    const on = { num_beams: 4, no_repeat_ngram_size: 3, suppress_tokens: Array.from({ length: 99 }, (_, i) => i) }
    expect((await read({ ...off, ...on }))?.ignored).toEqual([
      'no_repeat_ngram_size = 3',
      'num_beams = 4',
      `suppress_tokens = ${JSON.stringify(on.suppress_tokens).slice(0, 60)}...`,
    ])
  })

  test('its stop strings end answers of text, unless the call names others', async () => {
    const model = await writeTinyModel(temporaryDirectory())
    const tokenizer = await loadTokenizer(model)
    const plain = await loadModel(model, { dtype: 'float32' })
    const options = { maxNewTokens: 12, eosTokenId: [] }
    const { text } = await generateText(plain, tokenizer, 'the user', options)
    plain.device.close()
    const stop = text.slice(5, 8)
    await writeFile(join(model, 'generation_config.json'), JSON.stringify({ stop_strings: [stop] }))
    const told = await loadModel(model, { dtype: 'float32' })
    expect((await generateText(told, tokenizer, 'the user', options)).text).toBe(text.slice(0, text.indexOf(stop)))
    expect((await generateText(told, tokenizer, 'the user', { ...options, stopStrings: [] })).text).toBe(text)
    told.device.close()
  })

  test.each([
    [{ stop_strings: [3] }, 'expected texts for stop_strings, got [3]'],
    [{ temperature: 'hot' }, 'expected a number for temperature, got "hot"'],
    [{ eos_token_id: [1, -2] }, 'expected token ids for eos_token_id, got [1, -2]'],
    [{ top_p: 7 }, '[generate] expected a number above 0 and at most 1 (1 draws from all) for topP, got 7'],
    [{ do_sample: 1 }, 'expected true or false for do_sample, got 1'],
  ])('%o is refused', async (config, message) => {
    expect(await rejection(read(config))).toBe(`[loadModel] ${path}: ${message}`)
  })

  test('its ending ids count beside those of the config, its numbers where tokens are drawn', async () => {
    const model = await writeTinyModel(temporaryDirectory())
    const plain = await loadModel(model, { dtype: 'float32' })
    const prompt = [1, 2, 3]
    const free = await plain.generate(prompt, { maxNewTokens: 12 })
    const drawn = await plain.generate(prompt, { maxNewTokens: 12, temperature: 0.7, topK: 5, seed: 2 })
    plain.device.close()

    const end = free[4] as number
    const config = { do_sample: true, temperature: 0.7, top_k: 5, eos_token_id: end }
    await writeFile(join(model, 'generation_config.json'), JSON.stringify(config))
    const told = await loadModel(model, { dtype: 'float32' })
    expect(await told.generate(prompt, { maxNewTokens: 12 })).toEqual(free.slice(0, free.indexOf(end) + 1))
    const options = { maxNewTokens: 12, eosTokenId: [] }
    expect(await told.generate(prompt, { ...options, doSample: true, seed: 2 })).toEqual(drawn)
    told.device.close()
  })
})

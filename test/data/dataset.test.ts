/**
 * @file From a source to examples: what is counted, where the rows came from, what is refused, and how the work is told
 * of and ended.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { dataWarnings } from '../../src/data/report.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { type TinyTokenizerOptions, tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()

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

  describe("with onError: 'skip'", () => {
    const good = (text: string) => JSON.stringify({ prompt: 'one', completion: ` ${text}` })
    // Damage of the file, of its bytes, of columns, of a form and of characters: line 2, 3, 5, 6 and 7.
    const lines = [
      good('two'),
      '{"prompt": "one", "completion": " th',
      Buffer.from([0x22, 0xff, 0x22]),
      good('three'),
      '{"prompt": "one"}',
      '{"text": "four"}',
      String.raw`{"prompt": "one", "completion": " \ud83d"}`,
      good('five'),
    ]

    async function broken(): Promise<string> {
      const path = join(folder, 'broken.jsonl')
      await writeFile(path, Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\n')])))
      return path
    }

    it('leaves out rows with a defect of any kind, counts them, and names the first ones in a warning', async () => {
      const tokenizer = build()
      const path = await broken()
      const { examples, statistics } = await prepareDataset(path, tokenizer, { onError: 'skip' })
      const whole = [good('two'), good('three'), good('five')].map((line) => JSON.parse(line))
      expect(examples).toEqual((await prepareDataset(whole, tokenizer)).examples)
      expect(statistics).toMatchObject({ rows: 8, skippedRows: 5 })
      const messages = statistics.skippedRowErrors ?? []
      expect(messages.map((message) => /broken\.jsonl:\d+/.exec(message)?.[0])).toEqual(
        [2, 3, 5].map((line) => `broken.jsonl:${line}`),
      )
      expect(dataWarnings(statistics, 2048)).toEqual([
        {
          code: 'skipped',
          rows: 5,
          message: `5 of 8 rows skipped: they have a defect, the first 3 errors: ${messages.join(' | ')}`,
        },
      ])
    })

    it('takes each of these rows for an error that names it without the option', async () => {
      const tokenizer = build()
      for (const at of [1, 2, 4, 6]) {
        const path = join(folder, `broken-${at}.jsonl`)
        await writeFile(path, Buffer.concat([Buffer.from(`${good('two')}\n`), Buffer.from(lines[at] ?? '')]))
        await expect(prepareDataset(path, tokenizer)).rejects.toMatchObject({
          code: 'INVALID_DATA',
          file: path,
          row: 2,
        })
      }
    })

    it('skips elements of a JSON array, records of CSV and rows of a program', async () => {
      const tokenizer = build()
      const array = join(folder, 'broken.json')
      await writeFile(array, `[${good('two')}, {"prompt": "one", "prompt": 2}, ${good('three')}]`)
      const table = join(folder, 'broken.csv')
      await writeFile(table, 'prompt,completion\none, two\none\none, three\n')
      const rows = [{ prompt: 'one', completion: ' two' }, { prompt: 1 }, { prompt: 'one', completion: ' three' }]
      for (const source of [array, table, rows]) {
        const { examples, statistics } = await prepareDataset(source, tokenizer, { onError: 'skip' })
        expect(examples.length).toBe(2)
        expect(statistics).toMatchObject({ rows: 3, skippedRows: 1 })
      }
    })

    it('fails where all rows are skipped, with what is wrong with the first', async () => {
      const rows = [{ prompt: 1 }, { prompt: 'one' }]
      const preparing = prepareDataset(rows, build(), { onError: 'skip' })
      await expect(preparing).rejects.toThrow(
        /^\[data\] expected tokens to learn from, got none in 2 rows; 2 were skipped, the errors: \[data\] .*row 1.* \| .*row 2/,
      )
    })

    it('still fails for a file that is damaged as a whole, and for options that do not fit', async () => {
      const tokenizer = build({ chatTemplate: CHATML })
      const cut = join(folder, 'cut.json')
      await writeFile(cut, `[${good('two')},`)
      await expect(prepareDataset(cut, tokenizer, { onError: 'skip' })).rejects.toMatchObject({ file: cut })
      const rows = [{ messages: turns }, { messages: [{ role: 'human', content: 'a' }, turns[1]] }]
      await expect(
        prepareDataset(rows, tokenizer, { onError: 'skip', roleMapping: { human: 'nobody' } }),
      ).rejects.toThrow('[data] expected roleMapping to map "human"')
    })
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

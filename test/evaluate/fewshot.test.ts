/** @file Examples before questions: which rows, in what order, as text and as turns, and what the report says. */

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { askRows } from '../../src/evaluate/ask-rows.js'
import { PythonRandom } from '../../src/evaluate/python-sample.js'
import { prepareTasks, runTasks } from '../../src/evaluate/run-tasks.js'
import {
  CLASSIFICATION_TASK,
  type ClassificationTask,
  GENERATION_TASK,
  type GenerationTask,
} from '../../src/evaluate/task-options.js'
import { readOptions } from '../../src/options/table.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const TEMPLATE =
  "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
const LIMITS = { positions: 4096, answerTokens: 1, needsReference: true }

let model: CausalLM
let tokenizer: Tokenizer

beforeAll(async () => {
  model = await tinyModel()
  const files = tinyByteLevelTokenizer()
  tokenizer = createTokenizer(files.tokenizer, files.config)
})
afterAll(() => model.device.close())

/** What the rows of a task are asked. */
async function prompts(task: Omit<GenerationTask, 'type'>): Promise<readonly string[]> {
  const options = readOptions('task', { type: 'generation', ...task } as GenerationTask, GENERATION_TASK)
  const { rows } = await askRows('task', tokenizer, options, LIMITS, undefined, {
    refine: () => undefined,
    exampleAnswer: (_, { references }) => references?.[0],
  })
  return rows.map(({ asked }) => tokenizer.decode(asked.ids))
}

const letters = (count: number) => Array.from({ length: count }, (_, index) => ({ q: `q${index}`, a: `a${index}` }))
const ASKED = { docToText: 'Q: {{ q }}\nA: ', docToTarget: 'a' }
const example = (index: number): string => `Q: q${index}\nA: a${index}\n\n`

describe('the draw', () => {
  test('is that of random.Random(seed).sample of Python 3', () => {
    const random = new PythonRandom(1234)
    expect([10, 10, 10].map((size) => random.sample(size, 3))).toEqual([
      [7, 1, 0],
      [1, 0, 9],
      [1, 5, 3],
    ])
    expect(random.sample(100, 5)).toEqual([2, 3, 44, 82, 79])
    expect(random.sample(100, 6)).toEqual([61, 78, 59, 19, 11, 23])
    expect(random.sample(4000, 8)).toEqual([2922, 468, 3462, 59, 2060, 1993, 3606, 3952])
    const zero = new PythonRandom(0)
    expect([zero.sample(21, 2), zero.sample(22, 2), zero.sample(5, 5)]).toEqual([
      [12, 13],
      [1, 8],
      [4, 3, 1, 2, 0],
    ])
    const largest = new PythonRandom(2 ** 32 - 1)
    expect([largest.sample(1000, 1), largest.sample(70_000, 4)]).toEqual([[650], [26633, 28225, 68471, 38185]])
    // 2,000 draws of every size; the digest was made by Python 3.
    const many = new PythonRandom(7)
    const hash = createHash('sha256')
    for (let index = 0; index < 2000; index++) {
      const size = 1 + ((index * 37) % 1500)
      hash.update(`${many.sample(size, Math.min(size, index % 11)).join(',')};`)
    }
    expect(hash.digest('hex')).toBe('8b04e595bbb932791b50e44e73cc5d109a2f7bd2317dd3229d4932d58f3c5922')
  })

  test('takes other rows of the data set for each row, and one more where the row itself is among them', async () => {
    // Python draws 7, 1, 0, then 1, 0, 9 of ten rows.
    const [first, second] = await prompts({ dataset: letters(10), numFewshot: 2, ...ASKED, limit: 2 })
    expect(first).toBe(`${example(7)}${example(1)}Q: q0\nA:`)
    expect(second).toBe(`${example(0)}${example(9)}Q: q1\nA:`)
  })

  test('never takes a row that says the same as the one that is asked', async () => {
    const same = { q: 'q0', a: 'a0' }
    const rows = [same, { ...same }, { ...same }, ...letters(3).slice(1)]
    for (const [index, prompt] of (await prompts({ dataset: rows, numFewshot: 2, ...ASKED })).entries()) {
      const before = prompt.slice(0, prompt.lastIndexOf('Q: '))
      expect(before.split('\n\n').length - 1).toBe(2)
      expect(before).not.toContain(rows[index]!.q)
    }
    expect(await rejection(prompts({ dataset: [same, same, same], numFewshot: 2, ...ASKED }))).toBe(
      '[task] expected 2 examples for row 1, got 0: the other rows say the same as it; give other rows as fewshotSamples',
    )
  })

  test('stays the same for rows behind one that is left out, and changes with the seed', async () => {
    const rows = letters(9)
    const all = await prompts({ dataset: rows, numFewshot: 3, ...ASKED })
    const gap = rows.map((row, index) => (index === 4 ? { ...row, a: '' } : row))
    const pool = { fewshotSamples: rows, numFewshot: 3, ...ASKED }
    const whole = await prompts({ dataset: rows, ...pool })
    expect(await prompts({ dataset: gap, ...pool })).toEqual(whole.filter((_, index) => index !== 4))
    expect(await prompts({ dataset: rows, numFewshot: 3, fewshotSeed: 5, ...ASKED })).not.toEqual(all)
    expect(await prompts({ dataset: rows, numFewshot: 3, ...ASKED })).toEqual(all)
  })

  test('first_n takes the first rows in their order, and goes on where one of them is asked', async () => {
    const task = { dataset: letters(5), numFewshot: 2, fewshotSampler: 'first_n', ...ASKED } as const
    expect((await prompts(task)).map((prompt) => prompt.match(/q\d/g)!.join(' '))).toEqual([
      'q1 q2 q0',
      'q0 q2 q1',
      'q0 q1 q2',
      'q0 q1 q3',
      'q0 q1 q4',
    ])
  })
})

describe('a prompt with examples', () => {
  const samples = { fewshotSamples: letters(2), fewshotSampler: 'first_n', numFewshot: 2 } as const

  test('has the description first, as it is, then the examples, each with its delimiters', async () => {
    const dataset = [{ q: 'x', a: 'y' }]
    expect(await prompts({ dataset, ...samples, ...ASKED, description: 'Answer.\n\n' })).toEqual([
      `Answer.\n\n${example(0)}${example(1)}Q: x\nA:`,
    ])
    expect(
      await prompts({
        dataset,
        ...samples,
        docToText: 'q',
        docToTarget: 'a',
        targetDelimiter: '=',
        fewshotDelimiter: ';',
      }),
    ).toEqual(['q0=a0;q1=a1;x'])
    // The completion brings the blank that stands before it.
    const rows = { prompt: 'two: ', completion: ' 2' }
    expect(
      await prompts({ dataset: [{ prompt: 'three:', completion: ' 3' }], fewshotSamples: [rows], numFewshot: 1 }),
    ).toEqual(['two: 2\n\nthree:'])
  })

  test('has examples as turns in a chat template, or as text in the last message of the user', async () => {
    const task = {
      dataset: [{ q: 'x', a: 'y' }],
      ...samples,
      docToText: 'q',
      docToTarget: 'a',
      applyChatTemplate: true,
      systemInstruction: 'Be brief.',
      description: 'Letters.',
      chatTemplate: TEMPLATE,
    }
    const system = '[system]Be brief.\n\nLetters.\n'
    expect(await prompts(task)).toEqual([
      `${system}[user]q0\n[assistant]a0\n[user]q1\n[assistant]a1\n[user]x\n[assistant]`,
    ])
    expect(await prompts({ ...task, fewshotAsMultiturn: false })).toEqual([
      `${system}[user]q0 a0\n\nq1 a1\n\nx\n[assistant]`,
    ])
  })

  test('has conversations of rows before a conversation, under the system message of the row', async () => {
    const turns = (system: string, ...contents: string[]) => ({
      messages: [
        { role: 'system', content: system },
        ...contents.map((content, index) => ({ role: index % 2 ? 'assistant' : 'user', content })),
      ],
    })
    const task = {
      dataset: [turns('own', 'hello', 'bye')],
      fewshotSamples: [turns('other', 'one', 'two', 'three', 'four')],
      numFewshot: 1,
      chatTemplate: TEMPLATE,
    }
    expect(await prompts(task)).toEqual([
      '[system]own\n[user]one\n[assistant]two\n[user]three\n[assistant]four\n[user]hello\n[assistant]',
    ])
    expect(await rejection(prompts({ ...task, fewshotAsMultiturn: false }))).toContain(
      'expected examples of one question each where they are text, got one of 3 turns; set fewshotAsMultiturn to true (in row 1)',
    )
  })

  test('has the words of labels and choices for answers', async () => {
    const options = readOptions(
      'task',
      {
        type: 'classification',
        dataset: [{ text: 'x', label: 1 }],
        fewshotSamples: [{ text: 'good', label: 0 }],
        numFewshot: 1,
        labels: ['plus', 'minus'],
      } as ClassificationTask,
      CLASSIFICATION_TASK,
    )
    const { rows } = await askRows(
      'task',
      tokenizer,
      options,
      { ...LIMITS, textColumns: ['text'], targetColumns: ['label'] },
      undefined,
      {
        refine: ({ target }) => ['plus', 'minus'][Number(target)] as string,
        exampleAnswer: (label) => label,
      },
    )
    expect(rows.map(({ asked }) => tokenizer.decode(asked.ids))).toEqual(['good plus\n\nx'])
    const choices = { prompt: 'pick', choices: ['left', 'right'], answer: 1 }
    const [task] = await prepareTasks(model, tokenizer, [
      { type: 'multiple-choice', dataset: [{ ...choices, prompt: 'take' }], fewshotSamples: [choices], numFewshot: 1 },
    ])
    const asked = 'pick right\n\ntake'
    expect(task!.fewshot!.promptsSha256).toBe(createHash('sha256').update(`${asked.length}:${asked}`).digest('hex'))
  })
})

describe('the report', () => {
  test('counts examples, says where they come from, and has a hash of all that was asked', async () => {
    const task = { type: 'generation', dataset: letters(5), generation: { maxNewTokens: 2 }, ...ASKED } as const
    const fewshotOf = async (more: Partial<GenerationTask>) =>
      (await runTasks(model, tokenizer, [{ ...task, ...more }]))[0]!.fewshot
    const found = (await fewshotOf({ numFewshot: 1 }))!
    expect(found).toEqual({
      numFewshot: 1,
      sampler: 'default',
      seed: 1234,
      rowCount: 5,
      lineage: expect.any(Array),
      promptsSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect((await fewshotOf({ numFewshot: 1 }))!.promptsSha256).toBe(found.promptsSha256)
    expect((await fewshotOf({ numFewshot: 2 }))!.promptsSha256).not.toBe(found.promptsSha256)
    expect((await fewshotOf({ numFewshot: 1, description: 'Now: ' }))!.promptsSha256).not.toBe(found.promptsSha256)
    expect(await fewshotOf({})).toBeUndefined()
  })

  test('tells of rows that are no examples', async () => {
    const [report] = await runTasks(model, tokenizer, [
      {
        type: 'generation',
        dataset: letters(1),
        fewshotSamples: [...letters(2), { q: 'q', a: '' }],
        numFewshot: 1,
        generation: { maxNewTokens: 2 },
        ...ASKED,
      },
    ])
    expect(report!.warnings!.map(({ message }) => message)).toContain(
      'examples: 1 of 3 rows left out: they do not say what is right, or say it with an empty text; see docToTarget',
    )
  })

  test('is not begun where options cannot be kept', async () => {
    const refused = async (more: Partial<GenerationTask>) =>
      await rejection(prompts({ dataset: letters(3), ...ASKED, ...more }))
    expect(await refused({ numFewshot: 3 })).toBe(
      '[task] expected at least 4 rows for numFewshot 3, got 3; take fewer, or give more rows as fewshotSamples',
    )
    expect(await refused({ fewshotSplit: 'train' })).toBe(
      '[task] expected numFewshot with fewshotSplit, got 0; say how many examples there are',
    )
    expect(await refused({ numFewshot: 1, fewshotSplit: 'train' })).toBe(
      '[task] expected a dataset with splits for fewshotSplit "train", got rows or several data sets; give the rows of examples as fewshotSamples',
    )
    expect(await refused({ numFewshot: 1, fewshotSplit: 'train', fewshotSamples: letters(2) })).toContain(
      'expected fewshotSplit or fewshotSamples, got both',
    )
    const once = letters(3).values()
    expect(await refused({ numFewshot: 1, dataset: once })).toContain('expected rows that can be read twice')
    const tokens = [{ input_ids: [1, 2, 3], labels: [-100, 2, 3] }]
    const samples = [{ prompt: 'one', completion: ' two' }]
    expect(await rejection(prompts({ dataset: tokens, fewshotSamples: samples, numFewshot: 1 }))).toBe(
      'expected rows of text or messages with numFewshot or description, got tokens; name the columns with docToText and docToTarget (in row 1)',
    )
  })
})

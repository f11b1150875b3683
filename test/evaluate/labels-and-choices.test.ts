/** @file Tasks that tell classes apart, and tasks that choose: by likelihood, and by what an answer names. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { readLabel } from '../../src/evaluate/read-label.js'
import { runTasks } from '../../src/evaluate/run-tasks.js'
import type { EvaluationTask } from '../../src/evaluate/task-options.js'
import { scoreContinuations } from '../../src/generation/score-continuations.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

let model: CausalLM
let tokenizer: Tokenizer

beforeAll(async () => {
  model = await tinyModel()
  const files = tinyByteLevelTokenizer()
  tokenizer = createTokenizer(files.tokenizer, files.config)
})
afterAll(() => model.device.close())

async function only(task: EvaluationTask) {
  const [report] = await runTasks(model, tokenizer, [task])
  if (report === undefined) throw new Error('no report')
  return report
}

const LABELS = ['one', 'two', 'France']
const TEXTS = ['hello', 'the capital', 'seven eight', 'question', 'says hello', 'assistant']

/** The log probability of a text behind a prompt, computed without a task. */
async function logProbOf(prompt: string, text: string): Promise<number> {
  const context = tokenizer.encode(prompt)
  const continuation = tokenizer.encode(prompt + text).slice(context.length)
  const [score] = await scoreContinuations(model, [{ context, continuation }])
  return score!.logProb
}

describe('classification', () => {
  test('likelihood takes the label that is likeliest behind the prompt and a blank', async () => {
    const rows = TEXTS.map((text, index) => ({ text, label: index % 3 }))
    const report = await only({ type: 'classification', dataset: rows, labels: LABELS })
    for (const { prompt, answers, references, index } of report.samples) {
      const scores = await Promise.all(LABELS.map((label) => logProbOf(prompt, ` ${label}`)))
      expect(answers.model?.text).toBe(LABELS[scores.indexOf(Math.max(...scores))])
      expect(references).toEqual([LABELS[index % 3]])
    }
    const right = report.samples.filter(({ answers, references }) => answers.model?.text === references?.[0])
    const accuracy = report.metrics.find(({ name }) => name === 'accuracy')
    expect(accuracy?.scores.model?.value).toBeCloseTo(right.length / 6, 12)
    expect(report.metrics.map(({ name }) => name)).toContain('log_loss')
    const { labels, rows: counts } = report.confusion!.model!
    expect(labels).toEqual(LABELS)
    expect(counts.flat().reduce((sum, count) => sum + count)).toBe(6)
  })

  test('generation reads the label in the answer, and counts answers that name none', async () => {
    const rows = TEXTS.map((prompt, index) => ({ prompt, completion: ` ${LABELS[index % 3]}` }))
    const report = await only({
      type: 'classification',
      dataset: rows,
      method: 'generation',
      generation: { maxNewTokens: 4 },
    })
    const named = report.samples.filter(({ answers }) => readLabel(answers.model!.text!, LABELS) !== null).length
    const without = report.confusion!.model!.rows.reduce((sum, row) => sum + row.at(-1)!, 0)
    expect(without).toBe(6 - named)
    expect(report.warnings?.find(({ code }) => code === 'withoutLabel')?.rows ?? 0).toBe(6 - named)
  })

  test('labels may stand for the words that are said', async () => {
    const rows = [
      { text: 'hello', label: 'f' },
      { text: 'question', label: 'o' },
    ]
    const report = await only({ type: 'classification', dataset: rows, labels: { f: 'France', o: 'one' } })
    expect(report.samples.map(({ references }) => references?.[0]).sort()).toEqual(['France', 'one'])
    expect(await rejection(only({ type: 'classification', dataset: rows, labels: ['f', 'x'] }))).toBe(
      '[classification] expected one of the labels f, x in row 2, got "o"; add it to labels',
    )
  })

  test('a row whose label is none of labels is skipped and counted where onError says so', async () => {
    const dataset = [
      { text: 'hello', label: 'one' },
      { text: 'question', label: 'three' },
      { text: 'seven', label: 'two' },
    ]
    const report = await only({ type: 'classification', dataset, labels: ['one', 'two'], onError: 'skip' })
    expect(report.rowCount).toBe(2)
    expect(report.samples.map(({ index }) => index).sort()).toEqual([0, 2])
    expect(report.warnings).toEqual([
      {
        code: 'skipped',
        rows: 1,
        message:
          '1 of 3 rows skipped: they have a defect, the error: [classification] expected one of the labels one, two in row 2, got "three"; add it to labels',
      },
    ])
  })

  test('an answer that takes all positions of the model is refused', async () => {
    const task = { type: 'generation', dataset: [{ prompt: 'a', completion: 'b' }] } as const
    const positions = model.config.maxPositionEmbeddings
    expect(await rejection(only({ ...task, generation: { maxNewTokens: positions } }))).toBe(
      `[generation] expected less than ${positions}, the positions of the model, for generation.maxNewTokens, got ${positions}; leave room for the prompt`,
    )
  })

  test.each([
    ['Spam', 'spam'],
    [' spam.\n', 'spam'],
    ['It is ham, not spam', 'ham'],
    ['hamster', null],
    ['not spam', 'not spam'],
    ['', null],
    ['"HAM"', 'ham'],
  ])('the answer %j names %j', (answer, label) => {
    expect(readLabel(answer, ['ham', 'spam', 'not spam'])).toBe(label)
  })

  test('signs and other scripts are labels too', () => {
    expect(readLabel(' +', ['+', '-'])).toBe('+')
    expect(readLabel('これは猫です', ['犬', '猫'])).toBe(null)
    expect(readLabel('猫。', ['犬', '猫'])).toBe('猫')
  })
})

describe('multiple choice', () => {
  const QUESTION = { question: 'hello', choices: ['one two three', 'France', 'é'], answer: 'B' }

  test('the likeliest choice counts, as it is and divided by characters, bytes and tokens', async () => {
    const metrics = ['acc', 'acc_norm', 'acc_bytes', 'acc_tokens'] as const
    const logProbs = await Promise.all(QUESTION.choices.map((choice) => logProbOf('hello', ` ${choice}`)))
    const lengths: Record<(typeof metrics)[number], readonly number[]> = {
      acc: [1, 1, 1],
      acc_norm: [13, 6, 1],
      acc_bytes: [13, 6, 2],
      acc_tokens: QUESTION.choices.map(
        (choice) => tokenizer.encode(`hello ${choice}`).length - tokenizer.encode('hello').length,
      ),
    }
    const best = metrics.map((metric) => {
      const scores = logProbs.map((logProb, place) => logProb / lengths[metric][place]!)
      return scores.indexOf(Math.max(...scores))
    })
    for (const right of [0, 1, 2]) {
      const dataset = [{ ...QUESTION, answer: right }]
      const report = await only({ type: 'multiple-choice', dataset, metrics })
      expect(report.metrics.map(({ scores }) => scores.model?.value)).toEqual(
        best.map((place) => Number(place === right)),
      )
    }
  })

  test.each([[1], ['1'], ['B'], ['b'], ['France']])('the answer %j is the second choice', async (answer) => {
    const report = await only({ type: 'multiple-choice', dataset: [{ ...QUESTION, answer }] })
    expect(report.samples[0]?.references).toEqual(['France'])
  })

  test('choices may be columns of their own, or texts with labels as ARC has them', async () => {
    const arc = { question: 'hello', choices: { text: ['one', 'two'], label: ['1', '2'] }, answerKey: '2' }
    expect((await only({ type: 'multiple-choice', dataset: [arc] })).samples[0]?.references).toEqual(['two'])
    const columns = { q: 'hello', a: 'one', b: 'two', gold: 0 }
    const report = await only({
      type: 'multiple-choice',
      dataset: [columns],
      docToText: 'q',
      docToChoice: ['a', 'The {{ b }}'],
    })
    expect(report.samples[0]).toMatchObject({ prompt: 'hello', references: ['one'] })
  })

  test('a number counts choices, also where a choice is that number', async () => {
    const choices = ['2', '0', '1']
    const dataset = [
      { question: 'hello', choices, answer: 0 },
      { question: 'hello', choices, answer: '0' },
      { question: 'hello', choices, answer: 2 },
    ]
    const report = await only({ type: 'multiple-choice', dataset })
    const right = [...report.samples].sort((a, b) => a.index - b.index).map(({ references }) => references?.[0])
    expect(right).toEqual(['2', '0', '1'])
  })

  test('rows without choices or with an answer that is none are skipped and counted where onError says so', async () => {
    const dataset = [QUESTION, { ...QUESTION, answer: 'D' }, { question: 'hello', choices: ['one'], answer: 0 }]
    const report = await only({ type: 'multiple-choice', dataset, onError: 'skip' })
    expect([report.rowCount, report.warnings?.map(({ code, rows }) => [code, rows])]).toEqual([1, [['skipped', 2]]])
  })

  test('answers that are no choice, and rows without choices, are refused with their place', async () => {
    const run = (row: object) => rejection(only({ type: 'multiple-choice', dataset: [row] }))
    expect(await run({ ...QUESTION, answer: 'D' })).toBe(
      '[multiple-choice] expected the number, from 0, the letter or the text of one of 3 choices in row 1, got "D"; see docToTarget',
    )
    expect(await run({ question: 'hello', answer: 1 })).toBe(
      '[multiple-choice] expected at least two choices in row 1, got none; name their column with docToChoice',
    )
  })
})

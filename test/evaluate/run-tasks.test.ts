/** @file Tasks asked of a loaded model: perplexity and generation, and what is told of their rows. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { flatScores, prepareTasks, runTasks } from '../../src/evaluate/run-tasks.js'
import { windowsOf } from '../../src/evaluate/sliding-window.js'
import type { EvaluationTask } from '../../src/evaluate/task-options.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import { rejection, tinyModel, tinyRows } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const CHATML =
  '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'

let model: CausalLM
let tokenizer: Tokenizer

beforeAll(async () => {
  model = await tinyModel()
  const files = tinyByteLevelTokenizer({ chatTemplate: CHATML })
  tokenizer = createTokenizer(files.tokenizer, files.config)
})
afterAll(() => model.device.close())

async function only(task: EvaluationTask) {
  const [report] = await runTasks(model, tokenizer, [task])
  if (report === undefined) throw new Error('no report')
  return report
}

function scoreOf(report: Awaited<ReturnType<typeof only>>, metric: string): number | null | undefined {
  return report.metrics.find(({ name }) => name === metric)?.scores.model?.value
}

describe('perplexity', () => {
  test('is that of evaluateLoss on the same rows, weights of rows included', async () => {
    const rows = tinyRows(13).map((row, index) => ({ ...row, row_weight: 1 + (index % 3) }))
    const { examples } = await prepareDataset(rows, tokenizer)
    const { perplexity } = await evaluateLoss(model, examples)
    const report = await only({ type: 'perplexity', dataset: rows })
    expect(report.rowCount).toBe(13)
    // Sums of float32 losses, which are made in another order.
    expect(scoreOf(report, 'perplexity')! / perplexity).toBeCloseTo(1, 5)
  })

  test('the mean over rows weighs their tokens', async () => {
    const report = await only({ type: 'perplexity', dataset: tinyRows(9) })
    const { examples } = await prepareDataset(tinyRows(9), tokenizer)
    const losses = report.samples.map(({ index, answers }) => [
      examples[index]!.numSupervised,
      Math.log(answers.model!.scores.perplexity!),
    ])
    const tokens = losses.reduce((sum, [count]) => sum + count!, 0)
    const mean = losses.reduce((sum, [count, loss]) => sum + count! * loss!, 0) / tokens
    expect(Math.exp(mean)).toBeCloseTo(scoreOf(report, 'perplexity')!, 6)
  })

  test('token accuracy is the share of labelled tokens that greedy choice gives', async () => {
    const prompt = 'the capital of France'
    const ids = await model.generate(tokenizer.encode(prompt), { maxNewTokens: 6, eosTokenId: [] })
    const row = {
      input_ids: [...tokenizer.encode(prompt), ...ids],
      completion_mask: [...tokenizer.encode(prompt).map(() => 0), ...ids.map(() => 1)],
    }
    expect(scoreOf(await only({ type: 'perplexity', dataset: [row] }), 'token_accuracy')).toBe(1)
  })

  test('says which rows are left out and which lose their end', async () => {
    const rows = [...tinyRows(3), { prompt: 'one two three four five six seven eight nine', completion: ' one' }]
    const report = await only({ type: 'perplexity', dataset: rows, maxLength: 9 })
    expect(report.rowCount).toBe(3)
    expect(report.warnings?.map(({ code, rows }) => [code, rows])).toContainEqual(['cutToNothing', 1])
  })

  test('windows score each token once, with up to maxLength - stride tokens before it', () => {
    const ids = Array.from({ length: 24 }, (_, index) => index)
    const windows = windowsOf(ids, 10, 4)
    const scored = windows.flatMap(({ example }) => [...example.labels].filter((label) => label >= 0))
    expect(scored).toEqual(ids)
    expect(windows.map(({ begin, example }) => [begin, example.inputIds.length, example.numSupervised])).toEqual([
      [0, 10, 9],
      [4, 10, 4],
      [8, 10, 4],
      [12, 10, 4],
      [16, 8, 2],
    ])
  })

  test('a stride longer than a window, and rows that are no text, are refused', async () => {
    const text = [{ text: 'hello hello' }]
    expect(await rejection(only({ type: 'perplexity', dataset: text, maxLength: 8, stride: 9 }))).toBe(
      '[perplexity] expected a stride of at most maxLength 8, so that each token is in a window, got 9; lower stride',
    )
    expect(await rejection(only({ type: 'perplexity', dataset: tinyRows(1), stride: 4 }))).toContain(
      '[perplexity] expected rows of plain text for stride, got completion in row 1',
    )
  })
})

describe('generation', () => {
  const GENERATION = { maxNewTokens: 5 }

  test('asks rows of any form, and compares with the last turn of the assistant', async () => {
    const messages = [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'first' },
      { role: 'user', content: 'France' },
      { role: 'assistant', content: 'second' },
    ]
    for (const [row, prompt, reference] of [
      [{ messages }, 'user: hello\nassistant: first\nuser: France', 'second'],
      [{ prompt: 'one ', completion: 'two' }, 'one', 'two'],
      [{ prompt: messages.slice(0, 1), completion: messages.slice(1, 2) }, 'user: hello', 'first'],
      [
        {
          conversations: [
            { from: 'human', value: 'hello' },
            { from: 'gpt', value: 'ok' },
          ],
        },
        'user: hello',
        'ok',
      ],
    ] as const) {
      const report = await only({
        type: 'generation',
        dataset: [row],
        metrics: ['exact_match'],
        generation: GENERATION,
      })
      expect(report.samples[0]).toMatchObject({ prompt, references: [reference] })
    }
  })

  test('an answer is what generate gives behind the prompt as training encodes it', async () => {
    const messages = [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'x' },
    ]
    const report = await only({
      type: 'generation',
      dataset: [{ messages }],
      metrics: ['exact_match'],
      generation: GENERATION,
    })
    const text = tokenizer.applyChatTemplate(messages.slice(0, 1), { addGenerationPrompt: true })
    const ids = await model.generate(tokenizer.encode(text, { addSpecialTokens: false }), {
      ...GENERATION,
      eosTokenId: [...tokenizer.eosTokenIds],
    })
    expect(report.samples[0]?.answers.model?.text).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }))
  })

  test('templates and columns name prompt and references, of which there may be several', async () => {
    const dataset = [{ q: 'hello', gold: ['one', 'two'] }]
    const report = await only({
      type: 'generation',
      dataset,
      docToText: 'Say {{ q }}',
      docToTarget: 'gold',
      metrics: ['exact_match'],
      generation: GENERATION,
    })
    expect(report.samples[0]).toMatchObject({ prompt: 'Say hello', references: ['one', 'two'] })
    const task = { type: 'generation', dataset, docToText: 'Say {{ question }}', docToTarget: 'gold' } as const
    expect(await rejection(only({ ...task, metrics: ['exact_match'] }))).toBe(
      '[generation] expected the column "question", which docToText names, in row 1, got q, gold; correct docToText',
    )
  })

  test('a function of the user scores answers, by one number or several names', async () => {
    const report = await only({
      type: 'generation',
      dataset: [
        { prompt: 'one', completion: 'x' },
        { prompt: 'two', completion: 'y' },
      ],
      generation: GENERATION,
      scoreAnswer: (row, answer) => ({ isX: row.completion === 'x', length: answer.length }),
      lowerIsBetter: ['length'],
    })
    expect(report.metrics.map(({ name, higherIsBetter }) => [name, higherIsBetter])).toEqual([
      ['isX', true],
      ['length', false],
    ])
    expect(scoreOf(report, 'isX')).toBe(0.5)
  })

  test('columns that are no form of a row name the option of the task', async () => {
    const [dataset, remedy] = [
      [{ q: 'x', a: 'y' }],
      "rename the columns, or map them, as with columns: { prompt: 'question', completion: 'answer' } of the task",
    ]
    for (const type of ['generation', 'perplexity'] as const) {
      const message = await rejection(only({ type, dataset }))
      expect(message).toContain(remedy)
      expect(message).not.toContain('--set')
    }
  })

  test('a function of the user that throws is named with the task and the row', async () => {
    const scoreAnswer = (): number => {
      throw new Error('boom')
    }
    const dataset = [{ prompt: 'one', completion: 'x' }]
    expect(await rejection(only({ type: 'generation', dataset, generation: GENERATION, scoreAnswer }))).toBe(
      '[generation] expected scores from scoreAnswer for the answer to row 1, got an error: boom; correct the function',
    )
  })

  test('a score that is called as a metric is refused, as one of them would hide the other', async () => {
    const dataset = [{ prompt: 'one', completion: 'x' }]
    const task = { type: 'generation', dataset, generation: GENERATION, metrics: ['f1'] } as const
    expect(await rejection(only({ ...task, scoreAnswer: () => ({ f1: 2 }) }))).toBe(
      '[generation] expected scores of other names than the metrics from scoreAnswer, got "f1"; rename it',
    )
  })

  test('rows without what is right are counted and told', async () => {
    const dataset = [
      { prompt: 'one', completion: 'x' },
      { prompt: 'two', completion: '' },
    ]
    const report = await only({ type: 'generation', dataset, metrics: ['exact_match'], generation: GENERATION })
    expect(report.rowCount).toBe(1)
    expect(report.warnings?.[0]).toEqual({
      code: 'withoutReference',
      rows: 1,
      message: '1 of 2 rows left out: they do not say what is right, or say it with an empty text; see docToTarget',
    })
  })
})

test('tasks that are prepared once are run again without reading their rows', async () => {
  let reads = 0
  const dataset = {
    name: 'counted',
    async *rows() {
      reads++
      yield { value: { prompt: 'one', completion: ' two' }, origin: { row: 1 } }
    },
  }
  const prepared = await prepareTasks(model, tokenizer, [{ type: 'perplexity', dataset, name: 'p' }])
  const [first, second] = [await runTasks(model, tokenizer, prepared), await runTasks(model, tokenizer, prepared)]
  expect(reads).toBe(1)
  expect(flatScores(first, 'model')).toEqual(flatScores(second, 'model'))
  expect(Object.keys(flatScores(first, 'model'))).toEqual(['p_perplexity', 'p_token_accuracy'])
})

test('a model in training stays in training, and is scored without dropout', async () => {
  model.train()
  const rows = tinyRows(3)
  await only({ type: 'perplexity', dataset: rows })
  expect(model.training).toBe(true)
  model.eval()
})

test('wrong tasks are named with what is wrong', async () => {
  const rows = tinyRows(1)
  const run = (tasks: unknown) => rejection(runTasks(model, tokenizer, tasks as EvaluationTask[]))
  expect(await run([])).toBe('[evaluate] expected a list of tasks, got []; give at least one')
  expect(await run([{ type: 'bleu', dataset: rows }])).toContain("expected 'perplexity', 'generation'")
  expect(await run([{ type: 'perplexity', dataset: rows, strid: 3 }])).toContain('did you mean "stride"?')
  const twice = { type: 'perplexity', dataset: rows, name: 'a' }
  expect(await run([twice, twice])).toBe('[evaluate] expected tasks of different names, got "a" twice; rename one')
  expect(await run([{ type: 'generation', dataset: rows, metrics: ['exact_mach'] }])).toContain(
    'did you mean "exact_match"?',
  )
})

test('an abort ends the work with its reason', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  expect(await rejection(runTasks(model, tokenizer, [{ type: 'perplexity', dataset: tinyRows(3) }], { signal }))).toBe(
    'enough',
  )
})

/** @file A judge within a task: its scores as metrics, pairs of two models, and what it cost. */

import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { type EvaluationProgress, RUN_TASKS_OPTIONS } from '../../src/evaluate/run-options.js'
import { prepareTasks, runPrepared, runTasks } from '../../src/evaluate/run-tasks.js'
import type { EvaluationTask } from '../../src/evaluate/task-options.js'
import { defaultsOf } from '../../src/options/table.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { type ChatServer, startChatServer } from '../support/chat-server.js'
import { tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

let model: CausalLM
let tokenizer: Tokenizer
let server: ChatServer
beforeAll(async () => {
  model = await tinyModel()
  const files = tinyByteLevelTokenizer()
  tokenizer = createTokenizer(files.tokenizer, files.config)
})
afterAll(() => model.device.close())
beforeEach(async () => {
  vi.stubEnv('OPENAI_API_KEY', '')
  // Gives 7 to the row 'two', nothing that can be read to the row 'three', and prefers the first place.
  server = await startChatServer(({ prompt }) => {
    if (prompt.includes('<answer-A>')) return { content: { explanation: '', winner: 'A' } }
    const correctness = prompt.includes('<prompt>\nthree') ? 'high' : prompt.includes('<prompt>\ntwo') ? 7 : 3
    return { content: { explanation: '', correctness, helpfulness: 5, clarity: 9 } }
  })
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
})

const task = (more: Partial<EvaluationTask> = {}): EvaluationTask =>
  ({
    type: 'generation',
    dataset: ['one', 'two', 'three'].map((prompt) => ({ prompt, completion: ` ${prompt}` })),
    generation: { maxNewTokens: 3 },
    judge: { model: 'judge-1', baseUrl: server.baseUrl, maxRetries: 0, maxAttempts: 2, inputPrice: 1 },
    ...more,
  }) as EvaluationTask

test('scores of a judge are metrics of the task, with its counts and its cost', async () => {
  const [report] = await runTasks(model, tokenizer, [task()])
  const scores = Object.fromEntries(report!.metrics.map(({ name, scores }) => [name, scores.model?.value]))
  // The row that could not be read counts in no mean.
  expect(scores).toEqual({
    judge: expect.closeTo((17 / 3 + 7) / 2, 12),
    judge_correctness: 5,
    judge_helpfulness: 5,
    judge_clarity: 9,
  })
  expect(report!.judge?.model).toMatchObject({
    judge: 'judge-1',
    counts: { judged: 2, failed: { unparsable: 1 }, received: 4, malformed: { 'other fields': 2 } },
    usage: { requests: 4, promptTokens: 400, cost: 400 / 1e6 },
  })
  expect(report!.warnings).toContainEqual({
    code: 'notJudged',
    rows: 1,
    message:
      '1 answers have no judgement (1 unparsable) and count in no mean; try another judge, or raise judge.maxTokens',
  })
  expect(report!.samples.find(({ prompt }) => prompt === 'three')?.answers.model?.scores.judge).toBeNull()
})

test('pairs of two models are judged in both orders', async () => {
  const prepared = await prepareTasks(model, tokenizer, [task({ judgePairs: true })])
  let used = ''
  const variants = ['base', 'adapter'].map((name) => ({
    name,
    use: () => {
      used = name
    },
  }))
  const told: EvaluationProgress[] = []
  const [report] = await runPrepared(model, tokenizer, prepared, variants, {
    ...(defaultsOf(RUN_TASKS_OPTIONS) as never as Parameters<typeof runPrepared>[4]),
    onProgress: (progress) => void told.push(progress),
  })
  // Five passes over three rows: two models answer, each is judged, and the pairs are.
  const fractions = told.map(({ fraction }) => fraction)
  expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  expect(fractions.at(-1)).toBe(1)
  const steps = told.map(({ model, judge }) => `${model} ${judge?.step ?? 'answer'}`)
  expect(steps.filter((step, index) => step !== steps[index - 1])).toEqual([
    'base answer',
    'base score',
    'adapter answer',
    'adapter score',
    'adapter compare',
  ])
  expect(told.at(-1)).toMatchObject({ rows: 3, totalRows: 3, judge: { requests: 3 } })
  expect(told.find(({ judge }) => judge)).toMatchObject({ rows: 1, model: 'base', judge: { step: 'score' } })
  expect(used).toBe('adapter')
  expect(report!.comparisons).toEqual({
    adapter: expect.objectContaining({ judge: 'judge-1', wins: 0, losses: 0, ties: 3, winRate: 0.5 }),
  })
  // Both answer alike here, so that both orders of a row are one request.
  expect(report!.comparisons?.adapter).toMatchObject({ positionBias: { inconsistent: 3, inconsistentShare: 1 } })
  expect(report!.comparisons?.adapter).not.toHaveProperty('rows')
})

test('wrong options of a judge are named before anything is asked', async () => {
  await expect(runTasks(model, tokenizer, [task({ judge: { modle: 'x' } } as object)])).rejects.toThrow(
    '[generation] unknown option "modle"; did you mean "model"?',
  )
  await expect(runTasks(model, tokenizer, [task({ judge: undefined, judgePairs: true } as object)])).rejects.toThrow(
    '[generation] expected judge where judgePairs is true, got nothing; say who judges',
  )
  const judge = { model: 'j', rubric: { scale: { min: 2, max: 1 } } }
  await expect(runTasks(model, tokenizer, [task({ judge } as object)])).rejects.toThrow(
    '[judge] expected a whole number above min (2) for scale.max, got 1',
  )
  expect(server.requests).toHaveLength(0)
})

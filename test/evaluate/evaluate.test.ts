/** @file evaluate: one loaded model with and without adapters, side by side, and limits on what may get worse. */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { activeAdapters } from '../../src/adapters/named-adapters.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { namedAdapters } from '../../src/evaluate/evaluated-adapters.js'
import type { EvaluationReport } from '../../src/evaluate/evaluation-report.js'
import { regressionsOf } from '../../src/evaluate/max-regression.js'
import { runTasks } from '../../src/evaluate/run-tasks.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyRows, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const path = join(folder, 'model')
const ADAPTERS = { first: join(folder, 'run'), second: join(folder, 'second') }
const TASKS = [
  { type: 'perplexity', dataset: tinyRows(24) },
  { type: 'generation', dataset: tinyRows(7), metrics: ['exact_match'], generation: { maxNewTokens: 4 } },
] as const

let model: CausalLM
let report: EvaluationReport

beforeAll(async () => {
  await writeTinyModel(path)
  model = await loadModel(path)
  for (const [place, directory] of [join(ADAPTERS.first, 'adapter'), ADAPTERS.second].entries()) {
    const adapter = tinyAdapter(model, { r: 2 + place })
    await adapter.save(directory)
    adapter.dispose()
  }
  report = await evaluate({ model: path, adapters: ADAPTERS, tasks: TASKS })
})
afterAll(() => model.dispose())

test('scores are those of the model with the adapter alone', async () => {
  const adapter = await LoraAdapter.load(model, ADAPTERS.second)
  const alone = await runTasks(model, await loadTokenizer(path), TASKS, { modelName: 'second' })
  adapter.dispose()
  for (const [place, { metrics }] of report.tasks.entries())
    for (const [at, { scores }] of metrics.entries())
      expect(scores.second).toEqual(alone[place]?.metrics[at]?.scores.second)
})

test('the base model comes first, and differences are those of the scores from it', () => {
  expect(report.models).toEqual([
    { name: 'base' },
    { name: 'first', adapter: ADAPTERS.first },
    { name: 'second', adapter: ADAPTERS.second },
  ])
  const { scores, differences } = report.tasks[0]!.metrics[0]!
  expect(Object.keys(differences)).toEqual(['first', 'second'])
  expect(differences.first?.value).toBeCloseTo(scores.first!.value! - scores.base!.value!, 9)
  expect(scores.base!.low).toBeLessThan(scores.base!.value!)
  expect(differences.first?.pValue).toBeGreaterThan(0)
})

test('rows that got worse most come first', () => {
  const { samples } = report.tasks[0]!
  const worst = samples.map(({ answers }) => {
    const of = (name: string) => answers[name]!.scores.perplexity!
    return Math.max(of('first') - of('base'), of('second') - of('base'))
  })
  expect(worst).toEqual(worst.toSorted((a, b) => b - a))
  expect(worst[0]).not.toBe(worst.at(-1))
})

test.each(['perplexity', 'generation'] as const)(
  'a task of %s names the adapter whose weights are no numbers',
  async (type) => {
    const loaded = await loadModel(path)
    const adapter = tinyAdapter(loaded)
    for (const [, parameter] of adapter.parameters()) parameter.fill(Number.NaN)
    const damaged = join(folder, 'damaged')
    await adapter.save(damaged)
    loaded.dispose()
    const tasks = TASKS.filter((task) => task.type === type)
    const message = await rejection(
      evaluate({ model: path, adapters: { ...ADAPTERS, damaged }, tasks, bootstrapSamples: 0 }),
    )
    expect(message).toMatch(
      new RegExp(
        `mostly weights of the model or its adapter are no numbers.*\\(the model damaged at the task ${type}\\)$`,
      ),
    )
  },
)

test('a model is as good as before behind an evaluation that failed', async () => {
  const damaged = join(folder, 'broken')
  const adapter = tinyAdapter(model)
  for (const [, parameter] of adapter.parameters()) parameter.fill(Number.NaN)
  await adapter.save(damaged)
  adapter.dispose()
  const ask = (type: string, adapters: Record<string, string>): Promise<EvaluationReport> =>
    evaluate({ model, adapters, tasks: TASKS.filter((task) => task.type === type), bootstrapSamples: 0 })
  expect(await rejection(ask('perplexity', { damaged }))).toContain('the model damaged at the task perplexity')
  const again = await ask('generation', {})
  expect(again.tasks[0]?.metrics[0]?.scores.base?.value).toBe(report.tasks[1]?.metrics[0]?.scores.base?.value)
})

test('a loaded model keeps its own adapters, which do not count', async () => {
  const own = tinyAdapter(model)
  const again = await evaluate({ model, adapters: ADAPTERS, tasks: TASKS, bootstrapSamples: 0 })
  expect(activeAdapters(model)).toEqual([own.name])
  own.dispose()
  for (const [place, { metrics }] of again.tasks.entries())
    expect(metrics[0]?.scores.base?.value).toBe(report.tasks[place]?.metrics[0]?.scores.base?.value)
  expect(again.tasks[0]?.metrics[0]?.scores.base).toMatchObject({ low: null, high: null })
})

test('another model may be the one that others are compared with', async () => {
  const tasks = TASKS.slice(0, 1)
  const compared = await evaluate({ model, adapters: ADAPTERS, tasks, includeBase: false, baseline: 'second' })
  expect(compared.models.map(({ name }) => name)).toEqual(['second', 'first'])
  expect(Object.keys(compared.tasks[0]!.metrics[0]!.differences)).toEqual(['first'])
  expect(await rejection(evaluate({ model, adapters: ADAPTERS, tasks, baseline: 'frist' }))).toBe(
    '[evaluate] expected one of base, first, second for baseline, got "frist"; did you mean first?',
  )
})

test('progress goes from 0 to 1 over all tasks and models', async () => {
  const told: number[] = []
  const onProgress = ({ fraction }: { fraction: number }) => told.push(fraction)
  await evaluate({ model, adapters: ADAPTERS, tasks: TASKS, onProgress, bootstrapSamples: 0 })
  expect(told).toEqual(told.toSorted((a, b) => a - b))
  expect([told[0], told.at(-1)]).toEqual([0, 1])
})

describe('names of adapters', () => {
  test('adapters are called by their directories, with the one above where two are alike', () => {
    const names = (...given: string[]) => namedAdapters(given).map(({ name }) => name)
    expect(names('out/poet/adapter', 'out/poet/checkpoint-5')).toEqual(['poet', 'checkpoint-5'])
    expect(names('a/checkpoint-5', 'b/checkpoint-5')).toEqual(['a/checkpoint-5', 'b/checkpoint-5'])
    expect(names('uc://main.models.poet@champion')).toEqual(['uc://main.models.poet@champion'])
  })

  test('no adapter may have the name of the base model', () => {
    expect(() => namedAdapters({ base: 'x' })).toThrow(
      '[evaluate] expected another name than "base" for an adapter, which is the model without one; rename it',
    )
  })
})

describe('limits on what may get worse', () => {
  const changed = (value: number, higherIsBetter: boolean): EvaluationReport => ({
    ...report,
    models: [{ name: 'base' }, { name: 'first', adapter: 'out/first' }],
    tasks: [
      {
        ...report.tasks[0]!,
        name: 'qa',
        metrics: [
          {
            name: 'f1',
            higherIsBetter,
            scores: {},
            differences: { first: { value, low: null, high: null, pValue: 0.4 } },
          },
        ],
      },
    ],
  })

  test.each([
    [-0.03, true, { '*': 0.02 }, 1],
    [-0.02, true, { '*': 0.02 }, 0],
    [0.03, true, { '*': 0.02 }, 0],
    [0.03, false, { '*': 0.02 }, 1],
    [-0.03, true, { f1: 0.05, '*': 0.02 }, 0],
    [-0.03, true, { 'qa/f1': 0.01, f1: 0.05 }, 1],
  ] as const)('a change of %d, higher is better: %s, under %j gives %d', (value, higher, limits, count) => {
    expect(regressionsOf(changed(value, higher), limits)).toHaveLength(count)
  })

  test('name the task, the metric and by how much it is worse', () => {
    expect(regressionsOf(changed(-0.5, true), { f1: 0.02 })).toEqual([
      { task: 'qa', metric: 'f1', model: 'first', by: 0.5, limit: 0.02, pValue: 0.4 },
    ])
    expect(() => regressionsOf(changed(0, true), { f2: 0 })).toThrow(
      '[evaluate] expected a metric of the report for --max-regression, got f2; it has f1, qa/f1',
    )
  })
  test('count an adapter without a score as worse than any limit, where the first model has one', () => {
    const metric = {
      ...changed(0, true).tasks[0]!.metrics[0]!,
      scores: { base: { value: 0.5, low: null, high: null }, first: { value: null, low: null, high: null } },
      differences: { first: { value: null, low: null, high: null, pValue: null } },
    }
    const given = { ...changed(0, true), tasks: [{ ...changed(0, true).tasks[0]!, metrics: [metric] }] }
    expect(regressionsOf(given, { '*': 100 })).toEqual([
      { task: 'qa', metric: 'f1', model: 'first', by: Number.POSITIVE_INFINITY, limit: 100, pValue: null },
    ])
    const both = { ...metric, scores: { ...metric.scores, base: metric.scores.first } }
    expect(regressionsOf({ ...given, tasks: [{ ...given.tasks[0]!, metrics: [both] }] }, { '*': 0 })).toEqual([])
  })

  test('ask nothing of the model without an adapter, which may be worse than an adapter as the baseline', () => {
    const models = [{ name: 'old', adapter: 'out/old' }, { name: 'first' }]
    expect(regressionsOf({ ...changed(-0.5, true), models }, { '*': 0 })).toEqual([])
  })
})

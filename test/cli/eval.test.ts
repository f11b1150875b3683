/** @file lowrank eval: a table, JSON, files of tasks, and the exit code where a metric got worse. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { command } from '../../src/cli/eval.js'
import { evaluationTable } from '../../src/cli/eval-table.js'
import type { EvaluationReport } from '../../src/evaluate/evaluation-report.js'
import { temporaryDirectory, tinyAdapter, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()
const model = join(folder, 'model')
const adapter = join(folder, 'poet')
const rows = join(folder, 'rows.jsonl')

beforeAll(async () => {
  await writeTinyModel(model)
  const loaded = await loadModel(model)
  await tinyAdapter(loaded).save(adapter)
  loaded.dispose()
  await writeFile(
    rows,
    tinyRows(9)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
})

const unpainted = (_: string, text: string): string => text

describe('lowrank eval', () => {
  it('writes the report to stdout and to a file, and fails where a metric got worse by more than is allowed', async () => {
    const output = join(folder, 'report.json')
    const { code, stdout, stderr } = await lowrank([
      'eval',
      '--model',
      model,
      '--adapter',
      adapter,
      '--dataset',
      rows,
      '--json',
      '--output',
      output,
      '--max-regression',
      'perplexity=0',
      '--dtype',
      'float32',
    ])
    const report = JSON.parse(stdout.split('\n')[0] as string) as EvaluationReport
    expect(JSON.parse(await readFile(output, 'utf8'))).toEqual(report)
    expect(report.models).toEqual([{ name: 'base' }, { name: 'poet', adapter }])
    const told = stderr.split('\n').filter((line) => line.startsWith('{"type":"evaluating"'))
    expect(JSON.parse(told.at(-1) as string)).toEqual({
      type: 'evaluating',
      task: 'perplexity',
      model: 'poet',
      rows: 9,
      totalRows: 9,
      fraction: 1,
    })
    const difference = report.tasks[0]!.metrics[0]!.differences.poet!.value!
    expect(code).toBe(difference > 0 ? 1 : 0)
    expect(difference).toBeGreaterThan(0)
    expect(stdout + stderr).toContain('poet: perplexity/perplexity is worse by ')
  })

  it('tells what it found where a limit names no metric, and where a file cannot be written', async () => {
    const flags = ['--model', model, '--adapter', adapter, '--dataset', rows, '--limit', '3', '--dtype', 'float32']
    const typo = await lowrank([
      'eval',
      ...flags,
      '--max-regression',
      'perplexty=0',
      '--output',
      join(folder, 'typo.json'),
    ])
    expect([typo.code, typo.stdout]).toEqual([2, expect.stringContaining('perplexity ↓')])
    expect(typo.stderr).toContain('expected a metric of the report for --max-regression, got perplexty')
    expect(JSON.parse(await readFile(join(folder, 'typo.json'), 'utf8')).version).toBe(1)
    const unwritable = await lowrank(['eval', ...flags, '--output', folder])
    expect([unwritable.code, unwritable.stdout]).toEqual([1, expect.stringContaining('perplexity ↓')])
    expect(unwritable.stderr).toContain('to be a file or not to exist, got a directory')
  })

  it('puts examples before questions, and says so beside the name of the task', async () => {
    const flags = [
      '--model',
      model,
      '--dataset',
      rows,
      '--metrics',
      'rougeL',
      '--max-new-tokens',
      '2',
      '--num-fewshot',
      '2',
    ]
    const { code, stdout } = await lowrank(['eval', ...flags, '--dtype', 'float32'])
    expect([code, stdout]).toEqual([0, expect.stringContaining('generation (2-shot)')])
    const wrong = await lowrank(['eval', '--model', model, '--dataset', rows, '--num-fewshot', '2'])
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('got --num-fewshot')])
  })

  it('does the tasks of a file that are named, in the spelling of Python too', async () => {
    const file = join(folder, 'tasks.yaml')
    await writeFile(
      file,
      `tasks:
  - { name: likely, type: perplexity, dataset: ${JSON.stringify(rows)} }
  - name: answers
    type: generation
    dataset: ${JSON.stringify(rows)}
    metrics: [exact_match]
    generation: { max_new_tokens: 3 }
`,
    )
    const args = ['eval', file, '--model', model, '--tasks', 'answers', '--limit', '4', '--dtype', 'float32']
    const { code, stdout, stderr } = await lowrank(args)
    expect(stderr).toContain('answers: 4 of 4 answers ended at maxNewTokens')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^task +rows +metric +model +score +95 % interval\nanswers +4 +exact_match ↑ +base +0\.0000\n/,
    )
  })

  it('says at once what is wrong with flags and files', async () => {
    const check = async (flags: object, word?: string): Promise<string> => {
      const given = { flags: { adapter: [], maxRegression: [], ...flags }, words: word ? [word] : [], settings: [] }
      return await Promise.resolve(command.check(given as never, {} as never)).then(
        () => 'nothing was thrown',
        (error: Error) => error.message,
      )
    }
    expect(await check({ model: 'm' })).toBe('[eval] expected --dataset FILE, or a file of tasks; got neither')
    expect(await check({ dataset: 'x' })).toContain('expected --model DIR, or --adapter DIR')
    expect(await check({ model: 'm', dataset: 'x', maxRegression: ['f1'] })).toContain(
      'expected a number of at least 0, or METRIC=NUMBER, for --max-regression, got "f1"',
    )
    expect(await check({ model: 'm', dataset: 'x', maxRegression: ['=1'] })).toContain('got "=1"')
    expect(await check({ model: 'm', dataset: 'x', adapter: ['a'], maxRegression: ['1', '2'] })).toBe(
      '[eval] expected one --max-regression for all metrics, got 1 and 2; leave one out',
    )
    expect(await check({ model: 'm', dataset: 'x', maxRegression: ['1'] })).toContain(
      'expected an adapter and a model to compare it with for --max-regression, got no adapter; give --adapter DIR',
    )
    expect(await check({ dataset: 'x', adapter: ['a'], noBase: true, maxRegression: ['1'] })).toContain(
      'got one adapter and no base',
    )
    expect(await check({ model: 'm', dataset: 'x', output: 'o', html: './o' })).toBe(
      '[eval] expected different files for --output and --html, got o twice; rename one',
    )
    expect(await check({ model: 'm', dataset: 'x', behaviour: true })).toBe(
      '[eval] expected an adapter for --behaviour, got none; give --adapter DIR',
    )
    expect(await check({ model: 'm', dataset: 'x', adapter: ['a'], trainingData: 'x' })).toBe(
      '[eval] expected --behaviour with --training-data, got none; add --behaviour',
    )
    expect(await check({ model: 'm', dataset: 'x', metrics: ['rouge1'], task: 'perplexity' })).toContain(
      'expected flags that a task of the type perplexity takes, got --metrics; ',
    )
    expect(await check({ model: 'm', dataset: 'x', docToText: 'q', maxNewTokens: 3 })).toBe(
      '[eval] expected flags that a task of the type perplexity takes, got --max-new-tokens, --doc-to-text; ' +
        'name the type with --task, or metrics of answers with --metrics',
    )
    expect(await check({ model: 'm', dataset: 'x', adapter: ['a=x', 'a=y'] })).toContain('got a twice')
    const file = join(folder, 'wrong.yaml')
    await writeFile(file, 'tasks:\n  - { type: perplexity, datset: rows.jsonl }\n')
    expect(await check({ model: 'm' }, file)).toContain('did you mean "dataset"?')
    expect(await check({ model: 'm', dataset: 'x' }, file)).toContain(`got ${file} and --dataset`)
    expect(await check({ model: 'm', split: 'test' }, file)).toContain(`got ${file} and --split`)
  })

  it('marks differences that are significant, and aligns figures', () => {
    const score = (value: number) => ({ value, low: value - 1, high: value + 1 })
    const report: EvaluationReport = {
      version: 1,
      startedAt: '2026-01-31T12:00:00.000Z',
      model: 'm',
      models: [{ name: 'base' }, { name: 'a' }],
      confidence: 0.95,
      seconds: 3,
      lowrank: null,
      tasks: [
        {
          name: 'qa',
          type: 'generation',
          rowCount: 12,
          lineage: [],
          samples: [],
          seconds: 1,
          metrics: [
            {
              name: 'f1',
              higherIsBetter: true,
              scores: { base: score(0.5), a: score(0.75) },
              differences: { a: { value: 0.25, low: 0.125, high: 0.375, pValue: 0.0004 } },
            },
          ],
        },
      ],
    }
    expect(evaluationTable(report, unpainted)).toBe(
      `task  rows  metric  model   score      95 % interval  difference       95 % interval       p
qa      12  f1 ↑    base   0.5000  -0.5000 to 1.5000
                    a      0.7500  -0.2500 to 1.7500    +0.2500*  +0.1250 to +0.3750  <0.001
* differs from base with p below 0.05. ↑ more is better, ↓ less is better; 3 s
`,
    )
  })
})

/** @file CSV and JSON Lines: their columns, their places, and that no value is lost or comes twice. */

import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { EvaluateEvent, LogEvent, TrainEvent } from '../../src/index.js'
import { csvCallback, jsonlCallback } from '../../src/trackers/row-trackers.js'
import { END, logEvent, startEvent, tell } from '../support/run-events.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let count = 0

function newDirectory(): string {
  const path = join(directory, `run-${count++}`)
  mkdirSync(path)
  return path
}

const evaluateEvent = (step: number, more: Partial<EvaluateEvent> = {}): EvaluateEvent => ({
  type: 'evaluate',
  step,
  totalSteps: 1000,
  epoch: step / 1000,
  loss: 2 / step,
  perplexity: 3,
  tokens: 7,
  seconds: 0.5,
  ...more,
})

const logs = (first: number, last: number): LogEvent[] =>
  Array.from({ length: last - first + 1 }, (_, index) => logEvent(first + index))

const writeLog = (outputDir: string, events: readonly TrainEvent[]): void =>
  writeFileSync(join(outputDir, 'log.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''))

const csvOf = (outputDir: string): string[] => readFileSync(join(outputDir, 'metrics.csv'), 'utf8').split('\n')
const jsonlOf = (outputDir: string): Record<string, unknown>[] =>
  readFileSync(join(outputDir, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>)

/** `log 1`, `evaluate 2`: what the rows of both files are of. */
const csvKeys = (outputDir: string): string[] =>
  csvOf(outputDir)
    .slice(1, -1)
    .map((line) => line.split(',').slice(0, 2).join(' '))
const jsonlKeys = (outputDir: string): string[] =>
  jsonlOf(outputDir)
    .filter(({ event }) => event !== 'start')
    .map(({ event, step }) => `${event} ${step}`)

/** Tells both trackers of a run. @returns the warnings */
async function tellBoth(outputDir: string, events: readonly TrainEvent[]): Promise<string[]> {
  const csv = await tell(csvCallback({}, outputDir), events)
  return [...csv, ...(await tell(jsonlCallback({}, outputDir), events))]
}

it('CSV has a row for each log event, evaluation and the end, and columns that come later are added', async () => {
  const outputDir = newDirectory()
  await tellBoth(outputDir, [
    startEvent(outputDir),
    logEvent(1),
    evaluateEvent(1),
    logEvent(2, { gradNorm: Number.POSITIVE_INFINITY, loss: Number.NaN, figures: { 'rewards/"chosen", a': 4 } }),
    END,
  ])
  const columns =
    'event,step,epoch,loss,learning_rate,grad_norm,tokens_per_second,num_input_tokens_seen,' +
    'eval_loss,eval_perplexity,eval_runtime,eval_tokens,"rewards/""chosen"", a",train_loss,train_runtime'
  expect(csvOf(outputDir)).toEqual([
    columns,
    'log,1,0.001,1,0.0001,1,1000,1,,,,,,,',
    'evaluate,1,0.001,,,,,,2,3,0.5,7,,,',
    'log,2,0.002,NaN,0.0001,Infinity,1000,2,,,,,4,,',
    'end,1000,1,,,,,,,,,,,0.5,1',
    '',
  ])
})

it('JSON Lines has the options, each log event, each evaluation and the end, and numbers that JSON lacks', async () => {
  const outputDir = newDirectory()
  const end: TrainEvent = { type: 'fail', code: 'DIVERGED', message: 'the loss is NaN' }
  await tellBoth(outputDir, [
    startEvent(outputDir, { runName: 'first' }),
    logEvent(1, { gradNorm: Number.NEGATIVE_INFINITY, loss: Number.NaN }),
    evaluateEvent(1),
    end,
  ])
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  const run = { run_id: 'run-1', run_name: 'first', device: 'cpu', options: { model: 'org/name', lora: { r: 4 } } }
  expect(jsonlOf(outputDir)).toEqual([
    expect.objectContaining({ event: 'start', time, step: 0, ...run }),
    {
      event: 'log',
      step: 1,
      epoch: 0.001,
      loss: 'NaN',
      learning_rate: 0.0001,
      grad_norm: '-Infinity',
      tokens_per_second: 1000,
      num_input_tokens_seen: 1,
      time,
    },
    expect.objectContaining({ event: 'evaluate', step: 1, eval_loss: 2, eval_perplexity: 3, time }),
    { event: 'fail', time, code: 'DIVERGED', message: 'the loss is NaN' },
  ])
})

it('a run that begins puts the file of another run aside', async () => {
  const outputDir = newDirectory()
  for (let run = 0; run < 3; run++) await tellBoth(outputDir, [startEvent(outputDir), logEvent(run + 1), END])
  const names = ['metrics-1.csv', 'metrics-1.jsonl', 'metrics-2.csv', 'metrics-2.jsonl', 'metrics.csv', 'metrics.jsonl']
  expect(readdirSync(outputDir).sort()).toEqual(names)
  expect(readFileSync(join(outputDir, 'metrics-1.csv'), 'utf8')).toContain('\nlog,1,')
  expect(csvKeys(outputDir)).toEqual(['log 3', 'end 1000'])
})

describe('a run that goes on', () => {
  it('keeps rows up to its checkpoint, drops a torn one, and takes what is lacking from log.jsonl', async () => {
    const outputDir = newDirectory()
    await tellBoth(outputDir, [startEvent(outputDir), ...logs(1, 5), evaluateEvent(5), ...logs(6, 9)])
    for (const name of ['metrics.csv', 'metrics.jsonl']) {
      const lines = readFileSync(join(outputDir, name), 'utf8').split('\n')
      // Three rows are not there, and a fourth by half.
      writeFileSync(join(outputDir, name), lines.slice(0, name.endsWith('csv') ? 4 : 4).join('\n'))
      appendFileSync(join(outputDir, name), name.endsWith('csv') ? '\nlog,4,0.0' : '\n{"event":"log","st')
    }
    writeLog(outputDir, [...logs(1, 5), evaluateEvent(5), ...logs(6, 7)])
    await tellBoth(outputDir, [startEvent(outputDir, { step: 7 }), ...logs(8, 10), END])
    const keys = [
      ...logs(1, 5).map(({ step }) => `log ${step}`),
      'evaluate 5',
      ...logs(6, 10).map(({ step }) => `log ${step}`),
      'end 1000',
    ]
    expect(csvKeys(outputDir)).toEqual(keys)
    expect(jsonlKeys(outputDir)).toEqual(keys)
    expect(jsonlOf(outputDir).filter(({ event }) => event === 'start')).toMatchObject([{ step: 0 }, { step: 7 }])
    expect(csvOf(outputDir)[4]).toMatch(/^log,4,0\.004,0\.25,/)
  })

  it('goes on without a log, and takes back rows behind its checkpoint', async () => {
    const outputDir = newDirectory()
    const options = { path: join(outputDir, 'mine') }
    for (const callback of [csvCallback(options, undefined), jsonlCallback(options, undefined)]) {
      rmSync(options.path, { force: true })
      await tell(callback, [startEvent(outputDir, { outputDir: undefined }), ...logs(1, 4), END])
      await tell(callback, [startEvent(outputDir, { outputDir: undefined, step: 2 }), logEvent(3), END])
      const text = readFileSync(options.path, 'utf8')
      expect([...text.matchAll(/"?log"?,(?:"step":)?(\d+)/g)].map(([, step]) => Number(step))).toEqual([1, 2, 3])
    }
  })
})

it('what a disk did not take is written once it does', async () => {
  const outputDir = newDirectory()
  for (const name of ['metrics.csv', 'metrics.jsonl']) {
    const path = join(outputDir, 'blocked', name)
    writeFileSync(join(outputDir, 'blocked'), '')
    const callback = name.endsWith('csv') ? csvCallback({ path }, undefined) : jsonlCallback({ path }, undefined)
    const warnings = await tell(callback, [startEvent(outputDir), ...logs(1, 2)])
    expect(warnings).toEqual([
      expect.stringMatching(/cannot write .*blocked.*what it lacks is written as soon as that is possible$/),
    ])
    rmSync(join(outputDir, 'blocked'))
    expect(await tell(callback, [logEvent(3), END])).toEqual([])
    expect(existsSync(path)).toBe(true)
    expect(readFileSync(path, 'utf8').match(/"?log"?,/g)).toHaveLength(3)
    rmSync(join(outputDir, 'blocked'), { recursive: true })
  }
})

it('a place for the file is asked for where nothing says it', () => {
  expect(() => csvCallback({}, undefined)).toThrow("[train] reportTo 'csv' needs a place for its file")
  expect(() => jsonlCallback({}, undefined)).toThrow('set outputDir, or path of jsonl')
})

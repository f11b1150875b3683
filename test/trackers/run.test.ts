/** @file A run of trainLora that reports to several trackers, is stopped and goes on: every figure is there once. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type TrainEvent, trainLora } from '../../src/index.js'
import { ofType } from '../../src/train/events.js'
import { temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'

it('a run that was stopped goes on in the same files of all trackers, with the figures of its events', async () => {
  const directory = temporaryDirectory()
  const outputDir = join(directory, 'out')
  const events: TrainEvent[] = []
  const options = {
    model: await writeTinyModel(join(directory, 'model')),
    dataset: tinyRows(20),
    evalDataset: tinyRows(4, 9),
    dtype: 'float32',
    outputDir,
    lora: { r: 2 },
    training: { maxSteps: 8, loggingSteps: 1, evalSteps: 2, saveSteps: 3 },
    reportTo: ['tensorboard', 'csv', 'jsonl'],
    onEvent: (event: TrainEvent) => void events.push(event),
  } as const
  const first = trainLora(options)
  for await (const event of first) if (event.type === 'step' && event.step === 5) first.stop()
  const stopped = await first
  stopped.dispose()
  expect(stopped.reason).toBe('aborted')
  const second = await trainLora({ ...options, resumeFromCheckpoint: true })
  second.dispose()
  expect(ofType(events, 'warning')).toEqual([])
  const logs = new Map(ofType(events, 'log').map((event) => [event.step, event]))
  const evaluations = new Map(ofType(events, 'evaluate').map((event) => [event.step, event]))
  expect([...logs.keys()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8].filter((step) => logs.has(step)))
  expect(logs.size).toBe(8)
  expect(evaluations.size).toBe(4)
  const [, ...rows] = readFileSync(join(outputDir, 'metrics.csv'), 'utf8').trim().split('\n')
  const cells = (row: string): string[] => row.split(',')
  expect(rows.filter((row) => row.startsWith('log')).map((row) => cells(row).slice(1, 6).map(Number))).toEqual(
    [...logs.values()].map(({ step, epoch, loss, learningRate, gradNorm }) => [
      step,
      epoch,
      loss,
      learningRate,
      gradNorm,
    ]),
  )
  expect(rows.filter((row) => row.startsWith('evaluate')).map((row) => Number(cells(row)[1]))).toEqual([2, 4, 6, 8])
  const lines = readFileSync(join(outputDir, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines.filter(({ event }) => event === 'evaluate').map(({ step, eval_loss }) => [step, eval_loss])).toEqual(
    [...evaluations.values()].map(({ step, loss }) => [step, loss]),
  )
  expect(lines.filter(({ event }) => event === 'start').map(({ step }) => step)).toEqual([0, stopped.step])
  const runs = readdirSync(join(outputDir, 'runs'))
  expect(runs).toHaveLength(1)
  expect(readdirSync(join(outputDir, 'runs', runs[0] as string))).toHaveLength(2)
  expect(existsSync(join(outputDir, 'metrics-1.csv'))).toBe(false)
})

it('two trackers of one file are refused by name before a model is loaded', async () => {
  const outputDir = join(temporaryDirectory(), 'out')
  const run = trainLora({
    model: join(outputDir, 'no-model'),
    dataset: tinyRows(2),
    outputDir,
    reportTo: ['csv', 'jsonl'],
    jsonl: { path: `${outputDir}/./metrics.csv` },
  })
  const file = join(outputDir, 'metrics.csv')
  await expect(run).rejects.toThrow(
    `[train] expected different files for csv.path and jsonl.path, got ${file} twice; rename one`,
  )
  expect(existsSync(file)).toBe(false)
})

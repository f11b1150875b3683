/** @file The event files of a run: their bytes, their places, and that no value is lost or comes twice. */

import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import type { EndEvent, EvaluateEvent, LogEvent, TrainEvent } from '../../src/index.js'
import { readEvent, versionEvent } from '../../src/trackers/event-messages.js'
import { tensorboardCallback } from '../../src/trackers/tensorboard.js'
import { readTfRecords, tfRecord } from '../../src/trackers/tf-record.js'
import { END, logEvent, startEvent, tell } from '../support/run-events.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let count = 0

function newDirectory(): string {
  const path = join(directory, `run-${count++}`)
  mkdirSync(path)
  return path
}

const evaluateEvent = (step: number): EvaluateEvent => ({
  type: 'evaluate',
  step,
  totalSteps: 1000,
  epoch: step / 1000,
  loss: 2 / step,
  perplexity: 3,
  tokens: 7,
  seconds: 0.5,
})

const logs = (first: number, last: number): LogEvent[] =>
  Array.from({ length: last - first + 1 }, (_, index) => logEvent(first + index))

/** The directory of the only run of an output directory. */
function runDirectory(outputDir: string): string {
  const runs = readdirSync(join(outputDir, 'runs'))
  expect(runs).toHaveLength(1)
  return join(outputDir, 'runs', runs[0] as string)
}

/** Steps by tag as a reader shows them: a restart takes back what is not before its step. */
function shown(path: string): Map<string, number[]> {
  const steps = new Map<string, number[]>()
  for (const name of readdirSync(path).sort())
    for (const record of readTfRecords(join(path, name))) {
      const { step, isRestart, tags } = readEvent(record)
      if (isRestart)
        for (const [tag, all] of steps)
          steps.set(
            tag,
            all.filter((other) => other < step),
          )
      for (const tag of tags) steps.set(tag, [...(steps.get(tag) ?? []), step])
    }
  return steps
}

/** log.jsonl as training leaves it, which goes on from a checkpoint. */
function writeLog(outputDir: string, events: readonly TrainEvent[]): void {
  writeFileSync(join(outputDir, 'log.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''))
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

it('a file is named as those of torch, begins with its version, and holds the figures by tag', async () => {
  vi.useFakeTimers({ now: 1_700_000_000_000, toFake: ['Date'] })
  try {
    const outputDir = newDirectory()
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir), logEvent(1), evaluateEvent(1), END])
    const path = runDirectory(outputDir)
    const [name = ''] = readdirSync(path)
    expect(name).toBe(`events.out.tfevents.1700000000.${hostname()}.${process.pid}.0`)
    const records = [...readTfRecords(join(path, name))]
    expect(records[0]).toEqual(Buffer.from(versionEvent({ time: 1_700_000_000, step: 0 })))
    expect(Buffer.concat(records.map(tfRecord))).toEqual(readFileSync(join(path, name)))
    const tags = ['loss', 'learning_rate', 'grad_norm', 'epoch', 'tokens_per_second', 'num_input_tokens_seen']
    expect(records.map((record) => readEvent(record).tags)).toEqual([
      [],
      [],
      ['run_id/text_summary'],
      ['args/text_summary'],
      ['_hparams_/session_start_info'],
      tags.map((tag) => `train/${tag}`),
      ['eval/loss', 'eval/perplexity', 'eval/runtime', 'eval/tokens'],
      ['train/train_loss', 'train/train_runtime'],
      ['_hparams_/session_end_info'],
    ])
  } finally {
    vi.useRealTimers()
  }
})

describe('the directory of event files is', () => {
  it('runs/DATE_HOST in outputDir, as transformers names it', async () => {
    const outputDir = newDirectory()
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir, { startedAt: '2026-01-31T12:00:00' }), END])
    expect(readdirSync(join(outputDir, 'runs'))).toEqual([`Jan31_12-00-00_${hostname()}`])
  })

  it('loggingDir, before TENSORBOARD_LOGGING_DIR', async () => {
    const [first, second, outputDir] = [newDirectory(), newDirectory(), newDirectory()]
    vi.stubEnv('TENSORBOARD_LOGGING_DIR', first)
    try {
      await tell(tensorboardCallback({}, undefined), [startEvent(outputDir, { outputDir: undefined }), END])
      await tell(tensorboardCallback({ loggingDir: second }, outputDir), [startEvent(outputDir), END])
    } finally {
      vi.unstubAllEnvs()
    }
    expect([readdirSync(first), readdirSync(second), readdirSync(outputDir)]).toEqual([
      [expect.stringContaining('tfevents')],
      [expect.stringContaining('tfevents')],
      [],
    ])
  })

  it('a folder of its own where loggingDir has another run', async () => {
    const loggingDir = newDirectory()
    const outputDir = newDirectory()
    await tell(tensorboardCallback({ loggingDir }, outputDir), [startEvent(outputDir), logEvent(1), END])
    const startedAt = '2026-02-01T01:02:03'
    await tell(tensorboardCallback({ loggingDir }, outputDir), [
      startEvent(outputDir, { runId: 'run-2', startedAt }),
      logEvent(1),
      END,
    ])
    expect(readdirSync(loggingDir).sort()).toEqual([
      `Feb01_01-02-03_${hostname()}`,
      expect.stringContaining('events.out.tfevents'),
    ])
  })

  it('asked for where nothing says it', () => {
    vi.stubEnv('TENSORBOARD_LOGGING_DIR', '')
    try {
      expect(() => tensorboardCallback({}, undefined)).toThrow('set outputDir, or loggingDir of tensorboard')
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('a run that goes on', () => {
  it('writes a file behind the others, and no step comes twice', async () => {
    const outputDir = newDirectory()
    const first = logs(1, 9)
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir), ...first, evaluateEvent(5)])
    writeLog(outputDir, [...logs(1, 5), evaluateEvent(5)])
    const again = startEvent(outputDir, { step: 5 })
    // The evaluation of step 5 is known; a run that goes on does not tell of it again.
    await tell(tensorboardCallback({}, outputDir), [again, ...logs(6, 12), END])
    const path = runDirectory(outputDir)
    const files = readdirSync(path).sort()
    expect(files).toHaveLength(2)
    const steps = shown(path)
    expect(steps.get('train/loss')).toEqual(range(1, 12))
    expect(steps.get('eval/loss')).toEqual([5])
    expect(steps.get('run_id/text_summary')).toEqual([0])
    expect(steps.get('_hparams_/session_start_info')).toEqual([0])
  })

  it('writes again what a torn file lacks, from log.jsonl', async () => {
    const outputDir = newDirectory()
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir), ...logs(1, 8)])
    const path = runDirectory(outputDir)
    const file = join(path, readdirSync(path)[0] as string)
    const bytes = readFileSync(file)
    // Half a record: as a process that is killed leaves it.
    truncateSync(file, bytes.length - 300)
    writeLog(outputDir, logs(1, 8))
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir, { step: 8 }), ...logs(9, 10), END])
    expect(shown(path).get('train/loss')).toEqual(range(1, 10))
    expect(shown(path).get('train/epoch')).toEqual(range(1, 10))
  })

  it('takes back how it was stopped', async () => {
    const outputDir = newDirectory()
    const stopped: EndEvent = { ...END, reason: 'aborted', step: 3 }
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir), ...logs(1, 3), stopped])
    const path = runDirectory(outputDir)
    expect(shown(path).get('_hparams_/session_end_info')).toEqual([3])
    writeLog(outputDir, logs(1, 3))
    await tell(tensorboardCallback({}, outputDir), [
      startEvent(outputDir, { step: 3 }),
      ...logs(4, 5),
      { ...END, step: 5 },
    ])
    expect(shown(path).get('_hparams_/session_end_info')).toEqual([5])
    expect(shown(path).get('train/train_loss')).toEqual([5])
    expect(shown(path).get('train/loss')).toEqual(range(1, 5))
  })

  it('has the whole history where another directory has the files of before', async () => {
    const outputDir = newDirectory()
    writeLog(outputDir, [...logs(1, 4), evaluateEvent(4)])
    await tell(tensorboardCallback({}, outputDir), [startEvent(outputDir, { step: 4 }), ...logs(5, 6), END])
    const steps = shown(runDirectory(outputDir))
    expect(steps.get('train/loss')).toEqual(range(1, 6))
    expect(steps.get('eval/loss')).toEqual([4])
  })
})

it('what a disk did not take is written once it does', async () => {
  const outputDir = newDirectory()
  const obstacle = join(outputDir, 'runs')
  writeFileSync(obstacle, '')
  const callback = tensorboardCallback({}, outputDir)
  const warnings = await tell(callback, [startEvent(outputDir), ...logs(1, 3)])
  expect(warnings).toEqual([
    expect.stringMatching(/^\[tensorboard\] cannot begin its files: EEXIST.*tried again while the run goes on$/),
  ])
  rmSync(obstacle)
  expect(await tell(callback, [...logs(4, 5), END])).toEqual([])
  expect(shown(runDirectory(outputDir)).get('train/loss')).toEqual(range(1, 5))
})

it('records are read up to the first that is damaged', () => {
  const path = join(newDirectory(), 'records')
  const records = ['one', 'two', 'three'].map((text) => tfRecord(Buffer.from(text)))
  ;(records[1] as Uint8Array)[13] = 0
  appendFileSync(path, Buffer.concat(records))
  expect([...readTfRecords(path)].map((record) => Buffer.from(record).toString())).toEqual(['one'])
})

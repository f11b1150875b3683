/** @file What a run shows while it goes on, for terminals, log files and programs. */

import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { formatBytes, parseBytes } from '../../src/bytes.js'
import { createProgress } from '../../src/progress/progress.js'
import { formatCount, formatDuration, hasColors, paintFor } from '../../src/progress/terminal.js'
import type { LogEvent, StepEvent, TrainEvent } from '../../src/train/events.js'

const start: TrainEvent = {
  type: 'start',
  runId: '0b6c2a3e-6f0a-4a6e-9a53-2f5f3f1f7c11',
  startedAt: '2026-01-31T12:00:00.000Z',
  options: {},
  versions: { lowrank: '0.1.0', node: '20.19.0' },
  step: 0,
  totalSteps: 5,
  epoch: 0,
  trainableParameters: 12345,
  totalParameters: 1234567,
  quantization: null,
  trainRows: 77,
  evalRows: 9,
  gradientCheckpointing: true,
  plannedMemory: 3 * 2 ** 30,
  device: 'cpu',
}
const step = (number: number): StepEvent => ({
  type: 'step',
  step: number,
  totalSteps: 5,
  epoch: number / 5,
  loss: 2.34567,
  learningRate: 1.5e-4,
  gradNorm: 0.7,
  tokensPerSecond: 1234.4,
  numInputTokensSeen: 1000 * number,
  etaSeconds: 65,
})
const log = (number: number): LogEvent => ({ ...step(number), type: 'log' })
const data: TrainEvent = {
  type: 'data',
  split: 'train',
  lineage: [],
  rows: 90,
  truncatedRows: 3,
  rowsCutToNothing: 3,
  rowsWithoutTarget: 1,
  tokens: 1234,
  supervisedTokens: 600,
  conversations: 0,
  longest: 64,
  maxLength: 64,
  warnings: [{ code: 'withoutTarget', rows: 4, message: '4 of 90 rows left out' }],
}
const evaluate: TrainEvent = {
  type: 'evaluate',
  step: 3,
  totalSteps: 5,
  epoch: 0.6,
  loss: 1.25,
  perplexity: 3.4903,
  tokens: 4321,
  seconds: 2,
}
const download = (mebibytes: number): TrainEvent => ({
  type: 'download',
  model: 'org/name',
  revision: 'f'.repeat(40),
  files: 7,
  bytes: mebibytes * 2 ** 20,
  totalBytes: 300 * 2 ** 20,
})
const end: TrainEvent = { type: 'end', reason: 'completed', step: 5, totalSteps: 5, epoch: 1, loss: 1.5, seconds: 61 }

function sink(isTTY = false) {
  const written: string[] = []
  return {
    isTTY,
    columns: 200,
    write: (text: string) => written.push(text),
    text: () => written.join(''),
  }
}

describe('in a log file', () => {
  it('says how many steps were skipped, and at which loss scale, and shows no NaN where all were', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream })
    onEvent({ ...log(2), lossScale: 65_536, skippedSteps: 2, gradNorm: Number.NaN })
    onEvent({ ...log(4), lossScale: 32_768, skippedSteps: 0 })
    const [first, second] = stream.text().split('\n')
    expect(first).toBe(
      'step 2/5  loss   2.3457  lr 1.50e-4  grad        -    1,234 tokens/s  2 skipped at a loss scale of 65536',
    )
    expect(second).toBe('step 4/5  loss   2.3457  lr 1.50e-4  grad   0.7000    1,234 tokens/s')
  })

  it('writes a line per log event and all milestones, whatever the clock says', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream })
    onEvent(data)
    onEvent(start)
    for (const number of [1, 2, 3]) onEvent(step(number))
    onEvent(log(3))
    onEvent(evaluate)
    onEvent({ type: 'save', kind: 'checkpoint', step: 3, totalSteps: 5, epoch: 0.6, path: 'out/checkpoint-3' })
    for (const number of [4, 5]) onEvent(step(number))
    onEvent(log(5))
    onEvent({ type: 'warning', message: 'log.jsonl cannot be written' })
    onEvent(end)
    expect(stream.text().split('\n')).toEqual([
      'Data (train): 90 rows, 86 of them used, 1,234 tokens',
      'warning: data (train): 4 of 90 rows left out',
      'Training 12,345 of 1,234,567 parameters (1.00 %) on 77 rows, 9 to evaluate on: 5 steps',
      'Takes about 3.0 GiB of memory, gradient checkpointing on',
      'step 3/5  loss   2.3457  lr 1.50e-4  grad   0.7000    1,234 tokens/s',
      'step 3/5  held-out loss   1.2500  perplexity 3.4903  4,321 tokens',
      'step 3/5  saved out/checkpoint-3',
      'step 5/5  loss   2.3457  lr 1.50e-4  grad   0.7000    1,234 tokens/s',
      'warning: log.jsonl cannot be written',
      'Done after 5 steps in 1 min 01 s, mean loss 1.5000',
      '',
    ])
  })

  it('says without a warning which columns are not used, and that maxLength is too long for the model', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream })
    const clippedMaxLength = { wanted: 2048, used: 512 }
    const one = { ...data, rows: 1, rowsCutToNothing: 0, rowsWithoutTarget: 0, maxLength: 512, clippedMaxLength }
    onEvent({ ...one, ignoredColumns: ['id', 'source'], warnings: [] })
    onEvent({ ...one, warnings: [{ code: 'maxLengthClipped', rows: 1, message: 'rows are cut' }] })
    onEvent({ ...one, rows: 3, skippedRows: 2, warnings: [] })
    onEvent({ ...start, trainRows: 1, totalSteps: 1 })
    expect(stream.text().split('\n').slice(0, 5)).toEqual([
      'Data (train): 1 row, 1,234 tokens, maxLength 512 (the longest that the model takes); columns not used: id, source',
      'Data (train): 1 row, 1,234 tokens',
      'warning: data (train): rows are cut',
      'Data (train): 3 rows, 1 of them used, 1,234 tokens, maxLength 512 (the longest that the model takes)',
      'Training 12,345 of 1,234,567 parameters (1.00 %) on 1 row, 9 to evaluate on: 1 step',
    ])
  })

  it('the last line says which share of the time the rows took', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream })
    onEvent({ ...end, dataSeconds: 0.0305 } as TrainEvent)
    onEvent({ ...end, seconds: 0, dataSeconds: 0 } as TrainEvent)
    expect(stream.text().split('\n').slice(0, 2)).toEqual([
      'Done after 5 steps in 1 min 01 s, mean loss 1.5000, rows took 0.05 %',
      'Done after 5 steps in 0 s, mean loss 1.5000, rows took 0.00 %',
    ])
  })

  it('says of a run without steps of its own what there is to say, and shows no NaN', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream })
    const { loss: _, ...complete } = end as Extract<TrainEvent, { type: 'end' }>
    onEvent(complete)
    onEvent({ ...complete, step: 7 })
    onEvent({ ...complete, reason: 'aborted', step: 2 })
    expect(stream.text().split('\n')).toEqual([
      'Already complete: 5 of 5 steps; nothing was left to train',
      'Already complete: 7, more than the 5 that were asked for; nothing was left to train',
      'Stopped at step 2 of 5',
      '',
    ])
  })

  it('tells of rows and evaluations that take long every ten seconds', () => {
    const stream = sink()
    let clock = 0
    const { onEvent } = createProgress({ stream, now: () => clock })
    for (const rows of [0, 10, 2000, 3000, 4000]) {
      onEvent({ type: 'prepare', split: 'train', rows, fraction: rows / 4000 })
      clock += 6000
    }
    onEvent(start)
    for (const rows of [2, 4, 6, 9]) {
      onEvent({ type: 'evaluating', step: 3, totalSteps: 5, epoch: 1, rows, totalRows: 9 })
      clock += 6000
    }
    const lines = stream.text().split('\n')
    expect(lines.filter((line) => !/^Training|^Takes/.test(line))).toEqual([
      'Encoding rows: 2,000 rows (50 %)',
      'Encoding rows: 4,000 rows (100 %)',
      'step 3/5  scored 6 of 9 rows',
      '',
    ])
  })

  it('does the same for the bytes of a download', () => {
    const stream = sink()
    let clock = 0
    const { onEvent } = createProgress({ stream, now: () => clock })
    for (const mebibytes of [0, 100, 150, 200, 299, 300]) {
      onEvent(download(mebibytes))
      clock += 6000
    }
    expect(stream.text().split('\n')).toEqual([
      'Fetching 7 files of org/name: 0 B of 300.0 MiB',
      'Fetching 7 files of org/name: 150.0 MiB of 300.0 MiB',
      'Fetching 7 files of org/name: 299.0 MiB of 300.0 MiB',
      'Fetched 7 files of org/name, 300.0 MiB',
      '',
    ])
  })
})

describe('the line of the start', () => {
  it('says how the frozen weights are held', () => {
    const stream = sink()
    createProgress({ stream }).onEvent({ ...start, quantization: 'nf4' })
    expect(stream.text()).toBe(
      'Training 12,345 of 1,234,567 parameters (1.00 %), the others in nf4, on 77 rows, 9 to evaluate on: 5 steps\nTakes about 3.0 GiB of memory, gradient checkpointing on\n',
    )
  })
})

describe('for programs', () => {
  it('writes each event as a line of JSON and nothing else', () => {
    const jsonStream = sink()
    const stream = sink(true)
    const { onEvent } = createProgress({ json: true, stream, jsonStream })
    const events = [start, step(1), evaluate, end]
    for (const event of events) onEvent(event)
    expect(
      jsonStream
        .text()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(events)
    expect(stream.text()).toBe('')
  })
})

describe('for programs that read slowly', () => {
  it('leaves out what only moves a bar once too much waits for them', () => {
    const jsonStream = { ...sink(), writableLength: 64 * 2 ** 20 }
    const { onEvent } = createProgress({ json: true, jsonStream })
    for (const event of [start, step(1), log(1), evaluate, end]) onEvent(event)
    const types = jsonStream.text().trimEnd().split('\n')
    expect(types.map((line) => JSON.parse(line).type)).toEqual(['start', 'log', 'evaluate', 'end'])
  })
})

describe('on a terminal that cannot erase', () => {
  it('writes lines', () => {
    vi.stubEnv('TERM', 'dumb')
    onTestFinished(() => void vi.unstubAllEnvs())
    const stream = sink(true)
    const { onEvent } = createProgress({ stream })
    for (const event of [start, step(1), log(1)]) onEvent(event)
    for (const code of ['\u001b', '\r']) expect(stream.text()).not.toContain(code)
    expect(stream.text()).toContain('step 1/5  loss   2.3457')
  })
})

describe('colours', () => {
  it('are for terminals whose user has not refused them', () => {
    expect(hasColors({ isTTY: true, write: () => {} }, {})).toBe(true)
    expect(hasColors({ isTTY: true, write: () => {} }, { NO_COLOR: '1' })).toBe(false)
    expect(hasColors({ isTTY: true, write: () => {} }, { TERM: 'dumb' })).toBe(false)
    expect(hasColors({ write: () => {} }, {})).toBe(false)
    const forced = (FORCE_COLOR: string) => hasColors({ write: () => {} }, { FORCE_COLOR, NO_COLOR: '1', TERM: 'dumb' })
    expect(['', '1', '2', '3', 'true'].map(forced)).toEqual(new Array(5).fill(true))
    expect(['0', 'false'].map(forced)).toEqual([false, false])
    expect(hasColors({ isTTY: true, write: () => {} }, { NO_COLOR: '' })).toBe(true)
    expect(paintFor({ isTTY: true, write: () => {} }, {})('red', 'x')).toBe('\u001b[31mx\u001b[0m')
    expect(paintFor({ write: () => {} }, {})('red', 'x')).toBe('x')
  })
})

describe('figures', () => {
  it('are short and have their unit', () => {
    expect([0.4, 59.6, 3599, 3600, 7500.2, Number.NaN].map(formatDuration)).toEqual([
      '0 s',
      '1 min 00 s',
      '59 min 59 s',
      '1 h 00 min',
      '2 h 05 min',
      '?',
    ])
    expect([7, 1234.4, 12345678].map(formatCount)).toEqual(['7', '1,234', '12,345,678'])
    expect([512, 1536, 25274793984].map(formatBytes)).toEqual(['512 B', '1.5 KiB', '23.5 GiB'])
    expect(['8GiB', '7.5 GB', '500m', '4096', ' 2 kib '].map(parseBytes)).toEqual([
      2 ** 33,
      7.5e9,
      500 * 2 ** 20,
      4096,
      2048,
    ])
    expect(['', 'GiB', '-1', '8 bytes', '8iB', '1e9'].map(parseBytes)).toEqual(new Array(6).fill(undefined))
  })
})

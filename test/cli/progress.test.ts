/** @file What a run shows while it goes on, for terminals, log files and programs. */

import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { formatBytes, parseBytes } from '../../src/bytes.js'
import { createProgress } from '../../src/cli/progress.js'
import { formatCount, formatDuration, hasColors, paintFor } from '../../src/cli/terminal.js'
import type { StepEvent, TrainEvent } from '../../src/train/events.js'

const start: TrainEvent = {
  type: 'start',
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
    // What cli-progress asks of a terminal.
    on: () => {},
    removeListener: () => {},
    once: () => {},
  }
}

describe('in a log file', () => {
  it('says which steps were skipped, and at which loss scale', () => {
    const stream = sink()
    const { onEvent } = createProgress({ stream, intervalSeconds: 0 })
    onEvent({ ...step(1), lossScale: 65_536, skipped: true, gradNorm: Number.POSITIVE_INFINITY })
    onEvent({ ...step(2), lossScale: 32_768, skipped: false })
    const [first, second] = stream.text().split('\n')
    expect(first).toMatch(/^step 1\/5 .* left {2}skipped: the gradient overflowed at a loss scale of 65536$/)
    expect(second).toMatch(/^step 2\/5 .* left$/)
  })

  it('writes a line every ten seconds, the last step and all milestones', () => {
    const stream = sink()
    let clock = 0
    const { onEvent } = createProgress({ stream, now: () => clock })
    onEvent(start)
    for (const number of [1, 2, 3]) {
      clock += 6000
      onEvent(step(number))
    }
    onEvent(evaluate)
    onEvent({ type: 'save', step: 3, totalSteps: 5, epoch: 0.6, path: 'out/checkpoint-3' })
    for (const number of [4, 5]) onEvent(step(number))
    onEvent(end)
    const figures = 'loss 2.3457  lr 1.50e-4  1,234 tokens/s  1 min 05 s left'
    expect(stream.text().split('\n')).toEqual([
      'Training 12,345 of 1,234,567 parameters (1.00 %) on 77 rows, 9 to evaluate on: 5 steps',
      'Takes about 3.0 GiB of memory, gradient checkpointing on',
      `step 1/5  epoch 0.20  ${figures}`,
      `step 3/5  epoch 0.60  ${figures}`,
      'step 3: held-out loss 1.2500, perplexity 3.490 over 4,321 tokens',
      'step 3: saved out/checkpoint-3',
      `step 5/5  epoch 1.00  ${figures}`,
      'Done after 5 steps in 1 min 01 s, mean loss 1.5000',
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

describe('on a terminal', () => {
  it('draws a bar with loss, speed and time left, and keeps milestones above it', () => {
    const stream = sink(true)
    const display = createProgress({ stream })
    display.onEvent(start)
    display.onEvent(step(3))
    display.onEvent(evaluate)
    display.onEvent(end)
    display.stop()
    const shown = stripVTControlCharacters(stream.text())
    expect(shown).toMatch(/\u2588+\u2591* 3\/5 {2}loss 2\.346 {2}1,234 tokens\/s {2}1 min 05 s left/)
    expect(shown).toContain('\rstep 3: held-out loss 1.2500, perplexity 3.490 over 4,321 tokens\n')
    expect(shown).toMatch(/Done after 5 steps.*\n$/)
  })

  it('draws a bar of the bytes of a download before it', () => {
    const stream = sink(true)
    const display = createProgress({ stream })
    for (const mebibytes of [0, 100, 300]) display.onEvent(download(mebibytes))
    display.onEvent(start)
    display.stop()
    const shown = stripVTControlCharacters(stream.text())
    expect(shown).toMatch(/\u2588{24} 300\.0 MiB of 300\.0 MiB {2}org\/name\n/)
    expect(shown.indexOf('Training 12,345')).toBeGreaterThan(shown.indexOf('300.0 MiB of'))
  })

  it('shows the cursor again when a run fails half-way', () => {
    const stream = sink(true)
    const display = createProgress({ stream })
    display.onEvent(start)
    display.stop()
    expect(stream.text().lastIndexOf('\u001b[?25h')).toBeGreaterThan(stream.text().lastIndexOf('\u001b[?25l'))
  })
})

describe('colours', () => {
  it('are for terminals whose user has not refused them', () => {
    expect(hasColors({ isTTY: true, write: () => {} }, {})).toBe(true)
    expect(hasColors({ isTTY: true, write: () => {} }, { NO_COLOR: '1' })).toBe(false)
    expect(hasColors({ isTTY: true, write: () => {} }, { TERM: 'dumb' })).toBe(false)
    expect(hasColors({ write: () => {} }, {})).toBe(false)
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

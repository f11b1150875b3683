/** @file The chart of the loss as a person sees it, on an emulated screen. */

import { describe, expect, it, vi } from 'vitest'
import { LossChart } from '../../src/progress/loss-chart.js'
import { createProgress } from '../../src/progress/progress.js'
import type { Paint } from '../../src/progress/terminal.js'
import { textWidth } from '../../src/progress/text-width.js'
import type { TrainEvent } from '../../src/train/events.js'
import { Screen } from '../support/screen.js'

const plain: Paint = (_, text) => text

function chartOf(losses: readonly number[], evaluations: Readonly<Record<number, number>> = {}): LossChart {
  const chart = new LossChart()
  for (const [index, loss] of losses.entries()) chart.add(index + 1, loss)
  for (const [step, loss] of Object.entries(evaluations)) chart.addEvaluation(Number(step), loss)
  return chart
}

const falling = Array.from({ length: 200 }, (_, step) => 3 * Math.exp(-step / 40) + 0.5)

const step = (number: number, more: object = {}): TrainEvent => ({
  type: 'step',
  step: number,
  totalSteps: 200,
  epoch: 0,
  loss: falling[number - 1] as number,
  learningRate: 1e-4,
  gradNorm: 1,
  tokensPerSecond: 100,
  numInputTokensSeen: number,
  etaSeconds: 1,
  ...more,
})
const evaluate = (number: number, loss: number): TrainEvent => ({
  type: 'evaluate',
  step: number,
  totalSteps: 200,
  epoch: 0,
  loss,
  tokens: 1,
  seconds: 1,
})

describe('the chart', () => {
  it('has the curve from the highest loss to the lowest, and a mark for each evaluation', () => {
    expect(chartOf(falling, { 50: 2.5, 200: 1.5 }).lines(60, 24, plain)).toEqual([
      '  3.5000 ⠙⠦⣄',
      '           ⠈⠓⢦⣀      o',
      '              ⠈⠙⠦⢤⣀',
      '                  ⠈⠉⠓⠲⠤⢤⣀⣀⡀                                o',
      '  0.5207                  ⠉⠉⠉⠙⠒⠒⠒⠒⠦⠤⠤⠤⠤⠤⠤⠤⠤⠤⣄⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀',
      '         steps 1-200  ⠒ loss 0.5207  o held-out 1.5000',
    ])
  })

  it('draws a loss that does not change in the middle, and no second label', () => {
    const lines = chartOf([2, 2, 2, 2]).lines(60, 24, plain)
    expect(lines[2]).toMatch(/^ {9}[\u2800-\u28ff]{51}$/)
    expect(lines.map((line) => line.slice(0, 8).trim())).toEqual(['2.0000', '', '', '', '', ''])
  })

  it.each([50, 63, 80, 109, 200])('fits into %i columns, with any number of steps', (columns) => {
    for (const count of [2, 3, 57, 1025, 5000]) {
      const losses = Array.from({ length: count }, (_, index) => Math.sin(index / 9) + (index % 7))
      const lines = chartOf(losses, { [count]: 3 }).lines(columns, 24, plain)
      expect(lines).toHaveLength(6)
      for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(columns)
      expect(lines.at(-1)).toContain(`steps 1-${count.toLocaleString('en-US')} `)
    }
  })

  it('is the same whether steps are few or were joined', () => {
    const many = Array.from({ length: 4096 }, (_, index) => falling[Math.floor((index * 200) / 4096)] as number)
    const [few, joined] = [chartOf(falling), chartOf(many)].map((chart) => chart.lines(80, 24, plain).slice(1, 5))
    const inked = (lines: readonly string[] = []): number => lines.join('').match(/[\u2801-\u28ff]/g)?.length ?? 0
    expect(Math.abs(inked(few) - inked(joined))).toBeLessThan(8)
  })

  it('leaves out what is no number', () => {
    const chart = chartOf([1, Number.NaN, Number.POSITIVE_INFINITY, 2], { 4: Number.NaN })
    expect(chart.lines(60, 24, plain).at(-1)?.trim()).toBe('steps 1-4  ⠒ loss 2.0000')
  })

  it('is not there before there are two steps, and where there is no room', () => {
    expect(chartOf([1]).lines(80, 24, plain)).toEqual([])
    for (const [columns, rows] of [
      [49, 24],
      [80, 15],
      [80, undefined],
    ] as const)
      expect(chartOf(falling).lines(columns, rows, plain)).toEqual([])
  })
})

describe('a run on a terminal', () => {
  const shown = { redrawSeconds: 0 }
  const braille = /[\u2801-\u28ff]/

  it('has the chart above its bar, which goes with the bar at the end', async () => {
    const screen = new Screen(80, { tellsSize: true })
    const display = createProgress({ stream: screen, ...shown })
    for (let number = 1; number <= 120; number++) display.onEvent(step(number))
    display.onEvent(evaluate(120, 2))
    display.onEvent(step(121))
    const rows = await screen.rows()
    expect(rows).toHaveLength(8)
    expect(rows[0]).toContain('held-out loss   2.0000')
    expect(rows[1]).toMatch(/^ {2}3\.5000 [\u2801-\u28ff]/)
    expect(rows[6]).toMatch(/^ +steps 1-121 {2}⠒ loss 0\.\d{4} {2}o held-out 2\.0000$/)
    expect(rows[7]).toMatch(/^Training .* 121\/200 /)
    expect(await screen.cursor()).toEqual([0, 1])
    display.stop()
    expect(await screen.rows()).toHaveLength(1)
  })

  it('leaves nothing of the chart between lines, at the bottom of the screen too', async () => {
    const screen = new Screen(70, { rows: 16, tellsSize: true })
    const display = createProgress({ stream: screen, ...shown })
    for (let number = 1; number <= 60; number++) {
      display.onEvent(step(number))
      display.print(`line ${number}`)
    }
    const rows = await screen.rows()
    expect(rows.slice(0, 60)).toEqual(Array.from({ length: 60 }, (_, index) => `line ${index + 1}`))
    expect(rows.slice(60)).toHaveLength(7)
    display.stop()
    expect(await screen.rows()).toHaveLength(60)
  })

  it('draws chart and bar as one update, and hides no cursor', () => {
    const screen = new Screen(80, { tellsSize: true })
    const display = createProgress({ stream: screen, ...shown })
    for (let number = 1; number <= 5; number++) display.onEvent(step(number))
    const updates = screen.bytes.split('\u001b[?2026h').slice(1)
    expect(updates.length).toBeGreaterThan(3)
    for (const update of updates) expect(update).toMatch(/[\u2801-\u28ff].*Training.*\[\?2026l$/s)
    expect(screen.bytes).not.toContain('\u001b[?25')
  })

  it('gets narrower and wider during a run: one chart is there, or none where it does not fit', async () => {
    const screen = new Screen(100, { tellsSize: true })
    const display = createProgress({ stream: screen, ...shown })
    for (let number = 1; number <= 50; number++) display.onEvent(step(number))
    await screen.resize(45)
    display.onEvent(step(51))
    expect((await screen.rows()).at(-1)).toMatch(/51\/200/)
    await screen.resize(90)
    display.onEvent(step(52))
    const rows = await screen.rows()
    expect(rows.at(-1)).toMatch(/52\/200/)
    expect(rows.at(-7)).toMatch(/^ {2}3\.5000 /)
  })

  it('has no chart with chart: false, without a terminal, on a dumb one, and as JSON', async () => {
    const events = [step(1), step(2), step(3), evaluate(3, 2), step(4)]
    const off = new Screen(80, { tellsSize: true })
    for (const event of events) createProgress({ stream: off, chart: false, ...shown }).onEvent(event)
    expect(off.bytes).not.toMatch(braille)
    const piped: string[] = []
    const stream = { write: (text: string) => piped.push(text), getWindowSize: () => [80, 24] as [number, number] }
    const display = createProgress({ stream })
    const json = createProgress({ stream, jsonStream: stream, json: true })
    for (const event of events) {
      display.onEvent(event)
      json.onEvent(event)
    }
    vi.stubEnv('TERM', 'dumb')
    try {
      const dumb = new Screen(80, { tellsSize: true })
      const onDumb = createProgress({ stream: dumb })
      for (const event of events) onDumb.onEvent(event)
      piped.push(dumb.bytes)
    } finally {
      vi.unstubAllEnvs()
    }
    expect(piped.join('')).toContain('held-out loss')
    expect(piped.join('')).not.toMatch(braille)
  })

  it('has colours, and none with NO_COLOR', () => {
    const bytesWith = (value: string): string => {
      vi.stubEnv('NO_COLOR', value)
      vi.stubEnv('FORCE_COLOR', undefined)
      try {
        const screen = new Screen(80, { tellsSize: true })
        const display = createProgress({ stream: screen, ...shown })
        for (const event of [step(1), step(2), evaluate(2, 9), step(3)]) display.onEvent(event)
        return screen.bytes
      } finally {
        vi.unstubAllEnvs()
      }
    }
    expect(bytesWith('')).toMatch(/\[36m[\u2801-\u28ff]/)
    expect(bytesWith('')).toContain('\u001b[33mo\u001b[0m')
    expect(bytesWith('1')).toMatch(braille)
    expect(bytesWith('1')).not.toContain('\u001b[3')
  })
})

/** @file What a person sees of a run on a terminal: the bytes are replayed on a screen and compared row by row. */

import { describe, expect, it } from 'vitest'
import { createProgress } from '../../src/progress/progress.js'
import { createStatusLine } from '../../src/progress/status-line.js'
import { breakLine, cutToWidth, harmless, textWidth } from '../../src/progress/text-width.js'
import type { TrainEvent } from '../../src/train/events.js'
import { Screen } from '../support/screen.js'
import { seededRandom } from '../support/values.js'

const at = (step: number) => ({ step, totalSteps: 40, epoch: step / 20 })
const figures = (number: number) => ({
  ...at(number),
  loss: 12 / number,
  learningRate: 2e-4 / number,
  gradNorm: 1525 / number,
  tokensPerSecond: 98_765 / number,
  numInputTokensSeen: 100 * number,
  etaSeconds: 3 * (40 - number),
})
const download = (bytes: number): TrainEvent => ({
  type: 'download',
  model: 'org/name',
  revision: 'main',
  files: 3,
  bytes,
  totalBytes: 2 ** 24,
})
const prepare = (rows: number): TrainEvent => ({ type: 'prepare', split: 'train', rows, fraction: rows / 320 })
const evaluating = (step: number): TrainEvent => ({ type: 'evaluating', ...at(step), rows: 4, totalRows: 9 })

/** A run of 40 steps with everything that happens in one. */
const run: readonly TrainEvent[] = [
  download(0),
  download(2 ** 23),
  download(2 ** 24),
  { type: 'load', model: 'org/name', quantization: null },
  prepare(0),
  prepare(160),
  prepare(320),
  {
    type: 'data',
    split: 'train',
    lineage: [],
    rows: 320,
    truncatedRows: 2,
    rowsCutToNothing: 2,
    rowsWithoutTarget: 0,
    tokens: 4200,
    supervisedTokens: 900,
    conversations: 0,
    longest: 40,
    maxLength: 64,
    warnings: [{ code: 'cutToNothing', rows: 2, message: '2 of 320 rows left out: too long' }],
  },
  {
    type: 'start',
    runId: '0b6c2a3e-6f0a-4a6e-9a53-2f5f3f1f7c11',
    startedAt: '2026-01-31T12:00:00.000Z',
    options: {},
    versions: { lowrank: '0.1.0', node: '20.19.0' },
    ...at(0),
    trainableParameters: 12345,
    totalParameters: 1234567,
    quantization: null,
    trainRows: 318,
    evalRows: 9,
    gradientCheckpointing: true,
    plannedMemory: 3 * 2 ** 30,
    device: 'cpu',
  },
  ...Array.from({ length: 40 }, (_, i) => i + 1).flatMap((step): TrainEvent[] => [
    { ...figures(step), type: 'step' },
    ...(step % 10 === 0 ? [{ ...figures(step), type: 'log' as const }] : []),
    ...(step % 20 === 0
      ? [
          { type: 'save' as const, kind: 'checkpoint' as const, ...at(step), path: `out/checkpoint-${step}` },
          evaluating(step),
          { type: 'evaluate' as const, ...at(step), loss: 2, perplexity: Math.exp(2), tokens: 4321, seconds: 2 },
        ]
      : []),
  ]),
  { type: 'end', reason: 'completed', ...at(40), loss: 1.5, seconds: 61 },
]

const LINES = `Fetched 3 files of org/name, 16.0 MiB
Data (train): 320 rows, 318 of them used, 4,200 tokens
warning: data (train): 2 of 320 rows left out: too long
Training 12,345 of 1,234,567 parameters (1.00 %) on 318 rows, 9 to evaluate on: 40 steps
Takes about 3.0 GiB of memory, gradient checkpointing on
step 10/40  loss   1.2000  lr 2.00e-5  grad 152.5000    9,877 tokens/s
step 20/40  loss   0.6000  lr 1.00e-5  grad  76.2500    4,938 tokens/s
step 20/40  saved out/checkpoint-20
step 20/40  held-out loss   2.0000  perplexity 7.3891  4,321 tokens
step 30/40  loss   0.4000  lr 6.67e-6  grad  50.8333    3,292 tokens/s
step 40/40  loss   0.3000  lr 5.00e-6  grad  38.1250    2,469 tokens/s
step 40/40  saved out/checkpoint-40
step 40/40  held-out loss   2.0000  perplexity 7.3891  4,321 tokens
Done after 40 steps in 1 min 01 s, mean loss 1.5000`

/** Where the terminal is narrower than a line. */
const SCREENS: Record<number, string> = {
  40: `Fetched 3 files of org/name, 16.0 MiB
Data (train): 320 rows, 318 of them
  used, 4,200 tokens
warning: data (train): 2 of 320 rows
  left out: too long
Training 12,345 of 1,234,567 parameters
  (1.00 %) on 318 rows, 9 to evaluate
  on: 40 steps
Takes about 3.0 GiB of memory, gradient
  checkpointing on
step 10/40  loss   1.2000  lr 2.00e-5
  grad 152.5000    9,877 tokens/s
step 20/40  loss   0.6000  lr 1.00e-5
  grad  76.2500    4,938 tokens/s
step 20/40  saved out/checkpoint-20
step 20/40  held-out loss   2.0000
  perplexity 7.3891  4,321 tokens
step 30/40  loss   0.4000  lr 6.67e-6
  grad  50.8333    3,292 tokens/s
step 40/40  loss   0.3000  lr 5.00e-6
  grad  38.1250    2,469 tokens/s
step 40/40  saved out/checkpoint-40
step 40/40  held-out loss   2.0000
  perplexity 7.3891  4,321 tokens
Done after 40 steps in 1 min 01 s, mean
  loss 1.5000`,
  80: LINES.replace('evaluate on: 40 steps', 'evaluate on:\n  40 steps'),
  200: LINES,
}

/** The last row after each event that moves a bar. */
const BARS: Record<number, string[]> = {
  40: [
    '\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591       0 B of 16.0 MiB',
    '\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591   8.0 MiB of 16.0 MiB',
    'Loading  org/name',
    'Encoding rows  \u2588\u2588\u2588\u2588\u2588\u2591\u2591\u2591\u2591\u2591      160 rows',
    `${'\u2588'.repeat(11)}${'\u2591'.repeat(7)}  25/40  loss 0.4800 `,
    'Evaluating  \u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591  4/9 rows',
  ],
  80: [
    `Fetching  ${'\u2591'.repeat(30)}       0 B of 16.0 MiB  org/name`,
    `Fetching  ${'\u2588'.repeat(15)}${'\u2591'.repeat(15)}   8.0 MiB of 16.0 MiB  org/name`,
    'Loading  org/name',
    `Encoding rows  ${'\u2588'.repeat(15)}${'\u2591'.repeat(15)}      160 rows   50 %`,
    `Training  ${'\u2588'.repeat(8)}${'\u2591'.repeat(4)}  25/40  loss 0.4800     3,951 tokens/s         45 s left`,
    `Evaluating  ${'\u2588'.repeat(13)}${'\u2591'.repeat(17)}  4/9 rows`,
  ],
  200: [
    `Fetching  ${'\u2591'.repeat(30)}       0 B of 16.0 MiB  org/name`,
    `Fetching  ${'\u2588'.repeat(15)}${'\u2591'.repeat(15)}   8.0 MiB of 16.0 MiB  org/name`,
    'Loading  org/name',
    `Encoding rows  ${'\u2588'.repeat(15)}${'\u2591'.repeat(15)}      160 rows   50 %`,
    `Training  ${'\u2588'.repeat(19)}${'\u2591'.repeat(11)}  25/40  loss 0.4800     3,951 tokens/s         45 s left`,
    `Evaluating  ${'\u2588'.repeat(13)}${'\u2591'.repeat(17)}  4/9 rows`,
  ],
}

const WIDTHS = [40, 80, 200]
const shown = { redrawSeconds: 0 }

describe('a run on a terminal', () => {
  it.each(WIDTHS)('leaves every line, the scrolled-back ones too, and no bar: %i columns', async (columns) => {
    const screen = new Screen(columns, { rows: 10 })
    const display = createProgress({ stream: screen, ...shown })
    for (const event of run) display.onEvent(event)
    display.stop()
    expect((await screen.rows()).join('\n')).toBe(SCREENS[columns])
    expect(await screen.cursor()).toEqual([0, SCREENS[columns]?.split('\n').length])
  })

  it.each(WIDTHS)('has a bar in its last row, which fits: %i columns', async (columns) => {
    const bars: string[] = []
    const screen = new Screen(columns)
    const display = createProgress({ stream: screen, ...shown })
    for (const event of [download(0), download(2 ** 23), run[3], prepare(160), ...run.slice(8)] as TrainEvent[]) {
      const isMoving = ['download', 'load', 'prepare', 'evaluating'].includes(event.type)
      display.onEvent(event)
      if (isMoving || (event.type === 'step' && event.step === 25)) bars.push((await screen.rows()).at(-1) ?? '')
    }
    const [zero, half, load, encode, first, train] = bars
    expect([zero, half, load, encode, train, first]).toEqual(BARS[columns])
  })

  it('keeps the numbers of the bar in their places from the first step to the last', async () => {
    const places = new Set<string>()
    for (const event of run) {
      if (event.type !== 'step') continue
      const screen = new Screen(100)
      createProgress({ stream: screen, ...shown }).onEvent(event)
      const [row = ''] = await screen.rows()
      places.add([row.indexOf('/40'), row.indexOf('loss'), row.indexOf(' tokens/s'), row.indexOf(' left')].join())
    }
    expect([...places]).toHaveLength(1)
  })

  it('redraws a bar at most twenty times a second, and shows the newest at the end of that', async () => {
    const screen = new Screen(80)
    const display = createProgress({ stream: screen })
    for (const event of run.slice(8, 30)) if (event.type === 'step') display.onEvent(event)
    expect(screen.bytes.split('\r').length).toBeLessThan(6)
    await expect.poll(() => screen.rows().then((rows) => rows.at(-1))).toContain(' 20/40  loss 0.6000')
    display.stop()
  })

  it('returns to the bar of the training when an evaluation is over, and to loading when rows are encoded', async () => {
    const screen = new Screen(80)
    const display = createProgress({ stream: screen, ...shown })
    const last = async () => (await screen.rows()).at(-1) ?? ''
    for (const event of run.slice(3, 8)) display.onEvent(event)
    expect(await last()).toBe('Loading  org/name')
    for (const event of run.slice(8, -1)) display.onEvent(event)
    expect(await last()).toMatch(/^Training .* 40\/40 /)
    display.stop()
    expect(await last()).toBe('step 40/40  held-out loss   2.0000  perplexity 7.3891  4,321 tokens')
  })

  it('shows no bar any more once it was stopped, but lines', async () => {
    const screen = new Screen(80)
    const display = createProgress({ stream: screen, ...shown })
    for (const event of run.slice(8, 12)) display.onEvent(event)
    display.stop()
    display.print('Stopping after this step')
    for (const event of run.slice(12, 15)) display.onEvent(event)
    expect((await screen.rows()).slice(-2)).toEqual([
      'Takes about 3.0 GiB of memory, gradient checkpointing on',
      'Stopping after this step',
    ])
  })

  it('never erases from the first column, which tmux takes for a clearing of the screen and keeps a copy of', () => {
    const screen = new Screen(80)
    const display = createProgress({ stream: screen, ...shown })
    for (const event of run) display.onEvent(event)
    display.stop()
    expect(screen.bytes.split('\u001b[J').length).toBeGreaterThan(40)
    for (const before of screen.bytes.split('\u001b[J').slice(0, -1)) expect(before).not.toMatch(/[\r\n]$/)
  })

  it('never hides the cursor, which a killed process could not show again', () => {
    const screen = new Screen(80)
    const display = createProgress({ stream: screen, ...shown })
    for (const event of run) display.onEvent(event)
    expect(screen.bytes).not.toContain('\u001b[?')
  })
})

describe('a window that is resized during a run', () => {
  const random = seededRandom(11)
  const below = (limit: number) => Math.floor(((random() + 1) / 2) * limit)

  // Terminals differ in what becomes of the row with the cursor: xterm.js cuts it off, VTE, kitty and tmux break it in
  // two.
  it('has one bar in its last row and no rest of another one', async () => {
    for (const widths of [
      [200, 80, 40],
      [80, 40, 200],
      [40, 200, 23, 120],
      [200, 12, 80],
    ]) {
      const screen = new Screen(widths[0] as number, { rows: 12 })
      const display = createProgress({ stream: screen, ...shown })
      for (const [index, event] of run.entries()) {
        display.onEvent(event)
        if (index % 7 === 6) await screen.resize(widths[((index + 1) / 7) % widths.length] as number)
        const rows = await screen.rows()
        const bars = rows.filter((row) => /[\u2588\u2591]|^Loading/.test(row))
        expect(bars.length, rows.join('\n')).toBeLessThanOrEqual(1)
        if (bars.length === 1) expect(rows.at(-1)).toBe(bars[0])
      }
      display.stop()
      await screen.resize(200)
      const rows = (await screen.rows()).join(' ').replace(/\s+/g, ' ')
      // Every word of every line is there, once and in order, however they were broken.
      expect(rows).toBe(LINES.replace(/\s+/g, ' '))
    }
  })

  it('keeps all lines at any widths in any order', async () => {
    for (let series = 0; series < 40; series++) {
      const screen = new Screen(10 + below(100), { rows: 4 + below(20) })
      const status = createStatusLine(screen, 0)
      const lines: string[] = []
      for (let turn = 0; turn < 30; turn++) {
        const action = below(3)
        if (action === 0) {
          lines.push(`${turn}${'x'.repeat(below(7))}`)
          status.print(lines.at(-1) as string)
        } else if (action === 1) status.show((columns) => '#'.repeat(columns))
        else await screen.resize(10 + below(100))
      }
      status.close()
      expect(await screen.rows(), `series ${series}`).toEqual(lines)
    }
  })
})

describe('what names and paths hold', () => {
  it('counts wide characters as two columns and combining ones as none', async () => {
    const texts: [string, number][] = [
      ['step 1/2', 8],
      ['\u6a21\u578b/\u30c7\u30fc\u30bf', 11],
      ['\ud55c\uae00', 4],
      ['e\u0301a\u0308', 2],
      ['\uff21\uff22', 4],
      ['\u{20000}x', 3],
      ['caf\u00e9 \u03b1\u0436', 7],
    ]
    for (const [text, width] of texts) expect(textWidth(text), text).toBe(width)
    expect(cutToWidth('\u6a21\u578b\u30c7\u30fc\u30bf', 6)).toBe('\u6a21\u578b\u2026')
    for (let columns = 4; columns < 40; columns++) {
      const screen = new Screen(columns)
      const display = createProgress({ stream: screen, ...shown })
      display.onEvent({
        type: 'load',
        model: '\u6a21\u578b/\u30c7\u30fc\u30bf\u30c7\u30fc\u30bf\u30c7\u30fc\u30bf',
        quantization: null,
      })
      const rows = await screen.rows()
      expect(rows, String(columns)).toHaveLength(1)
      expect(textWidth(rows[0] ?? ''), String(columns)).toBeLessThan(columns)
    }
  })

  it('what names and paths hold cannot move the cursor or change colours', async () => {
    const hostile = 'a\u001b[2J\u001b[31mb\rc\u009bm\u202ed\u0007'
    expect(harmless(hostile)).toBe('a\u241b[2J\u241b[31mb\u240dc\ufffdm\ufffdd\u2407')
    expect(harmless('a\tb\u007f\n')).toBe('a\u2409b\u2421\n')
    const screen = new Screen(80)
    const display = createProgress({ stream: screen, ...shown })
    display.onEvent({ type: 'save', kind: 'checkpoint', ...at(3), path: `out/${hostile}` })
    display.onEvent({ type: 'load', model: hostile, quantization: null })
    expect(await screen.rows()).toEqual([`step  3/40  saved out/${harmless(hostile)}`, `Loading  ${harmless(hostile)}`])
  })

  it('breaks lines at blanks, indents what follows, and leaves long words whole', () => {
    expect(breakLine('one two three four', 9)).toEqual(['one two', '  three', '  four'])
    expect(breakLine('saved /a/very/long/path/to/x now', 10)).toEqual(['saved', '  /a/very/long/path/to/x', '  now'])
    expect(breakLine('', 10)).toEqual([''])
    expect(breakLine('  two  blanks', 80)).toEqual(['  two  blanks'])
  })
})

/** @file The loss of a run as a line of bars and a table. */

import { expect, it } from 'vitest'
import { lossSection, sparkline } from '../../src/train/loss-curve.js'

const at = (step: number, loss: number | null) => ({
  step,
  totalSteps: 100,
  epoch: step / 50,
  loss: loss as number,
  learningRate: 2e-4,
  gradNorm: 1,
  tokensPerSecond: 1,
  numInputTokensSeen: 1,
  etaSeconds: 0,
})
const log = (step: number, loss: number | null) => ({ ...at(step, loss), type: 'log' as const })
const evaluation = (step: number, loss: number) => ({
  ...at(step, loss),
  type: 'evaluate' as const,
  tokens: 1,
  seconds: 1,
})

it('draws each value between the lowest and the highest, and leaves a gap where there is none', () => {
  expect(sparkline([8, 7, 6, 5, 4, 3, 2, 1])).toBe('8.0000 █▇▆▅▄▃▂▁ 1.0000')
  expect(sparkline([2, null, Number.NaN, 1])).toBe('2.0000 █  ▁ 1.0000')
  expect(sparkline([3, 3, 3])).toBe('3.0000 ▁▁▁ 3.0000')
  expect(sparkline([3])).toBeUndefined()
  expect(sparkline([3, null])).toBeUndefined()
})

it('draws long curves in sixty columns of means', () => {
  const line = sparkline(Array.from({ length: 601 }, (_, index) => 601 - index)) ?? ''
  const [first, bars = '', last] = line.split(' ')
  expect([first, [...bars].length, last]).toEqual(['601.0000', 60, '1.0000'])
  expect([...bars].sort((a, b) => b.localeCompare(a)).join('')).toBe(bars)
})

it('lists the steps at which held-out rows were scored, with the loss that was logged by then', () => {
  const events = [log(10, 3), evaluation(10, 3.5), log(20, 2), log(30, 1.5), evaluation(30, 2.5)]
  expect(lossSection(events)).toBe(`## Loss

\`\`\`text
Training loss  3.0000 █▃▁ 1.5000
Held-out loss  3.5000 █▁ 2.5000
\`\`\`

| Step | Epoch | Training loss | Held-out loss |
|---|---|---|---|
| 10 | 0.20 | 3.0000 | 3.5000 |
| 30 | 0.60 | 1.5000 | 2.5000 |
`)
})

it('lists at most twelve rows, the first and the last among them, and nothing for a run without logs', () => {
  const section = lossSection(Array.from({ length: 101 }, (_, index) => log(index + 1, index === 100 ? null : 1))) ?? ''
  const rows = section.split('\n').filter((line) => /^\| \d/.test(line))
  expect(rows).toHaveLength(12)
  expect(rows[0]).toBe('| 1 | 0.02 | 1.0000 | 0.000200 |')
  expect(rows.at(-1)).toBe('| 101 | 2.02 | - | 0.000200 |')
  expect(lossSection([])).toBeUndefined()
})

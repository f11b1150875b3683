/** @file Curves: which points are left, where they lie on their axes, and what stands beside these. */

import { describe, expect, it } from 'vitest'
import { downsample, smooth } from '../../src/report/downsample.js'
import { difference, duration, figure, pValue, score } from '../../src/report/figures.js'
import { lineChart, MOST_POINTS } from '../../src/report/line-chart.js'
import { linearTicks, logTicks, scaleOf } from '../../src/report/scale.js'
import { readPage, textsOf } from './read-page.js'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

describe('fewer points', () => {
  it('the ends, every spike and every gap stay', () => {
    const x = numbers(100_001)
    const y: (number | null)[] = x.map((at) => Math.sin(at / 5000))
    y[31_415] = 9
    y[62_831] = -9
    y[77_777] = null
    const fewer = downsample({ x, y }, 1000)
    expect(fewer.x.length).toBeLessThanOrEqual(1000)
    expect(fewer.x.length).toBeGreaterThan(500)
    expect(fewer.x[0]).toBe(0)
    expect(fewer.x.at(-1)).toBe(100_000)
    for (const at of [31_415, 62_831, 77_777]) expect(fewer.y[fewer.x.indexOf(at)]).toBe(y[at])
    expect([...fewer.x].sort((a, b) => a - b)).toEqual(fewer.x)
  })

  it('a curve that is short enough stays as it is', () => {
    const points = { x: [1, 2, 3], y: [1, null, 3] }
    expect(downsample(points, 3)).toEqual(points)
  })

  it('the smoothed curve of a constant is that constant, from its first value on', () => {
    const { y } = smooth({ x: numbers(300), y: numbers(300).map((at) => (at === 7 ? null : 5)) })
    y.forEach((value, at) => {
      if (at === 7) expect(value).toBeNull()
      // Sums of rounded products: within a few units of the last place.
      else expect(value).toBeCloseTo(5, 12)
    })
  })

  it('the smoothed curve is the weighted mean of what came before', () => {
    // 40 points or fewer have the smallest weight, 0.6.
    const { y } = smooth({ x: [0, 1, 2], y: [1, 2, 4] })
    const mean = (values: number[]): number => {
      const weights = values.map((_, at) => 0.6 ** (values.length - 1 - at))
      return values.reduce((sum, value, at) => sum + value * (weights[at] ?? 0), 0) / weights.reduce((a, b) => a + b)
    }
    expect(y[1]).toBeCloseTo(mean([1, 2]), 12)
    expect(y[2]).toBeCloseTo(mean([1, 2, 4]), 12)
  })
})

describe('axes', () => {
  it('round numbers stand beside an axis, powers of ten beside a logarithmic one', () => {
    expect(linearTicks(0, 10)).toEqual([0, 2, 4, 6, 8, 10])
    expect(linearTicks(0.13, 0.34)).toEqual([0.15, 0.2, 0.25, 0.3])
    expect(linearTicks(-1, 1)).toEqual([-1, -0.5, 0, 0.5, 1])
    expect(linearTicks(3, 3)).toEqual([3])
    expect(logTicks(0.9, 120)).toEqual([1, 2, 5, 10, 20, 50, 100])
    expect(logTicks(1e-6, 1)).toEqual([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1])
    expect(logTicks(3.1, 3.9).length).toBeGreaterThan(2)
  })

  it('values lie between the ends, and one value alone in the middle', () => {
    const linear = scaleOf([1, 3], 'linear')
    expect(linear.place(2)).toBeCloseTo(0.5, 12)
    expect(linear.low).toBeLessThan(1)
    expect(scaleOf([0, 100], 'linear').low).toBe(0)
    const log = scaleOf([1, 100], 'log')
    expect(log.place(10)).toBeCloseTo(0.5, 12)
    for (const value of [5, -5, 1e-20, 1e20]) expect(scaleOf([value], 'linear').place(value)).toBeCloseTo(0.5, 1)
  })
})

describe('numbers', () => {
  it('figures are short and whole ones complete', () => {
    expect([0, 3, -3, 1234, 12_345_678, 1.23456, 0.00002, 1234.5, 1e12, Number.NaN, null].map(figure)).toEqual([
      '0',
      '3',
      '-3',
      '1,234',
      '12,345,678',
      '1.235',
      '2e-5',
      '1,235',
      '1e12',
      '–',
      '–',
    ])
    expect([0.5, 31.2, 12_345, null].map(score)).toEqual(['0.5000', '31.20', '12345', '–'])
    expect([0.5, -0.25, null].map(difference)).toEqual(['+0.5000', '−0.2500', '–'])
    expect([0.00001, 0.0421, null].map(pValue)).toEqual(['p < 0.001', 'p = 0.042', ''])
    expect([0.123, 45, 185, 7620].map(duration)).toEqual(['0.12 s', '45 s', '3 min 05 s', '2 h 07 min'])
  })
})

describe('a chart', () => {
  const chartOf = (y: readonly (number | null)[], more = {}): ReturnType<typeof readPage> =>
    readPage(
      lineChart({ id: 'c', title: 'Loss', series: [{ name: 'train', color: 1, x: numbers(y.length), y, ...more }] })
        ?.markup ?? '',
    )

  it('its picture has words, and its values stand in a table', () => {
    const chart = chartOf([4, 2, 1])
    expect(chart.querySelector('.field')?.getAttribute('aria-label')).toBe(
      'Loss. train: 4 at step 0, 1 at step 2, lowest 1 at step 2, highest 4 at step 0.',
    )
    expect(textsOf(chart, 'tbody tr')).toEqual(['04', '12', '21'])
    expect(textsOf(chart, '.legend li')).toEqual(['step 2', 'train 1'])
  })

  it('its lower axis names whole steps alone', () => {
    expect(textsOf(chartOf([4, 2]), '.plot > svg:last-child text')).toEqual(['0', '1'])
  })

  it('gaps interrupt the line, and values that are no numbers are gaps', () => {
    const path = chartOf([1, 2, Number.NaN, 3, null, 2]).querySelector('.curve')?.getAttribute('d')
    expect(path?.match(/M/g)).toHaveLength(3)
    expect(path).not.toMatch(/NaN|Infinity|null/)
  })

  it('a logarithmic axis is offered where all values are above 0, smoothing where there is noise', () => {
    expect(chartOf([1, 2]).querySelectorAll('.log-on')).toHaveLength(1)
    expect(chartOf([0, 2]).querySelectorAll('.log-on')).toHaveLength(0)
    expect(chartOf(numbers(30), { isNoisy: true }).querySelectorAll('.smooth-on')).toHaveLength(1)
    expect(chartOf(numbers(30)).querySelectorAll('.smooth-on')).toHaveLength(0)
    expect(chartOf(numbers(5), { isNoisy: true }).querySelectorAll('.smooth-on')).toHaveLength(0)
  })

  it('its size does not grow with the run', () => {
    const size = (count: number): number => {
      const y = numbers(count).map((at) => 1 + Math.abs(Math.sin(at * 1.7)))
      const chart = lineChart({
        id: 'c',
        title: 'Loss',
        series: [{ name: 'a', color: 1, isNoisy: true, x: numbers(count), y }],
      })
      return chart?.markup.length ?? 0
    }
    const long = size(200_000)
    // Steps have more digits; points are as many.
    expect(long).toBeLessThan(size(5000) * 1.2)
    expect(long).toBeLessThan(120 * MOST_POINTS)
  })

  it('nothing is drawn of nothing', () => {
    expect(lineChart({ id: 'c', title: 'x', series: [] })).toBeUndefined()
    expect(lineChart({ id: 'c', title: 'x', series: [{ name: 'a', color: 1, x: [1], y: [null] }] })).toBeUndefined()
  })
})

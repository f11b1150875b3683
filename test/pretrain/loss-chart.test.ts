/** @file The chart of the falling loss that the quickstart prints. */

import { expect, it } from 'vitest'

interface Chart {
  lossChart(losses: readonly number[], size?: { columns?: number; rows?: number }): string[]
}
const { lossChart }: Chart = await import(new URL('../../examples/quickstart/loss-chart.mjs', import.meta.url).href)

it('a chart has the mean of some steps in each column, joined by vertical lines, and each row is the same factor', () => {
  // Means 16, 2.5, 8, 1: a row is a factor of 2.
  expect(lossChart([16, 16, 4, 1, 8, 8, 1, 1], { columns: 4, rows: 5 })).toEqual([
    ' 16 ┤─╮',
    '    ┤ │╭╮',
    '    ┤ │││',
    '    ┤ ╰╯│',
    '1.0 ┤   ╰',
    '    └────',
    '     1step 8',
  ])
  // Five steps in four columns: the last has two of them.
  expect(lossChart([16, 8, 4, 2, 1], { columns: 4, rows: 3 }).slice(0, 3)).toEqual([
    ' 16 ┤─╮',
    '    ┤ ╰─╮',
    '1.5 ┤   ╰',
  ])
})

it('a chart of fewer steps than columns has one column a step, and one of equal losses is a line at the bottom', () => {
  expect(lossChart([12, 3], { rows: 2 })).toEqual([' 12 ┤─╮', '3.0 ┤ ╰', '    └──', '     1step 2'])
  expect(lossChart([1, 1, 1], { rows: 2 })[1]).toBe('1.0 ┤───')
})

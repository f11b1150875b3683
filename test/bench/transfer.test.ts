/** @file `npm run bench -- transfer`: a file up and down, ours beside plain fetch. */

import { expect, test } from 'vitest'
import { isLong } from '../support/long.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

test('the bench of transfers measures each direction beside plain fetch, a row of results each', async () => {
  const results = resultsFolder()
  const only = isLong ? '' : 'down'
  const args = ['transfer', '--mib', '17', '--rounds', '1', '--results', results, ...(isLong ? [] : ['--only', only])]
  const { code, lines, stderr } = await runBench(...args)
  expect(code, stderr).toBe(0)
  const cases = lines.map(({ direction, library }) => `${direction} ${library}`)
  const all = ['up lowrank', 'up fetch', 'down lowrank', 'down fetch']
  expect(cases).toEqual(all.filter((name) => name.startsWith(only)))
  for (const line of lines) {
    expect(line.mib).toBe(17)
    for (const figure of ['mib_per_s', 'cpu_s', 'rss_mib_above_start']) expect(isSummary(line[figure])).toBe(true)
  }
  expect(readRows(results, 'transfer')).toHaveLength(cases.length)
})

/** @file `npm run bench -- read-table`: a table as Arrow, ours beside plain fetch. */

import { expect, test } from 'vitest'
import { isLong } from '../support/long.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

test('the bench of tables reads all rows in each way, a row of results each', async () => {
  const results = resultsFolder()
  const all = ['batches', 'stream', 'rows', 'fetch', 'fetch apache-arrow']
  const args = ['read-table', '--rows', '1001', '--rounds', '1', '--results', results]
  const { code, lines, stderr } = await runBench(...args, ...(isLong ? [] : ['--only', 'batches']))
  expect(code, stderr).toBe(0)
  expect(lines.map(({ read }) => read)).toEqual(isLong ? all : ['batches'])
  for (const line of lines) {
    expect(line.rows).toBe(1001)
    for (const figure of ['mb_per_s', 'mb_per_cpu_s', 'rss_mib_above_start']) expect(isSummary(line[figure])).toBe(true)
  }
  expect(readRows(results, 'read-table')).toHaveLength(lines.length)
})

/** @file `npm run bench -- data`: every case reads or writes all rows, ours beside the bare libraries. */

import { expect, test } from 'vitest'
import { isLong } from '../support/long.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

test('the bench of files measures reading and writing beside bare libraries, a row of results each', async () => {
  const results = resultsFolder()
  const only = isLong ? '' : 'read jsonl'
  const args = ['data', '--rows', '501', '--rounds', '1', '--results', results, ...(isLong ? [] : ['--only', only])]
  const { code, lines, stderr } = await runBench(...args)
  expect(code, stderr).toBe(0)
  const cases = (lines as Record<string, unknown>[]).map(({ case: name, library }) => `${name} ${library}`)
  const all = [
    'read parquet lowrank',
    'read parquet lowrank with hash',
    'read parquet hyparquet',
    'read parquet duckdb',
    'read jsonl lowrank',
    'read jsonl lowrank with hash',
    'read jsonl JSON.parse',
    'read jsonl duckdb',
    'read csv lowrank',
    'read csv duckdb',
    'write parquet lowrank',
    'write parquet hyparquet-writer',
    'write parquet duckdb',
  ]
  expect(cases).toEqual(all.filter((name) => name.includes(only)))
  for (const line of lines as Record<string, unknown>[]) {
    expect(line.rows).toBe(501)
    expect(isSummary(line.rows_per_cpu_s)).toBe(true)
    expect(isSummary(line.peak_rss_mib)).toBe(true)
  }
  expect(readRows(results, 'data')).toHaveLength(cases.length)
})

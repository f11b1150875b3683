/** @file `npm run bench -- e2e`: the command line on files that it makes, timed by its events. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { isSummary, readRows, resultsFolder, runBench } from './run-bench.js'

describe('bench e2e', () => {
  test('times the first and the last step of a run on full rows, and leaves the files of --work alone', async () => {
    const results = resultsFolder()
    const work = join(results, 'work')
    const quick = ['e2e', '--model-shape', 'tiny', '--steps', '3', '--batch', '2', '--seq', '17']
    const { code, lines, stderr } = await runBench(...quick, '--work', work, '--results', results)
    expect(code, stderr).toBe(0)
    expect(lines).toHaveLength(1)
    const [line] = lines as [Record<string, Record<string, number>>]
    expect(line).toMatchObject({ bench: 'e2e', model_shape: 'tiny', steps: 3, batch: 2, seq: 17 })
    const { first_step_s: first, last_step_s: last, total_s: total, peak_rss_mib: peak } = line
    for (const figure of [first, last, total]) expect(isSummary(figure)).toBe(true)
    expect(first?.median).toBeLessThan(last?.median as number)
    expect(last?.median).toBeLessThan(total?.median as number)
    expect(peak as unknown as number).toBeGreaterThan(30)
    expect(readRows(results, 'e2e')).toHaveLength(1)

    // A row for every place in a batch, none shorter than what is kept of it.
    const rows = readFileSync(join(work, 'data.jsonl'), 'utf8').trimEnd().split('\n')
    expect(rows).toHaveLength(6)
    const tokenizer = await loadTokenizer(join(work, 'model'))
    for (const row of rows) expect(tokenizer.encode(JSON.parse(row).text).length).toBeGreaterThan(17)
    expect(readdirSync(work).sort()).toEqual(['data.jsonl', 'model'])
    expect(existsSync(join(work, 'model', 'tokenizer.json'))).toBe(true)
  })
})

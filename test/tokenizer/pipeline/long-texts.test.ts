/**
 * @file Every part of a tokenizer works on long texts in short turns of the event loop, and ends when it is told to.
 */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { dice } from '../../support/awkward-texts.js'
import { cases } from '../../support/long.js'
import { characterMap } from '../../support/random-tokenizer.js'

const CHILD = fileURLToPath(new URL('turns-child.mjs', import.meta.url))

interface Result {
  tokens: number
  turns: number
  longest: { time: number; collected: number }[]
  abortTime: number | null
}

test('every part works on long texts in turns of less than 20 ms, and an abort ends it within one', async () => {
  const size = cases(400_000, 1_200_000)
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, String(size), characterMap(dice(3))])
  const results = Object.entries(JSON.parse(stdout) as Record<string, Result>)
  expect(results).toHaveLength(47)
  let all = 0
  for (const [name, { tokens, turns, longest, abortTime }] of results) {
    expect(tokens, name).toBeGreaterThan(0)
    all += turns
    for (const { time, collected } of longest) expect(time - collected, name).toBeLessThan(20)
    // Pauses of the collector of garbage fall into a turn or two, and are not the work's.
    expect(longest[2]?.time ?? 0, name).toBeLessThan(20)
    expect(abortTime ?? 0, name).toBeLessThan(20)
  }
  // They were worked on in many, though a fast machine needs fewer.
  expect(all).toBeGreaterThan(5 * results.length)
}, 600_000)

/** @file Preparing data leaves the event loop free, whatever their shape, and ends when asked to. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { cases } from '../support/long.js'

const CHILD = fileURLToPath(new URL('data-turns-child.mjs', import.meta.url))

it('no turn of the event loop takes 20 ms of processor time while data are prepared, and an abort ends the work', async () => {
  // Rows of 11 MB; of one of 27 MB V8 makes a flat text in one piece of 25 ms.
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, String(cases(1, 2))])
  type Result = { longest: number; collected: number; turns: number; examples: number; aborts: [number, number | null] }
  const results = JSON.parse(stdout) as Record<string, Result>
  for (const [name, { longest, collected, turns, examples, aborts }] of Object.entries(results)) {
    expect(longest, name).toBeLessThan(20)
    // Pauses of the collector of garbage are no turn's work, and seldom so long.
    expect(collected, name).toBeLessThanOrEqual(1)
    expect(examples, name).toBeGreaterThan(0)
    // It took long enough to say something.
    expect(turns, name).toBeGreaterThan(10)
    // The second may come when all is done.
    expect(aborts[0], name).toBeLessThan(20)
    expect(aborts[1] ?? 0, name).toBeLessThan(20)
  }
  expect(Object.keys(results)).toHaveLength(21)
}, 600_000)

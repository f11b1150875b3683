/** @file Training leaves the event loop free: timers are on time while a real model takes its steps. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { cases } from '../support/long.js'

const CHILD = fileURLToPath(new URL('event-loop-child.mjs', import.meta.url))
const STEPS = cases(7, 20)
const MOST = 20

/**
 * What else a machine does makes timers later and never earlier: the first of so many measurements that keeps to the
 * limit counts.
 */
const TRIES = 4

async function measure(): Promise<{ samples: number; p99: number; losses: number[] }> {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, String(STEPS)])
  return JSON.parse(stdout)
}

it(`${STEPS} steps of a 135M model delay timers by less than 20 ms at the 99th percentile`, async () => {
  let { samples, p99, losses } = await measure()
  for (let tries = 1; tries < TRIES && p99 >= MOST; tries++) ({ samples, p99, losses } = await measure())
  expect(p99).toBeLessThan(MOST)
  // The steps took long enough for a percentile to mean something, and were steps.
  expect(samples).toBeGreaterThan(100)
  expect(losses).toHaveLength(STEPS)
  // Random ids have nothing to learn: the logarithm of the vocabulary, and a little for weights that are random too.
  for (const loss of losses) expect(Math.abs(loss - Math.log(49152))).toBeLessThan(0.5)
}, 600_000)

/** @file Schemas and masks leave the event loop free, whatever schemas a client sends. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const CHILD = fileURLToPath(new URL('grammar-turns-child.mjs', import.meta.url))

it('no turn of the event loop takes 20 ms of processor time while schemas are compiled and masks made', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD])
  const results = JSON.parse(stdout) as Record<string, { longest: number; collected: number; turns: number }>
  for (const [name, { longest, collected, turns }] of Object.entries(results)) {
    expect(longest, name).toBeLessThan(20)
    // Pauses of the collector of garbage are no turn's work, and seldom so long.
    expect(collected, name).toBeLessThanOrEqual(1)
    // It took long enough to say something.
    expect(turns, name).toBeGreaterThan(10)
  }
  expect(Object.keys(results)).toHaveLength(9)
}, 600_000)

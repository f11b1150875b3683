// @ts-check
/**
 * @file Trains in a process of its own, for tests that kill it: `node train-child.mjs '{"save": DIRECTORY, ...options
 * of trainLora}'`. Writes its events to standard output, one JSON line each.
 */

import { writeSync } from 'node:fs'
import { trainLora } from '../../dist/index.js'

const { save, ...options } = JSON.parse(process.argv[2] ?? '')
const run = await trainLora({
  ...options,
  resumeFromCheckpoint: true,
  // Straight to the descriptor: what was reported has happened, even when the process dies at once.
  onEvent: (event) => writeSync(1, `${JSON.stringify(event)}\n`),
})
await run.save(save)
run.dispose()

// @ts-check
/**
 * @file A program of a user: trains three steps and saves the adapter. Arguments: the model and the folder of the
 * adapter.
 */

import { trainLora } from '../../dist/index.js'

const [model, adapter] = /** @type {[string, string]} */ (process.argv.slice(-2))
const run = await trainLora({
  model,
  dataset: Array.from({ length: 8 }, (_, i) => ({ prompt: `one ${i}`, completion: ' two' })),
  lora: { r: 2 },
  training: { maxSteps: 3, maxLength: 64 },
})
await run.adapter.save(adapter)
process.stdout.write(`${run.step} steps\n`)
run.dispose()

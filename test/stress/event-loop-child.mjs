// @ts-check
/**
 * @file Trains so many steps of the SmolLM2-135M shape (random weights) in one's own loop and prints, as JSON, how late
 * timers fired meanwhile. A process of its own: a test runner has work to do on its event loop.
 *
 * A timer is also late because the machine runs something else. Linux counts, per thread, the time that it waited for a
 * processor; that time is left out, so that what remains is what this process did to its own event loop.
 */

import { readFileSync } from 'node:fs'
import { MODEL_SHAPES } from '../../bench/model-shapes.mjs'
import { AdamW, createModel, LoraAdapter } from '../../dist/index.js'

const STEPS = Number(process.argv[2])
const TOKENS = 64
/** As perf_hooks' monitorEventLoopDelay samples by default. */
const INTERVAL = 10

const model = createModel(/** @type {Record<string, unknown>} */ (MODEL_SHAPES['smollm2-135m']), { dtype: 'float32' })
const adapter = LoraAdapter.create(model, { r: 16, targetModules: 'all-linear' })
const optimizer = new AdamW(adapter.parameters(), { lr: 1e-4 })
const { vocabSize } = model.config
model.train()
await model.device.sync()

/** Milliseconds that this thread was ready to run and did not. */
const waited = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[1]) / 1e6
/** @type {number[]} */
const delays = []
let last = { at: performance.now(), waited: waited() }
const timer = setInterval(() => {
  const now = { at: performance.now(), waited: waited() }
  delays.push(now.at - last.at - (now.waited - last.waited) - INTERVAL)
  last = now
}, INTERVAL)

const begin = performance.now()
const losses = []
for (let step = 0; step < STEPS; step++) {
  const inputIds = [Array.from({ length: TOKENS }, (_, i) => (step * 7919 + i * 104729) % vocabSize)]
  const { loss } = model.forward({ inputIds, labels: inputIds })
  loss.backward()
  optimizer.step()
  optimizer.zeroGrad()
  losses.push((await loss.read())[0])
}
clearInterval(timer)
delays.sort((a, b) => a - b)
console.log(
  JSON.stringify({
    seconds: (performance.now() - begin) / 1000,
    samples: delays.length,
    p50: delays[delays.length >> 1],
    p99: delays[Math.ceil(0.99 * delays.length) - 1],
    max: delays.at(-1),
    losses,
  }),
)

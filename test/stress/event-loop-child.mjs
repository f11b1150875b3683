// @ts-check
/**
 * @file Trains 20 steps of the SmolLM2-135M shape (random weights) in one's own loop and prints, as JSON, how late timers fired meanwhile. A
 * process of its own: a test runner has work to do on its event loop.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { MODEL_SHAPES } from '../../bench/model-shapes.mjs'
import { AdamW, createModel, LoraAdapter } from '../../dist/index.js'

const STEPS = 20
const TOKENS = 64

const model = createModel(/** @type {Record<string, unknown>} */ (MODEL_SHAPES['smollm2-135m']), { dtype: 'float32' })
const adapter = LoraAdapter.create(model, { r: 16, targetModules: 'all-linear' })
const optimizer = new AdamW(adapter.parameters(), { lr: 1e-4 })
const { vocabSize } = model.config
model.train()
await model.device.sync()

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
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
delay.disable()
const milliseconds = (/** @type {number} */ nanoseconds) => nanoseconds / 1e6
console.log(
  JSON.stringify({
    seconds: (performance.now() - begin) / 1000,
    samples: delay.count,
    p50: milliseconds(delay.percentile(50)),
    p99: milliseconds(delay.percentile(99)),
    max: milliseconds(delay.max),
    losses,
  }),
)
// Nothing is left to do: whatever still holds the process open would be a fault that the test sees as a time out.
